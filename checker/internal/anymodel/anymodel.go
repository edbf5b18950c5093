// Package anymodel decides histories of any model, which is Porcupine's. It returns a
// plain answer, with a witness, and tells nothing.
//
// # Who decides
//
// Two searches go different ways, side by side on two processors, and share no code but
// that of the model: one depth first, as Porcupine does, and where it does, but in smaller
// steps (search.NewDepthFirst); and one breadth first (search.NewGeneric). An order that
// one of them finds is one. That there is none, both must say, or Porcupine, which is asked
// about the whole history once the depth-first search finds none. Two that contradict each
// other make no verdict.
//
// Before that, each history is searched alone for half a millisecond, which suffices for
// most.
package anymodel

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"reflect"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/search"
)

// A Problem is a history of one object, and its model.
type Problem struct {
	Model      porcupine.Model
	Operations []porcupine.Operation
	// ReadOnly declares of operations that they leave every state that accepts them;
	// nil if nothing is known of any. An answer of unknown outcome is among these, if
	// it is declared.
	ReadOnly func(input, output any) bool
	// Never reports of an output that the operation may not have taken effect, and
	// never does; nil if all of them do.
	Never func(output any) bool
	// Alike is of two operations the same comparable value if the model cannot tell
	// them apart; nil if that is what == says of their inputs and outputs.
	Alike func(input, output any) any
}

// An Answer is what was found of a problem.
type Answer struct {
	Verdict search.Verdict
	// Err says why the verdict is Unknown.
	Err error
	// Witness are operations that no order explains, by Call; Last is the index in
	// Problem.Operations of the one that returned last.
	Witness []Operation
	Last    int
	// Shortest means that there is no shorter beginning that no order explains, and
	// that no read-only operation may be left out; otherwise the time did not suffice
	// to know.
	Shortest bool
}

// An Operation is one of a witness.
type Operation struct {
	Index int  // in Problem.Operations
	Open  bool // it may have taken effect or not
}

// Who decides.
type Who uint8

const (
	All       Who = iota
	Searches      // both, and they need to agree
	Porcupine     // alone
)

// A Budget bounds Judge. Once a problem is known to be invalid, Witness is the time for the
// other problems, and after that again for witnesses: 0 is as long as the verdict took,
// and at least a second; if it is negative, the others are left unknown, and a witness is
// the whole history.
type Budget struct {
	court.Budget
	Witness time.Duration
}

// minDetails is the time for details, however fast the verdict was.
const minDetails = time.Second

// Judge decides problems, several at the same time. The context bounds the verdicts. No
// goroutine outlives the call.
func Judge(ctx context.Context, problems []Problem, who Who, budget Budget) []Answer {
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, budget.Time)
	objects := make([]*object, len(problems))
	court.Parallel(len(problems), func(i int) { objects[i] = newObject(problems[i]) })
	newRace(who, objects, budget.MemoryBytes, budget.Witness).run(bounded)
	cancel()
	if budget.Witness == 0 {
		budget.Witness = max(minDetails, time.Since(began))
	}
	bounded, cancel = context.WithTimeout(ctx, max(0, budget.Witness))
	defer cancel()
	answers := make([]Answer, len(objects))
	for i, o := range objects {
		answers[i] = Answer{Verdict: o.verdict, Err: o.err}
		if o.verdict == search.Invalid {
			share, cancel := court.Share(bounded, len(objects)-i)
			answers[i] = o.witness(share, budget.MemoryBytes)
			cancel()
		}
	}
	return answers
}

// An object is a problem, prepared.
type object struct {
	Problem
	model porcupine.Model // with StepContext and Equal
	// hash is of states; nil if they have none.
	hash       func(any) uint64
	shallow    bool                  // states are compared by ==
	order      []int                 // of each operation, by Call: its index in Problem
	operations []porcupine.Operation // by Call
	spans      []search.Operation    // of each: its interval, by the ranks of the times

	// What the race finds.
	verdict search.Verdict
	err     error
	// refuted is the operation at whose return no order was left; -1 if nobody knows.
	refuted int
	agreed  bool // both searches say so
}

func newObject(problem Problem) *object {
	o := &object{Problem: problem, model: problem.Model, hash: problem.Model.Hash, shallow: problem.Model.Equal == nil, refuted: -1}
	if o.model.StepContext == nil {
		o.model.StepContext = func(_ context.Context, state, input, output any) (bool, any) {
			return problem.Model.Step(state, input, output)
		}
	}
	if o.shallow {
		o.model.Equal = func(a, b any) bool { return a == b }
		if o.hash == nil {
			seed := maphash.MakeSeed()
			o.hash = func(state any) uint64 { return maphash.Comparable(seed, state) }
		}
	}
	all := problem.Operations
	o.order = make([]int, len(all))
	for i := range o.order {
		o.order[i] = i
	}
	slices.SortStableFunc(o.order, func(a, b int) int { return cmp.Compare(all[a].Call, all[b].Call) })
	// Ranks have room for one more time, and are not math.MaxInt64, which means
	// something else to a search.
	times := make([]int64, 0, 2*len(all))
	for _, i := range o.order {
		o.operations = append(o.operations, all[i])
		times = append(times, all[i].Call, all[i].Return)
	}
	slices.Sort(times)
	times = slices.Compact(times)
	rank := func(t int64) int64 {
		i, _ := slices.BinarySearch(times, t)
		return int64(i)
	}
	for _, made := range o.operations {
		span := search.Operation{Call: rank(made.Call), Ret: rank(made.Return)}
		if o.Never != nil && o.Never(made.Output) {
			span.Ret = search.Never
		}
		o.spans = append(o.spans, span)
	}
	return o
}

// A runner takes steps of an object's model, until its context ends. It is for one
// goroutine.
type runner struct {
	*object
	ctx context.Context
	// stopped says why every step is refused since; what was found is then worth
	// nothing, unless it is an order.
	stopped    error
	sizes      court.Sizes
	comparable reflect.Type // of a state that == could compare, as it can all of this type
}

func (o *object) runner(ctx context.Context) *runner { return &runner{object: o, ctx: ctx} }

// step takes an operation's, unless it has to stop, as it does if the model panics.
func (r *runner) step(state any, operation int) (after any, possible bool) {
	if r.stopped != nil {
		return nil, false
	}
	o := &r.operations[operation]
	defer func() {
		if problem := recover(); problem != nil {
			r.stopped = court.Reason(fmt.Sprintf("the model's step panicked, of %v -> %v in the state %v: %v", o.Input, o.Output, state, problem))
			after, possible = nil, false
		}
	}()
	possible, after = r.model.StepContext(r.ctx, state, o.Input, o.Output)
	if err := r.ctx.Err(); err != nil { // it may have been interrupted
		r.stopped = err
		return nil, false
	}
	return after, possible && !r.incomparable(after)
}

// certain is step as Porcupine takes it: for it, all operations take effect. One of unknown
// outcome that never did is put at the end, where the state matters to nobody; so where
// it is not possible, it changes nothing.
func (r *runner) certain(state any, operation int) (any, bool) {
	after, possible := r.step(state, operation)
	if !possible && r.stopped == nil && r.spans[operation].Ret == search.Never {
		return state, true
	}
	return after, possible
}

// incomparable states make it stop.
func (r *runner) incomparable(state any) bool {
	if !r.shallow {
		return false
	}
	is := reflect.TypeOf(state)
	if is == r.comparable {
		return false
	}
	if state != nil && !reflect.ValueOf(state).Comparable() {
		r.stopped = court.Reason(fmt.Sprintf("the model has a state of type %T, which == cannot compare; give the model an Equal", state))
		return true
	}
	if plain(is) {
		r.comparable = is
	}
	return false
}

// plain: == compares all values of the type, and equal ones are the same. Interfaces may
// hold anything, and there are two zeros that are equal, and whose inverses are not.
func plain(t reflect.Type) bool {
	if t == nil {
		return false
	}
	switch t.Kind() {
	case reflect.Interface, reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Array:
		return plain(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !plain(t.Field(i).Type) {
				return false
			}
		}
	}
	return t.Comparable()
}

// searched is the model for a search.
func (r *runner) searched() search.Model[any] {
	initial := r.model.Init()
	if r.incomparable(initial) {
		initial = nil // any will do: no step is taken
	}
	return search.Model[any]{
		Init: initial, Step: r.step, Equal: r.model.Equal, Hash: r.hash, Bytes: r.sizes.Estimate,
	}
}

// declared is which operations are read-only.
func (o *object) declared(operation int) bool {
	return o.ReadOnly(o.operations[operation].Input, o.operations[operation].Output)
}

// classes numbers the operations so that equal numbers are of equal operations.
func (o *object) classes() []int32 {
	type effect struct{ input, output any }
	numbers := map[any]int32{}
	exact := map[reflect.Type]bool{}
	isExact := func(v any) bool {
		t := reflect.TypeOf(v)
		known, ok := exact[t]
		if !ok {
			known = t == nil || plain(t)
			exact[t] = known
		}
		return known
	}
	classes := make([]int32, len(o.operations))
	for i, made := range o.operations {
		var key any = i
		switch {
		case o.Alike != nil:
			key = o.Alike(made.Input, made.Output)
		case isExact(made.Input) && isExact(made.Output):
			key = effect{made.Input, made.Output}
		}
		number, ok := numbers[key]
		if !ok {
			number = int32(len(numbers))
			numbers[key] = number
		}
		classes[i] = number
	}
	return classes
}
