package checker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A charge is a story that Porcupine has still to confirm.
type charge struct {
	story
	// first is when an operation that is at fault completed, if that can be said
	// of one; else when the story was complete.
	first time.Duration
	// explained asks Porcupine whether there is an order after all.
	explained func(context.Context, *court.Memory) (bool, error)
}

// findings are what was proven about one key.
type findings struct {
	stories []story
	first   time.Duration // the earliest of what was found, also of what is not told
}

// judgeKeys lets judge look at each key, given its operations by invocation and
// its share of the time that is left, and enters what was found into the result.
// What is judged is called noun in a reason.
func judgeKeys(ctx context.Context, run *history.Run, options Options, result *Result, noun string,
	judge func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (findings, error)) {
	byKey := map[string][]*history.Operation{}
	for i := range run.History.Operations {
		o := &run.History.Operations[i]
		byKey[o.Key] = append(byKey[o.Key], o)
	}
	memory := court.NewMemory(options.Budget.MemoryBytes)
	result.Keys = len(byKey)
	first := never
	for i, key := range slices.Sorted(maps.Keys(byKey)) {
		operations := byKey[key]
		slices.SortStableFunc(operations, history.ByInvocation)
		found, err := findings{}, ctx.Err()
		if err == nil {
			share, cancel := court.Share(ctx, len(byKey)-i)
			found, err = judge(share, memory, key, operations)
			cancel()
		}
		if len(found.stories) > 0 {
			result.KeysInvalid++
			first = min(first, found.first)
			for _, s := range found.stories {
				result.Violations = append(result.Violations, s.violation(run))
			}
		}
		if err != nil {
			result.KeysUnknown++
			result.Reason = cmp.Or(result.Reason, court.Exhausted(err, fmt.Sprintf("%s %q", noun, key), len(operations), options.Budget.court()))
		}
	}
	result.conclude(first)
}

// conclude makes a verdict of the keys that were counted; first is when the first
// violation of all was complete.
func (r *Result) conclude(first time.Duration) {
	switch {
	case r.KeysInvalid > 0:
		r.Verdict, r.FirstViolation = Invalid, first
	case r.KeysUnknown > 0:
		r.Verdict = Unknown
	}
}

// prove puts charges before Porcupine, in their order, and returns the stories
// that it confirms: at most perKey of each anomaly. The error says why an anomaly
// is suspected of which none was confirmed.
func prove(ctx context.Context, memory *court.Memory, suspects []charge) (findings, error) {
	found := findings{first: never}
	doubts := map[anomaly.Name]error{}
	shown := map[anomaly.Name]int{}
	for _, s := range suspects {
		if shown[s.anomaly] < perKey {
			explained, err := s.explained(ctx, memory)
			if err == nil && explained {
				err = court.ErrDisagree
			}
			if err != nil {
				doubts[s.anomaly] = cmp.Or(doubts[s.anomaly], err)
				continue
			}
			found.stories = append(found.stories, s.story)
			shown[s.anomaly]++
		}
		found.first = min(found.first, s.first)
	}
	for _, s := range suspects {
		if err := doubts[s.anomaly]; err != nil && shown[s.anomaly] == 0 {
			return found, err
		}
	}
	return found, nil
}

// accuse is a charge whose witness Porcupine gets as steps of the model's own. The
// story is complete with its last operation.
func accuse[S comparable, T court.Transition[S]](s story, steps func([]history.Operation) []T) charge {
	slices.SortStableFunc(s.witness, func(a, b history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
	return charge{s, anomaly.Violation{Witness: s.witness}.At(), func(ctx context.Context, memory *court.Memory) (bool, error) {
		return court.Linearizable[S](ctx, memory, steps(s.witness))
	}}
}

// smallFirst orders charges by their witnesses.
func smallFirst(suspects []charge) {
	slices.SortStableFunc(suspects, func(a, b charge) int { return cmp.Compare(len(a.witness), len(b.witness)) })
}

// fewest takes steps out that explain no other one, as long as no order explains the
// rest and ctx has not ended.
func fewest[T any](ctx context.Context, steps []T, explains func(step, other T) bool, explained func([]T) (bool, error)) []T {
	for i := len(steps) - 1; i >= 0 && ctx.Err() == nil; i-- {
		without := slices.Delete(slices.Clone(steps), i, i+1)
		if slices.ContainsFunc(without, func(other T) bool { return explains(steps[i], other) }) {
			continue
		}
		if ordered, err := explained(without); err == nil && !ordered {
			steps = without
		}
	}
	return steps
}

func byCompletion(a, b *history.Operation) int {
	return cmp.Or(cmp.Compare(a.Complete, b.Complete), cmp.Compare(a.Process, b.Process))
}

// maxWitness bounds the operations of a witness that is made of updates without
// names, of which it may take many to reach a sum.
const maxWitness = 1000

// values are the operations told, up to maxWitness, by invocation.
func values(told []*history.Operation) []history.Operation {
	told = slices.Clone(told[:min(len(told), maxWitness)])
	slices.SortStableFunc(told, history.ByInvocation)
	return copies(told...)
}

// copies returns what the operations are, without those that are nil.
func copies(operations ...*history.Operation) []history.Operation {
	var all []history.Operation
	for _, o := range operations {
		if o != nil {
			all = append(all, *o)
		}
	}
	return all
}

// countBefore returns how many of sorted times are less than t, countUpTo how
// many are not greater.
func countBefore(sorted []time.Duration, t time.Duration) int {
	n, _ := slices.BinarySearch(sorted, t)
	return n
}

func countUpTo(sorted []time.Duration, t time.Duration) int { return countBefore(sorted, t+1) }
