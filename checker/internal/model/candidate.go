package model

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A Candidate is a contradiction that an engine has found, and that Porcupine has
// still to confirm.
type Candidate struct {
	Anomaly anomaly.Name
	Key     string
	// Told are the operations that the sentence is about, in roles that the model
	// gives them; nil where there is none. The first is the one at fault.
	Told    []*history.Operation
	Witness []history.Operation // ordered by invocation
	// Elements are those that matter of a set.
	Elements []int64
	// Text tells it, but for the faults: those During its time at these Nodes, or at any
	// if none are named.
	Text   func(sentence.Teller) string
	During sentence.Span
	Nodes  []string
	// First is when an operation that is at fault completed, if that can be said of
	// one; else when the witness was complete.
	First time.Duration
	// Explained asks Porcupine whether there is an order after all.
	Explained func(context.Context, *court.Memory) (bool, error)
}

// Violation is the candidate, told.
func (c Candidate) Violation(run *history.Run) anomaly.Violation {
	teller := sentence.Teller{Run: run, Key: c.Key, Elements: c.Elements}
	return anomaly.Violation{
		Anomaly: c.Anomaly, Key: c.Key, Witness: c.Witness, Elements: c.Elements,
		Sentence: c.Text(teller) + sentence.Faults(run, c.During, c.Nodes...) + ".",
	}
}

// PerKey bounds the violations of one anomaly that are shown of one key.
const PerKey = 3

// Few are the first of what is alike: more is not shown.
func Few[T any](all []T) []T { return all[:min(PerKey, len(all))] }

// Confirmed is what was proven about one key.
type Confirmed struct {
	Candidates []Candidate
	First      time.Duration // the earliest of what was found, also of what is not told
}

// One is what was confirmed already; its first operation told completed it.
func One(c Candidate) Confirmed { return Confirmed{[]Candidate{c}, c.Told[0].Complete} }

// Confirm puts candidates before Porcupine, in their order, and returns those that it
// confirms: at most PerKey of each anomaly. The error says why an anomaly was not
// confirmed of which there are candidates.
func Confirm(ctx context.Context, memory *court.Memory, candidates []Candidate) (Confirmed, error) {
	confirmed := Confirmed{First: history.Never}
	doubts := map[anomaly.Name]error{}
	shown := map[anomaly.Name]int{}
	for _, c := range candidates {
		if shown[c.Anomaly] < PerKey {
			explained, err := c.Explained(ctx, memory)
			if err == nil && explained {
				err = court.ErrDisagree
			}
			if err != nil {
				doubts[c.Anomaly] = cmp.Or(doubts[c.Anomaly], err)
				continue
			}
			confirmed.Candidates = append(confirmed.Candidates, c)
			shown[c.Anomaly]++
		}
		confirmed.First = min(confirmed.First, c.First)
	}
	for _, c := range candidates {
		if err := doubts[c.Anomaly]; err != nil && shown[c.Anomaly] == 0 {
			return confirmed, err
		}
	}
	return confirmed, nil
}

// ByWitness completes a candidate whose witness Porcupine gets as steps of the model's
// own. It is complete with its last operation.
func ByWitness[S comparable, T court.Transition[S]](c Candidate, steps func([]history.Operation) []T) Candidate {
	slices.SortStableFunc(c.Witness, func(a, b history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
	witness := c.Witness
	c.First = anomaly.Violation{Witness: witness}.At()
	c.Explained = func(ctx context.Context, memory *court.Memory) (bool, error) {
		return court.Linearizable[S](ctx, memory, steps(witness))
	}
	return c
}

// SmallFirst orders candidates by their witnesses.
func SmallFirst(candidates []Candidate) {
	slices.SortStableFunc(candidates, func(a, b Candidate) int { return cmp.Compare(len(a.Witness), len(b.Witness)) })
}

// ByTold orders candidates by the completion of the operation at fault.
func ByTold(candidates []Candidate) {
	slices.SortStableFunc(candidates, func(a, b Candidate) int { return ByCompletion(a.Told[0], b.Told[0]) })
}

// Fewest takes steps out that explain no other one, as long as no order explains the
// rest and ctx has not ended.
func Fewest[T any](ctx context.Context, steps []T, explains func(step, other T) bool, explained func([]T) (bool, error)) []T {
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

// MaxWitness bounds the operations of a witness that is made of updates without
// names, of which it may take many to reach a sum.
const MaxWitness = 1000

// Witness are the operations told, up to a thousand, by invocation.
func Witness(told []*history.Operation) []history.Operation {
	told = slices.Clone(told[:min(len(told), MaxWitness)])
	slices.SortStableFunc(told, history.ByInvocation)
	return Copies(told...)
}

// Copies returns what the operations are, without those that are nil.
func Copies(operations ...*history.Operation) []history.Operation {
	var all []history.Operation
	for _, o := range operations {
		if o != nil {
			all = append(all, *o)
		}
	}
	return all
}

// Pointers are to each of the operations.
func Pointers(operations []history.Operation) []*history.Operation {
	all := make([]*history.Operation, len(operations))
	for i := range operations {
		all[i] = &operations[i]
	}
	return all
}

// ByCompletion orders operations by Complete.
func ByCompletion(a, b *history.Operation) int {
	return cmp.Or(cmp.Compare(a.Complete, b.Complete), cmp.Compare(a.Process, b.Process))
}

// Returns is when an operation returned; history.Never if its outcome is unknown.
func Returns(o *history.Operation) time.Duration {
	if o.Outcome == history.Info {
		return history.Never
	}
	return o.Complete
}
