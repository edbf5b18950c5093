package checker

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/queues"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/harness/history"
)

func TestCheckTotalQueue(t *testing.T) {
	for _, test := range []struct {
		name    string
		history string
		verdict Verdict
		lost    counts.Bounds
		anomaly anomaly.Name
		witness []string
		says    string
	}{
		{
			name: "in any order",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p1 n1 enqueue q 2 [2,3] ok
			          p2 n1 dequeue q -> 2 [4,5] ok
			          p2 n1 dequeue q -> 1 [6,7] ok`,
			verdict: Valid,
		},
		{
			name: "left inside",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p1 n1 enqueue q 2 [2,3] ok
			          p2 n1 dequeue q -> 2 [4,5] ok`,
			verdict: Invalid,
			lost:    counts.Bounds{Certain: 1, Possible: 1},
			anomaly: anomaly.LostCommit,
			witness: []string{"enqueue 1"},
			says:    "the enqueue of 1 had been acknowledged to p1 through n1 at 1.000 s, yet the history ends, and nobody ever dequeued 1: the element is lost.",
		},
		{
			name: "perhaps dequeued",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p2 n1 dequeue q [4,5] info`,
			verdict: Valid,
			lost:    counts.Bounds{Certain: 0, Possible: 1},
		},
		{
			name: "twice",
			history: `p1 n1 enqueue q 1 [0,1] ok
			          p2 n1 dequeue q -> 1 [2,3] ok
			          p2 n1 dequeue q -> 1 [4,5] ok`,
			verdict: Invalid,
			anomaly: anomaly.DequeuedTwice,
			witness: []string{"enqueue 1", "dequeue -> 1", "dequeue -> 1"},
			says:    "p2 dequeued 1 from queue q through n1 at 3.000 s and p2 dequeued 1 from queue q through n1 at 5.000 s: one element was given to two.",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := Check(t.Context(), script.Parse(t, test.history), TotalQueue, Options{})
			if result.Verdict != test.verdict || result.LostCommits != test.lost {
				t.Errorf("%s: %s, lost %v", result.Verdict, result.Reason, result.LostCommits)
			}
			checkStory(t, result, test.verdict, test.anomaly, test.witness, test.says)
		})
	}
}

// plainPorcupineTotalQueue judges one queue with a model of its own, in which a
// dequeue of unknown outcome takes any element, or none. In the end it is empty.
func plainPorcupineTotalQueue(operations []history.Operation) bool {
	end := history.Operation{Kind: history.Dequeue, Outcome: history.OK}
	var entries []porcupine.Operation
	for _, o := range operations {
		end.Invoke = max(end.Invoke, o.Invoke+1, o.Complete+1)
	}
	end.Complete = end.Invoke
	for _, o := range append(slices.Clone(operations), end) {
		ret := int64(o.Complete)
		if o.Outcome == history.Info {
			ret = math.MaxInt64
		}
		if o.Outcome != history.Fail {
			entries = append(entries, porcupine.Operation{Input: o, Call: int64(o.Invoke), Return: ret})
		}
	}
	type bag [10]int // how often it holds each element
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{bag{}} },
		Step: func(state, input, _ any) []any {
			held, o := state.(bag), input.(history.Operation)
			switch {
			case o.Kind == history.Enqueue:
				held[o.Input.At(0)]++
				return []any{held}
			case o.Outcome == history.Info:
				after := []any{held}
				for i := range held {
					if less := held; held[i] > 0 {
						less[i]--
						after = append(after, less)
					}
				}
				return after
			case o.Output.Len() == 0 && held == bag{}:
				return []any{held}
			case o.Output.Len() == 0 || held[o.Output.At(0)] == 0:
				return nil
			}
			held[o.Output.At(0)]--
			return []any{held}
		},
	}
	return porcupine.CheckOperations(model.ToModel(), entries)
}

func TestTotalQueueAgreesWithPorcupine(t *testing.T) {
	t.Parallel()
	anomalies := map[anomaly.Name]int{}
	invalid, outnumbered := 0, 0
	for seed := range uint64(script.Histories(t)) {
		operations := drawQueue(rand.New(rand.NewPCG(seed, 29)), false)
		if seed%2 == 0 { // most are drained
			operations = drained(operations)
		}
		want := Valid
		if !plainPorcupineTotalQueue(operations) {
			want = Invalid
			invalid++
		}
		got := Check(t.Context(), &history.Run{History: history.History{Operations: operations}}, TotalQueue, Options{})
		if got.Verdict != want {
			t.Fatalf("seed %d: verdict %s (%s), but Porcupine says %s, of\n%s", seed, got.Verdict, got.Reason, want, script.List(operations))
		}
		if c := got.Queue; want == Valid && c.Lost.Certain+c.Duplicated+c.Unexpected+c.NotEmpty > 0 || c.OutOfOrder > 0 {
			t.Fatalf("seed %d: %+v in a valid history\n%s", seed, c, script.List(operations))
		}
		// Every candidate must be one, not only those that are shown.
		candidates, _ := queues.Candidates("q", false, model.Pointers(operations), &counts.Queue{})
		for _, c := range candidates {
			if plainPorcupineTotalQueue(c.Witness) || c.Violation(&history.Run{}).Sentence == "" {
				t.Fatalf("seed %d: %s is no witness:\n%s\nof\n%s", seed, c.Anomaly, script.List(c.Witness), script.List(operations))
			}
			if slices.ContainsFunc(c.Witness, func(o history.Operation) bool { return o.Kind == history.Dequeue && o.Outcome == history.Info }) {
				outnumbered++
			}
		}
		for _, v := range got.Violations {
			anomalies[v.Anomaly]++
		}
	}
	t.Logf("%d of %d invalid: %v; %d candidates by counting unknown dequeues", invalid, script.Histories(t), anomalies, outnumbered)
	if invalid == 0 || invalid == script.Histories(t) || len(anomalies) < 4 || outnumbered == 0 {
		t.Error("the histories are all alike")
	}
}

// drained adds dequeues of what is left, but now and then of one element less.
func drained(operations []history.Operation) []history.Operation {
	left := map[int64]bool{}
	for _, o := range operations {
		if o.Kind == history.Enqueue && o.Outcome == history.OK {
			left[o.Input.At(0)] = true
		}
	}
	at := time.Duration(0)
	for _, o := range operations {
		at = max(at, o.Complete+1)
		if o.Output.Len() > 0 {
			delete(left, o.Output.At(0))
		}
	}
	for i := range int64(10) {
		if left[i] && at%7 != 0 {
			operations = append(operations, history.Operation{
				Process: 100 + int(i), Key: "q", Kind: history.Dequeue, Output: history.Ints(i), Outcome: history.OK, Invoke: at, Complete: at})
		}
		at++
	}
	return operations
}
