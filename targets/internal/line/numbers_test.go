package line

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// The client and Answer agree.
func TestNumbersThroughAClient(t *testing.T) {
	store := &memory{registers: map[string]int64{}}
	client := open(t, map[cluster.Node]string{"n1": listen(t, func(_ context.Context, conn *Conn) {
		for {
			request, err := conn.Receive()
			if err != nil || conn.Send(Answer(store, request)) != nil {
				return
			}
		}
	})})
	ctx := t.Context()
	for range 2 {
		if err := client.Increment(ctx, 4); err != nil {
			t.Fatal(err)
		}
	}
	if value, err := client.Value(ctx); value != 8 || err != nil {
		t.Errorf("value %d, %v", value, err)
	}
	for _, transfer := range []struct {
		amount int64
		want   bool
	}{{60, true}, {60, false}} {
		if got, err := client.Transfer(ctx, 0, 1, transfer.amount); got != transfer.want || err != nil {
			t.Errorf("transfer %d: %v, %v", transfer.amount, got, err)
		}
	}
	balances, err := client.Balances(ctx, 2)
	if diff := cmp.Diff([]int64{40, 160}, balances); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for want := range int64(3) {
		if id, err := client.Generate(ctx); id != want+1 || err != nil {
			t.Errorf("id %d, %v", id, err)
		}
	}
}
