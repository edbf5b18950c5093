package sequential

import (
	"context"
	"slices"
	"sort"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// rules are what every order must have in common: which operation precedes which. An
// operation precedes those that follow it in its session, and those that observe what it
// wrote; what observes that nothing was written precedes all writes of its register. For
// a write w, an operation r that observes its value, and another write w' of the register:
//
//   - if w' precedes r, then it precedes w;
//   - if w precedes w', then r does.
//
// They are applied until nothing new follows. If an operation then precedes itself, there
// is no order. Else there may be one.
//
// What precedes an operation is a beginning of each session, so it is a vector of numbers
// (Fidge 1988, Mattern 1989), and a round of the rules takes operations × sessions.
type rules struct {
	*problem
	after  [][]int32 // of each operation, those that follow from it beside its session
	clocks []int32   // of each operation, for each session how many of it precede it, itself included
	order  []int32   // one that fits what follows so far
}

// mostClocks bounds the numbers in clocks: 256 MiB.
const mostClocks = 1 << 26

func newRules(p *problem) *rules {
	r := &rules{problem: p, after: make([][]int32, len(p.operations))}
	for i := range p.operations {
		o := &p.operations[i]
		if !o.Observes() || p.option[i] {
			continue
		}
		x := p.registers[o.Register]
		if w := x.writer[o.From]; w >= 0 {
			r.after[w] = append(r.after[w], int32(i))
		}
		if o.From != register.Nothing {
			continue
		}
		for _, writes := range x.written {
			if len(writes) > 0 {
				r.precedes(int32(i), writes[0])
			}
		}
	}
	return r
}

func (r *rules) precedes(i, j int32) {
	if i != j {
		r.after[i] = append(r.after[i], j)
	}
}

// apply returns Invalid if there is no order, Valid if the rules found none wrong, and
// Unknown if they did not come to their end.
func (r *rules) apply(ctx context.Context) Verdict {
	if r.unwritten() {
		return Invalid
	}
	if len(r.operations)*len(r.sessions) > mostClocks {
		return Unknown
	}
	r.clocks = make([]int32, len(r.operations)*len(r.sessions))
	for ctx.Err() == nil {
		if !r.sort() {
			return Invalid
		}
		r.count()
		if !r.infer() {
			return Valid
		}
	}
	return Unknown
}

// unwritten: something observed what nobody wrote.
func (r *rules) unwritten() bool {
	for i, o := range r.operations {
		if o.Observes() && o.From != register.Nothing && !r.option[i] && r.registers[o.Register].writer[o.From] < 0 {
			return true
		}
	}
	return false
}

// next returns what follows an operation in its session, or -1.
func (p *problem) next(i int32) int32 {
	session := p.sessions[p.session[i]]
	if at := p.place[i] + 1; int(at) < len(session) {
		return session[at]
	}
	return -1
}

// sort finds an order that fits; false if an operation precedes itself.
func (r *rules) sort() bool {
	waiting := make([]int32, len(r.operations)) // for so many
	each := func(i int32, visit func(int32)) {
		if next := r.next(i); next >= 0 {
			visit(next)
		}
		for _, j := range r.after[i] {
			visit(j)
		}
	}
	for i := range r.operations {
		each(int32(i), func(j int32) { waiting[j]++ })
	}
	var ready []int32
	for i := range r.operations {
		if waiting[i] == 0 {
			ready = append(ready, int32(i))
		}
	}
	r.order = r.order[:0]
	for len(ready) > 0 {
		i := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		r.order = append(r.order, i)
		each(i, func(j int32) {
			if waiting[j]--; waiting[j] == 0 {
				ready = append(ready, j)
			}
		})
	}
	return len(r.order) == len(r.operations)
}

func (r *rules) clock(i int32) []int32 {
	n := len(r.sessions)
	return r.clocks[int(i)*n : (int(i)+1)*n]
}

// count fills the clocks.
func (r *rules) count() {
	clear(r.clocks)
	raise := func(i, j int32) {
		from, to := r.clock(i), r.clock(j)
		for s := range from {
			to[s] = max(to[s], from[s])
		}
	}
	for _, i := range r.order {
		r.clock(i)[r.session[i]] = r.place[i] + 1
		if next := r.next(i); next >= 0 {
			raise(i, next)
		}
		for _, j := range r.after[i] {
			raise(i, j)
		}
	}
}

// follows: i precedes j, or is it.
func (r *rules) follows(i, j int32) bool { return r.clock(j)[r.session[i]] > r.place[i] }

// infer applies the rules once; false if nothing new follows.
func (r *rules) infer() bool {
	found := false
	add := func(i, j int32) {
		if i != j && !r.follows(i, j) {
			r.precedes(i, j)
			found = true
		}
	}
	for _, x := range r.registers {
		for v, w := range x.writer {
			if w < 0 {
				continue
			}
			observers := slices.Concat(x.readers[v], x.swaps[v])
			for _, writes := range x.written {
				if len(writes) == 0 {
					continue
				}
				for _, o := range observers {
					if last := r.lastBefore(writes, o); last >= 0 && last != w {
						add(last, w)
					}
				}
				first := sort.Search(len(writes), func(n int) bool { return writes[n] != w && r.follows(w, writes[n]) })
				if first == len(writes) {
					continue
				}
				for _, o := range observers {
					add(o, writes[first])
				}
			}
		}
	}
	return found
}

// lastBefore is the last of a session's writes that precedes an operation, or -1.
func (r *rules) lastBefore(writes []int32, o int32) int32 {
	reached := r.clock(o)[r.session[writes[0]]]
	n := sort.Search(len(writes), func(n int) bool { return r.place[writes[n]] >= reached })
	if n > 0 && writes[n-1] == o {
		n--
	}
	if n == 0 {
		return -1
	}
	return writes[n-1]
}
