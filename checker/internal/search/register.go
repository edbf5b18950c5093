package search

import (
	"cmp"
	"context"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// Register decides whether an order explains the steps of a register, which holds
// Nothing at first. Steps are ordered by Call. It takes as long as it takes, but
// ends within about a millisecond of the context.
//
// # What a configuration is
//
// Of an open operation it says two things: whether it is done, that is, need not
// take effect any more, and whether it is spent, that is, cannot.
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
// Each of these changes no verdict. Call a configuration better than another if
// it succeeds in whatever way the other does.
//
// Between returns nothing happens: take an order that explains the history, and
// in it move all effects, from the last to the first, to as late as possible. An
// effect then comes right before another, or right before the return of an
// operation that it is the effect of, or that would not be done without it.
// So if p returns, the sequences are tried that end with the effect of p or, if p
// only observes, with the effect that makes it done; and the empty sequence if p
// is done. A write p that is not done need not be hidden by another effect at its
// return: it may as well happen, and the other right after it, that is, later.
//
// Of open writes of one value, and of swaps between the same values, the one
// that returns first happens first. Let X and Y be open, Y return first, and X
// happen. If Y happens later, they may change places: Y is open now, and X still
// when Y happened. If Y does not happen any more: with writes, X is hidden by Y
// as Y would have been by X. Swaps are different, as X may be one that must
// happen: the rule holds for swaps if Y is not done, or X is done.
//
// Unknown operations with the same effect are all alike once called, and return
// last. So a configuration counts how many of them are spent. Those are dropped
// that write what nobody needs (prepare).
//
// Values that nobody observes are one value.
//
// A configuration is better than another of the same value that has, of the
// same operations, done no more and spent no less. Doing what is done is
// harmless: an observer or hidden write needs nothing, and if the other one's
// order spends an operation, so can the better one's. Only the better one of the
// two is kept.
//
// An effect in the midst of a sequence is left out if it is a write that makes
// nothing done and no swap could follow. What follows then is another write,
// which could happen right away.
func Register(ctx context.Context, steps []register.Step, memory *Memory) Answer {
	return NewRegister(steps, memory).run(ctx)
}

// NewRegister returns a search that decides as Register does.
func NewRegister(steps []register.Step, memory *Memory) *Search {
	return &Search{pass: &registerPass{steps: steps}, memory: memory}
}

// A registerPass passes over the history of a register: first at width 1 dropping,
// then at width 1 joining, then at a greater width, and so on.
type registerPass struct {
	steps      []register.Step
	operations []operation // ordered by call
	returns    []int32     // operations that do return, ordered by when
	layout     layout
	classes    []class
	// writesTo is the class of a value's writes, or -1; swapsFrom are those of
	// the swaps that observe it.
	writesTo  []int32
	swapsFrom [][]int32

	nextCall, nextReturn int
	// hit holds for each value the open operations that are done when the
	// register gets to hold it: its observers and its writes. But not those
	// that are in notHit.
	hit, notHit []bitset
	// excluders are the open operations that observe anything but one value,
	// which have that value in notHit; writes are the open writes.
	excluders, writes bitset
	// available are the classes of writes with an open or unknown operation.
	available []int32

	now  *configurations
	next *configurations // after the return that is under way
	// trying are the configurations before the return that is under way from
	// which sequences are tried, todo those that are not yet.
	trying *configurations
	todo   []ticket
	// returning is the operation of the return that is under way, or nil.
	returning *operation
	// before, after and settled are the configurations that are being worked on.
	before, after, settled []uint64
}

// An operation is a step as the search sees it.
type operation struct {
	call, ret int64
	from, to  register.Value
	step      int32
	kind      kind
	unknown   bool
	class     int32 // if it writes
	slot      int32 // the bit that it is while open; none if unknown
}

type kind uint8

const (
	observe kind = iota // that the register holds from
	exclude             // observe that it does not hold from
	write               // to
	swap                // from to to, which are not the same
)

// A class holds the operations with one effect.
type class struct {
	from, to register.Value // from is None for writes
	open     []int32        // operations, ordered by return
	// unknown is how many of unknown outcome have been called; counter is the
	// word of a configuration that counts those of them that are spent, or 0 if
	// there are none.
	unknown uint64
	counter int
}

// begin prepares the steps for the first pass.
func (r *registerPass) begin() {
	r.prepare()
	r.assignSlots()
	words := r.layout.words
	pool := make(bitset, (2*len(r.writesTo)+2)*words)
	take := func() (b bitset) { b, pool = pool[:words:words], pool[words:]; return }
	r.hit, r.notHit = make([]bitset, len(r.writesTo)), make([]bitset, len(r.writesTo))
	for v := range r.hit {
		r.hit[v], r.notHit[v] = take(), take()
	}
	r.excluders, r.writes = take(), take()
	for _, c := range []*[]uint64{&r.before, &r.after, &r.settled} {
		*c = make([]uint64, r.layout.size)
	}
	for _, c := range []**configurations{&r.now, &r.next, &r.trying} {
		*c = newConfigurations(r.layout, len(r.hit))
	}
	r.restart(1, false)
}

// restart begins a pass.
func (r *registerPass) restart(width int, join bool) {
	r.nextCall, r.nextReturn = 0, 0
	for v := range r.hit {
		clear(r.hit[v])
		clear(r.notHit[v])
	}
	clear(r.excluders)
	clear(r.writes)
	r.available = r.available[:0]
	for i := range r.classes {
		r.classes[i].open, r.classes[i].unknown = r.classes[i].open[:0], 0
	}
	for _, c := range []*configurations{r.now, r.next, r.trying} {
		c.clear()
		c.width, c.join, c.outgrown = width, join, false
	}
	r.returning, r.todo = nil, r.todo[:0]
	clear(r.before) // Nothing, and nothing done
	r.now.add(r.before, nil)
}

func (r *registerPass) width() int {
	if r.now == nil {
		return 0
	}
	return r.now.width
}

// bytes counts what grows with the search, and what grows with the history.
func (r *registerPass) bytes() int {
	total := 40*cap(r.operations) + 4*cap(r.returns) + len(r.hit)*(16*r.layout.words+4+2*24+24)
	for _, c := range []*configurations{r.now, r.next, r.trying} {
		if c != nil {
			total += c.bytes()
		}
	}
	return total + 8*cap(r.todo)
}

// prepare turns steps into operations, without those that say nothing.
//
// An operation of unknown outcome is dropped if its value is not needed: taking
// it out of any order that explains the history harms nobody, as only others of
// its sort observed it. A value is needed if an acknowledged operation observes
// it, or a needed swap of unknown outcome does. Where anything but one value is
// observed, all are needed.
func (r *registerPass) prepare() {
	values := register.Value(0)
	for _, s := range r.steps {
		values = max(values, s.From, s.To)
	}
	excludes := slices.ContainsFunc(r.steps, func(s register.Step) bool { return s.Not && s.Ret != register.Never })
	needed := make([]bool, values+1)
	var todo []register.Value
	need := func(v register.Value) {
		if !needed[v] {
			needed[v] = true
			todo = append(todo, v)
		}
	}
	expects := map[register.Value][]register.Value{} // what unknown swaps expect, by what they write
	for _, s := range r.steps {
		switch {
		case s.From == register.None:
		case s.Ret != register.Never || excludes && !s.Not:
			need(s.From)
		case s.To != register.None && !s.Not:
			expects[s.To] = append(expects[s.To], s.From)
		}
	}
	for len(todo) > 0 {
		v := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, from := range expects[v] {
			need(from)
		}
	}
	// Values are numbered anew: those that nobody needs are all the last one.
	number := make([]register.Value, values+1)
	n := register.Value(1) // Nothing stays Nothing
	for v := range number {
		if v > 0 && needed[v] {
			number[v] = n
			n++
		}
	}
	for v := range number {
		if v > 0 && !needed[v] {
			number[v] = n
		}
	}
	r.writesTo, r.swapsFrom = make([]int32, n+1), make([][]int32, n+1)
	for v := range r.writesTo {
		r.writesTo[v] = -1
	}
	for i, s := range r.steps {
		o := operation{call: s.Call, ret: s.Ret, step: int32(i), unknown: s.Ret == register.Never, from: register.None, to: register.None, slot: -1}
		if s.From != register.None {
			o.from = number[s.From]
		}
		if s.To != register.None && !s.Not {
			o.to = number[s.To]
		}
		switch {
		case o.unknown && (o.to == register.None || o.from == o.to || !excludes && !needed[s.To]):
			continue
		case o.from == register.None && o.to == register.None:
			continue
		case s.Not:
			o.kind = exclude
		case o.to == register.None || o.from == o.to:
			o.kind, o.to = observe, register.None
		case o.from == register.None:
			o.kind = write
		default:
			o.kind = swap
		}
		if o.to != register.None {
			o.class = r.classOf(o.from, o.to)
			if o.unknown {
				r.classes[o.class].counter = 1
			}
		}
		r.operations = append(r.operations, o)
	}
}

// classOf returns the class of writes, or of swaps, that is new if need be.
func (r *registerPass) classOf(from, to register.Value) int32 {
	n := int32(len(r.classes))
	if from == register.None {
		if r.writesTo[to] < 0 {
			r.writesTo[to] = n
			r.classes = append(r.classes, class{from: from, to: to})
		}
		return r.writesTo[to]
	}
	for _, k := range r.swapsFrom[from] {
		if r.classes[k].to == to {
			return k
		}
	}
	r.swapsFrom[from] = append(r.swapsFrom[from], n)
	r.classes = append(r.classes, class{from: from, to: to})
	return n
}

func (r *registerPass) compareReturns(a, b int32) int {
	return cmp.Or(cmp.Compare(r.operations[a].ret, r.operations[b].ret), cmp.Compare(a, b))
}

// assignSlots gives each operation that returns a bit that no other has while it
// is open, and lays out the configurations.
func (r *registerPass) assignSlots() {
	for i, o := range r.operations {
		if !o.unknown {
			r.returns = append(r.returns, int32(i))
		}
	}
	slices.SortFunc(r.returns, r.compareReturns)
	var free []int32
	slots := int32(0)
	returned := 0
	for i := range r.operations {
		o := &r.operations[i]
		for ; returned < len(r.returns) && r.operations[r.returns[returned]].ret < o.call; returned++ {
			free = append(free, r.operations[r.returns[returned]].slot)
		}
		switch {
		case o.unknown:
		case len(free) > 0:
			o.slot = free[len(free)-1]
			free = free[:len(free)-1]
		default:
			o.slot = slots
			slots++
		}
	}
	r.layout.words = int(slots+63) / 64
	r.layout.size = 1 + 2*r.layout.words
	for i := range r.classes {
		if c := &r.classes[i]; c.counter > 0 {
			c.counter = r.layout.size
			r.layout.size++
		}
	}
}

// advance tries the effects that may follow one configuration, or, if there is
// none to try, goes to the next call or return.
func (r *registerPass) advance() (cost int, verdict Verdict, step int) {
	before := r.next.cost + r.trying.cost
	switch {
	case len(r.todo) > 0:
		t := r.todo[len(r.todo)-1]
		r.todo = r.todo[:len(r.todo)-1]
		if r.trying.holds(t) {
			r.try(r.trying.at(t.place))
		}
	case r.returning != nil:
		verdict, step = r.endReturn()
	case r.nextCall < len(r.operations) && (r.nextReturn == len(r.returns) ||
		r.operations[r.nextCall].call <= r.operations[r.returns[r.nextReturn]].ret):
		r.call(int32(r.nextCall))
		r.nextCall++
	case r.nextReturn < len(r.returns):
		r.beginReturn(&r.operations[r.returns[r.nextReturn]])
		r.nextReturn++
	case r.now.join && r.outgrown():
		r.restart(4*r.now.width, false)
	default:
		verdict = Valid
	}
	return 1 + r.now.total + r.next.cost + r.trying.cost - before, verdict, step
}

func (r *registerPass) outgrown() bool {
	return r.now.outgrown || r.next.outgrown || r.trying.outgrown
}

// call opens an operation. It is done at once where the register holds its value.
func (r *registerPass) call(i int32) {
	o := &r.operations[i]
	if o.to != register.None {
		c := &r.classes[o.class]
		if o.kind == write && c.empty() {
			r.available = append(r.available, o.class)
		}
		if o.unknown {
			c.unknown++
			return
		}
		at, _ := slices.BinarySearchFunc(c.open, i, func(a, b int32) int { return r.compareReturns(a, b) })
		c.open = slices.Insert(c.open, at, i)
	}
	switch o.kind {
	case observe:
		r.hit[o.from].set(o.slot)
	case exclude:
		r.excluders.set(o.slot)
		r.notHit[o.from].set(o.slot)
	case write:
		r.hit[o.to].set(o.slot)
		r.writes.set(o.slot)
	case swap:
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

// close forgets an operation that has returned.
func (r *registerPass) close(o *operation) {
	switch o.kind {
	case observe:
		r.hit[o.from].unset(o.slot)
	case exclude:
		r.excluders.unset(o.slot)
		r.notHit[o.from].unset(o.slot)
	case write:
		r.hit[o.to].unset(o.slot)
		r.writes.unset(o.slot)
	}
	if o.to != register.None {
		c := &r.classes[o.class]
		c.open = slices.Delete(c.open, 0, 1) // the first to return
		if o.kind == write && c.empty() {
			r.available = slices.DeleteFunc(r.available, func(k int32) bool { return k == o.class })
		}
	}
}

func (c *class) empty() bool { return len(c.open) == 0 && c.unknown == 0 }

// beginReturn sorts the configurations into those in which o may return, and
// those from which sequences have to be tried. Often o may return in all of them.
func (r *registerPass) beginReturn(o *operation) {
	settled := r.layout.done
	if o.to != register.None {
		settled = r.layout.spent
	}
	all := true
	for c, _ := range r.now.all() {
		all = all && settled(c).has(o.slot)
	}
	if all {
		for c, score := range r.now.all() {
			r.layout.forget(c, o.slot)
			*score = r.layout.score(c)
		}
		r.close(o)
		return
	}
	r.returning = o
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

// settle keeps a configuration in which the returning operation may return. The
// configuration is not changed.
func (r *registerPass) settle(c []uint64) {
	copy(r.settled, c)
	r.layout.forget(r.settled, r.returning.slot)
	r.next.add(r.settled, nil)
}

// endReturn goes on to the next event, if a configuration is left.
func (r *registerPass) endReturn() (Verdict, int) {
	o := r.returning
	if r.next.total == 0 {
		if r.now.join || !r.outgrown() {
			return Invalid, int(o.step)
		}
		r.restart(r.now.width, true)
		return Unknown, 0
	}
	r.close(o)
	r.returning = nil
	r.now, r.next = r.next, r.now
	r.next.clear()
	r.trying.clear()
	return Unknown, 0
}

// try lets each effect happen that may follow c.
func (r *registerPass) try(c []uint64) {
	copy(r.before, c)
	c = r.before
	held := register.Value(c[0])
	for _, k := range r.available {
		if slot, ok := r.first(c, &r.classes[k]); ok {
			r.happen(c, &r.classes[k], slot)
		}
	}
	for _, k := range r.swapsFrom[held] {
		slot, ok := r.first(c, &r.classes[k])
		if !ok {
			continue
		}
		r.happen(c, &r.classes[k], slot)
		if slot < 0 || !r.layout.done(c).has(slot) {
			continue
		}
		for _, i := range r.classes[k].open { // that one need not happen; one that must is another matter
			if slot := r.operations[i].slot; !r.layout.done(c).has(slot) {
				r.happen(c, &r.classes[k], slot)
				break
			}
		}
	}
}

// first returns the slot of the operation of a class that returns first of those
// that are not spent, or -1 if that one is unknown.
func (r *registerPass) first(c []uint64, k *class) (slot int32, ok bool) {
	spent := r.layout.spent(c)
	for _, i := range k.open {
		if slot := r.operations[i].slot; !spent.has(slot) {
			return slot, true
		}
	}
	return -1, k.unknown > 0 && c[k.counter] < k.unknown
}

// happen lets an operation of a class take effect after c, and keeps the outcome
// unless it is useless.
func (r *registerPass) happen(c []uint64, k *class, slot int32) {
	o := r.returning
	after := r.after
	copy(after, c)
	after[0] = uint64(k.to)
	done, spent := r.layout.done(after), r.layout.spent(after)
	hit, notHit := r.hit[k.to], r.notHit[k.to]
	isWrite := k.from == register.None
	observed := uint64(0) // what was done newly, other than writes
	for w := range done {
		newly := (hit[w] | r.excluders[w]&^notHit[w]) &^ done[w]
		observed |= newly &^ r.writes[w]
		done[w] |= newly
		if isWrite {
			done[w] |= r.writes[w]
		}
	}
	if slot < 0 {
		after[k.counter]++
	} else {
		done.set(slot)
		spent.set(slot)
	}
	switch {
	case o.to == register.None && done.has(o.slot), o.to != register.None && spent.has(o.slot):
		r.settle(after)
	case !isWrite || observed != 0 || r.swapFollows(after):
		r.todo = r.trying.add(after, r.todo)
	}
}

// swapFollows: some swap may be the next effect after c.
func (r *registerPass) swapFollows(c []uint64) bool {
	for _, k := range r.swapsFrom[c[0]] {
		if _, ok := r.first(c, &r.classes[k]); ok {
			return true
		}
	}
	return false
}
