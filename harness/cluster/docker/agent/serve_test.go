package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// conversation serves these hands to a client, and returns what serve returned.
func conversation(t *testing.T, h hands) (*Client, <-chan error) {
	t.Helper()
	here, there := net.Pipe()
	client := NewClient(here)
	result := make(chan error, 1)
	go func() {
		result <- serve(t.Context(), there, there, h)
		there.Close()
	}()
	t.Cleanup(func() { client.Close() })
	return client, result
}

func outcome(t *testing.T, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(5 * time.Second):
		t.Fatal("serve does not return")
		return nil
	}
}

func TestServeUndoesAtTheEndOfInput(t *testing.T) {
	undone := false
	client, result := conversation(t, hands{undo: func() error { undone = true; return nil }})
	client.Close()
	if err := outcome(t, result); err != nil || !undone {
		t.Errorf("got %v, undone: %v", err, undone)
	}
}

func TestServeUndoesAtCancel(t *testing.T) {
	undone := false
	ctx, cancel := context.WithCancel(t.Context())
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	result := make(chan error, 1)
	go func() {
		result <- serve(ctx, there, there, hands{undo: func() error { undone = true; return nil }})
	}()
	cancel()
	if err := outcome(t, result); err != nil || !undone {
		t.Errorf("got %v, undone: %v", err, undone)
	}
}

func TestServeUndoesAtPanic(t *testing.T) {
	undone := false
	client, result := conversation(t, hands{
		signal: func(SignalRequest) error { panic("planted") },
		undo:   func() error { undone = true; return errors.New("half of it") },
	})
	_, err := client.Do(t.Context(), Request{Signal: &SignalRequest{Signal: 9}})
	if err == nil || !strings.Contains(err.Error(), "connection has ended") {
		t.Errorf("the request that panics: %v", err)
	}
	err = outcome(t, result)
	if err == nil || !strings.Contains(err.Error(), "planted") || !strings.Contains(err.Error(), "half of it") || !undone {
		t.Errorf("got %v, undone: %v", err, undone)
	}
}

func TestServeAnswersBadRequests(t *testing.T) {
	client, result := conversation(t, hands{
		signal: func(SignalRequest) error { return errors.New("not today") },
		hello: func() (means, lacks map[cluster.Fault]string) {
			return map[cluster.Fault]string{cluster.CutFault: "nft"}, nil
		},
		undo: func() error { return nil },
	})
	for _, test := range []struct {
		request Request
		want    string
	}{
		{Request{}, "0 things are asked for"},
		{Request{Signal: &SignalRequest{Signal: 15}}, "is not one of"},
		{Request{Signal: &SignalRequest{Signal: 9}}, "not today"},
		{Request{Links: &LinksRequest{Peers: make([]netip.Addr, maxLine)}}, "longer than"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := client.Do(ctx, test.request)
		cancel()
		if test.want == "longer than" {
			test.want = "no response" // its ID is unknown
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want an error with %q", err, test.want)
		}
	}
	response, err := client.Do(t.Context(), Request{Hello: &HelloRequest{}})
	if err != nil || response.Means[cluster.CutFault] != "nft" {
		t.Errorf("after bad requests: %+v, %v", response, err)
	}
	client.Close()
	outcome(t, result)
}

// A slow hand holds up its own kind of requests, in their order, and no other.
func TestServeKeepsOrder(t *testing.T) {
	free := make(chan struct{})
	var got []float64
	client, result := conversation(t, hands{
		links: func(r LinksRequest) error { <-free; got = append(got, r.Condition.Loss); return nil },
		hello: func() (means, lacks map[cluster.Fault]string) { return nil, nil },
		undo:  func() error { return nil },
	})
	var calls sync.WaitGroup
	want := []float64{0, 0.25, 0.5, 0.75}
	for _, loss := range want {
		line := fmt.Sprintf(`{"id":0,"links":{"peers":["10.0.0.1"],"condition":{"Loss":%v}}}`+"\n", loss)
		client.lines <- []byte(line)
	}
	if _, err := client.Do(t.Context(), Request{Hello: &HelloRequest{}}); err != nil {
		t.Error(err)
	}
	calls.Go(func() {
		peers := []netip.Addr{netip.MustParseAddr("10.0.0.1")}
		if _, err := client.Do(t.Context(), Request{Links: &LinksRequest{Peers: peers, Condition: cluster.Condition{Loss: 1}}}); err != nil {
			t.Error(err)
		}
	})
	close(free)
	calls.Wait()
	client.Close()
	outcome(t, result)
	if want = append(want, 1); !slices.Equal(got, want) {
		t.Errorf("carried out in order %v, want %v", got, want)
	}
}
