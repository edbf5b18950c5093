// Package stale decides by how much the reads of one register are stale at most: by time,
// or by versions.
//
// # By time
//
// A history is Δ-atomic (Golab, Li & Shah, "Analyzing consistency properties for fun and
// profit", PODC 2011, section 3) if it is linearizable once every read was called Δ earlier:
// each read returned what the register held at some moment from Δ before its call to its
// return. A read is any operation that writes nothing, a compare-and-set that failed
// among them. Writes, and compare-and-sets that succeeded, stay where they are. So
// what decides linearizability decides this as well: zones, in near-linear time, where no
// value is written twice, and else a search.
//
// # By versions
//
// A history is k-atomic (Aiyer, Alvisi & Bazzi, "On the availability of non-strict quorum
// systems", DISC 2005) if there is an order of its operations that is that of real time, and
// in which each read returns one of the last k values that were written before it. Stale
// by at most n versions is k = n + 1. Again only what writes nothing may be stale: a
// compare-and-set that succeeded found what was written last. One that failed, and did not
// tell what it saw, says nothing where no value is written twice, as there are always two
// values that it may have seen, but for the first. With unique values, k = 1 is decided by zones, and k = 2 in near-linear
// time (Golab, Hurwitz & Li, "On the k-atomicity-verification problem", ICDCS 2013); of k > 2
// no polynomial method is known. versions.go has two that do not decide all, each n log n,
// and a search for the rest.
package stale

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/pieces"
	"github.com/rashomon-io/rashomon/checker/internal/register"
	"github.com/rashomon-io/rashomon/checker/internal/search"
	"github.com/rashomon-io/rashomon/checker/internal/zones"
)

// A Verdict is what was decided.
type Verdict uint8

const (
	Unknown Verdict = iota
	Valid
	Invalid
)

// An Answer is what was decided of a register.
type Answer struct {
	Verdict Verdict
	// Witness are steps of which one is too stale, in the order of their calls, as few as were
	// found. It holds all writes of what its steps observe.
	Witness []int32
	// Err says why the verdict is Unknown: search.ErrMemory, ErrBudget, or the context's error.
	Err error
}

// ErrBudget means that a search ended at its budget.
var ErrBudget = errors.New("the search ended at its budget")

const (
	// effort bounds a search, in search's units: some seconds.
	effort = 100_000_000
	// witnessEffort bounds each search for a smaller witness.
	witnessEffort = 200_000
	witnessBytes  = 64 << 20
)

// ByTime decides whether the steps are Δ-atomic, with the time in nanoseconds. Their values
// are less than values. A search takes so many bytes at most.
func ByTime(ctx context.Context, steps []register.Step, values int, time int64, bytes uint64) Answer {
	moved := Earlier(steps, time)
	switch zones.Decide(moved, values).Verdict {
	case zones.Valid:
		return Answer{Verdict: Valid}
	case zones.Invalid:
		return Answer{Verdict: Invalid, Witness: witness(ctx, moved, func(some []register.Step) bool {
			return zones.Decide(some, values).Verdict == zones.Invalid
		})}
	}
	return bySearch(ctx, moved, bytes, search.NewRegister)
}

// Earlier returns the steps with those that write nothing called by so much earlier.
func Earlier(steps []register.Step, by int64) []register.Step {
	moved := slices.Clone(steps)
	for i := range moved {
		if s := &moved[i]; !s.Writes() {
			s.Call -= by
		}
	}
	return moved
}

// bySearch decides by a search of steps that are ordered by call.
func bySearch(ctx context.Context, steps []register.Step, bytes uint64, begin func([]register.Step, *search.Memory) *search.Search) Answer {
	decide := func(some []register.Step, bytes uint64, effort int) search.Answer {
		sorted := slices.Clone(some)
		slices.SortStableFunc(sorted, func(a, b register.Step) int { return cmp.Compare(a.Call, b.Call) })
		s := begin(sorted, search.NewMemory(bytes))
		s.Run(ctx, effort)
		return s.Answer()
	}
	answer := decide(steps, bytes, effort)
	switch answer.Verdict {
	case search.Valid:
		return Answer{Verdict: Valid}
	case search.Invalid:
		return Answer{Verdict: Invalid, Witness: witness(ctx, steps, func(some []register.Step) bool {
			return decide(some, witnessBytes, witnessEffort).Verdict == search.Invalid
		})}
	}
	return Answer{Err: cmp.Or(answer.Err, ctx.Err(), ErrBudget)}
}

// witness leaves out steps as long as the rest is refuted: with a write whatever observes
// its value, so that an order of all would leave one of the rest. That does not hold of a
// step that says what was not there: while there is one, all writes stay.
func witness(ctx context.Context, steps []register.Step, refuted func([]register.Step) bool) []int32 {
	kept := make([]int32, len(steps))
	for i := range kept {
		kept[i] = int32(i)
	}
	try := func(leave map[int32]bool) int {
		some := without(steps, kept, leave)
		part := make([]register.Step, len(some))
		for n, i := range some {
			part[n] = steps[i]
		}
		if len(some) < len(kept) && refuted(part) {
			kept = some
		}
		return len(kept)
	}
	refusals := map[int32]bool{}
	for i := range steps {
		if steps[i].Not {
			refusals[int32(i)] = true
		}
	}
	try(refusals)
	pieces.Leave(ctx, len(kept), func(from, to int) int {
		leave := map[int32]bool{}
		for _, i := range kept[from:to] {
			leave[i] = true
		}
		return try(leave)
	})
	slices.SortStableFunc(kept, func(i, j int32) int { return cmp.Compare(steps[i].Call, steps[j].Call) })
	return kept
}

// without returns those kept but for some, and what depends on them.
func without(steps []register.Step, kept []int32, leave map[int32]bool) []int32 {
	fixed := slices.ContainsFunc(kept, func(i int32) bool { return steps[i].Not && !leave[i] })
	gone := map[register.Value]bool{} // values that a write is missing of
	out := map[int32]bool{}
	for more := true; more; {
		more = false
		for _, i := range kept {
			s := &steps[i]
			if out[i] || !(leave[i] && !(fixed && s.Writes())) && !(s.Observes() && gone[s.From]) {
				continue
			}
			out[i], more = true, true
			if s.Writes() {
				gone[s.To] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(kept), func(i int32) bool { return out[i] })
}
