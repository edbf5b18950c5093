// Package counters decides histories of counters.
//
// # Bounds
//
// An increment counts for a read if it comes earlier in the order. Those that were
// acknowledged before the read was invoked must count, all others that were invoked
// until it completed may. This gives every read a least and a greatest value.
//
// If no increment is negative, the counter never goes down, and an earlier read is
// as good as what made it: for reads r and s, where r completed before s was
// invoked,
//
//	value(s) ≥ value(r) + the sum of the increments that were invoked after r
//	                      completed and acknowledged before s was invoked.
//
// A counter whose increments are all negative is judged upside down.
//
// # Equal increments
//
// These bounds are necessary. If all increments are equal (say, 1), they also
// suffice, so that such a history is decided in O(n log n).
//
// Proof. An order of the history is a choice of a moment in each increment's
// interval, the kth of them in time, T(k), being later than T(k-1); those of
// unknown outcome, whose intervals never end, need no care. A read of v can be put
// at any moment of its interval that is neither before T(v) nor after T(v+1); since
// these are intervals, there is one iff T(v) is not after the read's end and T(v+1)
// not before its beginning. So T(k) has a window: from the latest beginning of the
// reads of less than k, to the earliest end of the reads of k or more. Both ends
// grow with k. Hence it suffices to match increments with windows that their
// intervals meet: two moments that are then in the wrong order may be exchanged.
// By Hall's theorem there is no such matching iff, for a set of windows, fewer
// increments meet their union than there are windows. (An empty window is one whose
// later read saw less, which violates the bound between reads.) The others lie in
// the gaps of the union, and are more than the windows that are not in the set; so
// in one of the gaps there are more than of those windows between the windows at its
// sides, all of which, being in order, belong to one gap each. If that gap
// lies between two windows of the set, then the read s that began the later one,
// and the read r that ended the earlier, violate the bound between reads; if it lies
// before all, the increments in it are too many for the read that began the first
// window; if after all, too few are left for the read that ended the last.
//
// # Other increments
//
// With unequal increments to decide is NP-hard, since a read asks for a subset with
// its sum. The bounds, and whether the greatest common divisor of all increments
// divides each value read, find what is wrong in O(n log n); what they do not find goes to
// Porcupine.
package counters

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Decide judges a history of counters; the engine is model.Polynomial, model.Porcupine,
// or none.
func Decide(ctx context.Context, run *history.Run, budget court.Budget, engine string) (*model.Answer, *counts.Counter) {
	answer, totals := model.NewAnswer(), &counts.Counter{}
	final := model.FinalBegins(run)
	answer.EachKey(ctx, run, budget, "counter", func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (model.Confirmed, error) {
		c, err := newCounter(key, final, operations)
		if err != nil {
			return model.Confirmed{}, err
		}
		return c.decide(ctx, memory, engine, answer, totals)
	})
	return answer, totals
}

// A Counter is the history of one counter, turned so that its increments are not
// all negative.
type Counter struct {
	key    string
	name   string // for people
	update string // what an increment is called
	start  int64  // what it holds at first, taken off all values
	final  time.Duration

	sign      int64 // 1, or -1 if upside down
	additions []*addition
	reads     []*reading
	mixed     bool  // increments may go both ways
	divisor   int64 // the greatest common divisor of all increments; 0 if there are none
	largest   int64 // increment
	sum       int64 // of all, without their signs
}

// An addition is an increment, by what is not 0, that did not fail.
type addition struct {
	*history.Operation
	amount    int64
	call, ret time.Duration // ret is never if the outcome is unknown
}

// A reading is an acknowledged read.
type reading struct {
	*history.Operation
	shown int64 // as the client saw it
	value int64
	// doneUp and doneDown are the sums of the positive and of the negative
	// increments that had been acknowledged when the read was invoked; high and
	// low are those of the ones that had been invoked when it completed.
	doneUp, doneDown, high, low int64
	// floor and ceiling are the bounds of the value.
	floor, ceiling int64
	// since is the last sane read that completed before this one was invoked; of
	// mixed counters only.
	since *reading
}

// wrong: no subset of the increments gives the value.
func (r *reading) wrong(divisor int64) bool {
	return r.value < r.low || r.value > r.high || r.value != 0 && r.value%divisor != 0
}

// behind: the read misses what it had to count.
func (r *reading) behind() bool { return r.value < r.floor || r.value > r.ceiling }

// maxSum bounds the sum of a counter's increments, so that no sum overflows.
const maxSum = 1 << 60

// newCounter takes operations by invocation.
func newCounter(key string, final time.Duration, operations []*history.Operation) (*Counter, error) {
	c := &Counter{key: key, name: counterName(key), update: "increment", final: final, sign: 1}
	var up, down bool
	for _, o := range operations {
		switch {
		case o.Kind == history.Increment && o.Outcome != history.Fail:
			up, down = up || o.Input.At(0) > 0, down || o.Input.At(0) < 0
			if err := c.Add(o, o.Input.At(0)); err != nil {
				return nil, err
			}
		case o.Kind == history.Read && o.Outcome == history.OK && o.Output.Len() == 0:
			c.Read(o, 0)
		case o.Kind == history.Read && o.Outcome == history.OK:
			c.Read(o, o.Output.At(0))
		}
	}
	c.mixed = up && down
	if down && !up {
		c.sign = -1
		for _, a := range c.additions {
			a.amount = -a.amount
		}
		for _, r := range c.reads {
			r.value = -r.value
		}
	}
	return c, nil
}

// NewAccount is an account of a bank, with so much at first, as a counter that goes up and
// down.
func NewAccount(key, name string, balance int64) *Counter {
	return &Counter{key: key, name: name, update: "transfer", start: balance, final: history.Never, sign: 1, mixed: true}
}

// Bound bounds all reads, and returns the candidates and the reads that are stale.
func (c *Counter) Bound() (candidates []model.Candidate, stale []*history.Operation) {
	c.bound()
	for _, r := range c.reads {
		if !r.wrong(c.divisor) && r.behind() {
			stale = append(stale, r.Operation)
		}
	}
	return c.candidates(loss{}), stale
}

func counterName(key string) string {
	if key == "" {
		return "the counter"
	}
	return sentence.KeyName(key)
}

// Add takes in an increment that did not fail. Increments and reads are taken in
// by invocation.
func (c *Counter) Add(o *history.Operation, amount int64) error {
	if amount == 0 {
		return nil
	}
	if amount < -maxSum || amount > maxSum || c.sum+max(amount, -amount) > maxSum {
		return court.Reason(fmt.Sprintf("the %ss sum up to more than 2^60; count in larger units", c.update))
	}
	size := max(amount, -amount)
	c.sum += size
	c.divisor = greatestCommonDivisor(c.divisor, size)
	c.largest = max(c.largest, size)
	a := &addition{Operation: o, amount: amount, call: o.Invoke, ret: model.Returns(o)}
	c.additions = append(c.additions, a)
	return nil
}

// Read takes in an acknowledged read.
func (c *Counter) Read(o *history.Operation, shown int64) {
	// What no increments reach is as wrong at the bound of all sums.
	value := max(-2*maxSum, min(shown, 2*maxSum)) - c.start
	c.reads = append(c.reads, &reading{Operation: o, shown: shown, value: value})
}

func greatestCommonDivisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// decide returns confirmed violations, or why there is no verdict.
func (c *Counter) decide(ctx context.Context, memory *court.Memory, engine string, answer *model.Answer, totals *counts.Counter) (model.Confirmed, error) {
	c.bound()
	lost := c.loss()
	c.count(answer, totals, lost)
	equal := !slices.ContainsFunc(c.additions, func(a *addition) bool { return a.amount != c.divisor })
	if engine == model.Porcupine {
		answer.Decided(model.Porcupine, model.Asked, c.key)
		return c.search(ctx, memory)
	}
	candidates := c.candidates(lost)
	switch {
	case len(candidates) > 0:
		answer.Decided(model.Polynomial, "a read is out of bounds", c.key)
		return model.Confirm(ctx, memory, candidates)
	case equal:
		answer.Decided(model.Polynomial, "all increments are equal", c.key)
		return model.Confirmed{}, ctx.Err()
	case engine == model.Polynomial:
		return model.Confirmed{}, court.Reason("increments are unequal and no read is out of bounds; only the engine porcupine can decide this")
	}
	answer.Decided(model.Porcupine, "increments are unequal", c.key)
	return c.search(ctx, memory)
}

// bound gives each read its bounds.
func (c *Counter) bound() {
	c.boundByIncrements()
	if c.mixed {
		c.boundBySuccession()
	} else {
		c.raise()
	}
}

func (c *Counter) boundByIncrements() {
	byReturn := slices.Clone(c.additions)
	slices.SortStableFunc(byReturn, func(a, b *addition) int { return cmp.Compare(a.ret, b.ret) })
	var up, down int64
	done := 0
	for _, r := range c.reads {
		for ; done < len(byReturn) && byReturn[done].ret < r.Invoke; done++ {
			up, down = up+max(byReturn[done].amount, 0), down+min(byReturn[done].amount, 0)
		}
		r.doneUp, r.doneDown = up, down
	}
	up, down = 0, 0
	begun := 0
	for _, r := range c.readsByCompletion() {
		for ; begun < len(c.additions) && c.additions[begun].call <= r.Complete; begun++ {
			up, down = up+max(c.additions[begun].amount, 0), down+min(c.additions[begun].amount, 0)
		}
		r.high, r.low = up, down
		r.floor, r.ceiling = r.doneUp+r.low, r.doneDown+r.high
	}
}

// boundBySuccession bounds each read of a mixed counter by the last sane one that
// completed before it was invoked. Between the two come all increments that were
// invoked and acknowledged between them, and perhaps any that were under way: what
// had been invoked when the later one completed, without what had been acknowledged
// when the earlier one was invoked.
func (c *Counter) boundBySuccession() {
	byCompletion := c.readsByCompletion()
	done := 0
	var last *reading
	for _, r := range c.reads {
		for ; byCompletion[done].Complete < r.Invoke; done++ {
			if !byCompletion[done].wrong(c.divisor) {
				last = byCompletion[done]
			}
		}
		if last == nil {
			continue
		}
		r.since = last
		up, down := last.value, last.value
		for _, a := range c.between(last, r) {
			up, down = up+max(a.amount, 0), down+min(a.amount, 0)
		}
		r.floor = max(r.floor, up+r.low-last.doneDown)
		r.ceiling = min(r.ceiling, down+r.high-last.doneUp)
	}
}

func (c *Counter) readsByCompletion() []*reading {
	return slices.SortedStableFunc(slices.Values(c.reads), func(a, b *reading) int { return model.ByCompletion(a.Operation, b.Operation) })
}

// between are the increments that come between two reads for sure.
func (c *Counter) between(earlier, later *reading) []*addition {
	from, _ := slices.BinarySearchFunc(c.additions, earlier.Complete+1, func(a *addition, call time.Duration) int { return cmp.Compare(a.call, call) })
	var all []*addition
	for _, a := range c.additions[from:] {
		if a.call >= later.Invoke {
			break
		}
		if a.ret < later.Invoke {
			all = append(all, a)
		}
	}
	return all
}

// raise raises the floors of a counter that never goes down to what earlier reads
// saw. For each moment it maintains, of all reads that have completed, what the
// counter must have reached since; only the greatest is of interest. An increment
// raises those reads that completed before it was invoked: some of the earliest.
// So one that is not above an earlier one never will be, and is left out; the
// others are stairs.
func (c *Counter) raise() {
	type event struct {
		at time.Duration
		// A read is invoked, a read completes, or an increment is acknowledged.
		invoked, completed *reading
		acknowledged       *addition
	}
	var events []event
	for _, r := range c.reads {
		if !r.wrong(c.divisor) {
			events = append(events, event{at: r.Invoke, invoked: r}, event{at: r.Complete, completed: r})
		}
	}
	for _, a := range c.additions {
		if a.ret != history.Never {
			events = append(events, event{at: a.ret, acknowledged: a})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int {
		if order := cmp.Compare(a.at, b.at); order != 0 || (a.invoked != nil) == (b.invoked != nil) {
			return order
		}
		if a.invoked != nil { // what returns just then is not yet before it
			return -1
		}
		return 1
	})

	type stair struct {
		since time.Duration // the read's completion
		rise  int64         // above the stair before; positive, but for the first
	}
	stairs := []stair{{since: -1}} // at first, the counter is 0
	top := int64(0)
	for _, e := range events {
		switch {
		case e.invoked != nil:
			e.invoked.floor = max(e.invoked.floor, top)
		case e.completed != nil:
			if e.completed.value > top {
				stairs = append(stairs, stair{e.at, e.completed.value - top})
				top = e.completed.value
			}
		default:
			above, _ := slices.BinarySearchFunc(stairs, e.acknowledged.call, func(s stair, call time.Duration) int { return cmp.Compare(s.since, call) })
			rest, end := e.acknowledged.amount, above
			for end < len(stairs) && stairs[end].rise <= rest {
				rest -= stairs[end].rise
				end++
			}
			if end < len(stairs) {
				stairs[end].rise -= rest
			} else {
				top += rest
			}
			stairs = slices.Delete(stairs, above, end)
		}
	}
}

// A loss is what the counter had reached and does not show in the end.
type loss struct {
	last  *reading // the read that was invoked last; nil if there is none, or it is not known what is lost
	shown int64    // the greatest value in the end
}

func (l loss) amount() int64 {
	if l.last == nil {
		return 0
	}
	return max(0, l.last.floor-l.shown)
}

func (c *Counter) loss() loss {
	if c.mixed || c.final == model.CutOff {
		return loss{}
	}
	var l loss
	for _, r := range c.reads {
		if !r.wrong(c.divisor) {
			l.last = r
		}
	}
	if l.last == nil {
		return l
	}
	for _, r := range c.reads {
		if !r.wrong(c.divisor) && r.Complete >= min(l.last.Invoke, c.final) {
			l.shown = max(l.shown, r.value)
		}
	}
	return l
}

// count adds the counter to the answer and to the totals.
func (c *Counter) count(answer *model.Answer, totals *counts.Counter, lost loss) {
	for _, a := range c.additions {
		amount := c.sign * a.amount
		if a.Outcome == history.OK {
			totals.Acknowledged += amount
			totals.FinalLeast += amount
			totals.FinalMost += amount
		} else {
			totals.Unknown += amount
			totals.FinalLeast += min(0, amount)
			totals.FinalMost += max(0, amount)
		}
	}
	for _, r := range c.reads {
		unlost := lost.amount() == 0 || r.value < lost.shown
		if !r.wrong(c.divisor) && r.behind() && unlost {
			answer.StaleReads.Add(counts.Bounds{Certain: 1, Possible: 1})
		}
	}
	if lost.last == nil {
		return
	}
	amount := lost.amount()
	totals.LostLeast += amount
	most := max(amount, min(lost.last.high-lost.shown, lost.last.doneUp))
	totals.LostMost += most
	if most > 0 { // each increment is 1 at least
		answer.LostCommits.Add(counts.Bounds{Certain: int((amount + c.largest - 1) / c.largest), Possible: int(most)})
	}
}
