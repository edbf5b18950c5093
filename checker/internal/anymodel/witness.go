package anymodel

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/search"
)

// witness makes one for a history that no order explains.
//
// A beginning of a legal history is legal, if those that are open at its end may have
// taken effect or not; so one that is illegal is a witness. A search that fails says at
// whose return it did, and that is the end of the shortest.
//
// Of operations it is in general not known which may be left out: what is legal may be
// illegal without one of them. But a read-only one may, since it leaves the state: an
// order without it explains the others. So these are left out, in halves, quarters, and
// so on, as long as a search finds no order for the rest.
//
// What is shown has been confirmed, as it is, by Porcupine or by a search that goes
// another way than the one that found it; if the time does not suffice for that, it is
// the whole history, which has been.
func (o *object) witness(ctx context.Context, bytes uint64) Answer {
	whole := &part{object: o, until: -1}
	for i, span := range o.spans {
		whole.kept = append(whole.kept, i)
		if span.Ret != search.Never && span.Ret > whole.until {
			whole.until, whole.last = span.Ret, i
		}
	}
	best, shortest := whole, false
	if o.refuted < 0 {
		if answer := whole.depthFirst(ctx, search.NewMemory(bytes)); answer.Verdict == search.Invalid {
			o.refuted = answer.Step
		}
	}
	if o.refuted >= 0 {
		beginning := whole.beginning(o.refuted)
		if o.agreed || beginning.confirmed(ctx, bytes) {
			best, shortest = beginning, true
		}
		if fewer, all := beginning.fewest(ctx, bytes); len(fewer.kept) < len(beginning.kept) {
			if fewer.confirmed(ctx, bytes) {
				best, shortest = fewer, all
			} else {
				shortest = false
			}
		}
		shortest = shortest && ctx.Err() == nil
	}
	answer := Answer{Verdict: search.Invalid, Last: o.order[best.last], Shortest: shortest}
	for _, i := range best.kept {
		answer.Witness = append(answer.Witness, Operation{o.order[i], o.spans[i].Ret > best.until})
	}
	return answer
}

// A part is operations of an object that are looked at alone: those called until some
// moment. What had not returned by then may have taken effect or not.
type part struct {
	*object
	kept  []int // by Call
	until int64 // a rank
	last  int   // the operation that returned then
}

// beginning is what of it had been called when an operation returned.
func (p *part) beginning(last int) *part {
	b := &part{object: p.object, until: p.spans[last].Ret, last: last}
	for _, i := range p.kept {
		if p.spans[i].Call <= b.until {
			b.kept = append(b.kept, i)
		}
	}
	return b
}

// spansOf are the intervals of what is kept; what is open at the end has none.
func (p *part) intervals() []search.Operation {
	var spans []search.Operation
	for _, i := range p.kept {
		span := p.spans[i]
		if span.Ret > p.until {
			span.Ret = search.Never
		}
		spans = append(spans, span)
	}
	return spans
}

// depthFirst searches it; the step of the answer is an operation of the object.
func (p *part) depthFirst(ctx context.Context, memory *search.Memory) search.Answer {
	r := p.runner(ctx)
	return p.answer(ctx, r, search.NewDepthFirst(p.only(p.knowing(r)), p.intervals(), memory))
}

// only is a model of the operations that are kept.
func (p *part) only(model search.Model[any]) search.Model[any] {
	step, readOnly := model.Step, model.ReadOnly
	model.Step = func(state any, i int) (any, bool) { return step(state, p.kept[i]) }
	if readOnly != nil {
		model.ReadOnly = func(i int) bool { return readOnly(p.kept[i]) }
	}
	return model
}

func (p *part) answer(ctx context.Context, r *runner, s *search.Search) search.Answer {
	for !s.Run(ctx, math.MaxInt) {
	}
	answer := s.Answer()
	switch {
	case answer.Verdict == search.Invalid && r.stopped != nil:
		return search.Answer{Err: r.stopped}
	case answer.Verdict == search.Invalid:
		answer.Step = p.kept[answer.Step]
	}
	return answer
}

// confirmed reports whether it is illegal, as the breadth-first search or, if that does
// not know, Porcupine says. The depth-first one has said so.
func (p *part) confirmed(ctx context.Context, bytes uint64) bool {
	half, cancel := court.Share(ctx, 2)
	defer cancel()
	r := p.runner(half)
	answer := p.answer(half, r, search.NewGeneric(p.only(r.searched()), p.intervals(), search.NewMemory(bytes)))
	if answer.Verdict != search.Unknown {
		return answer.Verdict == search.Invalid
	}
	explained, err := p.explained(ctx, court.NewMemory(bytes))
	return err == nil && !explained
}

// fewest leaves out read-only operations; all means that no more can be.
func (p *part) fewest(ctx context.Context, bytes uint64) (least *part, all bool) {
	if p.ReadOnly == nil {
		return p, true
	}
	memory := search.NewMemory(bytes)
	without := func(gone []int) *part {
		q := &part{object: p.object, until: p.until, last: p.last}
		q.kept = slices.DeleteFunc(slices.Clone(p.kept), func(i int) bool { return slices.Contains(gone, i) })
		return q
	}
	var candidates []int
	for _, i := range p.kept {
		if p.declared(i) && i != p.last {
			candidates = append(candidates, i)
		}
	}
	all = true
	for size := len(candidates); size > 0; size /= 2 {
		for from := 0; from < len(candidates); {
			to := min(from+size, len(candidates))
			q := without(candidates[from:to])
			if ctx.Err() != nil {
				return p, false
			}
			share, cancel := court.Share(ctx, 8)
			answer := q.depthFirst(share, memory)
			cancel()
			switch {
			case answer.Verdict == search.Invalid:
				p = q
				candidates = slices.Delete(candidates, from, to)
				continue
			case answer.Verdict == search.Unknown:
				all = false
			}
			from = to
		}
	}
	return p, all
}

// A moment is a state of a beginning. Once that is over, anything may happen to the
// operations that were open, and nothing is known of the state.
type moment struct {
	state any
	over  bool
}

// theEnd is the operation that ends a beginning: after all that had returned.
const theEnd = -1

// explained asks Porcupine about it.
func (p *part) explained(ctx context.Context, memory *court.Memory) (bool, error) {
	r := p.runner(ctx)
	initial := r.model.Init()
	if r.incomparable(initial) {
		return false, r.stopped
	}
	model := porcupine.Model{
		Init: func() any { return moment{state: initial} },
		StepContext: func(_ context.Context, state, input, _ any) (bool, any) {
			now, operation := state.(moment), input.(int)
			if now.over || operation == theEnd {
				return true, moment{over: true}
			}
			after, possible := r.certain(now.state, operation)
			return possible, moment{state: after}
		},
		Equal: func(a, b any) bool {
			one, other := a.(moment), b.(moment)
			return one.over == other.over && (one.over || r.model.Equal(one.state, other.state))
		},
	}
	if p.hash != nil {
		model.Hash = func(state any) uint64 {
			if now := state.(moment); !now.over {
				return p.hash(now.state)
			}
			return 0
		}
	}
	var operations []porcupine.Operation
	for _, i := range p.kept {
		span := p.spans[i]
		operations = append(operations, porcupine.Operation{Input: i, Call: span.Call, Return: min(span.Ret, p.until+1)})
	}
	operations = append(operations, porcupine.Operation{Input: theEnd, Call: p.until + 1, Return: p.until + 1})
	explained, err := court.Ask(ctx, memory, model, operations, func(state any) int { return r.sizes.Estimate(state.(moment).state) })
	return explained, cmp.Or(err, r.stopped)
}
