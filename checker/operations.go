package checker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"reflect"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/search"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// CheckOperations judges a history by any model: both are Porcupine's, and are
// taken as they are. The verdict is the one that porcupine.CheckOperations would
// come to. Intervals are closed. Every operation took effect, with the output that
// it has, at a moment between its Call and its Return; if that is math.MaxInt64, as
// is usual for one of unknown outcome, at any moment after its Call, and it is for
// the model to accept every output of it.
//
// Partitions, as the model makes them, are the result's keys, numbered from 1.
// Several are decided at the same time, so the model's functions are called by
// several goroutines; they must be pure. One that panics ends the program, as it
// does with Porcupine. A StepContext is told when the time is over; a Step that
// does not come back cannot be stopped.
//
// The engine is Search or Porcupine; the default is Porcupine for a quarter of the
// time, since it is lucky where an order is easy to find, and then Search, in which
// all partitions take turns.
//
// # The witness
//
// Of any model it is not known which operations may be left out of a history: one
// that is legal may be illegal without some of them. But a beginning of a legal
// history is legal, if those that are open at its end may have taken effect or not.
// So the witness is a beginning that is not, and the shortest that the budget
// allows to find: the operations called until some return. Porcupine is asked about
// it alone, and if the budget does not suffice for it to agree, the verdict is
// Unknown.
//
// A Violation shows the last thousand operations of it. Their Kind is what the
// model's DescribeOperation says of them, their times are Call and Return, and
// those that were open have the outcome info.
//
// # Budget
//
// A quarter of what the first attempt leaves is kept for witnesses. What states hold in memory is
// measured of a few, and estimated of the others.
func CheckOperations(ctx context.Context, model porcupine.Model, operations []porcupine.Operation, options Options) Result {
	return checkPartitions(ctx, model, len(operations), options, func() ([][]porcupine.Operation, error) {
		if model.Partition == nil {
			return [][]porcupine.Operation{operations}, nil
		}
		return model.Partition(operations), nil
	})
}

// CheckEvents is CheckOperations of a history of events, as porcupine.CheckEvents
// is: the place of an event is its time. Every call must have a return.
func CheckEvents(ctx context.Context, model porcupine.Model, events []porcupine.Event, options Options) Result {
	return checkPartitions(ctx, model, len(events)/2, options, func() ([][]porcupine.Operation, error) {
		parts := [][]porcupine.Event{events}
		if model.PartitionEvent != nil {
			parts = model.PartitionEvent(events)
		}
		var all [][]porcupine.Operation
		for _, part := range parts {
			operations, err := pairEvents(part)
			if err != nil {
				return nil, err
			}
			all = append(all, operations)
		}
		return all, nil
	})
}

// pairEvents makes an operation of each call and its return.
func pairEvents(events []porcupine.Event) ([]porcupine.Operation, error) {
	var operations []porcupine.Operation
	open := map[int]int{} // by Id, an index of operations; -1 once it has returned
	for at, e := range events {
		i, known := open[e.Id]
		switch {
		case e.Kind == porcupine.CallEvent && known:
			return nil, fmt.Errorf("event %d calls %d, which another has called; give each operation an Id of its own", at, e.Id)
		case e.Kind == porcupine.CallEvent:
			open[e.Id] = len(operations)
			operations = append(operations, porcupine.Operation{ClientId: e.ClientId, Input: e.Value, Call: int64(at), Return: -1})
		case !known || i < 0:
			return nil, fmt.Errorf("event %d returns %d, which is not open; a call must come first, and return once", at, e.Id)
		default:
			open[e.Id] = -1
			operations[i].Output, operations[i].Return = e.Value, int64(at)
		}
	}
	for _, o := range operations {
		if o.Return < 0 {
			return nil, fmt.Errorf("event %d is a call that never returns; if its outcome is unknown, let it return at the end, with an output that the model always accepts", o.Call)
		}
	}
	return operations, nil
}

func checkPartitions(ctx context.Context, model porcupine.Model, count int, options Options, split func() ([][]porcupine.Operation, error)) Result {
	began := time.Now()
	options.Budget = options.Budget.orDefault()
	ctx, cancel := context.WithTimeout(ctx, options.Budget.Time)
	defer cancel()

	result := Result{
		Version: resultVersion, Verdict: Valid, Model: "porcupine.Model",
		Statistics: statistics.Statistics{Operations: count, OK: count},
	}
	if partitions, err := newPartitions(model, options.Engine, split); err != nil {
		result.Verdict, result.Reason = Unknown, err.Error()
	} else {
		result.take(judgePartitions(ctx, partitions, options))
	}
	result.Violations = foremost(result.Violations)
	if count == 0 {
		result.Vacuous = "There are no operations."
	}
	result.AsClaimed = conformance(history.Claim{}, &result)
	result.Took = time.Since(began)
	return result
}

func newPartitions(model porcupine.Model, engine Engine, split func() ([][]porcupine.Operation, error)) ([]*partition, error) {
	switch {
	case engine != "" && engine != Search && engine != Porcupine:
		return nil, fmt.Errorf("the engine %q cannot decide Porcupine's models; use %q, %q, or none", engine, Search, Porcupine)
	case model.Init == nil || model.Step == nil && model.StepContext == nil:
		return nil, errors.New("the model lacks Init, or both of Step and StepContext; it needs one of these")
	}
	parts, err := split()
	if err != nil {
		return nil, err
	}
	partitions := make([]*partition, len(parts))
	for i, operations := range parts {
		for _, o := range operations {
			if o.Return < o.Call {
				return nil, fmt.Errorf("the operation of client %d that is called at %d returns at %d, which is earlier", o.ClientId, o.Call, o.Return)
			}
		}
		partitions[i] = newPartition(model, operations, fmt.Sprint(i+1))
		if len(parts) > 1 {
			partitions[i].where = fmt.Sprintf("in partition %d of %d, ", i+1, len(parts))
		}
	}
	return partitions, nil
}

func judgePartitions(ctx context.Context, partitions []*partition, options Options) *model.Answer {
	answer := model.NewAnswer()
	answer.Keys = len(partitions)
	memory := court.NewMemory(options.Budget.MemoryBytes)
	why := model.Asked
	if options.Engine == "" {
		why = "Porcupine did not find an order at once"
		attempt(ctx, memory, partitions)
	}
	if options.Engine != Porcupine {
		searchPartitions(ctx, partitions, options.Budget)
	}
	for i, p := range partitions {
		share, cancel := court.Share(ctx, len(partitions)-i)
		var refuted *beginning
		var err error
		switch {
		case p.attempted == search.Valid:
			answer.Decided(model.Porcupine, "an order was found at once", p.key)
		case options.Engine == Porcupine:
			answer.Decided(model.Porcupine, why, p.key)
			refuted, err = p.byPorcupine(share, memory)
		default:
			answer.Decided(model.Search, why, p.key)
			refuted, err = p.bySearch(share, memory)
		}
		cancel()
		switch {
		case refuted != nil:
			answer.KeysInvalid++
			answer.First = min(answer.First, time.Duration(p.operations[refuted.last].Return))
			answer.Violations = append(answer.Violations, p.violation(refuted))
		case err != nil:
			answer.KeysUnknown++
			answer.Reason = cmp.Or(answer.Reason, court.Exhausted(err, "partition "+p.key, len(p.operations), court.Budget(options.Budget)))
		}
	}
	return answer
}

// attempt asks Porcupine about each partition, for a quarter of the time. Where
// there is an order, depth first is often lucky; where there is none, or luck
// fails, a search that goes through the history only once is faster.
func attempt(ctx context.Context, memory *court.Memory, partitions []*partition) {
	ctx, cancel := court.Share(ctx, 4)
	defer cancel()
	court.Parallel(len(partitions), func(i int) {
		share, cancel := court.Share(ctx, len(partitions)-i)
		defer cancel()
		p := partitions[i]
		explained, err := p.explained(share, memory, p.whole().until)
		switch {
		case err != nil:
		case explained:
			p.attempted = search.Valid
		default:
			p.attempted = search.Invalid
		}
	})
}

// searchPartitions searches those that are left, and leaves a quarter of the time.
func searchPartitions(ctx context.Context, partitions []*partition, budget Budget) {
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeout(ctx, time.Until(deadline)*3/4)
	defer cancel()
	memory := search.NewMemory(budget.MemoryBytes)
	var left []*partition
	var searches []*search.Search
	for _, p := range partitions {
		if p.attempted != search.Valid {
			left, searches = append(left, p), append(searches, p.search(ctx, memory))
		}
	}
	court.Dovetail(ctx, searches)
	for i, p := range left {
		p.searched = searches[i].Answer()
	}
}

// A partition is a history of one object, and its model. It is used by one
// goroutine at a time.
type partition struct {
	key        string
	where      string                // it is, for a sentence; empty if there is no other
	run        *history.Run          // whose operations they are; nil if they are none of a history
	model      porcupine.Model       // with StepContext, Equal and Hash, but for a Hash that its own Equal lacks
	operations []porcupine.Operation // by Call
	spans      []search.Operation    // of each: its interval, by the ranks of the times
	shallow    bool                  // states are compared by ==
	// stopped says why the model has refused every step since; what was found is
	// then worth nothing, unless it is an order.
	stopped error
	sizes   court.Sizes
	// attempted is what Porcupine found at once of the whole, searched the search.
	attempted search.Verdict
	searched  search.Answer
}

func newPartition(model porcupine.Model, operations []porcupine.Operation, key string) *partition {
	p := &partition{key: key, model: model, shallow: model.Equal == nil}
	p.operations = slices.SortedStableFunc(slices.Values(operations), func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	if model.StepContext == nil {
		p.model.StepContext = func(_ context.Context, state, input, output any) (bool, any) { return model.Step(state, input, output) }
	}
	if p.shallow {
		p.model.Equal = func(a, b any) bool { return a == b }
		if model.Hash == nil {
			seed := maphash.MakeSeed()
			p.model.Hash = func(state any) uint64 { return maphash.Comparable(seed, state) }
		}
	}
	if model.DescribeOperation == nil {
		p.model.DescribeOperation = func(input, output any) string { return fmt.Sprintf("%v -> %v", input, output) }
	}
	// Ranks have room for one more time, and are not math.MaxInt64, which means
	// something else to a search.
	var times []int64
	for _, o := range operations {
		times = append(times, o.Call, o.Return)
	}
	slices.Sort(times)
	times = slices.Compact(times)
	rank := func(t int64) int64 {
		i, _ := slices.BinarySearch(times, t)
		return int64(i)
	}
	for _, o := range p.operations {
		p.spans = append(p.spans, search.Operation{Call: rank(o.Call), Ret: rank(o.Return)})
	}
	return p
}

// step takes an operation's, unless it has to stop.
func (p *partition) step(ctx context.Context, state any, operation int) (any, bool) {
	p.stopped = cmp.Or(p.stopped, ctx.Err())
	if p.stopped != nil {
		return nil, false
	}
	o := &p.operations[operation]
	possible, after := p.model.StepContext(ctx, state, o.Input, o.Output)
	if err := ctx.Err(); err != nil { // it may have been interrupted
		p.stopped = err
		return nil, false
	}
	if possible && p.incomparable(after) {
		return nil, false
	}
	return after, possible
}

// incomparable states make it stop.
func (p *partition) incomparable(state any) bool {
	if !p.shallow || reflect.ValueOf(state).Comparable() {
		return false
	}
	p.stopped = court.Reason(fmt.Sprintf("the model has a state of type %T, which == cannot compare; give the model an Equal", state))
	return true
}

// search returns one for an order of all operations.
func (p *partition) search(ctx context.Context, memory *search.Memory) *search.Search {
	p.stopped = nil
	initial := p.model.Init()
	if p.incomparable(initial) {
		initial = nil // any will do: no step is taken
	}
	return search.NewGeneric(search.Model[any]{
		Init:  initial,
		Step:  func(state any, i int) (any, bool) { return p.step(ctx, state, i) },
		Equal: p.model.Equal,
		Hash:  p.model.Hash,
		Bytes: p.sizes.Estimate,
	}, p.spans, memory)
}

// A beginning is what had been called until some moment.
type beginning struct {
	until int64 // the rank of the moment
	last  int   // an operation that returned then
}

// whole is all of it.
func (p *partition) whole() *beginning {
	b := &beginning{until: -1}
	for i, span := range p.spans {
		if span.Ret > b.until {
			b.until, b.last = span.Ret, i
		}
	}
	return b
}

// bySearch asks Porcupine about the beginning in which a search found no order. If
// it does not know, it may have known of the whole.
func (p *partition) bySearch(ctx context.Context, memory *court.Memory) (*beginning, error) {
	err := cmp.Or(p.stopped, p.searched.Err)
	switch {
	case p.searched.Verdict == search.Valid && p.attempted == search.Invalid:
		return nil, court.ErrDisagree
	case p.searched.Verdict == search.Valid:
		return nil, nil
	case err == nil:
		b := &beginning{p.spans[p.searched.Step].Ret, p.searched.Step}
		var explained bool
		explained, err = p.explained(ctx, memory, b.until)
		switch {
		case err == nil && explained:
			return nil, court.ErrDisagree
		case err == nil:
			return b, nil
		}
		err = court.ErrUnconfirmed
	}
	if p.attempted == search.Invalid {
		return p.whole(), nil
	}
	return nil, err
}

// byPorcupine asks Porcupine about the whole, and then for a short beginning.
func (p *partition) byPorcupine(ctx context.Context, memory *court.Memory) (*beginning, error) {
	returns := make([]int, len(p.spans))
	for i := range returns {
		returns[i] = i
	}
	slices.SortStableFunc(returns, func(i, j int) int { return cmp.Compare(p.spans[i].Ret, p.spans[j].Ret) })
	refuted := func(n int) (bool, error) {
		explained, err := p.explained(ctx, memory, p.spans[returns[n]].Ret)
		return err == nil && !explained, err
	}
	if len(returns) == 0 {
		return nil, nil
	}
	if no, err := refuted(len(returns) - 1); !no {
		return nil, err
	}
	// If the time does not suffice for one, a longer one that was refuted is left.
	shortest := sort.Search(len(returns)-1, func(n int) bool {
		no, _ := refuted(n)
		return no
	})
	return &beginning{p.spans[returns[shortest]].Ret, returns[shortest]}, nil
}

// A moment is a state of a history's beginning. Once that is over, anything may
// happen to the operations that were open, and nothing is known of the state.
type moment struct {
	state any
	over  bool
}

// theEnd is the operation that ends a beginning: after all that had returned.
const theEnd = -1

// explained asks Porcupine about a beginning.
func (p *partition) explained(ctx context.Context, memory *court.Memory, until int64) (bool, error) {
	p.stopped = nil
	initial := p.model.Init()
	if p.incomparable(initial) {
		return false, p.stopped
	}
	model := porcupine.Model{
		Init: func() any { return moment{state: initial} },
		StepContext: func(ctx context.Context, state, input, _ any) (bool, any) {
			now, operation := state.(moment), input.(int)
			if now.over || operation == theEnd {
				return true, moment{over: true}
			}
			after, possible := p.step(ctx, now.state, operation)
			return possible, moment{state: after}
		},
		Equal: func(a, b any) bool {
			one, other := a.(moment), b.(moment)
			return one.over == other.over && (one.over || p.model.Equal(one.state, other.state))
		},
	}
	if p.model.Hash != nil {
		model.Hash = func(state any) uint64 {
			if now := state.(moment); !now.over {
				return p.model.Hash(now.state)
			}
			return 0
		}
	}
	operations, open := []porcupine.Operation{}, 0
	for i, span := range p.spans {
		if span.Call > until {
			break
		}
		if span.Ret > until {
			open++
			span.Ret = until + 1
		}
		operations = append(operations, porcupine.Operation{Input: i, Call: span.Call, Return: span.Ret})
	}
	if open > 0 {
		operations = append(operations, porcupine.Operation{Input: theEnd, Call: until + 1, Return: until + 1})
	}
	explained, err := court.Ask(ctx, memory, model, operations, func(state any) int { return p.sizes.Estimate(state.(moment).state) })
	return explained, cmp.Or(err, p.stopped)
}

// violation tells of a beginning that no order explains.
func (p *partition) violation(b *beginning) anomaly.Violation {
	v := anomaly.Violation{Anomaly: anomaly.Disorder}
	if p.where != "" {
		v.Key = p.key
	}
	var witness []int
	for i, span := range p.spans {
		if span.Call <= b.until {
			witness = append(witness, i)
		}
	}
	returned := func(i int) bool { return p.spans[i].Ret <= b.until }
	others, open := -1, 0
	for _, i := range witness {
		if returned(i) {
			others++
		} else {
			open++
		}
	}
	for _, i := range witness[max(0, len(witness)-model.MaxWitness):] {
		shown := p.shown(i)
		if !returned(i) {
			shown.Outcome = history.Info
		}
		v.Witness = append(v.Witness, shown)
	}
	last := p.operations[b.last]
	v.Sentence = fmt.Sprintf("%sno order explains p%d's %s%s", p.where, last.ClientId, p.describe(b.last), p.when(b.last))
	if others > 0 {
		v.Sentence += fmt.Sprintf(" together with %s that had returned by then", sentence.Several(others, "operation"))
	}
	if open > 0 {
		v.Sentence += fmt.Sprintf(", whatever became of %s that had not", sentence.Several(open, "operation"))
	}
	if o := p.recorded(b.last); o != nil {
		v.Sentence += sentence.Faults(p.run, sentence.SpanOf(o), o.Node)
	}
	v.Sentence += "."
	return v
}

// recorded is an operation as the history has it; nil if it is none of one.
func (p *partition) recorded(operation int) *history.Operation {
	if p.run == nil {
		return nil
	}
	o, _ := p.operations[operation].Metadata.(*history.Operation)
	return o
}

// shown is an operation for a witness.
func (p *partition) shown(operation int) history.Operation {
	if recorded := p.recorded(operation); recorded != nil {
		return *recorded
	}
	o := p.operations[operation]
	shown := history.Operation{
		Process: o.ClientId, Kind: history.Kind(p.describe(operation)),
		Invoke: time.Duration(o.Call), Complete: time.Duration(o.Return), Outcome: history.OK,
	}
	if p.where != "" {
		shown.Key = p.key
	}
	return shown
}

// when is " from 3 to 7", or the times of a history, and the node.
func (p *partition) when(operation int) string {
	if recorded := p.recorded(operation); recorded != nil {
		return sentence.Through(recorded) + sentence.Teller{Run: p.run}.When(recorded, recorded.Complete)
	}
	o := p.operations[operation]
	return fmt.Sprintf(" from %d to %s", o.Call, clock(o.Return))
}

func (p *partition) describe(operation int) string {
	o := p.operations[operation]
	return p.model.DescribeOperation(o.Input, o.Output)
}

// clock is a time of any unit.
func clock(t int64) string {
	if t == math.MaxInt64 {
		return "the end"
	}
	return fmt.Sprint(t)
}
