package search

import (
	"math/rand/v2"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// A traffic is what clients do with one register.
type traffic struct {
	operations, clients, values int
	// unknown is the share of operations whose outcome nobody knows.
	unknown float64
	// stale plants a violation in the middle: when every client has answered,
	// and the register has been overwritten, the last value is read, which no
	// operation of unknown outcome writes.
	stale bool
}

// draw returns the steps of a simulated register. Half of the operations read,
// 35 in 100 write, 15 compare and set, of which four in five expect the value
// that is there and the others fail; half of these record what they saw.
func (t traffic) draw(seed uint64) []register.Step {
	r := rand.New(rand.NewPCG(seed, 11))
	type effect struct {
		at   int64
		step int
	}
	var effects []effect
	steps := make([]register.Step, 0, t.operations)
	idle := make([]int64, t.clients) // when each client is
	add := func(call, ret, at int64) {
		effects = append(effects, effect{at, len(steps)})
		steps = append(steps, register.Step{Call: call, Ret: ret, From: register.None, To: register.None})
	}
	half := t.operations / 2
	for len(steps) < t.operations {
		if t.stale && len(steps) == half {
			quiet := slices.Max(idle) + 1
			add(quiet, quiet+1, quiet)
			add(quiet+2, quiet+3, quiet+2)
			for c := range idle {
				idle[c] = quiet + 4
			}
		}
		c := slices.Index(idle, slices.Min(idle))
		call := idle[c] + r.Int64N(20)
		ret := call + 100 + r.Int64N(1000)
		add(call, ret, call+r.Int64N(ret-call+1))
		idle[c] = ret + 1
	}
	slices.SortStableFunc(effects, func(a, b effect) int { return int(a.at - b.at) })
	held, last := register.Nothing, register.Value(t.values)
	some := func() register.Value { return register.Value(1 + r.IntN(t.values)) }
	for _, e := range effects {
		s := &steps[e.step]
		unknown := r.Float64() < t.unknown
		happens := !unknown || r.IntN(2) == 0
		if t.stale && (e.step == half || e.step == half+1) {
			if s.From = last; e.step == half {
				s.From, s.To, held = register.None, 1, 1
			}
			continue
		}
		switch x := r.Float64(); {
		case x < 0.5:
			s.From = held
		case x < 0.85:
			s.To = some()
			if unknown = unknown && s.To != last; happens || !unknown {
				held = s.To
			}
		default:
			s.From, s.To = held, some()
			if r.IntN(5) == 0 {
				s.From = some()
			}
			unknown = unknown && s.To != last
			switch {
			case s.From == held && (happens || !unknown):
				held = s.To
			case s.From != held && !unknown:
				if s.To = register.None; r.IntN(2) == 0 {
					s.From = held
				} else {
					s.Not = true
				}
			}
		}
		if unknown {
			s.Ret = register.Never
		}
	}
	slices.SortStableFunc(steps, func(a, b register.Step) int { return int(a.Call - b.Call) })
	return steps
}
