// Package zones decides registers to which no value is written twice, in
// near-linear time.
//
// # Theory
//
// It is that of Gibbons & Korach, "Testing shared memories", SIAM J. Comput.
// 26(4), 1997, section 4, extended by compare-and-sets and unknown outcomes.
//
// A value, its writer and its readers are a cluster: whatever order explains
// the history, nothing else is written among them. A swap of a for b ties the
// clusters of a and b to each other, so values that follow one another by swaps
// are a chain, and nothing else is written within a chain. Within, the order of
// clusters is given, and it is possible iff no step returns before a step of an
// earlier cluster, or the writer of its own, is called: of steps that have to
// follow each other, each can then take effect at the greatest call so far. What
// the register holds before it is written is a cluster without a writer.
//
// Chain X must precede chain Y iff some step of X returns before some step of Y
// is called: iff first(X) < last(Y), where first is the least return of a
// chain's steps and last the greatest call. So X and Y contradict each other iff
// first(X) < last(Y) and first(Y) < last(X). Call a chain forward if first <
// last. Then two forward chains contradict iff their zones [first, last]
// overlap, a forward and a backward one iff the zone [last, first] of the
// backward one lies inside of the forward one, and two backward ones never.
// If no two chains contradict, an order of them all exists: a shortest cycle of
// "must precede" has length two. Intervals are closed, so all of these are
// strict.
//
// A write or swap of unknown outcome is needed if its value is read, or is
// replaced by a swap that was acknowledged or is needed. A needed one took
// effect, and returns at infinity. One that is not needed can be left out of any
// order, as nothing but such steps observed it.
//
// # Refusals
//
// A step that says what the register did not hold (Step.Not) is outside of the
// theorem; see refusal.go.
package zones

import (
	"cmp"
	"math"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// A Verdict is what Decide found.
type Verdict uint8

const (
	Valid Verdict = iota
	Invalid
	// Repeated means that a value is written twice.
	Repeated
	// Undecided means that no place was found for a refusal, and no proof that
	// there is none.
	Undecided
)

// An Answer is Decide's.
type Answer struct {
	Verdict Verdict
	// Step is one that writes a value again if the verdict is Repeated, the
	// refusal if it is Undecided.
	Step int
}

// Decide judges the steps of one register, in any order, whose values are less
// than values. It takes O(n log n) time, of which only the sorting of forward
// zones is more than linear, and at most 80 bytes a step.
func Decide(steps []register.Step, values int) Answer {
	a := newAnalysis(steps, values)
	if again := a.gather(); again >= 0 {
		return Answer{Repeated, again}
	}
	a.judge()
	switch {
	case a.contradicted:
		return Answer{Verdict: Invalid}
	case a.unplaced >= 0:
		return Answer{Undecided, a.unplaced}
	}
	return Answer{Verdict: Valid}
}

// A cluster is a value, with the step that writes it and those that read it.
type cluster struct {
	first, last int64 // the least return and the greatest call of these steps
	writer      int32 // none if there is none; always if it is there from the beginning
	swap        int32 // replaces the value, and is the first of the next cluster in the chain
	unneeded    int32 // is a writer of unknown outcome, until it turns out to be needed
	observed    bool
	swappedIn   bool // by its writer
	again       bool // there is another unneeded writer
}

const (
	none   int32 = -1
	always int32 = -2
)

func (c *cluster) add(s *register.Step) {
	c.first = min(c.first, s.Ret)
	c.last = max(c.last, s.Call)
}

// A zone is that of the chain that begins with the value root.
type zone struct {
	first, last int64
	root        register.Value
}

func (z zone) forward() bool { return z.first < z.last }

type analysis struct {
	steps    []register.Step
	clusters []cluster
	unknown  []int32 // steps of unknown outcome
	refusals []int32 // steps of values that somebody writes, for all we know

	doubled  register.Value // a value with two swaps, or none
	forward  []zone
	backward []zone

	contradicted bool
	details      *details // what to report to; nil for a verdict alone
	unplaced     int      // a refusal, or -1
}

func newAnalysis(steps []register.Step, values int) *analysis {
	a := &analysis{steps: steps, clusters: make([]cluster, values), doubled: register.None, unplaced: -1}
	for v := range a.clusters {
		a.clusters[v] = cluster{first: register.Never, last: math.MinInt64, writer: none, swap: none, unneeded: none}
	}
	a.clusters[register.Nothing].first = math.MinInt64
	a.clusters[register.Nothing].writer = always
	return a
}

// gather fills the clusters. It returns a step that writes a value again, or -1.
func (a *analysis) gather() int {
	for i := range a.steps {
		s := &a.steps[i]
		switch {
		case s.Not:
			a.refusals = append(a.refusals, int32(i))
			continue
		case s.Ret == register.Never:
			a.unknown = append(a.unknown, int32(i))
			continue
		case s.To == register.None:
			c := &a.clusters[s.From]
			c.observed = true
			c.add(s)
			continue
		}
		if a.clusters[s.To].writer != none {
			return i
		}
		a.link(int32(i))
	}
	for _, i := range a.unknown {
		if c := &a.clusters[a.steps[i].To]; c.unneeded == none {
			c.unneeded = i
		} else {
			c.again = true
		}
	}
	for _, i := range a.unknown {
		// Every value that an unknown swap turns out to observe is looked at
		// again, so the order of the loop does not matter.
		for v := a.steps[i].To; v != register.None && a.clusters[v].observed && a.clusters[v].unneeded != none; {
			c := &a.clusters[v]
			w := c.unneeded
			if c.writer != none || c.again {
				return int(w)
			}
			c.unneeded = none
			a.link(w)
			v = a.steps[w].From
		}
	}
	return -1
}

// link makes step i the writer of its value, and the swap of another.
func (a *analysis) link(i int32) {
	s := &a.steps[i]
	to := &a.clusters[s.To]
	to.writer = i
	to.add(s)
	if s.From == register.None {
		return
	}
	to.swappedIn = true
	from := &a.clusters[s.From]
	from.observed = true
	if from.swap == none {
		from.swap = i
	} else {
		a.doubled = s.From
	}
}

// contradicts notes a contradiction, and tells whether to look for more.
func (a *analysis) contradicts() bool {
	a.contradicted = true
	return a.details != nil
}

// judge looks for contradictions: for one, or with details for all.
func (a *analysis) judge() {
	if a.doubled != register.None && !a.contradicts() {
		return
	}
	written, chained := 0, 0
	for v := range a.clusters {
		c := &a.clusters[v]
		switch {
		case c.writer == none && c.observed:
			if !a.contradicts() {
				return
			}
			a.details.phantom(register.Value(v))
		case c.writer == none:
		case c.swappedIn:
			written++
		default:
			written++
			length, possible := a.chain(register.Value(v))
			if !possible {
				return
			}
			chained += length
		}
	}
	if chained < written { // a cycle of swaps, or what follows a phantom or the second of two swaps
		if !a.contradicts() {
			return
		}
		a.details.cycles()
	}
	if a.overlaps() && len(a.refusals) > 0 {
		a.refuse()
	}
}

// chain notes the zone of the chain that begins with root, if it is possible
// within, and returns its length in clusters.
func (a *analysis) chain(root register.Value) (length int, possible bool) {
	z := zone{math.MaxInt64, math.MinInt64, root}
	for v := root; v != register.None; v = a.after(v) {
		c := &a.clusters[v]
		earliest := z.last
		if c.writer >= 0 {
			earliest = max(earliest, a.steps[c.writer].Call)
		}
		if c.first < earliest {
			if !a.contradicts() {
				return 0, false
			}
			a.details.inversion(v)
		}
		z.first = min(z.first, c.first)
		z.last = max(z.last, c.last)
		length++
	}
	if z.forward() {
		a.forward = append(a.forward, z)
	} else {
		a.backward = append(a.backward, z)
	}
	return length, true
}

// after is the value that a swap puts in the place of v, or None.
func (a *analysis) after(v register.Value) register.Value {
	if i := a.clusters[v].swap; i != none {
		return a.steps[i].To
	}
	return register.None
}

// overlaps looks for contradictions between chains, of which it finds at least
// one if there are any; false means that it is not worth going on. As long as
// no two forward zones overlap, each has to be compared only with the one before.
func (a *analysis) overlaps() bool {
	slices.SortFunc(a.forward, func(x, y zone) int { return cmp.Compare(x.first, y.first) })
	for i := 1; i < len(a.forward); i++ {
		if a.forward[i].first < a.forward[i-1].last {
			if !a.contradicts() {
				return false
			}
			a.details.overlap(a.forward[i-1], a.forward[i])
		}
	}
	begun := 0
	for _, b := range a.backward {
		begun = a.begunBefore(b.last, begun)
		if begun > 0 && a.forward[begun-1].last > b.first {
			if !a.contradicts() {
				return false
			}
			a.details.overlap(a.forward[begun-1], b)
		}
	}
	return true
}

// begunBefore returns how many forward zones begin before t. It gallops from a
// guess: zones come roughly in the order of time.
func (a *analysis) begunBefore(t int64, guess int) int {
	low, high := guess, guess // begun before low, not at high
	for step := 1; low > 0 && a.forward[low-1].first >= t; step *= 2 {
		high, low = low-1, max(0, low-step)
	}
	for step := 1; high < len(a.forward) && a.forward[high].first < t; step *= 2 {
		low, high = high+1, min(len(a.forward), high+step)
	}
	for low < high {
		if middle := (low + high) / 2; a.forward[middle].first < t {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}
