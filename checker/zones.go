package checker

import (
	"cmp"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A contradiction is a set of steps that no order explains, or so it is
// suspected until Porcupine agrees.
type contradiction struct {
	anomaly Anomaly
	// told are the two to four steps that the sentence is about:
	//
	//	stale read, lost commit: the observer, the newer write, the older write or nil
	//	phantom read:            the observer, the write that came too late or nil
	//	double swap:             both swaps
	//	value resurrected:       the late step, what came between, the early step or nil
	//	disorder:                any, by call
	told []*step
	// witness is set once it is confirmed; ordered by call.
	witness []*step
	// reads is set if the writes and swaps of the witness can be ordered
	// without its reads.
	reads bool
}

// narrower tells of a value that came back as of a stale read or a lost commit,
// if it was there at the early step, an acknowledged update came between, and
// the late step saw it again.
func (c contradiction) narrower(lost map[*history.Operation]bool) contradiction {
	if c.anomaly != Resurrected || c.told[2] == nil {
		return c
	}
	late, between, early := c.told[0], c.told[1], c.told[2]
	was := early.from
	if early.writes {
		was = early.to
	}
	switch {
	case !late.observes || late.uncertain() || late.from != was || !between.writes || between.uncertain() || between.to == was:
		return c
	case late.writes || lost[between.operation]:
		c.anomaly = LostCommit
	default:
		c.anomaly = StaleRead
	}
	return c
}

// at is when the contradiction was complete.
func (c contradiction) at() time.Duration {
	at := -never
	for _, s := range c.told {
		switch {
		case s == nil:
		case s.uncertain():
			at = max(at, s.call)
		default:
			at = max(at, s.ret)
		}
	}
	return at
}

// contradictions returns the suspects, ordered by time; lost commits that a
// final read shows come first of their sort. Where values are unique there is
// one unless the register is linearizable.
func (r *register) contradictions(lost map[*history.Operation]bool) []contradiction {
	found := r.phantoms()
	for _, o := range r.outdated() {
		anomaly := StaleRead
		switch {
		case o.observer.writes && o.newer.observes && o.observer.from == o.newer.from:
			continue // a double swap
		case o.observer.writes || lost[o.newer.operation]:
			anomaly = LostCommit
		}
		found = append(found, contradiction{anomaly: anomaly, told: []*step{o.observer, o.newer, o.source}})
	}
	found = append(found, r.doubleSwaps()...)
	if r.unique {
		named := map[*step]bool{}
		for _, c := range found {
			named[c.told[0]] = true
		}
		for _, c := range r.zones() {
			if !slices.ContainsFunc(c.told, func(s *step) bool { return named[s] }) {
				found = append(found, c)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b contradiction) int {
		return cmp.Or(cmp.Compare(r.atEnd(b), r.atEnd(a)), cmp.Compare(a.at(), b.at()))
	})
	return found
}

// atEnd is 1 for a lost commit that a final read shows, else 0.
func (r *register) atEnd(c contradiction) int {
	if c.anomaly == LostCommit && c.told[0].call >= r.final {
		return 1
	}
	return 0
}

// phantoms returns the observations of values that nobody can have written. A
// swap of unknown outcome did observe what it expects if its own value is
// needed and, being unique, can come from nowhere else.
func (r *register) phantoms() []contradiction {
	var found []contradiction
	for _, s := range r.steps {
		if s.observes && (r.unique || !s.uncertain()) && s.from.found && len(r.writers[s.from]) == 0 {
			found = append(found, contradiction{anomaly: PhantomRead, told: []*step{s, nil}})
		}
	}
	return found
}

// doubleSwaps returns pairs of swaps that replaced a value which was there once.
// Where others are repeated, a swap of unknown outcome need not have taken
// effect, and one that wrote what it replaced brought it back.
func (r *register) doubleSwaps() []contradiction {
	var found []contradiction
	for _, s := range r.steps {
		swaps := r.swaps[s.from]
		if len(swaps) < 2 || s != swaps[0] || len(r.writers[s.from]) > 1 {
			continue
		}
		if !r.unique {
			swaps = slices.DeleteFunc(slices.Clone(swaps), func(s *step) bool { return s.uncertain() || s.to == s.from })
		}
		if len(swaps) > 1 {
			found = append(found, contradiction{anomaly: DoubleSwap, told: swaps[:2]})
		}
	}
	return found
}

// successor returns the swap that replaces v, or nil.
func (r *register) successor(v value) *step {
	if swaps := r.swaps[v]; len(swaps) > 0 {
		return swaps[0]
	}
	return nil
}

// A block is a run of steps that no other block may interrupt: a write, what
// observes its value, the swap that replaces it, what observes that, and so on.
type block struct {
	// first has the least return of the block's steps, last the greatest
	// call. Nothing is written before time begins: its first is nil.
	first, last *step
}

// f and s are the ends of a block's zone, as Gibbons & Korach name them.
func (b block) f() time.Duration {
	if b.first == nil {
		return -never
	}
	return b.first.ret
}
func (b block) s() time.Duration { return b.last.call }

func (b *block) add(s *step) {
	if s.ret < b.first.ret {
		b.first = s
	}
	if s.call > b.last.call {
		b.last = s
	}
}

// zones returns the contradictions between steps of unique values, after
// Gibbons & Korach, "Testing shared memories", SIAM J. Comput. 26(4), 1997,
// extended by chains of compare-and-sets.
//
// Block X must precede block Y iff some step of X returns before some step of Y
// is called: iff f(X) < s(Y). So two blocks contradict iff f(X) < s(Y) and
// f(Y) < s(X). Call a block forward if f < s. Then two forward blocks
// contradict iff their zones [f, s] overlap, a forward and a backward one iff
// the backward [s, f] lies inside the forward, and two backward ones never. If
// no two blocks contradict, ordering them is possible: a shortest cycle of
// "must precede" has length two. Inside a block the order is given, up to
// readers of one value.
func (r *register) zones() []contradiction {
	var found []contradiction
	var blocks []block
	if readers := r.readers[value{}]; len(readers) > 0 {
		blocks = append(blocks, block{last: readers[len(readers)-1]})
	}
	visited := map[*step]bool{}
	for _, root := range r.steps {
		if !root.writes || root.observes && len(r.writers[root.from]) > 0 && r.successor(root.from) == root {
			continue // not a writer, or in the chain of what it replaced
		}
		b := block{first: root, last: root}
		latest := root // of the positions so far, the step with the greatest call
		for w := root; w != nil; w = r.successor(w.to) {
			visited[w] = true
			for _, position := range [][]*step{{w}, r.readers[w.to]} {
				before := latest
				for _, s := range position {
					if s.ret < before.call {
						found = append(found, inversion(before, s))
					}
					b.add(s)
					if s.call > latest.call {
						latest = s
					}
				}
			}
		}
		blocks = append(blocks, b)
	}
	found = append(found, r.cycles(visited)...)
	return append(found, overlaps(blocks)...)
}

// inversion tells of two steps of one block, of which early must precede s, but
// s returned before early was called.
func inversion(early, s *step) contradiction {
	if early.writes {
		return contradiction{anomaly: PhantomRead, told: []*step{s, early}}
	}
	return contradiction{anomaly: Resurrected, told: []*step{early, s, nil}}
}

// cycles returns the swaps that no write began: a to b, b to a.
func (r *register) cycles(visited map[*step]bool) []contradiction {
	var found []contradiction
	for _, s := range r.steps {
		var cycle []*step
		for w := s; w != nil && w.writes && !visited[w]; w = r.successor(w.to) {
			visited[w] = true
			cycle = append(cycle, w)
		}
		if len(cycle) > 0 {
			found = append(found, contradiction{anomaly: Disorder, told: cycle})
		}
	}
	return found
}

// overlaps returns contradictions between blocks, one at least if there are any:
// as long as no two forward zones overlap, each has to be compared only with the
// one before.
func overlaps(blocks []block) []contradiction {
	var found []contradiction
	var forward []block
	for _, b := range blocks {
		if b.f() < b.s() {
			forward = append(forward, b)
		}
	}
	slices.SortStableFunc(forward, func(a, b block) int { return cmp.Compare(a.f(), b.f()) })
	for i, b := range forward {
		if i > 0 && b.f() < forward[i-1].s() {
			found = append(found, overlap(forward[i-1], b))
		}
	}
	for _, b := range blocks {
		if b.f() < b.s() {
			continue
		}
		begun, _ := slices.BinarySearchFunc(forward, b.s(), func(x block, t time.Duration) int { return cmp.Compare(x.f(), t) })
		if begun > 0 && forward[begun-1].s() > b.f() {
			found = append(found, overlap(forward[begun-1], b))
		}
	}
	return found
}

// overlap tells of two blocks, each of which must precede the other. If one
// step of the one lies between two of the other, a value came back.
func overlap(x, y block) contradiction {
	for _, pair := range [][2]block{{x, y}, {y, x}} {
		outer, inner := pair[0], pair[1]
		for _, between := range []*step{inner.first, inner.last} {
			if between != nil && outer.f() < between.call && between.ret < outer.s() {
				return contradiction{anomaly: Resurrected, told: []*step{outer.last, between, outer.first}}
			}
		}
	}
	var told []*step
	for _, s := range []*step{x.first, x.last, y.first, y.last} {
		if s != nil && !slices.Contains(told, s) {
			told = append(told, s)
		}
	}
	slices.SortStableFunc(told, func(a, b *step) int { return cmp.Compare(a.call, b.call) })
	return contradiction{anomaly: Disorder, told: told}
}
