package stale

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
	"github.com/rashomon-io/rashomon/checker/internal/search"
)

// Most bounds the versions that ByVersions can be asked for.
const Most = 15

// ByVersions decides whether reads are stale by at most n versions, 1 to Most. In n log n
// steps, where no value is written twice:
//
//   - A write is over when it was acknowledged, or when a read of its value had returned,
//     whichever is earlier: in every order, it comes before what was called later. If more
//     than n writes were called after the write of what a read returned was over, and were
//     over before the read was called, the read is too stale.
//   - Writes in the order in which they were over are in the order of real time, as no
//     read returns before the write of its value is called. If every compare-and-set finds
//     its value there, and every read has a place, as early as it can, that is the order.
//
// What neither decides is searched.
func ByVersions(ctx context.Context, steps []register.Step, values, n int, bytes uint64) Answer {
	kept := needed(steps, values)
	said := make([]register.Step, len(kept))
	for k, i := range kept {
		said[k] = steps[i]
	}
	answer := byVersions(ctx, said, values, n, bytes)
	for k, i := range answer.Witness {
		answer.Witness[k] = kept[i]
	}
	return answer
}

// needed are the steps but those that say nothing here, and writes of unknown outcome that
// nobody observed but others of their sort: these would only make more stale. Where a value
// is written twice, a step that says what was not there says something, and any write may
// serve it.
func needed(steps []register.Step, values int) []int32 {
	observed := make([]bool, values)
	kept := make([]bool, len(steps))
	for more := true; more; {
		more = false
		for i := range steps {
			s := &steps[i]
			if kept[i] || s.Not || s.Ret == register.Never && !observed[s.To] {
				continue
			}
			kept[i] = true
			if s.Observes() && !observed[s.From] {
				observed[s.From], more = true, true
			}
		}
	}
	refused, twice := false, false
	written := make([]bool, values)
	for i, s := range steps {
		refused = refused || s.Not
		if kept[i] && s.Writes() {
			twice = twice || written[s.To]
			written[s.To] = true
		}
	}
	var all []int32
	for i, kept := range kept {
		if kept || refused && twice {
			all = append(all, int32(i))
		}
	}
	return all
}

func byVersions(ctx context.Context, steps []register.Step, values, n int, bytes uint64) Answer {
	begin := func(steps []register.Step, memory *search.Memory) *search.Search {
		operations := make([]search.Operation, len(steps))
		for i, s := range steps {
			operations[i] = search.Operation{Call: s.Call, Ret: s.Ret}
		}
		return search.NewGeneric(search.Comparable(Window{}, func(w Window, i int) (Window, bool) { return w.After(steps[i], n) }), operations, memory)
	}
	if l, unique := newLine(steps, values, n); unique {
		if witness := l.tooStale(); witness != nil {
			slices.SortFunc(witness, func(i, j int32) int { return cmp.Or(cmp.Compare(steps[i].Call, steps[j].Call), cmp.Compare(i, j)) })
			return Answer{Verdict: Invalid, Witness: slices.Compact(witness)}
		}
		if l.fits() {
			return Answer{Verdict: Valid}
		}
	}
	return bySearch(ctx, steps, bytes, begin)
}

// A Window holds the last values that were written, the latest first.
type Window [Most + 1]register.Value

// After returns the window after a step, or false if that cannot have been with reads that
// are stale by at most n versions.
func (w Window) After(s register.Step, n int) (Window, bool) {
	switch {
	case s.Not:
		return w, slices.ContainsFunc(w[:n+1], func(v register.Value) bool { return v != s.From })
	case s.Observes() && !s.Writes():
		return w, slices.Contains(w[:n+1], s.From)
	case s.Observes() && w[0] != s.From:
		return w, false
	}
	copy(w[1:], w[:])
	w[0] = s.To
	return w, true
}

// A line is a history of unique values, with its writes in the order in which they were over.
type line struct {
	steps  []register.Step
	n      int
	writes []int32
	rank   []int32 // of each value, its place in the line from 1; 0 for nothing, -1 if it has none
	over   []int64 // of each value
	shown  []int32 // of each value, the step that shows that it was over
}

// newLine returns false if a value is written twice.
func newLine(steps []register.Step, values, n int) (*line, bool) {
	l := &line{steps: steps, n: n, rank: make([]int32, values), over: make([]int64, values), shown: make([]int32, values)}
	writer := make([]int32, values)
	for v := range values {
		writer[v], l.shown[v], l.over[v], l.rank[v] = -1, -1, math.MaxInt64, -1
	}
	for i := range steps {
		s := &steps[i]
		for _, v := range []register.Value{s.From, s.To} {
			if v != register.None && s.Ret < l.over[v] {
				l.over[v], l.shown[v] = s.Ret, int32(i)
			}
		}
		if !s.Writes() {
			continue
		}
		if s.To == register.Nothing || writer[s.To] >= 0 {
			return nil, false
		}
		writer[s.To] = int32(i)
	}
	for _, w := range writer { // what was replaced was over as well
		for w >= 0 && steps[w].Observes() && l.over[steps[w].To] < l.over[steps[w].From] {
			from := steps[w].From
			l.over[from], l.shown[from] = l.over[steps[w].To], l.shown[steps[w].To]
			w = writer[from]
		}
	}
	l.over[register.Nothing], l.rank[register.Nothing] = math.MinInt64, 0
	for _, w := range writer {
		if w >= 0 {
			l.writes = append(l.writes, w)
		}
	}
	slices.SortFunc(l.writes, func(i, j int32) int {
		a, b := steps[i].To, steps[j].To
		return cmp.Or(cmp.Compare(l.over[a], l.over[b]), cmp.Compare(steps[i].Call, steps[j].Call))
	})
	for k, w := range l.writes {
		l.rank[steps[w].To] = int32(k + 1)
	}
	return l, true
}

// reads are the steps that write nothing, by call.
func (l *line) reads() []int32 {
	var reads []int32
	for i := range l.steps {
		if s := &l.steps[i]; !s.Writes() && s.Ret != register.Never {
			reads = append(reads, int32(i))
		}
	}
	slices.SortFunc(reads, func(i, j int32) int { return cmp.Compare(l.steps[i].Call, l.steps[j].Call) })
	return reads
}

// tooStale returns steps of which one is too stale, or has seen what nobody wrote; nil if
// none is, by what is certain.
func (l *line) tooStale() []int32 {
	// latest holds the n+1 writes that were called last of those that were over, the first
	// of these first.
	var latest []int32
	done := 0
	for _, i := range l.reads() {
		r := &l.steps[i]
		for ; done < len(l.writes) && l.over[l.steps[l.writes[done]].To] < r.Call; done++ {
			w := l.writes[done]
			at, _ := slices.BinarySearchFunc(latest, l.steps[w].Call, func(w int32, call int64) int { return cmp.Compare(l.steps[w].Call, call) })
			if latest = slices.Insert(latest, at, w); len(latest) > l.n+1 {
				latest = latest[1:]
			}
		}
		switch {
		case l.rank[r.From] < 0:
			return []int32{i}
		case len(latest) <= l.n || l.over[r.From] >= l.steps[latest[0]].Call:
			continue
		}
		witness := []int32{i}
		if rank := l.rank[r.From]; rank > 0 {
			witness = append(witness, l.writes[rank-1], l.shown[r.From])
		}
		for _, w := range latest {
			witness = append(witness, w, l.shown[l.steps[w].To])
		}
		return l.closed(witness)
	}
	return nil
}

// closed adds the writes of all that is observed.
func (l *line) closed(some []int32) []int32 {
	for k := 0; k < len(some); k++ {
		s := &l.steps[some[k]]
		if !s.Observes() || s.From == register.Nothing || l.rank[s.From] < 1 {
			continue
		}
		if w := l.writes[l.rank[s.From]-1]; !slices.Contains(some, w) {
			some = append(some, w)
		}
	}
	return some
}

// fits: the order of the line is one that explains all.
func (l *line) fits() bool {
	held, latestCall := register.Nothing, int64(math.MinInt64)
	returned := slices.Clone(l.writes) // by return
	called := slices.Clone(l.writes)   // by call
	for _, w := range l.writes {
		s := &l.steps[w]
		if s.Ret < latestCall || s.Observes() && s.From != held {
			return false
		}
		held, latestCall = s.To, max(latestCall, s.Call)
	}
	slices.SortFunc(returned, func(i, j int32) int { return cmp.Compare(l.steps[i].Ret, l.steps[j].Ret) })
	slices.SortFunc(called, func(i, j int32) int { return cmp.Compare(l.steps[i].Call, l.steps[j].Call) })
	first := make([]int32, len(called)+1) // of those from here on, the one that is first in the line
	first[len(called)] = math.MaxInt32
	for k := len(called) - 1; k >= 0; k-- {
		first[k] = min(first[k+1], l.rank[l.steps[called[k]].To])
	}
	reads := l.reads()
	ended := slices.Clone(reads) // by return
	slices.SortFunc(ended, func(i, j int32) int { return cmp.Compare(l.steps[i].Ret, l.steps[j].Ret) })
	place := make(map[int32]int32, len(reads)) // after so many writes
	least, writes, before := int32(0), 0, 0
	for _, i := range reads {
		r := &l.steps[i]
		for ; writes < len(returned) && l.steps[returned[writes]].Ret < r.Call; writes++ {
			least = max(least, l.rank[l.steps[returned[writes]].To])
		}
		for ; before < len(ended) && l.steps[ended[before]].Ret < r.Call; before++ {
			least = max(least, place[ended[before]])
		}
		later, _ := slices.BinarySearchFunc(called, r.Ret, func(w int32, ret int64) int {
			if l.steps[w].Call <= ret {
				return -1
			}
			return 1
		})
		at := max(least, l.rank[r.From])
		if at >= first[later] || at > l.rank[r.From]+int32(l.n) || l.rank[r.From] < 0 {
			return false
		}
		place[i] = at
	}
	return true
}
