package search

import (
	"context"
	"hash/maphash"
	"math"
	"slices"
	"unsafe"
)

// Never is the Ret of an operation of unknown outcome.
const Never = math.MaxInt64

// An Operation is what a search for any model knows of one: its interval, which
// is closed. If Ret is Never, nobody knows its outcome, and it may take
// effect at any moment from Call on, or never.
type Operation struct{ Call, Ret int64 }

// A Model is a sequential specification. Its functions must be pure, and are
// called by one goroutine at a time.
type Model[S any] struct {
	Init S
	// Step returns the state after an operation, which is given by its index,
	// or false if it cannot have answered what it did in that state. An operation
	// of unknown outcome need not take effect, so it is asked for the state in
	// case that it did.
	Step func(state S, operation int) (S, bool)
	// Equal tells states apart that differ for some operation to come. Equal
	// states must have equal hashes. Hash may be nil; then every state is
	// compared with every other.
	Equal func(a, b S) bool
	Hash  func(S) uint64
	// ReadOnly declares of an operation that it leaves every state in which it is
	// possible, or each of those that a state stands for; nil if nothing is known of any.
	ReadOnly func(operation int) bool
	// Class is the same for operations that are alike: Step does the same for both.
	// If it is nil, none are known to be.
	Class func(operation int) int32
	// Bytes is what a state holds in memory beside its own size; nil if nothing.
	Bytes func(S) int
}

// Comparable returns a model whose states are equal if they are ==.
func Comparable[S comparable](init S, step func(state S, operation int) (S, bool)) Model[S] {
	seed := maphash.MakeSeed()
	return Model[S]{
		Init: init, Step: step,
		Equal: func(a, b S) bool { return a == b },
		Hash:  func(s S) uint64 { return maphash.Comparable(seed, s) },
	}
}

// Generic decides whether an order explains the operations, which are ordered by
// Call. The index of the answer is among these.
func Generic[S any](ctx context.Context, model Model[S], operations []Operation, memory *Memory) Answer {
	return NewGeneric(model, operations, memory).run(ctx)
}

// NewGeneric returns a search that decides as Generic does.
func NewGeneric[S any](model Model[S], operations []Operation, memory *Memory) *Search {
	return &Search{pass: &genericPass[S]{model: model, operations: operations, first: firstWidth}, memory: memory}
}

// A genericPass passes over a history from the beginning to the end, at first
// narrowly, and again at a greater width whenever it was stuck and had dropped
// something. Dropped are the configurations that are found last: those in which
// more has happened that could wait.
type genericPass[S any] struct {
	model      Model[S]
	operations []Operation
	first      int     // the width of the first pass
	events     []int32 // as in timeline
	slots      []int32 // of each operation: its bit while it is open
	event      int
	open       []int32 // operations that have been called and have not returned

	now, next generation[S]
	// returning is the operation of the return that is under way, or -1; trying
	// are the configurations from which sequences are tried before it, the first
	// tried of which have been.
	returning int32
	trying    generation[S]
	tried     int
	happened  bitset // of the configuration that is being worked on
}

const (
	firstWidth = 64
	wider      = 8
)

func (p *genericPass[S]) begin() {
	var slots int
	p.events, p.slots, slots = timeline(len(p.operations), func(i int32) Operation { return p.operations[i] })
	certain := (slots + 63) / 64
	slots = 64 * certain
	for i, o := range p.operations {
		if o.Ret == Never { // it stays open
			p.slots[i] = int32(slots)
			slots++
		}
	}
	words := (slots + 63) / 64
	p.happened = make(bitset, words)
	for _, g := range []*generation[S]{&p.now, &p.next, &p.trying} {
		*g = generation[S]{model: &p.model, words: words, certain: certain, last: map[uint64]int32{}}
	}
	p.restart(p.first)
}

func (p *genericPass[S]) restart(width int) {
	p.event, p.open, p.returning = 0, p.open[:0], -1
	for _, g := range []*generation[S]{&p.now, &p.next, &p.trying} {
		g.clear()
		g.width, g.outgrown = width, false
	}
	clear(p.happened)
	p.now.add(p.model.Init, p.happened)
}

func (p *genericPass[S]) width() int { return p.now.width }

func (p *genericPass[S]) bytes() int {
	return p.now.bytes() + p.next.bytes() + p.trying.bytes() + 8*cap(p.events)
}

func (p *genericPass[S]) advance() (cost int, verdict Verdict, step int) {
	switch {
	case p.returning >= 0 && p.tried < len(p.trying.states):
		p.tried++
		return 1 + p.try(p.tried-1), Unknown, 0
	case p.returning >= 0 && len(p.next.states) > 0:
		p.now, p.next = p.next, p.now
		p.next.clear()
		p.trying.clear()
		p.returning = -1
	case p.returning >= 0 && (p.now.outgrown || p.next.outgrown || p.trying.outgrown):
		p.restart(wider * p.now.width)
	case p.returning >= 0:
		return 1, Invalid, int(p.returning)
	case p.event == len(p.events):
		return 1, Valid, 0
	default:
		i := p.events[p.event]
		p.event++
		if i >= 0 {
			p.open = append(p.open, i)
			break
		}
		p.beginReturn(^i)
		return 1 + len(p.now.states), Unknown, 0
	}
	return 1, Unknown, 0
}

// beginReturn sorts the configurations into those in which operation i has
// happened, and those from which sequences have to be tried.
func (p *genericPass[S]) beginReturn(i int32) {
	p.returning, p.tried = i, 0
	for c, state := range p.now.states {
		copy(p.happened, p.now.happenedAt(c))
		p.reach(state)
	}
	p.open = slices.DeleteFunc(p.open, func(o int32) bool { return o == i })
}

// reach adds a configuration: to the next ones, if the operation that returns has
// happened. Read-only operations that leave it happen at once: one that has, can do
// whatever it could if it had not (NewDepthFirst has the proof).
func (p *genericPass[S]) reach(state S) (cost int) {
	if p.model.ReadOnly != nil {
		for _, i := range p.open {
			if p.happened.has(p.slots[i]) || !p.model.ReadOnly(int(i)) {
				continue
			}
			cost++
			if after, ok := p.model.Step(state, int(i)); ok && p.model.Equal(state, after) {
				p.happened.set(p.slots[i])
			}
		}
	}
	if slot := p.slots[p.returning]; p.happened.has(slot) {
		p.happened.unset(slot)
		p.next.add(state, p.happened)
	} else {
		p.trying.add(state, p.happened)
	}
	return cost
}

// try lets each open operation happen after a configuration: the one that
// returns, after which the rest can wait, and each other.
func (p *genericPass[S]) try(c int) (cost int) {
	cost = p.after(c, p.returning)
	for _, i := range p.open {
		cost += p.after(c, i)
	}
	return cost
}

// after lets an operation happen after a configuration.
func (p *genericPass[S]) after(c int, i int32) (cost int) {
	copy(p.happened, p.trying.happenedAt(c))
	if p.happened.has(p.slots[i]) {
		return 0
	}
	state, ok := p.model.Step(p.trying.states[c], int(i))
	if !ok {
		return 1
	}
	p.happened.set(p.slots[i])
	return 1 + p.reach(state)
}

// A generation is a set of configurations: states, each with the open operations
// that have happened.
type generation[S any] struct {
	model    *Model[S]
	words    int
	certain  int // the first words, which are of operations that return
	width    int
	outgrown bool // there were more than width

	states   []S
	happened []uint64 // words of each
	// last is the last configuration with a hash, and before the one before it,
	// or -1.
	last   map[uint64]int32
	before []int32
	held   int // memory of states beside their own size
}

func (g *generation[S]) happenedAt(c int) bitset { return g.happened[c*g.words : (c+1)*g.words] }

// add adds a configuration, unless it is there, or one in which fewer of the
// operations of unknown outcome have happened, or there are too many. It does not keep
// happened.
func (g *generation[S]) add(state S, happened bitset) {
	hash := uint64(0)
	if g.model.Hash != nil {
		hash = g.model.Hash(state)
	}
	for _, word := range happened[:g.certain] {
		hash = (hash ^ word) * 0x9e3779b97f4a7c15
		hash ^= hash >> 29
	}
	before := int32(-1)
	if last, ok := g.last[hash]; ok {
		before = last
	}
	for c := before; c >= 0; c = g.before[c] {
		if g.happenedAt(int(c)).covers(happened, g.certain) && g.model.Equal(g.states[c], state) {
			return
		}
	}
	if len(g.states) == g.width {
		g.outgrown = true
		return
	}
	g.last[hash] = int32(len(g.states))
	g.before = append(g.before, before)
	g.states = append(g.states, state)
	g.happened = append(g.happened, happened...)
	if g.model.Bytes != nil {
		g.held += g.model.Bytes(state)
	}
}

// covers: b and other are equal in the first words, which are of operations that
// return, and b has no bit in the others that other has not.
func (b bitset) covers(other bitset, certain int) bool {
	if !slices.Equal(b[:certain], other[:certain]) {
		return false
	}
	for w := certain; w < len(b); w++ {
		if b[w]&^other[w] != 0 {
			return false
		}
	}
	return true
}

func (g *generation[S]) clear() {
	clear(g.states)
	clear(g.last)
	g.states, g.happened, g.before, g.held = g.states[:0], g.happened[:0], g.before[:0], 0
}

// mapBytes is what an entry of a map takes, which is half full at least.
const mapBytes = 32

// bytes is what the set holds in memory, or will when it grows next.
func (g *generation[S]) bytes() int {
	var state S
	return growing(cap(g.states)*(int(unsafe.Sizeof(state))+mapBytes)+8*cap(g.happened)+4*cap(g.before)) + g.held
}
