package workloads_test

import (
	"context"
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/workloads"
)

// A TextClient is what the workload asks of a client.
type TextClient interface {
	Put(ctx context.Context, key, text string) error
	Append(ctx context.Context, key, text string) error
	Get(ctx context.Context, key string) (string, error)
}

const keyLife = 100 * time.Millisecond // then comes another key, for short histories are judged fast

// Texts puts, appends to and gets texts.
var Texts = workloads.New(workloads.Own[TextClient]{
	Name:  "texts",
	Kinds: history.Kinds{"put": {Updates: true}, "append": {Updates: true}, "get": {Reads: true}},
	Plan: harness.PerWorker(func(w harness.Worker) harness.Generator {
		written := 0
		return harness.GeneratorFunc(func(turn *harness.Turn) (history.Operation, bool) {
			kinds := []history.Kind{"get", "get", "append", "append", "put"}
			o := history.Operation{Kind: kinds[w.Rand.IntN(len(kinds))], Key: fmt.Sprint("k", int(turn.Now/keyLife))}
			if o.Kind != "get" {
				written++ // no text is written twice
				o.Input = history.JSON(fmt.Sprintf("%d.%d ", w.Index, written))
			}
			return o, true
		})
	}),
	Final: func(harness.Worker) harness.Generator { // gets every text there ever was
		key := -1
		return harness.GeneratorFunc(func(turn *harness.Turn) (history.Operation, bool) {
			key++
			return history.Operation{Kind: "get", Key: fmt.Sprint("k", key)}, key <= int(turn.Now/keyLife)
		})
	},
	Invoke: func(ctx context.Context, client TextClient, o history.Operation) (history.Value, error) {
		switch o.Kind {
		case "put":
			return history.Value{}, client.Put(ctx, o.Key, text(o.Input))
		case "append":
			return history.Value{}, client.Append(ctx, o.Key, text(o.Input))
		}
		found, err := client.Get(ctx, o.Key)
		return history.JSON(found), err
	},
	Model: checker.ModelOf("texts", porcupine.Model{
		Init: func() any { return "" }, // of each key
		Step: func(state, input, output any) (bool, any) {
			held, call, answer := state.(string), input.(checker.Call), output.(checker.Answer)
			switch call.Kind {
			case "put":
				return true, text(call.Input)
			case "append":
				return true, held + text(call.Input)
			}
			return answer.Outcome == history.Info || text(answer.Output) == held, held
		},
	}),
})

func text(v history.Value) (text string) {
	_ = v.Decode(&text)
	return text
}

func ExampleNew() {
	_ = harness.Trial{Workload: Texts}
}
