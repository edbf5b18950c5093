// Package sequential decides sequential consistency (Lamport, "How to make a
// multiprocessor computer that correctly executes multiprocess programs", IEEE Trans.
// Computers C-28(9), 1979) of registers to which no value is written twice: is there an
// order of all operations, of all registers, that has those of each session in their
// order, and in which each finds what was left behind by the last write before it?
//
// # Complexity
//
// Unlike linearizability it does not hold of several registers if it holds of each, and it
// is NP-complete even where it is known which write each read saw (Gibbons & Korach,
// "Testing shared memories", SIAM J. Comput. 26(4), 1997, theorem 4.9). So there are three
// steps:
//
//   - Rules, which find most contradictions in polynomial time (rules.go).
//   - A search for an order, which goes on until its budget ends (search.go).
//   - What neither decides is unknown.
//
// # Unknown outcomes
//
// A write or compare-and-set of unknown outcome is the last operation of its session. If an
// operation that must take effect observed its value, it took effect, at any place after
// what its session did before. If not, it can be left out of any order, as only
// others of its sort observed it; but for an operation that says what was not there, which it
// may serve. Then it is an option, of which the rules know nothing.
package sequential

import (
	"cmp"
	"context"
	"errors"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// An Operation is what one says about its register; Call and Ret say when it was, which
// does not matter but to guess an order, and that nobody knows its outcome.
type Operation struct {
	register.Step
	Session, Register int32
}

// A History are the operations of all registers, those of each session in their order.
// Values are numbered from 1 for each register, and less than Values of it.
type History struct {
	Operations []Operation
	Values     []int // of each register
}

// A Verdict is what Decide found.
type Verdict uint8

const (
	Unknown Verdict = iota
	Valid
	Invalid
	Repeated // a value is written twice, so nothing was decided
)

// An Answer is what Decide found.
type Answer struct {
	Verdict Verdict
	// Witness are operations that no order explains, in the order of the history, as few as
	// were found. It holds with each operation the write of what that observed.
	Witness []int32
	// Err says why the verdict is Unknown: ErrBudget or the context's error.
	Err error
}

// ErrBudget means that the search ended before it had seen all orders.
var ErrBudget = errors.New("the search for an order of all keys ended at its budget")

// effort bounds a search: the writes that it tries. It takes some seconds, and about a
// hundred bytes for each of them.
const effort = 2_000_000

// Decide looks for an order, within ctx: first of each register alone, as an order of all
// is one of each.
func Decide(ctx context.Context, h History) Answer {
	p, unique := newProblem(h)
	if !unique {
		return Answer{Verdict: Repeated}
	}
	for _, r := range p.alone() {
		if r.decide(ctx, effort/10) == Invalid {
			return Answer{Verdict: Invalid, Witness: r.witness(ctx)}
		}
	}
	switch p.decide(ctx, effort) {
	case Invalid:
		return Answer{Verdict: Invalid, Witness: p.witness(ctx)}
	case Valid:
		return Answer{Verdict: Valid}
	}
	return Answer{Err: cmp.Or(ctx.Err(), ErrBudget)}
}

// A problem is a history without what need not take effect.
type problem struct {
	history    History
	operations []Operation
	of         []int32   // of each operation, its index in the history
	sessions   [][]int32 // the operations of each, in their order
	place      []int32   // of each operation in its session
	session    []int32   // of each operation, from 0
	option     []bool    // of each operation: it need not take effect
	must       int       // so many others there are
	registers  []*index
}

// An index finds the operations of one register, without the options.
type index struct {
	writer  []int32   // of each value, or -1
	readers [][]int32 // of each value: they observe it, and do not replace it
	swaps   [][]int32 // of each value
	written [][]int32 // the writes of each session, in their order
}

// newProblem returns false if a value is written twice.
func newProblem(h History) (*problem, bool) {
	all := make([]int32, len(h.Operations))
	written := make([][]bool, len(h.Values))
	for x, n := range h.Values {
		written[x] = make([]bool, n)
		written[x][register.Nothing] = true
	}
	for i := range h.Operations {
		all[i] = int32(i)
		o := &h.Operations[i]
		if !o.Writes() {
			continue
		}
		if written[o.Register][o.To] {
			return nil, false
		}
		written[o.Register][o.To] = true
	}
	return newPart(h, all), true
}

// alone are the problems of each register alone, where there are several.
func (p *problem) alone() []*problem {
	of := make([][]int32, len(p.registers))
	for i, o := range p.operations {
		of[o.Register] = append(of[o.Register], p.of[i])
	}
	var all []*problem
	for _, some := range of {
		if len(some) > 0 && len(some) < len(p.operations) {
			all = append(all, newPart(p.history, some))
		}
	}
	return all
}

// newPart is the problem of some operations, without those that can be left out.
func newPart(h History, some []int32) *problem {
	p := &problem{history: h}
	for _, n := range h.Values {
		x := &index{writer: make([]int32, n), readers: make([][]int32, n), swaps: make([][]int32, n)}
		for v := range x.writer {
			x.writer[v] = -1
		}
		p.registers = append(p.registers, x)
	}
	numbers := map[int32]int32{}
	needed := p.needed(some)
	refusing := map[int32]bool{} // registers
	for _, at := range some {
		if o := &h.Operations[at]; o.Not {
			refusing[o.Register] = true
		}
	}
	for _, at := range some {
		if !needed[at] && !refusing[h.Operations[at].Register] {
			continue
		}
		i := int32(len(p.operations))
		o := h.Operations[at]
		p.of = append(p.of, at)
		p.operations = append(p.operations, o)
		s, known := numbers[o.Session]
		if !known {
			s = int32(len(numbers))
			numbers[o.Session] = s
			p.sessions = append(p.sessions, nil)
		}
		p.session = append(p.session, s)
		p.place = append(p.place, int32(len(p.sessions[s])))
		p.sessions[s] = append(p.sessions[s], i)
		if p.option = append(p.option, !needed[at]); !needed[at] {
			continue
		}
		p.must++
		x := p.registers[o.Register]
		if o.Writes() {
			x.writer[o.To] = i
			for len(x.written) <= int(s) {
				x.written = append(x.written, nil)
			}
			x.written[s] = append(x.written[s], i)
		}
		switch {
		case !o.Observes():
		case o.Writes():
			x.swaps[o.From] = append(x.swaps[o.From], i)
		default:
			x.readers[o.From] = append(x.readers[o.From], i)
		}
	}
	return p
}

// needed are those of some operations that must take effect.
func (p *problem) needed(some []int32) map[int32]bool {
	operations := p.history.Operations
	type value struct{ register, value int32 }
	writers := map[value]int32{} // of unknown outcome, until they turn out to be needed
	var open []int32
	needed := make(map[int32]bool, len(some))
	for _, i := range some {
		if o := &operations[i]; o.Ret == register.Never {
			writers[value{o.Register, o.To}] = i
		} else {
			needed[i] = true
			open = append(open, i)
		}
	}
	for len(writers) > 0 && len(open) > 0 {
		o := &operations[open[len(open)-1]]
		open = open[:len(open)-1]
		v := value{o.Register, o.From}
		if w, unknown := writers[v]; unknown && o.Observes() {
			delete(writers, v)
			needed[w] = true
			open = append(open, w)
		}
	}
	return needed
}

// decide applies the rules, and then searches.
func (p *problem) decide(ctx context.Context, effort int) Verdict {
	rules := newRules(p)
	switch rules.apply(ctx) {
	case Invalid:
		return Invalid
	case Unknown:
		return Unknown
	}
	return newSearch(ctx, rules, effort).run()
}
