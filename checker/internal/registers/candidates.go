package registers

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/ledger"
	"github.com/rashomon-io/rashomon/checker/internal/register"
	"github.com/rashomon-io/rashomon/checker/internal/zones"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A candidate is a small set of steps that no order explains, if Porcupine confirms it.
type candidate struct {
	anomaly anomaly.Name
	// told are the two to four steps that the sentence is about, -1 where there
	// is none:
	//
	//	stale read, lost commit: the observer, the newer write, the older write or none
	//	phantom read:            the observer, the write that came too late or none
	//	double swap:             both swaps
	//	value resurrected:       the late step, what came between, the early step or none
	//	refused:                 the failed swap, a step that shows its value before, and one after or none
	//	disorder:                any, by call
	told []int32
	at   int64 // when it was complete
}

// A confirmed candidate is one that Porcupine has confirmed.
type confirmed struct {
	anomaly anomaly.Name
	told    []*history.Operation // as in candidate; nil where there is none
	witness []*history.Operation // ordered by invocation
	// atOdds is set if the writes and swaps of the witness can be ordered without its
	// reads: then one of these was stale, whatever the order.
	atOdds bool
}

// refused is how some disorders are told: a swap failed although what it expected
// was there.
const refused anomaly.Name = "refused"

// at is when it was complete.
func (c confirmed) at() time.Duration {
	at := -history.Never
	for _, o := range c.told {
		switch {
		case o == nil:
		case o.Outcome == history.Info:
			at = max(at, o.Invoke)
		default:
			at = max(at, o.Complete)
		}
	}
	return at
}

// narrower tells of a value that came back as of a stale read or a lost commit,
// if it was there at the early step, an acknowledged update came between, and
// the late step saw it again.
func (h *object) narrower(s candidate, lost ledger.LastSeen) candidate {
	if s.anomaly != anomaly.Resurrected || s.told[2] < 0 {
		return s
	}
	late, between, early := &h.steps[s.told[0]], &h.steps[s.told[1]], &h.steps[s.told[2]]
	was := early.From
	if early.Writes() {
		was = early.To
	}
	switch {
	case late.From != was || late.Ret == register.Never || !between.Writes() || between.Ret == register.Never || between.To == was:
		return s
	case late.Writes() || lost.MissedBy(time.Duration(late.Call), h.final, h.operation(s.told[1])):
		s.anomaly = anomaly.LostCommit
	default:
		s.anomaly = anomaly.StaleRead
	}
	return s
}

// candidates are ordered by time; lost commits that a final read shows come first
// of their sort. Where values are unique there is one unless the register is
// linearizable.
func (h *object) candidates(lost ledger.LastSeen) []candidate {
	var found []candidate
	named := map[int32]bool{}
	add := func(name anomaly.Name, told ...int32) {
		found = append(found, candidate{name, told, h.complete(told)})
		named[told[0]] = true
	}
	for _, o := range h.outdated(h.sources()) {
		observer, newer := &h.steps[o.observer], &h.steps[o.newer]
		switch {
		case observer.Writes() && newer.From == observer.From: // a double swap
		case observer.Writes() || lost.MissedBy(time.Duration(observer.Call), h.final, h.operation(o.newer)):
			add(anomaly.LostCommit, o.observer, o.newer, o.source)
		default:
			add(anomaly.StaleRead, o.observer, o.newer, o.source)
		}
	}
	conflicts := zones.Conflicts(h.steps, h.values, h.index)
	for _, c := range conflicts {
		switch c.Kind {
		case zones.Unwritten:
			add(anomaly.PhantomRead, c.Steps[0], -1)
		case zones.Twice:
			add(anomaly.DoubleSwap, c.Steps...)
		}
	}
	for _, c := range conflicts {
		if slices.ContainsFunc(c.Steps, func(s int32) bool { return named[s] }) {
			continue
		}
		switch c.Kind {
		case zones.Early:
			found = append(found, candidate{anomaly.PhantomRead, c.Steps, c.At})
		case zones.Back:
			found = append(found, candidate{anomaly.Resurrected, c.Steps, c.At})
		case zones.Refused:
			found = append(found, candidate{refused, c.Steps, c.At})
		case zones.Cycle, zones.Crossed:
			found = append(found, candidate{anomaly.Disorder, c.Steps, c.At})
		}
	}
	if len(conflicts) == 0 {
		for _, i := range h.phantoms() {
			add(anomaly.PhantomRead, i, -1)
		}
		for _, swaps := range h.doubleSwaps() {
			add(anomaly.DoubleSwap, swaps...)
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(h.atEnd(b), h.atEnd(a)), cmp.Compare(a.at, b.at))
	})
	return found
}

// complete is when the last of some steps returned, or was called if nobody
// knows its outcome.
func (h *object) complete(steps []int32) int64 {
	at := int64(math.MinInt64)
	for _, i := range steps {
		switch {
		case i < 0:
		case h.steps[i].Ret == register.Never:
			at = max(at, h.steps[i].Call)
		default:
			at = max(at, h.steps[i].Ret)
		}
	}
	return at
}

// atEnd is 1 for a lost commit that a final read shows, else 0.
func (h *object) atEnd(s candidate) int {
	if s.anomaly == anomaly.LostCommit && h.steps[s.told[0]].Call >= int64(h.final) {
		return 1
	}
	return 0
}

// phantoms returns the acknowledged observations of values that nobody can have
// written.
func (h *object) phantoms() []int32 {
	var found []int32
	for i := range h.steps {
		s := &h.steps[i]
		if s.Observes() && s.Ret != register.Never && s.From != register.Nothing && len(h.index.Writers(s.From)) == 0 {
			found = append(found, int32(i))
		}
	}
	return found
}

// doubleSwaps returns pairs of acknowledged swaps that can only have replaced what
// one step wrote, the earliest of each.
func (h *object) doubleSwaps() [][]int32 {
	origins := h.origins()
	var found [][]int32
	replaced := map[int32]int32{} // by which swap, or pair if there is one: -1
	for i := range h.steps {
		s := &h.steps[i]
		if !s.Observes() || !s.Writes() || s.Ret == register.Never {
			continue
		}
		w := origins.onlySource(int32(i))
		if w < 0 {
			continue
		}
		switch first, ok := replaced[w]; {
		case !ok:
			replaced[w] = int32(i)
		case first >= 0:
			found = append(found, []int32{first, int32(i)})
			replaced[w] = -1
		}
	}
	return found
}
