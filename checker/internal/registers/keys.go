package registers

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/register"
	"github.com/rashomon-io/rashomon/harness/history"
)

// splitKeys returns what the operations on each key say, ordered by key. It goes
// through the operations in their order, which is that of memory, once for the
// keys and once, shared by the processors, for the steps.
func splitKeys(run *history.Run) []*object {
	operations := run.History.Operations
	final := run.PhaseBegins(history.Final)
	ids := make([]int32, len(operations)) // the key of each
	known := map[string]int32{}
	var keys []*object
	for i := range operations {
		key := operations[i].Key
		if i > 0 && key == operations[i-1].Key {
			ids[i] = ids[i-1]
		} else if id, ok := known[key]; ok {
			ids[i] = id
		} else {
			ids[i] = int32(len(keys))
			known[key] = ids[i]
			keys = append(keys, &object{run: run, final: final, key: key})
		}
		keys[ids[i]].operations++
	}
	share := court.Workers(len(keys))
	court.Parallel(share, func(worker int) {
		numbering := make([]*numbers, len(keys))
		for id := worker; id < len(keys); id += share {
			h := keys[id]
			h.steps = make([]register.Step, 0, h.operations)
			h.of = make([]int32, 0, h.operations)
			numbering[id] = newNumbers(h.operations)
		}
		for i, id := range ids {
			if int(id)%share != worker {
				continue
			}
			h := keys[id]
			if s, says := newStep(&operations[i], numbering[id]); says {
				h.steps = append(h.steps, s)
				h.of = append(h.of, int32(i))
			}
		}
		for id := worker; id < len(keys); id += share {
			keys[id].values = int(numbering[id].count) + 1
		}
	})
	slices.SortFunc(keys, func(a, b *object) int { return strings.Compare(a.key, b.key) })
	return keys
}

// newStep tells what an operation says, if it says anything. A swap of a value
// for itself is a read of it.
func newStep(o *history.Operation, n *numbers) (s register.Step, says bool) {
	s = register.Step{Call: int64(o.Invoke), Ret: int64(o.Complete), From: register.None, To: register.None}
	if o.Outcome == history.Info {
		s.Ret = register.Never
	}
	switch {
	case o.Kind == history.Write && o.Outcome != history.Fail:
		s.To = n.number(o.Input.At(0))
	case o.Kind == history.CompareAndSet && o.Outcome != history.Fail:
		s.From = n.number(o.Input.At(0))
		if o.Input.At(0) == o.Input.At(1) {
			return s, o.Outcome == history.OK
		}
		s.To = n.number(o.Input.At(1))
	case o.Kind == history.Read && o.Outcome == history.OK, o.Kind == history.CompareAndSet && o.Output.Len() > 0:
		s.From = register.Nothing
		if o.Output.Len() > 0 {
			s.From = n.number(o.Output.At(0))
		}
	case o.Kind == history.CompareAndSet && o.Error == "":
		s.Not, s.From = true, n.number(o.Input.At(0))
	default:
		return s, false
	}
	return s, true
}

// A object is what the operations on one key say, or a part of them.
type object struct {
	run        *history.Run
	final      time.Duration // when the final phase began, or never
	key        string
	operations int             // on the key, those that say nothing among them
	steps      []register.Step // in the order of calls, after order
	of         []int32         // the operation of each step, by index in the run
	values     int             // all of the steps' are less
	index      *register.Index // of the steps, after order
	needed     []bool          // each step, after order
}

func (h *object) operation(step int32) *history.Operation {
	return &h.run.History.Operations[h.of[step]]
}

// order puts the steps in the order of their calls, indexes them, and finds out
// which are needed.
func (h *object) order() {
	byCall := func(a, b register.Step) int { return cmp.Compare(a.Call, b.Call) }
	if !slices.IsSortedFunc(h.steps, byCall) {
		permutation := make([]int32, len(h.steps))
		for i := range permutation {
			permutation[i] = int32(i)
		}
		slices.SortStableFunc(permutation, func(i, j int32) int { return byCall(h.steps[i], h.steps[j]) })
		*h = *h.only(permutation)
	}
	h.index = register.NewIndex(h.steps, h.values)
	h.findNeeded()
}

// only returns a history of these steps alone, with the values numbered as
// they are.
func (h *object) only(steps []int32) *object {
	o := &object{run: h.run, final: h.final, key: h.key, operations: h.operations, values: h.values}
	o.steps = make([]register.Step, len(steps))
	o.of = make([]int32, len(steps))
	for i, s := range steps {
		o.steps[i], o.of[i] = h.steps[s], h.of[s]
	}
	return o
}

// part returns a history of these steps alone, with as few values as possible,
// and indexed.
func (h *object) part(steps []int32) *object { return h.only(steps).renumbered() }

// renumbered numbers the values anew, and indexes the steps.
func (h *object) renumbered() *object {
	numbers := map[register.Value]register.Value{register.None: register.None, register.Nothing: register.Nothing}
	renumber := func(v register.Value) register.Value {
		number, ok := numbers[v]
		if !ok {
			number = register.Value(len(numbers) - 1)
			numbers[v] = number
		}
		return number
	}
	for i := range h.steps {
		s := &h.steps[i]
		s.From, s.To = renumber(s.From), renumber(s.To)
	}
	h.values = len(numbers) - 1
	h.index = register.NewIndex(h.steps, h.values)
	return h
}

// findNeeded tells of each step whether it is needed, as the package comment
// defines: all are whose outcome is known.
func (h *object) findNeeded() {
	h.needed = make([]bool, len(h.steps))
	var observed []register.Value
	for i := range h.steps {
		s := &h.steps[i]
		h.needed[i] = s.Ret != register.Never
		if h.needed[i] && s.Observes() {
			observed = append(observed, s.From)
		}
	}
	for len(observed) > 0 {
		v := observed[len(observed)-1]
		observed = observed[:len(observed)-1]
		for _, i := range h.index.Writers(v) {
			if s := &h.steps[i]; !h.needed[i] {
				h.needed[i] = true
				if s.Observes() {
					observed = append(observed, s.From)
				}
			}
		}
	}
}

// withoutUnneeded drops the steps that are not needed, unless there are
// refusals that they may serve.
func (h *object) withoutUnneeded() *object {
	var kept []int32
	for i := range h.steps {
		if s := &h.steps[i]; s.Not && len(h.index.Writers(s.From)) > 0 {
			return h
		}
		if h.needed[i] {
			kept = append(kept, int32(i))
		}
	}
	if len(kept) == len(h.steps) {
		return h
	}
	part := h.part(kept)
	part.findNeeded()
	return part
}

// linearizable asks Porcupine about the whole of it.
func (h *object) linearizable(ctx context.Context, memory *court.Memory) (bool, error) {
	transitions := make([]step, len(h.steps))
	for i, s := range h.steps {
		transitions[i] = step(s)
	}
	return court.Linearizable[register.Value](ctx, memory, transitions)
}

// A step is one as Porcupine takes it.
type step register.Step

func (s step) Interval() (call, ret time.Duration) {
	return time.Duration(s.Call), time.Duration(s.Ret)
}

func (s step) Apply(held register.Value) (register.Value, bool) {
	switch {
	case s.From != register.None && (s.From == held) == s.Not:
		return held, s.Ret == register.Never
	case s.To != register.None:
		return s.To, true
	}
	return held, true
}
