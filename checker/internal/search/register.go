package search

import (
	"context"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// Register decides whether an order explains the steps of a register, which holds
// Nothing at first. Steps are ordered by Call.
//
// # What a configuration is
//
// Beside the value, it says two things of each open operation: whether it is
// done, that is, need not take effect any more, and whether it is spent, that is,
// cannot.
//
//   - A step that only observes is done as soon as the register holds what it
//     observed, at any moment since its call.
//   - A swap (from one value to another) is done and spent when it happens.
//   - A write is done and spent when it happens. It is also done, but not spent,
//     when another write happens, or while the register holds the very value: it
//     may have happened right before, and nobody could tell. Whether it did, or
//     still will, is left open until it returns.
//   - An operation of unknown outcome is done from the beginning.
//
// # What is left out
//
// None of this changes a verdict.
//
// Between returns nothing happens. Take an order that explains the history, and
// move all effects, from the last to the first, to as late as possible. An effect
// then comes right before another, or right before the return of an operation
// that it is the effect of, or that would not be done without it. So when p
// returns, the sequences are tried that end with the effect of p or, if p only
// observes, with the effect that makes it done; and the empty sequence if p is
// done. There is no need to hide a write p at its return behind the effect of
// another: p may as well happen, and then the other, later.
//
// Of open writes of one value, and of swaps between the same values, the one that
// returns first happens first. Let X and Y be open, Y return first, and X happen.
// If Y happens later, they may change places: Y is open now, and X still is when
// Y happened. If Y does not happen any more, it may happen instead of X; then X,
// if it is a write, is hidden by that. But if X is a swap and not done, it must
// happen. So of swaps that are not done the first is tried as well.
//
// Operations of unknown outcome with one effect are alike once they are called,
// and return last. A configuration counts those that are spent.
//
// A configuration is as good as another with the same value if it has done
// whatever the other has, and has spent nothing else: it succeeds in every way
// that the other does, doing the same. What is done already and happens all the
// same does no harm. Only the better one is kept.
//
// A write in the midst of a sequence is left out if it makes no observer done and
// no swap could follow. The next effect is a write then, which could happen right
// away, and hides the same.
//
// A configuration is hopeless if operations, some of which may be called only
// later, must see a value more often than it can be written in their time.
func Register(ctx context.Context, steps []register.Step, memory *Memory) Answer {
	return NewRegister(steps, memory).run(ctx)
}

// NewRegister returns a search that decides as Register does.
func NewRegister(steps []register.Step, memory *Memory) *Search {
	return &Search{pass: &registerPass{steps: steps, every: checkpointEvery, maxRough: roughLevels}, memory: memory}
}

// A registerPass passes over the history of a register, dropping what is too
// much, at width 1, until no configuration is left. Then something was dropped
// wrongly, or the history is not linearizable. So it looks at the neighbourhood
// more closely: it goes some events back, and drops at a greater width until it is
// as many events beyond. If it is stuck again it does the same joining, beginning
// with a configuration for every value that the register may hold, in which all
// that is open is done and nothing is spent. If that does not refute the history
// either, width and distance grow: in the end to the whole history, and an exact
// search.
type registerPass struct {
	steps []register.Step
	// every is how many events there are between checkpoints, maxRough the level
	// up to which passes are rough.
	every, maxRough int
	*window
	now configurations
	// returning is the operation of the return that is under way, or nil. Then
	// next are the configurations after it, trying those before it from which
	// sequences are tried, and todo those of them that have still to be.
	returning    *operation
	next, trying configurations
	todo         []ticket

	// level is how closely the search looks until it has passed the event goal;
	// stuck is where it was stuck last. Going back never brings goal back, or
	// the search might be stuck in turns at two events.
	level, stuck, goal int
	// foresaw is what was foreseen when dropping, while joining.
	foresaw int32
	// The first checkpoint is the beginning.
	checkpoints []checkpoint
	// before, after and settled are configurations that are being worked on.
	before, after, settled []uint64
}

// A checkpoint is what was there before an event, when dropping.
type checkpoint struct {
	event    int
	words    []uint64
	outgrown bool
}

const (
	checkpointEvery = 32
	roughLevels     = 4
	// maxCheckpoints is how many are kept, the older ones farther apart.
	maxCheckpoints = 256
)

func (r *registerPass) width() int { return r.now.width }

// closer is the width at the level.
func (r *registerPass) closer() int { return 1 << (2 * min(r.level, 15)) }

// distance is how many events the search looks back, and on.
func (r *registerPass) distance() int { return r.every << min(r.level, 40) }

func (r *registerPass) begin() {
	h := newRegisterHistory(r.steps)
	r.window = newWindow(h)
	for _, s := range []*configurations{&r.now, &r.next, &r.trying} {
		*s = newConfigurations(h.layout, r.writes, len(h.writesTo))
	}
	r.before, r.after, r.settled = make([]uint64, h.layout.size), make([]uint64, h.layout.size), make([]uint64, h.layout.size)
	r.resize(1, false, false)
	r.now.add(r.before, nil) // holds Nothing, and nothing is done
	r.checkpoint()
}

// resize changes the width.
func (r *registerPass) resize(width int, join, outgrown bool) {
	for _, s := range []*configurations{&r.now, &r.next, &r.trying} {
		s.width, s.join, s.outgrown = width, join, outgrown
	}
}

func (r *registerPass) outgrown() bool {
	return r.now.outgrown || r.next.outgrown || r.trying.outgrown
}

// bytes counts what grows with the history, and with the search.
func (r *registerPass) bytes() int {
	total := r.window.bytes() + r.now.bytes() + r.next.bytes() + r.trying.bytes() + 8*cap(r.todo)
	for _, c := range r.checkpoints {
		total += 8*cap(c.words) + 40
	}
	return total
}

// advance tries the effects that may follow one configuration, or, if there is
// none to try, goes to the next event.
func (r *registerPass) advance() (cost int, verdict Verdict, step int) {
	before := r.next.cost + r.trying.cost
	switch {
	case len(r.todo) > 0:
		t := r.todo[len(r.todo)-1]
		r.todo = r.todo[:len(r.todo)-1]
		if r.trying.holds(t) {
			r.try(r.trying.at(t.place))
		}
	case r.returning != nil && r.next.total > 0:
		r.now, r.next = r.next, r.now
		r.endReturn()
	case r.returning != nil && (r.now.join || !r.outgrown()):
		last := r.returning
		if r.foreseen >= 0 && r.operations[r.foreseen].ret > last.ret {
			last = &r.operations[r.foreseen]
		}
		return 1, Invalid, int(last.step)
	case r.returning != nil:
		cost = r.stop()
	case r.now.join && (r.event == len(r.events) || r.event >= r.goal):
		if r.event == len(r.events) && !r.outgrown() {
			return 1, Valid, 0
		}
		r.level++
		r.foreseen = r.foresaw
		cost = r.goBack()
	case r.event == len(r.events):
		return 1, Valid, 0
	default:
		r.nextEvent()
	}
	return 1 + cost + r.now.total + r.next.cost + r.trying.cost - before, Unknown, 0
}

// stop leaves an event at which nothing is left after dropping.
func (r *registerPass) stop() (cost int) {
	known := r.event <= r.goal
	r.stuck = r.event
	if known {
		return r.joinBack()
	}
	r.level = 1
	return r.goBack()
}

// joinBack starts joining at some distance before the event where the search is
// stuck.
func (r *registerPass) joinBack() (cost int) {
	r.goal = max(r.goal, r.stuck+r.distance())
	cost = r.seek(max(0, r.stuck-r.distance()))
	r.resize(r.closer(), true, r.event > 0)
	r.foresaw, r.foreseen = r.foreseen, -1
	if r.event == 0 {
		r.restore(r.checkpoints[0])
		return cost
	}
	r.now.clear()
	for _, v := range r.possible() {
		clear(r.before)
		r.before[0] = uint64(v)
		done := r.layout.done(r.before)
		for _, o := range r.at {
			if o != nil {
				done.set(o.slot)
			}
		}
		r.now.add(r.before, nil)
	}
	return cost + r.now.total
}

// goBack starts dropping at some distance before the event where the search was
// stuck.
func (r *registerPass) goBack() (cost int) {
	r.goal = max(r.goal, r.stuck+r.distance())
	from := max(0, r.stuck-r.distance())
	last := len(r.checkpoints) - 1
	for r.checkpoints[last].event > from {
		last--
	}
	r.checkpoints = slices.Delete(r.checkpoints, last+1, len(r.checkpoints))
	cost = r.seek(r.checkpoints[last].event)
	r.resize(r.closer(), false, r.checkpoints[last].outgrown)
	r.restore(r.checkpoints[last])
	return cost
}

// seek moves to an event, and leaves the configurations as they are.
func (r *registerPass) seek(event int) (cost int) {
	r.returning, r.todo = nil, r.todo[:0]
	r.next.clear()
	r.trying.clear()
	for ; r.event > event; cost++ {
		r.back()
	}
	for ; r.event < event; cost++ {
		r.forward()
	}
	return cost
}

func (r *registerPass) restore(c checkpoint) {
	r.now.clear()
	for words := c.words; len(words) > 0; words = words[r.layout.size:] {
		copy(r.before, words)
		r.now.add(r.before, nil)
	}
}

// checkpoint makes one, and forgets every second if there are too many.
func (r *registerPass) checkpoint() {
	c := checkpoint{event: r.event, outgrown: r.outgrown()}
	for words := range r.now.all() {
		c.words = append(c.words, words...)
	}
	if len(r.checkpoints) == maxCheckpoints {
		kept := r.checkpoints[:1]
		for i, old := range r.checkpoints[1:] {
			if i%2 == 0 || i > maxCheckpoints/2 {
				kept = append(kept, old)
			}
		}
		clear(r.checkpoints[len(kept):])
		r.checkpoints = kept
	}
	r.checkpoints = append(r.checkpoints, c)
}

// nextEvent lets an operation be called or return.
func (r *registerPass) nextEvent() {
	if !r.now.join {
		if r.event >= r.goal && r.now.width > 1 {
			r.resize(1, false, r.outgrown())
		}
		if r.event >= r.checkpoints[len(r.checkpoints)-1].event+r.every {
			r.checkpoint()
		}
	}
	i := r.events[r.event]
	if i < 0 {
		r.beginReturn(&r.operations[^i])
		return
	}
	r.forward()
	o := &r.operations[i]
	if o.unknown {
		return
	}
	for _, held := range r.now.held {
		if r.hit[held].has(o.slot) || o.kind == exclude && held != uint64(o.from) {
			for _, place := range r.now.byValue[held] {
				r.layout.done(r.now.at(place)).set(o.slot)
				r.now.scores[place]++
			}
		}
	}
}

// beginReturn sorts the configurations into those in which o may return, and
// those from which sequences have to be tried. Often o may return in all of them.
func (r *registerPass) beginReturn(o *operation) {
	settled := r.layout.done
	if o.writes() {
		settled = r.layout.spent
	}
	r.returning = o
	all := true
	for c := range r.now.all() {
		all = all && settled(c).has(o.slot)
	}
	if all {
		for c, score := range r.now.all() {
			r.layout.forget(c, o.slot)
			*score = r.now.score(c)
		}
		r.endReturn()
		return
	}
	for c := range r.now.all() {
		if r.layout.done(c).has(o.slot) {
			r.settle(c)
		}
		if !settled(c).has(o.slot) {
			copy(r.before, c)
			r.todo = r.trying.add(r.before, r.todo)
		}
	}
}

// endReturn passes the return that was under way.
func (r *registerPass) endReturn() {
	r.next.clear()
	r.trying.clear()
	r.returning = nil
	r.forward()
}

// settle keeps a configuration in which the returning operation may return,
// without it. It does not change c.
func (r *registerPass) settle(c []uint64) {
	o := r.returning
	copy(r.settled, c)
	if o.writes() {
		r.layout.spent(r.settled).set(o.slot)
		if r.hopeless(r.settled, o.to) {
			return
		}
	}
	r.layout.forget(r.settled, o.slot)
	r.next.add(r.settled, nil)
}

// try lets each effect happen that may follow c.
func (r *registerPass) try(c []uint64) {
	copy(r.before, c)
	for _, k := range r.available {
		if slot, ok := r.writeOf(r.before, k); ok {
			r.happen(k, slot)
		}
	}
	for _, k := range r.swapsFrom[r.before[0]] {
		slots, n := r.swapsOf(r.before, k)
		for _, slot := range slots[:n] {
			r.happen(k, slot)
		}
	}
}

// writeOf returns the slot of the write of a class that happens next. In a rough
// pass one of unknown outcome happens first if there are plenty, but not before
// the operation that returns.
func (r *registerPass) writeOf(c []uint64, k int32) (slot int32, ok bool) {
	if o := r.returning; r.rough() && r.left(c, k) >= r.plenty() && (o.kind != write || o.class != k) {
		r.now.outgrown = true
		return -1, true
	}
	return r.first(c, k)
}

// swapsOf returns the slots of the swaps of a class of which one happens next:
// the first, and also the first that is not done. In a rough pass, one that is
// done does not happen if it is replaceable.
func (r *registerPass) swapsOf(c []uint64, k int32) (slots [2]int32, n int) {
	slot, ok := r.first(c, k)
	if !ok {
		return slots, 0
	}
	done := r.layout.done(c)
	if slot >= 0 && !done.has(slot) {
		slots[0] = slot
		return slots, 1
	}
	if r.rough() && r.replaceable(c, k) {
		r.now.outgrown = true
	} else {
		slots[0], n = slot, 1
	}
	if slot < 0 {
		return slots, n
	}
	for _, i := range r.open[k] {
		if slot := r.operations[i].slot; !done.has(slot) {
			slots[n] = slot
			return slots, n + 1
		}
	}
	return slots, n
}

// replaceable: a write may happen instead of a swap of a class. When joining it
// must be one of those that are never used up.
func (r *registerPass) replaceable(c []uint64, k int32) bool {
	w := r.writesTo[r.classes[k].to]
	if w < 0 {
		return false
	}
	slot, ok := r.writeOf(c, w)
	return ok && (slot < 0 || !r.now.join)
}

// swapFollows: a swap may be the next effect after c.
func (r *registerPass) swapFollows(c []uint64) bool {
	for _, k := range r.swapsFrom[c[0]] {
		if _, n := r.swapsOf(c, k); n > 0 {
			return true
		}
	}
	return false
}

// plenty is how many operations of one effect and unknown outcome may be treated
// as if there were no end of them.
func (r *registerPass) plenty() int {
	if r.now.join {
		return 1
	}
	return 8
}

// rough: the pass saves effort where operations of unknown outcome are concerned,
// and is not exact then: dropping, it uses some that it need not; joining, it
// never uses them up.
func (r *registerPass) rough() bool { return r.level <= r.maxRough }

// happen lets an operation of a class take effect after the configuration
// before, and keeps the outcome unless that is useless or hopeless. The slot is
// -1 if the operation is of unknown outcome.
func (r *registerPass) happen(k int32, slot int32) {
	class := r.classes[k]
	copy(r.after, r.before)
	r.after[0] = uint64(class.to)
	done, spent := r.layout.done(r.after), r.layout.spent(r.after)
	hit, notHit := r.hit[class.to], r.notHit[class.to]
	isWrite := class.from == register.None
	observed := false
	for w := range done {
		newly := (hit[w] | r.excluders[w]&^notHit[w]) &^ done[w]
		observed = observed || newly&^r.writes[w] != 0
		if done[w] |= newly; isWrite {
			done[w] |= r.writes[w]
		}
	}
	switch {
	case slot < 0 && r.rough() && r.now.join:
		r.now.outgrown = true
	case slot < 0:
		r.after[class.counter]++
	default:
		done.set(slot)
		spent.set(slot)
	}
	o := r.returning
	returns := o.writes() && spent.has(o.slot) || !o.writes() && done.has(o.slot)
	if isWrite && !returns && !observed && !r.swapFollows(r.after) {
		return
	}
	if r.hopeless(r.after, register.Value(r.before[0])) {
		return
	}
	if returns {
		r.settle(r.after)
	} else {
		r.todo = r.trying.add(r.after, r.todo)
	}
}
