package checker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// Counter is the model of counters: increment and read, each key by itself. A
// counter starts at 0; a read without output saw 0.
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
// divides each value read, convict in O(n log n); what they do not convict goes to
// Porcupine.
//
// # What is wrong
//
// A value is a wrong count if no subset of the increments that had been invoked
// gives it, as far as sums of all and divisors can tell. Any other read outside its
// bounds misses something that it had to count, and is a stale read, unless what
// it misses is lost.
//
// What a counter of non-negative increments had reached is lost, as an element of a
// set is, if the read that was invoked last had to count it and does not, and no
// read does that completed after this one was invoked, or after the final phase
// began. LostCommits is the least number of increments that amount to it.
var Counter = Model{
	name: "counter",
	kinds: map[history.Kind]arity{
		history.Increment: {input: 1, output: 1},
		history.Read:      {input: 0, output: 1},
	},
	engines: []Engine{Polynomial, Porcupine},
	judge:   judgeCounters,
}

// A CounterResult sums up what became of the increments, over all keys.
type CounterResult struct {
	Acknowledged int64 `json:"acknowledged"` // the sum of the acknowledged increments
	Unknown      int64 `json:"unknown"`      // the sum of those of unknown outcome
	// FinalLeast and FinalMost are what a read after everything may show.
	FinalLeast int64 `json:"final_least"`
	FinalMost  int64 `json:"final_most"`
	// Between LostLeast and LostMost of what was acknowledged, or seen, was lost.
	// They are equal only if nothing is of unknown outcome. A counter that goes
	// up and down has neither.
	LostLeast int64 `json:"lost_least"`
	LostMost  int64 `json:"lost_most"`
}

func judgeCounters(ctx context.Context, run *history.Run, options Options, result *Result) {
	result.Counter = &CounterResult{}
	final := phaseBegins(run, history.Final)
	judgeKeys(ctx, run, options, result, "counter", func(ctx context.Context, memory *memory, key string, operations []*history.Operation) (findings, error) {
		c, err := newCounter(key, final, operations)
		if err != nil {
			return findings{}, err
		}
		return c.judge(ctx, memory, options.Engine, result)
	})
}

// A counter is the history of one counter, turned so that its increments are not
// all negative.
type counter struct {
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
func newCounter(key string, final time.Duration, operations []*history.Operation) (*counter, error) {
	c := &counter{key: key, name: cmp.Or(key, "the counter"), update: "increment", final: final, sign: 1}
	var up, down bool
	for _, o := range operations {
		switch {
		case o.Kind == history.Increment && o.Outcome != history.Fail:
			up, down = up || o.Input[0] > 0, down || o.Input[0] < 0
			if err := c.add(o, o.Input[0]); err != nil {
				return nil, err
			}
		case o.Kind == history.Read && o.Outcome == history.OK && len(o.Output) == 0:
			c.read(o, 0)
		case o.Kind == history.Read && o.Outcome == history.OK:
			c.read(o, o.Output[0])
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

// add takes in an increment that did not fail. Increments and reads are taken in
// by invocation.
func (c *counter) add(o *history.Operation, amount int64) error {
	if amount == 0 {
		return nil
	}
	if amount < -maxSum || amount > maxSum || c.sum+max(amount, -amount) > maxSum {
		return beyond(fmt.Sprintf("the %ss sum up to more than 2^60; count in larger units", c.update))
	}
	size := max(amount, -amount)
	c.sum += size
	c.divisor = greatestCommonDivisor(c.divisor, size)
	c.largest = max(c.largest, size)
	a := &addition{Operation: o, amount: amount, call: o.Invoke, ret: o.Complete}
	if o.Outcome == history.Info {
		a.ret = never
	}
	c.additions = append(c.additions, a)
	return nil
}

// read takes in an acknowledged read.
func (c *counter) read(o *history.Operation, shown int64) {
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

// judge returns confirmed violations, or why there is no verdict.
func (c *counter) judge(ctx context.Context, memory *memory, engine Engine, result *Result) (findings, error) {
	c.bound()
	lost := c.loss()
	c.count(result, lost)
	equal := !slices.ContainsFunc(c.additions, func(a *addition) bool { return a.amount != c.divisor })
	if engine == Porcupine {
		result.decided(Porcupine, "it was asked for", c.key)
		return c.search(ctx, memory)
	}
	suspects := c.suspects(lost)
	switch {
	case len(suspects) > 0:
		result.decided(Polynomial, "a read is out of bounds", c.key)
		return prove(ctx, memory, suspects)
	case equal:
		result.decided(Polynomial, "all increments are equal", c.key)
		return findings{}, ctx.Err()
	case engine == Polynomial:
		return findings{}, beyond("increments are unequal and no read is out of bounds; only the engine porcupine can decide this")
	}
	result.decided(Porcupine, "increments are unequal", c.key)
	return c.search(ctx, memory)
}

// bound gives each read its bounds.
func (c *counter) bound() {
	c.boundByIncrements()
	if c.mixed {
		c.boundBySuccession()
	} else {
		c.raise()
	}
}

func (c *counter) boundByIncrements() {
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
func (c *counter) boundBySuccession() {
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

func (c *counter) readsByCompletion() []*reading {
	return slices.SortedStableFunc(slices.Values(c.reads), func(a, b *reading) int { return byCompletion(a.Operation, b.Operation) })
}

// between are the increments that come between two reads for sure.
func (c *counter) between(earlier, later *reading) []*addition {
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
func (c *counter) raise() {
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
		if a.ret != never {
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

func (c *counter) loss() loss {
	if c.mixed {
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

// count adds the counter to the result.
func (c *counter) count(result *Result, lost loss) {
	totals := result.Counter
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
			result.StaleReads.add(Bounds{1, 1})
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
		result.LostCommits.add(Bounds{int((amount + c.largest - 1) / c.largest), int(most)})
	}
}

// suspects are, by the time of the read at fault, the earliest of each anomaly.
func (c *counter) suspects(lost loss) []charge {
	var suspects []charge
	if lost.amount() > 0 {
		suspects = append(suspects, c.gone(lost))
	}
	count := map[Anomaly]int{}
	for _, r := range c.readsByCompletion() {
		var anomaly Anomaly
		switch {
		case r.wrong(c.divisor):
			anomaly = WrongCount
		case r.behind() && (lost.amount() == 0 || r.value < lost.shown):
			anomaly = StaleRead
		}
		if anomaly == "" || count[anomaly] == perKey {
			continue
		}
		count[anomaly]++
		switch {
		case anomaly == WrongCount:
			suspects = append(suspects, c.miscounted(r))
		case c.mixed:
			suspects = append(suspects, c.outside(r))
		default:
			suspects = append(suspects, c.missing(r, r.value))
		}
	}
	slices.SortStableFunc(suspects, func(a, b charge) int { return byCompletion(a.told[0], b.told[0]) })
	return suspects
}

// miscounted is the story of a read of what no subset of the increments gives.
func (c *counter) miscounted(r *reading) charge {
	var invoked []*addition
	for _, a := range c.additions {
		if a.call <= r.Complete {
			invoked = append(invoked, a)
		}
	}
	e := evidence{read: r}
	text := fmt.Sprintf("%s at %s, but ", c.did(r), seconds(r.Complete))
	switch {
	case r.value > r.high:
		e.fits, e.may = atMost, only(invoked, up)
		text += fmt.Sprintf("the %ss invoked by then %s", c.update, c.come(r.high, "most"))
	case r.value < r.low:
		e.fits, e.may = atLeast, only(invoked, down)
		text += fmt.Sprintf("the %ss invoked by then %s", c.update, c.come(r.low, "least"))
	default:
		e.fits, e.may = func(value, sum int64) bool { return (value-sum)%c.divisor == 0 }, invoked
		text += fmt.Sprintf("all %ss are multiples of %d", c.update, c.divisor)
	}
	return c.charge(e, WrongCount, text)
}

func up(a *addition) bool   { return a.amount > 0 }
func down(a *addition) bool { return a.amount < 0 }

func only(all []*addition, which func(*addition) bool) []*addition {
	return slices.DeleteFunc(slices.Clone(all), func(a *addition) bool { return !which(a) })
}

// come says how far increments go: "come to 7 at least".
func (c *counter) come(sum int64, most string) string {
	if c.sign < 0 {
		most = map[string]string{"most": "least", "least": "most"}[most]
	}
	return fmt.Sprintf("come to %d at %s", c.start+c.sign*sum, most)
}

// outside is the story of a read of a mixed counter, which misses what must count
// for it by the increments alone, or else since the last read before.
func (c *counter) outside(r *reading) charge {
	e := evidence{read: r, fits: atLeast}
	bound, most, helpful := r.floor, "least", down
	if r.value > r.ceiling {
		e.fits = atMost
		bound, most, helpful = r.ceiling, "most", up
	}
	from, until := time.Duration(-1), time.Duration(-1) // the earlier read's interval
	text := fmt.Sprintf("%s at %s, but the %ss acknowledged before, and those under way that help, %s",
		c.did(r), seconds(r.Invoke), c.update, c.come(bound, most))
	if r.doneUp+r.low <= r.value && r.value <= r.doneDown+r.high {
		e.anchor = r.since
		from, until = r.since.Invoke, r.since.Complete
		text = fmt.Sprintf("%s at %s, but %s at %s, and the %ss since then, with those under way that help, %s",
			c.did(r), seconds(r.Invoke), c.had(r.since), seconds(until), c.update, c.come(bound, most))
	}
	for _, a := range c.additions {
		switch {
		case a.call > until && a.ret < r.Invoke:
			e.must = append(e.must, a)
		case a.ret >= from && a.call <= r.Complete && helpful(a):
			e.may = append(e.may, a)
		}
	}
	return c.charge(e, StaleRead, text)
}

// missing is the story of a read below its floor: that the counter had come above
// level, which is not less than what was read, before the read was invoked. Of the
// earlier reads that prove it, it tells of the greatest.
func (c *counter) missing(r *reading, level int64) charge {
	var before []*addition // acknowledged before the read, by invocation
	for _, a := range c.additions {
		if a.ret < r.Invoke {
			before = append(before, a)
		}
	}
	since := make([]int64, len(before)+1) // the sum from each of them on
	for i := len(before) - 1; i >= 0; i-- {
		since[i] = since[i+1] + before[i].amount
	}
	first := 0 // of before that count besides the anchor
	e := evidence{read: r, fits: atLeast}
	for _, anchor := range c.reads {
		if anchor.Complete >= r.Invoke || anchor.wrong(c.divisor) || e.anchor != nil && anchor.value <= e.anchor.value {
			continue
		}
		from, _ := slices.BinarySearchFunc(before, anchor.Complete+1, func(a *addition, call time.Duration) int { return cmp.Compare(a.call, call) })
		if anchor.value+since[from] > level {
			e.anchor, first = anchor, from
		}
	}
	reached := int64(0)
	if e.anchor != nil {
		reached = e.anchor.value
	}
	sum := int64(0)
	for _, a := range slices.SortedStableFunc(slices.Values(before[first:]), func(a, b *addition) int { return cmp.Compare(a.ret, b.ret) }) {
		if reached+sum > level {
			break
		}
		sum += a.amount
		e.must = append(e.must, a)
	}

	var had []string
	var at time.Duration
	if e.anchor != nil {
		had, at = append(had, c.had(e.anchor)), e.anchor.Complete
	}
	if n := len(e.must); n > 0 {
		had, at = append(had, fmt.Sprintf("%s by %d in all had been acknowledged", several(n, c.update), c.sign*sum)), e.must[n-1].ret
	}
	return c.charge(e, StaleRead, fmt.Sprintf("%s at %s, %s after %s", c.did(r), seconds(r.Invoke), gap(r.Invoke-at), strings.Join(had, " and then ")))
}

// gone is the story of a loss. As it takes as many increments to prove it in the end
// as were counted since, it tells first of the greatest fall from one read to
// another, if there was one.
func (c *counter) gone(lost loss) charge {
	first := c.missing(lost.last, lost.shown)
	var high *reading // the greatest that has completed
	fall := int64(0)
	byCompletion := c.readsByCompletion()
	done := 0
	for _, r := range c.reads {
		for ; byCompletion[done].Complete < r.Invoke; done++ {
			if d := byCompletion[done]; !d.wrong(c.divisor) && (high == nil || d.value > high.value) {
				high = d
			}
		}
		if high != nil && high.value-r.value > fall && !r.wrong(c.divisor) {
			fall = high.value - r.value
			first = c.charge(evidence{read: r, anchor: high, fits: atLeast}, StaleRead,
				fmt.Sprintf("%s at %s, yet %s at %s", c.had(high), seconds(high.Complete), c.did(r), seconds(r.Invoke)))
		}
	}
	first.anomaly = LostCommit
	first.text += fmt.Sprintf("; and when it had to be %d in the end, nobody read more than %d: at least %d of it is lost",
		c.start+c.sign*lost.last.floor, c.start+c.sign*lost.shown, c.sign*lost.amount())
	return first
}

// several is "1 read", "2 reads".
func several(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// did says what a read saw: "p7 read the counter = 41 from n3".
func (c *counter) did(r *reading) string {
	return fmt.Sprintf("p%d read %s = %d%s", r.Process, c.name, r.shown, place(" from ", r.Operation))
}

// had says the same of one that came first.
func (c *counter) had(r *reading) string {
	return fmt.Sprintf("p%d had read %s = %d%s", r.Process, c.name, r.shown, place(" from ", r.Operation))
}

// Evidence is why a read is at fault: it comes after all increments that must count
// and may come after those that may, and it is after the anchor, if there is one.
// Increments that are left out only add to this: fits says whether a value can have
// been read when these come to a sum.
type evidence struct {
	read, anchor *reading
	must, may    []*addition
	fits         func(value, sum int64) bool
}

func atLeast(value, sum int64) bool { return value >= sum }
func atMost(value, sum int64) bool  { return value <= sum }
func exactly(value, sum int64) bool { return value == sum }
func whatever(_, _ int64) bool      { return true }

func (c *counter) charge(e evidence, anomaly Anomaly, text string) charge {
	told := []*history.Operation{e.read.Operation}
	steps := []*countStep{{call: e.read.Invoke, ret: e.read.Complete, amount: e.read.value, fits: e.fits}}
	if e.anchor != nil {
		told = append(told, e.anchor.Operation)
		steps = append(steps, &countStep{call: e.anchor.Invoke, ret: e.anchor.Complete, amount: e.anchor.value, fits: whatever})
	}
	// No read tells the increments of a group apart, so each group is one.
	must, may := fold(e.must), fold(e.may)
	if may != nil {
		may.ret = never
	}
	for _, step := range []*countStep{must, may} {
		if step != nil {
			steps = append(steps, step)
		}
	}
	for _, a := range slices.Concat(e.must, e.may) {
		told = append(told, a.Operation)
	}
	return charge{
		story: story{anomaly: anomaly, key: c.key, told: told, witness: values(told), text: text, when: e.read.Invoke},
		first: e.read.Complete,
		explained: func(ctx context.Context, memory *memory) (bool, error) {
			return linearizable[int64](ctx, memory, steps)
		},
	}
}

// fold makes one increment of many, which takes place at any time from the first
// to the last; nil if there are none.
func fold(additions []*addition) *countStep {
	if len(additions) == 0 {
		return nil
	}
	all := &countStep{call: never}
	for _, a := range additions {
		all.call, all.ret = min(all.call, a.call), max(all.ret, a.ret)
		all.amount += a.amount
	}
	return all
}

// A countStep adds an amount to the sum or, if it fits, has read that amount.
type countStep struct {
	call, ret time.Duration
	amount    int64
	fits      func(value, sum int64) bool // nil for increments
}

func (s *countStep) interval() (call, ret time.Duration) { return s.call, s.ret }

func (s *countStep) apply(sum int64) (int64, bool) {
	if s.fits == nil {
		return sum + s.amount, true
	}
	return s.amount, s.fits(s.amount, sum)
}

// search puts the whole counter before Porcupine.
func (c *counter) search(ctx context.Context, memory *memory) (findings, error) {
	explained, err := c.explained(ctx, memory, c.reads)
	if err != nil || explained {
		return findings{}, err
	}
	reads := c.fewest(ctx, memory)
	last := slices.MaxFunc(reads, func(a, b *reading) int { return byCompletion(a.Operation, b.Operation) })
	told := []*history.Operation{last.Operation}
	var saw []string
	for _, r := range reads {
		if r != last {
			told = append(told, r.Operation)
		}
		if len(saw) < maxTold {
			saw = append(saw, c.did(r)+" at "+seconds(r.Complete))
		}
	}
	for _, a := range c.additions {
		if a.call <= last.Complete {
			told = append(told, a.Operation)
		}
	}
	text := fmt.Sprintf("no order of the %s invoked by then explains that %s", several(len(told)-len(reads), c.update), strings.Join(saw, ", that "))
	if more := len(reads) - len(saw); more > 0 {
		text += fmt.Sprintf(", and %s more", several(more, "read"))
	}
	s := story{anomaly: Disorder, key: c.key, told: told, witness: values(told), text: text, when: last.Invoke}
	return findings{[]story{s}, last.Complete}, nil
}

// explained asks Porcupine about some reads and all increments. One that was
// invoked after these reads completed comes last, and says nothing.
func (c *counter) explained(ctx context.Context, memory *memory, reads []*reading) (bool, error) {
	var steps []*countStep
	end := time.Duration(-1)
	for _, r := range reads {
		end = max(end, r.Complete)
		steps = append(steps, &countStep{call: r.Invoke, ret: r.Complete, amount: r.value, fits: exactly})
	}
	for _, a := range c.additions {
		if a.call <= end {
			steps = append(steps, &countStep{call: a.call, ret: a.ret, amount: a.amount})
		}
	}
	return linearizable[int64](ctx, memory, steps)
}

// fewest takes reads out as long as the others cannot be explained, for at most a
// quarter of the time.
func (c *counter) fewest(ctx context.Context, memory *memory) []*reading {
	ctx, cancel := shareOf(ctx, 4)
	defer cancel()
	reads := c.reads
	for i := len(reads) - 1; i >= 0 && ctx.Err() == nil; i-- {
		without := slices.Delete(slices.Clone(reads), i, i+1)
		if explained, err := c.explained(ctx, memory, without); err == nil && !explained {
			reads = without
		}
	}
	return reads
}
