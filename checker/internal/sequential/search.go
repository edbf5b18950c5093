package sequential

import (
	"cmp"
	"context"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// A search looks for an order from its beginning. An operation that writes nothing is put
// in its place as soon as it fits: whatever can come before it can as well come after it.
// A write can come next if everything that observes what it replaces has had its place,
// and everything that precedes it by the rules. Of several, the one that was over first, by its
// own return or that of an operation that observed it, is tried first, as most systems have
// one order of writes that is that of time. A place that was come to before is not
// searched again: which operations had their places, and what each register holds.
type search struct {
	*rules
	ctx    context.Context
	effort int

	waiting []int32          // of each operation, how many that precede it by the rules have no place yet
	done    []int32          // of each session, how many have their place
	placed  int              // of those that must be
	held    []register.Value // by each register
	unread  []int32          // of each register, how many observe what it holds and have no place yet
	over    []int64          // when each operation was over
	been    map[[2]uint64]struct{}
	where   [2]uint64 // the place, as a sum of hashes
}

func newSearch(ctx context.Context, r *rules, effort int) *search {
	s := &search{
		rules: r, ctx: ctx, effort: effort,
		waiting: make([]int32, len(r.operations)), done: make([]int32, len(r.sessions)),
		held: make([]register.Value, len(r.registers)), unread: make([]int32, len(r.registers)),
		over: make([]int64, len(r.operations)), been: map[[2]uint64]struct{}{},
	}
	for i := range r.after {
		for _, j := range r.after[i] {
			s.waiting[j]++
		}
	}
	for i, o := range r.operations {
		s.over[i] = o.Ret
		if o.Writes() {
			for _, j := range r.registers[o.Register].readers[o.To] {
				s.over[i] = min(s.over[i], r.operations[j].Ret)
			}
		}
	}
	for x := range s.registers {
		s.unread[x] = s.observers(int32(x), register.Nothing)
	}
	return s
}

// observers counts those that observe a value and do not replace it.
func (s *search) observers(x int32, v register.Value) int32 {
	return int32(len(s.registers[x].readers[v]))
}

// run goes down, and back up where nothing fits.
func (s *search) run() Verdict {
	type level struct {
		log    []undo // of what was put in its place here
		writes []int32
	}
	levels := []level{{log: s.settle(nil), writes: nil}}
	levels[0].writes = s.fitting()
	for s.placed < s.must {
		top := &levels[len(levels)-1]
		if len(top.writes) == 0 {
			for _, u := range slices.Backward(top.log) {
				s.undo(u)
			}
			if levels = levels[:len(levels)-1]; len(levels) == 0 {
				return Invalid
			}
			continue
		}
		if s.effort--; s.effort < 0 || s.effort%1024 == 0 && s.ctx.Err() != nil {
			return Unknown
		}
		write := top.writes[0]
		top.writes = top.writes[1:]
		log := s.settle([]undo{s.put(write)})
		if _, been := s.been[s.where]; been {
			levels = append(levels, level{log: log})
			continue
		}
		s.been[s.where] = struct{}{}
		levels = append(levels, level{log, s.fitting()})
	}
	return Valid
}

// settle puts what writes nothing in its place, as long as anything fits.
func (s *search) settle(log []undo) []undo {
	for more := true; more; {
		more = false
		for n := range s.sessions {
			for i := s.head(n); i >= 0 && !s.operations[i].Writes() && s.fits(i); i = s.head(n) {
				log = append(log, s.put(i))
				more = true
			}
		}
	}
	return log
}

// head is the next operation of a session, or -1.
func (s *search) head(session int) int32 {
	if all := s.sessions[session]; int(s.done[session]) < len(all) {
		return all[s.done[session]]
	}
	return -1
}

// fitting are the writes that can come next, in the order to try them.
func (s *search) fitting() []int32 {
	var writes []int32
	for n := range s.sessions {
		if i := s.head(n); i >= 0 && s.operations[i].Writes() && s.fits(i) {
			writes = append(writes, i)
		}
	}
	slices.SortFunc(writes, func(i, j int32) int {
		return cmp.Or(cmp.Compare(s.over[i], s.over[j]), cmp.Compare(s.operations[i].Call, s.operations[j].Call))
	})
	return writes
}

// fits: the operation, which is the next of its session, can come next.
func (s *search) fits(i int32) bool {
	o := &s.operations[i]
	held := s.held[o.Register]
	switch {
	case s.waiting[i] > 0:
		return false
	case o.Not:
		return held != o.From
	case o.Observes() && held != o.From:
		return false
	case !o.Writes():
		return true
	case s.unread[o.Register] > 0:
		return false
	}
	swaps := s.registers[o.Register].swaps[held] // the only one that can replace it
	return len(swaps) == 0 || swaps[0] == i && len(swaps) == 1
}

// An undo takes an operation out of its place.
type undo struct {
	operation int32
	held      register.Value // before it
	unread    int32
}

// put gives an operation the next place.
func (s *search) put(i int32) undo {
	o := &s.operations[i]
	u := undo{i, s.held[o.Register], s.unread[o.Register]}
	s.done[s.session[i]]++
	if !s.option[i] {
		s.placed++
	}
	s.add(uint64(i))
	for _, j := range s.after[i] {
		s.waiting[j]--
	}
	switch {
	case o.Writes():
		s.swap(o.Register, u.held, o.To)
		s.held[o.Register], s.unread[o.Register] = o.To, s.observers(o.Register, o.To)
	case o.Observes():
		s.unread[o.Register]--
	}
	return u
}

func (s *search) undo(u undo) {
	o := &s.operations[u.operation]
	s.done[s.session[u.operation]]--
	if !s.option[u.operation] {
		s.placed--
	}
	s.add(uint64(u.operation))
	for _, j := range s.after[u.operation] {
		s.waiting[j]++
	}
	if o.Writes() {
		s.swap(o.Register, s.held[o.Register], u.held)
	}
	s.held[o.Register], s.unread[o.Register] = u.held, u.unread
}

// add changes where the search is by one thing; a second time takes it back.
func (s *search) add(thing uint64) {
	s.where[0] ^= scatter(thing)
	s.where[1] ^= scatter(^thing)
}

// swap changes what a register holds.
func (s *search) swap(x int32, from, to register.Value) {
	for _, v := range []register.Value{from, to} {
		s.add(1<<63 | uint64(x)<<31 | uint64(v))
	}
}

// scatter is a bijection whose results look random (Steele, Lea & Flood, "Fast splittable
// pseudorandom number generators", OOPSLA 2014: SplitMix64).
func scatter(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
