// Package stream judges a register of unique values while its history is being
// made, and forgets what can no longer matter.
//
// It is the theory of Gibbons & Korach, "Testing shared memories", SIAM J.
// Comput. 26(4), 1997, extended by chains of compare-and-sets, as package
// checker applies it to whole histories, told in the order of time.
//
// # Blocks
//
// A write, what observes its value, the swap that replaces it, what observes
// that, and so on, are steps of one block, which no other block may interrupt.
// Let f be the least return of its steps and s their greatest call; a step of
// unknown outcome returns never. Block X must precede Y iff f(X) < s(Y). A
// history is linearizable iff no block contradicts itself and no two blocks each
// must precede the other; see package internal/zones.
//
// In the order of time, little of this changes:
//
//   - A write is a step once it has returned or its value has been observed, not
//     before: until then it may be dropped. So a block begins with a return, at
//     the moment of which its f is that moment, and f never changes: later steps
//     return later. Blocks begin in the order of f.
//   - s grows. When it does, the block may contradict others; when a block
//     begins, it cannot, as all calls so far are at most its f.
//   - A swap becomes a step of its predecessor's block before anything observes
//     its own value, or with that. So a block grows at its end, and two blocks
//     never become one.
//
// What was told up to a moment is thus judged exactly, with operations that
// have not returned as those of unknown outcome: a contradiction is found with
// the very event that makes it one, and nothing else is.
//
// # Contradictions
//
// When s(X) has grown, X contradicts another block Y iff f(Y) < s(X) and
// f(X) < s(Y). Let Y begin after X. As long as there is no contradiction, the
// blocks after X with f < s(X) each have s ≤ f(X), so that one step of each was
// under way at f(X): they are no more than there are clients. Each of them is
// looked at, and told that X now reaches over it: its own s may not come to
// exceed f(X). That settles the case of Y before X, since such a Y contradicts X
// only if s(Y) > f(X), hence when s(Y) grew, it was X that was told.
//
// A block contradicts itself iff a step returned before an earlier one was
// called. When something returns all calls have been made, so this happens only
// if a value is observed by a call that was made after one of its successors had
// returned.
//
// # Forgetting
//
// Let the watermark be the earliest call of those that are under way, or the
// present if there are none, at the last completion. Whatever returns from now on
// was called at the watermark or later.
//
// Block X is closed once another block Y has f(X) < s(Y) and f(Y) < watermark.
// Then X must precede Y, and any further observation of X makes s(X) exceed
// f(Y): a contradiction. This holds for a swap of unknown outcome from X too,
// since it is a step only if its own value, or one that follows from it, is
// observed by something that returns later. So a closed block is forgotten, and
// whoever observes a value that is not remembered contradicts what was
// forgotten, or the value was never written: a violation either way.
//
// A forgotten block Y is not missed when others are judged. Suppose that X, which
// is remembered, must precede Y, and that Y was closed by Z: f(Y) < s(Z) and
// f(Z) < watermark. If f(Y) < watermark, then Y closes X. Otherwise
// f(Z) < f(Y) < s(Z), so s(Y) ≤ f(Z), or Y and Z would contradict each other;
// hence f(X) < s(Y) ≤ f(Z) < s(Z), so Z is not X, and closes it. Either way X was
// forgotten with Y or before. Nor must any block that begins later precede Y: its
// f is then at least s(Y).
//
// Hence X is closed iff f(X) is below the greatest s of the other blocks with
// f < watermark, be they remembered or not. Two of those suffice to know.
//
// Inside a block the same holds of a value whose successors have returned before
// the watermark.
//
// What is remembered of one register is therefore: blocks that were under way at
// one moment, of which there are no more than clients; those that began since
// the watermark; and the writes of unknown outcome that nobody has observed yet,
// which may be observed at any later time, for ever.
package stream

import (
	"math"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	always = time.Duration(math.MinInt64)
	never  = time.Duration(math.MaxInt64)
)

// A Step is an operation, from its invocation on. The first fields are the
// caller's to set; it keeps them.
type Step struct {
	Process  int
	Node     string
	Kind     history.Kind // Read, Write or CompareAndSet
	Expected int64        // by a CompareAndSet
	New      int64        // of Write and CompareAndSet
	Call     time.Duration

	Ret     time.Duration // never until it has returned with a known outcome
	Outcome history.Outcome
	Seen    Value // what a Read returned, or a failed CompareAndSet saw

	earlier, later *Step // among those under way

	// Of a write, once it is a step of a block:
	block       *block
	before      *Step         // the write whose value it replaced, if that is remembered
	after       *Step         // the swap that replaced its value
	followed    time.Duration // when something after it in the block first returned
	inAttaching bool
}

// A Value is what a register holds. The zero Value is nothing.
type Value struct {
	Number int64
	Found  bool
}

func (s *Step) writes() bool { return s.Kind != history.Read }
func (s *Step) swaps() bool  { return s.Kind == history.CompareAndSet }

// A block is one that is not closed. In the package comment's words, f is
// first's return and s is last's call.
type block struct {
	f, s           time.Duration
	first, last    *Step
	earlier, later *block // in the order of f
	// over is the least f of the blocks before that reach over this one: s may
	// not exceed it.
	over time.Duration
	// Of the writes whose values are remembered, the oldest and the newest.
	oldest, newest *Step
}

// A Register is followed through Begin and End, in the order of time; of what
// happens at one moment, invocations come first.
type Register struct {
	// writes holds, by value, the writes that may still be observed: those under
	// way, those of unknown outcome, and those of the blocks.
	writes  map[int64]*Step
	nothing *block // of the observations that there is nothing; nil once closed

	earliest, latest *block // by f

	callers struct{ earliest, latest *Step } // under way, by call

	watermark time.Duration
	above     *block // the first with f ≥ watermark
	// horizon is the greatest s of the blocks with f < watermark, which is
	// horizonOf's; second the greatest of the others.
	horizon, second time.Duration
	horizonOf       *block
}

// NewRegister returns a register that holds nothing.
func NewRegister() *Register {
	r := &Register{writes: map[int64]*Step{}, horizon: always, second: always}
	r.nothing = r.begin(always)
	return r
}

// A Contradiction proves that no order explains what was told. Steps are those
// at odds, as far as they are remembered; the first is the one that completed it.
type Contradiction struct {
	Why   Why
	Steps []*Step
}

// Why says what no order explains.
type Why int

const (
	Unwritten Why = iota // a value was observed that was not there any more, or never
	Failed               // a value was observed whose write failed
	Swapped              // two swaps of one value
	Circular             // swaps that led to each other
	Overtaken            // a value was there, and then another, and then the first again
)

// Remembered is how many writes may still be observed.
func (r *Register) Remembered() int { return len(r.writes) }

// Begin tells of an invocation. False means that the step writes a value that
// another write, which is remembered, writes too: the register is then beyond
// this package and must not be used any more.
func (r *Register) Begin(s *Step) bool {
	s.Ret, s.followed = never, never
	s.earlier = r.callers.latest
	if s.earlier == nil {
		r.callers.earliest = s
	} else {
		s.earlier.later = s
	}
	r.callers.latest = s
	if s.writes() {
		if r.writes[s.New] != nil {
			return false
		}
		r.writes[s.New] = s
	}
	return true
}

// End tells of the completion of what Begin told of. After a contradiction the
// register must not be used any more.
func (r *Register) End(s *Step, at time.Duration, outcome history.Outcome, seen Value) *Contradiction {
	s.Outcome, s.Seen = outcome, seen
	if outcome != history.Info {
		s.Ret = at
	}
	contradiction := r.conclude(s, at)
	if contradiction != nil {
		return contradiction
	}
	r.leave(s)
	watermark := at
	if r.callers.earliest != nil {
		watermark = r.callers.earliest.Call
	}
	r.forget(watermark)
	return nil
}

func (r *Register) leave(s *Step) {
	if s.earlier != nil {
		s.earlier.later = s.later
	} else {
		r.callers.earliest = s.later
	}
	if s.later != nil {
		s.later.earlier = s.earlier
	} else {
		r.callers.latest = s.earlier
	}
	s.earlier, s.later = nil, nil
}

// conclude draws the conclusions from what s says, now that it has returned.
func (r *Register) conclude(s *Step, at time.Duration) *Contradiction {
	switch {
	case s.Outcome == history.Info:
		return nil // a read says nothing; a write may yet be observed
	case s.Outcome == history.OK && s.writes():
		return r.happened(s, s, at)
	case s.writes() && s.block != nil:
		return &Contradiction{Failed, []*Step{s, s.block.first}}
	case s.writes():
		delete(r.writes, s.New)
	}
	if s.Outcome == history.Fail && !(s.swaps() && s.Seen.Found) {
		return nil
	}
	if !s.Seen.Found {
		if r.nothing == nil {
			return &Contradiction{Unwritten, []*Step{s}}
		}
		return r.observed(r.nothing, s)
	}
	w := r.writes[s.Seen.Number]
	if w == nil {
		return &Contradiction{Unwritten, []*Step{s}}
	}
	return r.happened(w, s, at)
}

// happened tells that s, the write w itself or an observation of its value, has
// returned.
func (r *Register) happened(w, s *Step, at time.Duration) *Contradiction {
	if c := r.attach(w, s, at); c != nil {
		return c
	}
	if s != w && s.Call > w.followed {
		return &Contradiction{Overtaken, []*Step{s, w.after, w}}
	}
	for before := w.before; before != nil && before.followed == never; before = before.before {
		before.followed = at
	}
	r.trim(w.block)
	return r.observed(w.block, s)
}

// attach makes w a step of its block, if it is not one yet, after the swaps of
// unknown outcome that, as now turns out, took effect before it.
func (r *Register) attach(w, observer *Step, at time.Duration) *Contradiction {
	if w.block != nil {
		return nil
	}
	if !w.swaps() {
		w.block = r.begin(at)
		w.block.first, w.block.oldest = observer, w
	} else {
		before := r.writes[w.Expected]
		switch {
		case before == nil:
			return &Contradiction{Unwritten, distinct(observer, w)}
		case before.inAttaching || before == w:
			return &Contradiction{Circular, distinct(observer, w, before)}
		}
		w.inAttaching = true
		if c := r.attach(before, observer, at); c != nil {
			return c
		}
		w.inAttaching = false
		if before.after != nil {
			return &Contradiction{Swapped, distinct(observer, w, before.after)}
		}
		before.after, w.before, w.block = w, before, before.block
	}
	b := w.block
	b.newest = w
	if w.Call > b.s {
		b.s, b.last = w.Call, w
	}
	return nil
}

// trim forgets the values of b whose successors returned before the watermark.
func (r *Register) trim(b *block) {
	for w := b.oldest; w.followed < r.watermark; w = b.oldest {
		delete(r.writes, w.New)
		b.oldest = w.after
		b.oldest.before, w.after = nil, nil
	}
}

// begin appends a block.
func (r *Register) begin(f time.Duration) *block {
	b := &block{f: f, s: always, over: never, earlier: r.latest}
	if r.latest == nil {
		r.earliest = b
	} else {
		r.latest.later = b
	}
	r.latest = b
	if r.above == nil {
		r.above = b
	}
	return b
}

// observed tells that s, a step of b, has returned, and that other steps may
// have been attached with it.
func (r *Register) observed(b *block, s *Step) *Contradiction {
	if s.Call > b.s {
		b.s, b.last = s.Call, s
	}
	if b.s > b.over {
		x := b.earlier
		for x != nil && x.f != b.over {
			x = x.earlier
		}
		return overtaken(s, b, x)
	}
	for y := b.later; y != nil && y.f < b.s; y = y.later {
		if y.s > b.f {
			return overtaken(s, b, y)
		}
		y.over = min(y.over, b.f)
	}
	if b.f < r.watermark {
		r.count(b)
	}
	return nil
}

// count lets b, whose f is below the watermark, close others.
func (r *Register) count(b *block) {
	switch {
	case b == r.horizonOf:
		r.horizon = b.s
	case b.s > r.horizon:
		r.second, r.horizon, r.horizonOf = r.horizon, b.s, b
	default:
		r.second = max(r.second, b.s)
	}
}

// forget raises the watermark, and forgets the blocks that this closes.
func (r *Register) forget(watermark time.Duration) {
	r.watermark = watermark
	for r.above != nil && r.above.f < watermark {
		r.count(r.above)
		r.above = r.above.later
	}
	for b := r.earliest; b != nil && b.f < r.horizon; b = b.later {
		if b != r.horizonOf || b.f < r.second {
			r.remove(b)
		}
	}
}

func (r *Register) remove(b *block) {
	if b.earlier != nil {
		b.earlier.later = b.later
	} else {
		r.earliest = b.later
	}
	if b.later != nil {
		b.later.earlier = b.earlier
	} else {
		r.latest = b.earlier
	}
	if r.above == b {
		r.above = b.later
	}
	if r.nothing == b {
		r.nothing = nil
	}
	for w := b.oldest; w != nil; w = w.after {
		delete(r.writes, w.New)
	}
	b.oldest, b.newest = nil, nil
}

func overtaken(s *Step, blocks ...*block) *Contradiction {
	steps := []*Step{s}
	for _, b := range blocks {
		if b != nil {
			steps = append(steps, b.first, b.last)
		}
	}
	return &Contradiction{Overtaken, distinct(steps...)}
}

func distinct(steps ...*Step) []*Step {
	var all []*Step
	for _, s := range steps {
		if s != nil && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
