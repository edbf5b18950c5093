package checker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/anymodel"
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
// The engine is Search, which is two searches, or Porcupine; the default is both, side by
// side on two processors. What one of them finds to be valid is. Invalid is what
// Porcupine says is, or both searches.
//
// # The witness
//
// The witness is the shortest beginning of the history that no order explains: the
// operations called until some return. Those that were open then may have taken effect
// or not. Where Options.ReadOnly declares operations, those of them are left out that
// are not needed. Budget.Witness bounds the time for that; what is shown when it ends is
// NotShortest.
//
// A Violation shows the last thousand operations of it. Their Kind is what the
// model's DescribeOperation says of them, their times are Call and Return, and
// those that were open have the outcome info.
//
// What states hold in memory is measured of a few, and estimated of the others.
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
	result := Result{
		Version: resultVersion, Verdict: Valid, Model: "porcupine.Model",
		Statistics: statistics.Statistics{Operations: count, OK: count},
	}
	if parts, err := partitionsOf(model, options.Engine, split); err != nil {
		result.Verdict, result.Reason = Unknown, err.Error()
	} else {
		for i := range parts {
			parts[i].ReadOnly, parts[i].Never = options.ReadOnly, options.Unknown
		}
		result.take(judgePartitions(ctx, parts, options))
	}
	result.Violations = foremost(result.Violations)
	if count == 0 {
		result.Vacuous = "There are no operations."
	}
	result.AsClaimed = conformance(history.Claim{}, &result)
	result.Took = time.Since(began)
	return result
}

// A partition is of a history of any model.
type partition struct {
	anymodel.Problem
	key   string
	name  string       // for people
	where string       // it is, for a sentence; empty if there is no other
	run   *history.Run // whose operations they are; nil if they are none of a history
}

func partitionsOf(model porcupine.Model, engine Engine, split func() ([][]porcupine.Operation, error)) ([]partition, error) {
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
	if model.DescribeOperation == nil {
		model.DescribeOperation = func(input, output any) string { return fmt.Sprintf("%v -> %v", input, output) }
	}
	partitions := make([]partition, len(parts))
	for i, operations := range parts {
		for _, o := range operations {
			if o.Return < o.Call {
				return nil, fmt.Errorf("the operation of client %d that is called at %d returns at %d, which is earlier", o.ClientId, o.Call, o.Return)
			}
		}
		partitions[i].Problem = anymodel.Problem{Model: model, Operations: operations}
		partitions[i].key = fmt.Sprint(i + 1)
		partitions[i].name = "partition " + partitions[i].key
		if len(parts) > 1 {
			partitions[i].where = fmt.Sprintf("in partition %d of %d, ", i+1, len(parts))
		}
	}
	return partitions, nil
}

// Why an engine decided a partition.
const whySideBySide = "two searches and Porcupine, side by side"

func judgePartitions(ctx context.Context, partitions []partition, options Options) *model.Answer {
	found := model.NewAnswer()
	found.Keys = len(partitions)
	problems := make([]anymodel.Problem, len(partitions))
	for i, p := range partitions {
		problems[i] = p.Problem
	}
	who, engine, why := anymodel.All, model.Search, whySideBySide
	switch options.Engine {
	case Search:
		who, why = anymodel.Searches, model.Asked
	case Porcupine:
		who, engine, why = anymodel.Porcupine, model.Porcupine, model.Asked
	}
	budget := options.Budget.court()
	answers := anymodel.Judge(ctx, problems, who, anymodel.Budget{Budget: budget, Witness: options.Budget.Witness})
	for i, answer := range answers {
		p := &partitions[i]
		found.Decided(engine, why, p.key)
		switch answer.Verdict {
		case search.Invalid:
			found.KeysInvalid++
			found.First = min(found.First, time.Duration(p.Operations[answer.Last].Return))
			found.Violations = append(found.Violations, p.violation(answer))
		case search.Unknown:
			found.KeysUnknown++
			found.Reason = cmp.Or(found.Reason, court.Exhausted(answer.Err, p.name, len(p.Operations), budget))
		}
	}
	return found
}

// violation tells of operations that no order explains.
func (p *partition) violation(answer anymodel.Answer) anomaly.Violation {
	v := anomaly.Violation{Anomaly: anomaly.Disorder, NotShortest: !answer.Shortest}
	if p.where != "" {
		v.Key = p.key
	}
	others, open := -1, 0
	for place, o := range answer.Witness {
		if o.Open {
			open++
		} else {
			others++
		}
		if place < len(answer.Witness)-model.MaxWitness {
			continue
		}
		shown := p.shown(o.Index)
		if o.Open {
			shown.Outcome = history.Info
		}
		v.Witness = append(v.Witness, shown)
	}
	v.Sentence = fmt.Sprintf("%sno order explains p%d's %s%s", p.where, p.Operations[answer.Last].ClientId, p.describe(answer.Last), p.when(answer.Last))
	if others > 0 {
		v.Sentence += fmt.Sprintf(" together with %s that had returned by then", sentence.Several(others, "operation"))
	}
	if open > 0 {
		v.Sentence += fmt.Sprintf(", whatever became of %s that had not", sentence.Several(open, "operation"))
	}
	if o := p.recorded(answer.Last); o != nil {
		v.Sentence += sentence.Faults(p.run, sentence.SpanOf(o), o.Node)
	}
	v.Sentence += "."
	if v.NotShortest {
		v.Sentence += " Fewer operations may suffice to show it; the time did not suffice to find them."
	}
	return v
}

// recorded is an operation as the history has it; nil if it is none of one.
func (p *partition) recorded(operation int) *history.Operation {
	if p.run == nil {
		return nil
	}
	o, _ := p.Operations[operation].Metadata.(*history.Operation)
	return o
}

// shown is an operation for a witness.
func (p *partition) shown(operation int) history.Operation {
	if recorded := p.recorded(operation); recorded != nil {
		return *recorded
	}
	o := p.Operations[operation]
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
	o := p.Operations[operation]
	return fmt.Sprintf(" from %d to %s", o.Call, clock(o.Return))
}

func (p *partition) describe(operation int) string {
	o := p.Operations[operation]
	return p.Model.DescribeOperation(o.Input, o.Output)
}

// clock is a time of any unit.
func clock(t int64) string {
	if t == math.MaxInt64 {
		return "the end"
	}
	return fmt.Sprint(t)
}
