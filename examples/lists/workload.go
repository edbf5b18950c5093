package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/workloads"
)

const keyLife = 250 * time.Millisecond // of one list; then comes another

// appends appends to lists and gets them. No text is appended twice.
var appends = workloads.New(workloads.Own[*client]{
	Name:  "appends",
	Kinds: history.Kinds{"append": {Updates: true}, "get": {Reads: true}},
	Plan: harness.PerWorker(func(w harness.Worker) harness.Generator {
		count := 0
		return harness.GeneratorFunc(func(turn *harness.Turn) (history.Operation, bool) {
			key := fmt.Sprint("list", int(turn.Now/keyLife))
			if w.Rand.IntN(2) == 0 {
				return history.Operation{Kind: "get", Key: key}, true
			}
			count++
			return history.Operation{Kind: "append", Key: key, Input: history.JSON(fmt.Sprintf("%d.%d", w.Index, count))}, true
		})
	}),
	Final: func(harness.Worker) harness.Generator { // gets every list
		next := -1
		return harness.GeneratorFunc(func(turn *harness.Turn) (history.Operation, bool) {
			next++
			return history.Operation{Kind: "get", Key: fmt.Sprint("list", next)}, next <= int(turn.Now/keyLife)
		})
	},
	Invoke: func(ctx context.Context, c *client, o history.Operation) (history.Value, error) {
		if o.Kind == "append" {
			return history.Value{}, c.Append(ctx, o.Key, as[string](o.Input))
		}
		list, err := c.Get(ctx, o.Key)
		return history.JSON(list), err
	},
	Model: checker.Compose(checker.ModelOf("lists", porcupine.Model{
		Init: func() any { return []string(nil) },
		Step: func(state, input, output any) (bool, any) {
			list, call, answer := state.([]string), input.(checker.Call), output.(checker.Answer)
			if call.Kind == "append" {
				return true, append(slices.Clip(list), as[string](call.Input))
			}
			return answer.Outcome == history.Info || slices.Equal(as[[]string](answer.Output), list), list
		},
		Equal: func(a, b any) bool { return slices.Equal(a.([]string), b.([]string)) },
	}), checker.ModelFunc("lost append", lost)), // which is in claim.go
})

func as[T any](v history.Value) (t T) {
	_ = v.Decode(&t)
	return t
}
