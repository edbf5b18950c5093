package guarantees

import (
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/internal/register"
	"github.com/rashomon-io/rashomon/checker/internal/sequential"
	"github.com/rashomon-io/rashomon/checker/internal/stale"
)

// A movedStep is a step as Porcupine takes it, reads called earlier.
type movedStep struct {
	register.Step
	earlier int64
}

func moved(steps []register.Step, earlier int64) []movedStep {
	var all []movedStep
	for _, s := range steps {
		all = append(all, movedStep{s, earlier})
	}
	return all
}

// Interval implements court.Transition.
func (s movedStep) Interval() (call, ret time.Duration) {
	if s.Writes() {
		return time.Duration(s.Call), time.Duration(s.Ret)
	}
	return time.Duration(s.Call - s.earlier), time.Duration(s.Ret)
}

// Apply implements court.Transition.
func (s movedStep) Apply(held register.Value) (register.Value, bool) { return applied(s.Step, held) }

// applied is what a register holds after a step. One of unknown outcome may have no
// effect.
func applied(s register.Step, held register.Value) (register.Value, bool) {
	switch {
	case s.From != register.None && (s.From == held) == s.Not:
		return held, s.Ret == register.Never
	case s.Writes():
		return s.To, true
	}
	return held, true
}

// A windowedStep is a step as Porcupine takes it, where reads may be some versions behind.
type windowedStep struct {
	register.Step
	versions int
}

func windowed(steps []register.Step, versions int) []windowedStep {
	var all []windowedStep
	for _, s := range steps {
		all = append(all, windowedStep{s, versions})
	}
	return all
}

// Interval implements court.Transition.
func (s windowedStep) Interval() (call, ret time.Duration) {
	return time.Duration(s.Call), time.Duration(s.Ret)
}

// Apply implements court.Transition.
func (s windowedStep) Apply(held stale.Window) (stale.Window, bool) {
	after, possible := held.After(s.Step, s.versions)
	if !possible {
		return held, s.Ret == register.Never
	}
	return after, true
}

// The most operations, and registers, of a witness of more than one key.
const (
	mostOperations = 64
	mostRegisters  = 8
)

// Progress is how far sessions have come: which operations of a witness are done, and what
// its registers hold.
type progress struct {
	done uint64
	held [mostRegisters]register.Value
}

// A sessionStep is an operation as Porcupine takes it, at any time after those of its
// session.
type sessionStep struct {
	register.Step
	bit, before uint64 // of those done
	register    int
}

// inSessions returns false if the witness is too large.
func inSessions(h sequential.History, witness []int32) ([]sessionStep, bool) {
	if len(witness) > mostOperations {
		return nil, false
	}
	var all []sessionStep
	var registers []int32
	for n, i := range witness {
		o := h.Operations[i]
		at := slices.Index(registers, o.Register)
		if at < 0 {
			at = len(registers)
			registers = append(registers, o.Register)
		}
		s := sessionStep{Step: o.Step, bit: 1 << n, register: at}
		for m, k := range witness[:n] {
			if h.Operations[k].Session == o.Session {
				s.before |= 1 << m
			}
		}
		all = append(all, s)
	}
	return all, len(registers) <= mostRegisters
}

// Interval implements court.Transition: all are concurrent.
func (s sessionStep) Interval() (call, ret time.Duration) { return 0, 1 }

// Apply implements court.Transition.
func (s sessionStep) Apply(p progress) (progress, bool) {
	if p.done&s.before != s.before {
		return p, false
	}
	after, possible := applied(s.Step, p.held[s.register])
	p.held[s.register] = after
	p.done |= s.bit
	return p, possible
}
