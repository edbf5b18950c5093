package search

import (
	"slices"
	"unsafe"
)

// NewDepthFirst returns a search that decides as Generic does, depth first, as Wing &
// Gong did, with the configurations remembered from which nothing led on (Lowe).
//
// # What is not tried
//
// A configuration is the state, the first return that is still to come of an operation
// that has not taken effect (the front), and which of the operations have taken effect
// that return later. That is all there is to know: what returned before the front has
// taken effect, and what is called after it has not. So a configuration is as small as
// the history is concurrent, however long it is.
//
// An operation is enabled if it has not taken effect and was called before the front.
// Let an order be a way on from a configuration to the end. Four things are left out
// because, if there is an order with them, there is one without; they hold for any model.
//
//   - A read-only operation (Model.ReadOnly) that is enabled, possible, and leaves the
//     state takes effect at once, and nothing else is tried. For take an order, and move
//     the operation to its beginning. There it leaves the state; where it was, the state
//     is the same without it; and it may be there, as it is enabled. One step alone cannot
//     tell that: a write of the value that is there leaves this state, and in another it
//     would have mattered. A state that stands for several, as a nondeterministic model's
//     does, is not left if only some of them accept the operation: it is tried then as any
//     other. Without it, there are more of them where it was, so what follows is possible.
//   - Of operations that are alike (Model.Class), enabled at the same time, only the one
//     is tried that returns first. For take an order that begins with another, and let
//     the two change places. Both are enabled, so the first one may be where the other
//     was. That now has the place of the first one, before its return, and so before
//     its own. Steps and states are the same.
//   - A configuration that was reached before is not tried again, whether what follows
//     from it has failed or is still being tried.
//   - Nor is one that differs only by unknown operations that have taken effect, and
//     are a superset of those of one reached before. For those need not take effect, and
//     are enabled to the end: an order from the superset is one from the subset.
//
// The rest is tried by call, as Porcupine does; so what that is lucky with, this is too. But
// unknown ones that are older than all others come last: had they taken effect, they
// would have done so before.
//
// # The answer
//
// If nothing is left to try, no order passes some return: the furthest front that was
// reached. A configuration at a front is an order of all operations that returned
// before, so the operations called until the answer's step returned are the shortest
// beginning that is not linearizable.
func NewDepthFirst[S any](model Model[S], operations []Operation, memory *Memory) *Search {
	return &Search{pass: &depthPass[S]{model: model, operations: operations}, memory: memory}
}

type depthPass[S any] struct {
	model      Model[S]
	operations []Operation
	returns    []int32 // operations that return, by when they do
	// next and before link the operations that have not taken effect, by call; the
	// last element is both ends.
	next, before []int32
	slots        []int32   // of each operation: its bit in a configuration
	rivals       [][]int32 // of each: those alike that are enabled with it and return first
	unknown      []int32   // operations that never return, by call
	readOnly     []bool

	front    int // index of returns
	furthest int
	happened bitset // those that return after the front; then the unknown ones
	words    int    // of the former
	state    S
	narrowed bool // some read-only operation is possible, and does not leave the state
	trail    []effect
	frames   []frame[S] // those that led to trying
	trying   frame[S]   // from which candidates are tried now
	seen     seen[S]
}

// An effect is an operation's, and where the front was before it.
type effect struct{ operation, front int32 }

// A frame is a configuration at which there is something to decide.
type frame[S any] struct {
	state S
	trail int   // how many have taken effect
	at    int32 // the operation of the list to try next
	// unknown is the next of the unknown ones that were called since the first of the
	// list was, old that of the others; these end at since.
	unknown, old, since int32
	narrowed            bool // read-only operations are candidates, too
}

func (p *depthPass[S]) begin() {
	n := len(p.operations)
	_, slots, count := timeline(n, func(i int32) Operation { return p.operations[i] })
	p.slots, p.words = slots, (count+63)/64
	p.next, p.before = make([]int32, n+1), make([]int32, n+1)
	for i := range n + 1 {
		p.next[i], p.before[i] = int32((i+1)%(n+1)), int32((i+n)%(n+1))
	}
	p.readOnly = make([]bool, n)
	for i := range p.operations {
		p.readOnly[i] = p.model.ReadOnly != nil && p.model.ReadOnly(i)
		if p.operations[i].Ret != Never {
			p.returns = append(p.returns, int32(i))
			continue
		}
		p.remove(int32(i)) // the list is of those that must take effect
		if !p.readOnly[i] {
			p.slots[i] = int32(64*p.words + len(p.unknown))
			p.unknown = append(p.unknown, int32(i))
		}
	}
	slices.SortFunc(p.returns, func(a, b int32) int {
		return byReturn(func(i int32) Operation { return p.operations[i] }, a, b)
	})
	p.happened = make(bitset, p.words+(len(p.unknown)+63)/64)
	p.findRivals()
	p.state = p.model.Init
	p.seen = seen[S]{model: &p.model, words: len(p.happened), certain: p.words}
	p.settle()
	p.trying = p.here()
}

// findRivals finds of each operation those that are alike, open at the same time, and
// return first; of an unknown one, the one that is alike and was called last before it.
func (p *depthPass[S]) findRivals() {
	p.rivals = make([][]int32, len(p.operations))
	if p.model.Class == nil {
		return
	}
	open, last := map[int32][]int32{}, map[int32]int32{} // by class
	for i, o := range p.operations {
		i, class := int32(i), p.model.Class(i)
		if o.Ret == Never {
			if before, ok := last[class]; ok {
				p.rivals[i] = []int32{before}
			}
			last[class] = i
			continue
		}
		others := slices.DeleteFunc(open[class], func(other int32) bool { return p.operations[other].Ret < o.Call })
		for _, other := range others {
			if p.operations[other].Ret <= o.Ret {
				p.rivals[i] = append(p.rivals[i], other)
			} else {
				p.rivals[other] = append(p.rivals[other], i)
			}
		}
		open[class] = append(others, i)
	}
}

func (p *depthPass[S]) remove(i int32) {
	p.next[p.before[i]], p.before[p.next[i]] = p.next[i], p.before[i]
}

func (p *depthPass[S]) restore(i int32) { p.next[p.before[i]], p.before[p.next[i]] = i, i }

// pending reports whether an operation has not taken effect. It is in the list then,
// and its neighbours know it; or it is unknown.
func (p *depthPass[S]) pending(i int32) bool {
	if p.operations[i].Ret == Never {
		return !p.happened.has(p.slots[i])
	}
	return p.next[p.before[i]] == i && p.before[p.next[i]] == i
}

// enabled reports whether one that has not taken effect may do so now.
func (p *depthPass[S]) enabled(i int32) bool {
	return p.operations[i].Call <= p.operations[p.returns[p.front]].Ret
}

// take lets an operation take effect.
func (p *depthPass[S]) take(i int32) {
	p.trail = append(p.trail, effect{i, int32(p.front)})
	p.happened.set(p.slots[i])
	if p.operations[i].Ret == Never {
		return
	}
	p.remove(i)
	// No other operation has the bit of the one at the front before the front has
	// moved on.
	for p.front < len(p.returns) && p.happened.has(p.slots[p.returns[p.front]]) {
		p.happened.unset(p.slots[p.returns[p.front]])
		p.front++
	}
	p.furthest = max(p.furthest, p.front)
}

// backTo undoes what took effect after a frame.
func (p *depthPass[S]) backTo(f frame[S]) {
	for len(p.trail) > f.trail {
		last := p.trail[len(p.trail)-1]
		p.trail = p.trail[:len(p.trail)-1]
		for p.front > int(last.front) {
			p.front--
			p.happened.set(p.slots[p.returns[p.front]])
		}
		p.happened.unset(p.slots[last.operation])
		if p.operations[last.operation].Ret != Never {
			p.restore(last.operation)
		}
	}
	p.state = f.state
}

// settle lets all read-only operations take effect that can. One that cannot stays so
// while the state does, so one walk suffices, though the front moves on.
func (p *depthPass[S]) settle() (cost int) {
	p.narrowed = false
	if p.model.ReadOnly == nil {
		return 0
	}
	end := int32(len(p.operations))
	for i := p.next[end]; i != end && p.front < len(p.returns) && p.enabled(i); {
		following := p.next[i]
		if p.readOnly[i] {
			cost++
			switch after, possible := p.model.Step(p.state, int(i)); {
			case !possible:
			case p.model.Equal(p.state, after):
				p.take(i)
			default:
				p.narrowed = true
			}
		}
		i = following
	}
	return cost
}

func (p *depthPass[S]) advance() (cost int, verdict Verdict, step int) {
	for cost < patience/8 {
		if p.front == len(p.returns) {
			return cost + 1, Valid, 0
		}
		i := p.candidate()
		if i < 0 {
			if len(p.frames) == 0 {
				return cost + 1, Invalid, int(p.returns[p.furthest])
			}
			p.trying = p.frames[len(p.frames)-1]
			p.frames = p.frames[:len(p.frames)-1]
			p.backTo(p.trying)
			cost++
			continue
		}
		cost += 1 + p.try(i)
	}
	return cost, Unknown, 0
}

// candidate returns the operation to try next, or -1 if there is none left: by call
// those of the list, and the unknown ones that were called since the first of these was;
// then the older ones.
func (p *depthPass[S]) candidate() int32 {
	t := &p.trying
	for {
		i, last := t.at, int32(len(p.operations))
		inList := i != last && p.enabled(i)
		recent := int(t.unknown) < len(p.unknown) && p.enabled(p.unknown[t.unknown])
		switch {
		case recent && (!inList || p.unknown[t.unknown] < i):
			i = p.unknown[t.unknown]
			t.unknown++
		case inList:
			t.at = p.next[i]
		case t.old < t.since:
			i = p.unknown[t.old]
			t.old++
		default:
			return -1
		}
		if p.foremost(i) && (p.operations[i].Ret != Never || p.pending(i)) {
			return i
		}
	}
}

// here is the configuration that was reached, with all candidates.
func (p *depthPass[S]) here() frame[S] {
	f := frame[S]{state: p.state, trail: len(p.trail), at: p.next[len(p.operations)], narrowed: p.narrowed}
	since, _ := slices.BinarySearch(p.unknown, f.at)
	f.unknown, f.since = int32(since), int32(since)
	return f
}

// foremost reports whether an operation is to be tried: it was not possible as a
// read-only one, and none that is alike returns earlier.
func (p *depthPass[S]) foremost(i int32) bool {
	if p.readOnly[i] && !p.trying.narrowed {
		return false
	}
	for _, rival := range p.rivals[i] {
		if p.pending(rival) && p.enabled(rival) {
			return false
		}
	}
	return true
}

// try lets an operation take effect, and goes on from there if that is new.
func (p *depthPass[S]) try(i int32) (cost int) {
	after, possible := p.model.Step(p.state, int(i))
	if !possible {
		return 0
	}
	p.take(i)
	p.state = after
	cost = p.settle()
	held := p.seen.held
	if p.front < len(p.returns) && !p.seen.add(after, p.front, p.happened) {
		p.backTo(p.trying)
		return cost + 1
	}
	p.frames = append(p.frames, p.trying)
	p.trying = p.here()
	return cost + 1 + (p.seen.held-held)/bytesOfCost // large states are looked at more often
}

// bytesOfCost is how much of a state's memory counts as a unit of cost.
const bytesOfCost = 256

func (p *depthPass[S]) width() int { return 0 }

func (p *depthPass[S]) bytes() int {
	var one frame[S]
	return p.seen.bytes() + growing(cap(p.frames)*int(unsafe.Sizeof(one))+8*cap(p.trail)) + 60*len(p.operations)
}

// seen are the configurations that were reached. The first words of one, so many as are
// certain, are of operations that return.
type seen[S any] struct {
	model          *Model[S]
	words, certain int

	table    []uint32 // a configuration and one, or 0; by hash, the next free place
	hashes   []uint64
	fronts   []int32
	states   []S
	happened []uint64
	held     int // memory of states beside their own size
}

// add adds a configuration, unless it was reached before, or one that can do more. It
// does not keep happened.
func (s *seen[S]) add(state S, front int, happened bitset) bool {
	hash := uint64(front) * 0x9e3779b97f4a7c15
	if s.model.Hash != nil {
		hash ^= s.model.Hash(state)
	}
	for _, word := range happened[:s.certain] {
		hash = (hash ^ word) * 0x9e3779b97f4a7c15
		hash ^= hash >> 29
	}
	if 2*(len(s.states)+1) > len(s.table) {
		s.grow()
	}
	place := hash & uint64(len(s.table)-1)
	for ; s.table[place] != 0; place = (place + 1) & uint64(len(s.table)-1) {
		c := int(s.table[place] - 1)
		if s.hashes[c] == hash && s.fronts[c] == int32(front) && bitset(s.happened[c*s.words:(c+1)*s.words]).covers(happened, s.certain) && s.model.Equal(s.states[c], state) {
			return false
		}
	}
	s.table[place] = uint32(len(s.states) + 1)
	s.hashes = append(s.hashes, hash)
	s.fronts = append(s.fronts, int32(front))
	s.states = append(s.states, state)
	s.happened = append(s.happened, happened...)
	if s.model.Bytes != nil {
		s.held += s.model.Bytes(state)
	}
	return true
}

func (s *seen[S]) grow() {
	s.table = make([]uint32, max(64, 2*len(s.table)))
	for c, hash := range s.hashes {
		place := hash & uint64(len(s.table)-1)
		for s.table[place] != 0 {
			place = (place + 1) & uint64(len(s.table)-1)
		}
		s.table[place] = uint32(c + 1)
	}
}

func (s *seen[S]) bytes() int {
	var state S
	return growing(4*cap(s.table)+cap(s.states)*int(unsafe.Sizeof(state))+12*cap(s.hashes)+8*cap(s.happened)) + s.held
}
