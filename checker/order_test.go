package checker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rashomon-io/rashomon/checker/internal/simulate"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Histories by hand are in any order.
func TestOrderOfOperationsIsNoMatter(t *testing.T) {
	registers := func(r *rand.Rand) []history.Operation {
		w := simulate.Workload{Operations: 60, Keys: 2, Concurrency: 4, Unknown: 10, Seed: r.Uint64()}
		operations := w.History()
		for i := range operations { // a few answers are wrong
			if o := &operations[i]; o.Kind == history.Read && o.Outcome == history.OK && r.IntN(20) == 0 {
				o.Output = history.Ints(int64(1 + r.IntN(30)))
			}
		}
		return operations
	}
	for _, test := range []struct {
		model Model
		draw  func(*rand.Rand) []history.Operation
	}{
		{Register, registers},
		{Set, drawSet},
		{Counter, func(r *rand.Rand) []history.Operation { return drawCounter(r, []int64{1}) }},
		{Queue, drawOrderedQueue},
		{TotalQueue, func(r *rand.Rand) []history.Operation { return drawQueue(r, false) }},
		{VersionedRegister, drawVersions},
		{Lock, simulate.Lock},
		{ReentrantLock, simulate.Lock},
		{Bank(3, 5), func(r *rand.Rand) []history.Operation { return drawBank(r, bankTests[0].rules) }},
	} {
		t.Run(test.model.String(), func(t *testing.T) {
			verdicts := map[Verdict]bool{}
			for seed := range uint64(40) {
				r := rand.New(rand.NewPCG(seed, 31))
				operations := test.draw(r)
				if tied(operations) {
					continue
				}
				check := func() Result {
					return Check(t.Context(), &history.Run{History: history.History{Operations: operations}}, test.model, Options{})
				}
				want := check()
				r.Shuffle(len(operations), func(i, j int) { operations[i], operations[j] = operations[j], operations[i] })
				// Which violations are told, where they are many, may differ.
				if diff := cmp.Diff(want, check(), cmpopts.IgnoreFields(Result{}, "Took", "Violations", "Reason")); diff != "" {
					t.Fatalf("seed %d: %s", seed, diff)
				}
				verdicts[want.Verdict] = true
			}
			if !verdicts[Valid] || !verdicts[Invalid] {
				t.Errorf("the histories are all alike: %v", verdicts)
			}
		})
	}
}

// tied: nothing but their order tells which operation of a process was first.
func tied(operations []history.Operation) bool {
	type place struct {
		process          int
		invoke, complete time.Duration
	}
	seen := map[place]bool{}
	for _, o := range operations {
		at := place{o.Process, o.Invoke, o.Complete}
		if seen[at] {
			return true
		}
		seen[at] = true
	}
	return false
}
