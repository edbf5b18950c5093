package checker

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A Call is what a client asked for: the input of a step of a ModelOf.
type Call struct {
	Kind  history.Kind
	Key   string
	Input history.Value
}

// String is the kind and the input.
func (c Call) String() string {
	if c.Input.IsNone() {
		return string(c.Kind)
	}
	return fmt.Sprintf("%s %v", c.Kind, c.Input)
}

// An Answer is what a client learned: the output of a step of a ModelOf.
type Answer struct {
	// Outcome is OK; Fail if the system answered "no", which says something of its
	// state; or Info if nobody knows whether it took effect, and there is no Output.
	// The state after an Info is the one if it did. That it never did, the checker
	// itself takes into account, so the step need not.
	Outcome history.Outcome
	Output  history.Value
}

// String is the output, or else the outcome.
func (a Answer) String() string {
	if a.Outcome == history.OK {
		return fmt.Sprint(a.Output)
	}
	return a.Outcome.String()
}

// ModelOf is a model of a user's own, for histories of any kinds of operations. Its
// Step receives a Call as input and an Answer as output. It must be pure, and is
// called by several goroutines.
//
// Each key is an object of its own, unless the model has a Partition: then that says
// what belongs together. The verdict is Unknown if it leaves operations out. A nondeterministic model is given as its ToModel. The
// verdict is as CheckOperations finds it.
func ModelOf(name string, model porcupine.Model) Model { return modelOf(name, model, nil) }

// ReadOnly is a ModelOf of which it is declared that some operations leave every state
// in which the model accepts them. That makes checks faster, and witnesses smaller. It
// must be true of all states: a put of what is there is no read-only operation. Of a
// nondeterministic model, it is said of each state that there may be.
func (m Model) ReadOnly(declared func(Call, Answer) bool) Model {
	return modelOf(m.name, m.users, declared)
}

func modelOf(name string, model porcupine.Model, declared func(Call, Answer) bool) Model {
	return Model{name: name, users: model, engines: []Engine{Search, Porcupine},
		judge: func(ctx context.Context, run *history.Run, options Options, result *Result) {
			whole, operations := ForPorcupine(model, run.History.Operations)
			partitions, err := partitionsOf(whole, options.Engine, func() ([][]porcupine.Operation, error) {
				parts := whole.Partition(operations)
				if held := len(slices.Concat(parts...)); held < len(operations) {
					return nil, fmt.Errorf("the Partition of the model %s leaves out %d of %d operations, which nobody would judge; have it put each one into a part", name, len(operations)-held, len(operations))
				}
				return parts, nil
			})
			if err != nil {
				result.Verdict, result.Reason = Unknown, err.Error()
				return
			}
			for i := range partitions {
				p := &partitions[i]
				p.run = run
				p.Never = func(output any) bool { return output.(Answer).Outcome == history.Info }
				p.Alike = alike
				if declared != nil {
					p.ReadOnly = func(input, output any) bool { return declared(input.(Call), output.(Answer)) }
				}
				if model.Partition == nil {
					p.key = p.Operations[0].Input.(Call).Key
					p.name = fmt.Sprintf("key %q", p.key)
					p.where = fmt.Sprintf("of key %q, ", p.key)
				}
			}
			result.take(judgePartitions(ctx, partitions, options))
		}}
}

// alike are operations that a model cannot tell apart.
func alike(input, output any) any {
	type effect struct {
		kind               history.Kind
		key, input, output string
		outcome            history.Outcome
	}
	call, answer := input.(Call), output.(Answer)
	return effect{call.Kind, call.Key, fmt.Sprint(call.Input), fmt.Sprint(answer.Output), answer.Outcome}
}

// ForPorcupine turns a history into Porcupine's operations, and a model of it, as
// ModelOf describes it, into one that judges these correctly, by Porcupine alone too:
//
//	legal := porcupine.CheckOperations(checker.ForPorcupine(model, operations))
//
// What failed with an error is left out, for it never took effect. What failed
// without one is an answer. An operation of unknown outcome returns at
// math.MaxInt64, and where the model refuses it, it changes nothing. For it may take
// effect at any moment, or never: in an order in which it never does, it can be put
// at the end, where what becomes of the state matters to nobody. Metadata is the
// *history.Operation.
func ForPorcupine(model porcupine.Model, operations []history.Operation) (porcupine.Model, []porcupine.Operation) {
	var all []porcupine.Operation
	for i := range operations {
		o := &operations[i]
		if o.Outcome == history.Fail && o.Error != "" {
			continue
		}
		made := porcupine.Operation{
			ClientId: o.Process, Call: int64(o.Invoke), Return: int64(o.Complete), Metadata: o,
			Input: Call{o.Kind, o.Key, o.Input}, Output: Answer{o.Outcome, o.Output},
		}
		if o.Outcome == history.Info {
			made.Output, made.Return = Answer{Outcome: history.Info}, math.MaxInt64
		}
		all = append(all, made)
	}
	if step := model.Step; step != nil {
		model.Step = func(state, input, output any) (bool, any) {
			possible, after := step(state, input, output)
			return orNever(output, state, possible, after)
		}
	}
	if step := model.StepContext; step != nil {
		model.StepContext = func(ctx context.Context, state, input, output any) (bool, any) {
			possible, after := step(ctx, state, input, output)
			return orNever(output, state, possible, after)
		}
	}
	if model.Partition == nil {
		model.Partition = partitionByKey
	}
	return model, all
}

// orNever is a step that is possible where its outcome is unknown.
func orNever(output, state any, possible bool, after any) (bool, any) {
	if !possible && output.(Answer).Outcome == history.Info {
		return true, state
	}
	return possible, after
}

func partitionByKey(operations []porcupine.Operation) [][]porcupine.Operation {
	byKey := map[string][]porcupine.Operation{}
	for _, o := range operations {
		key := o.Input.(Call).Key
		byKey[key] = append(byKey[key], o)
	}
	var parts [][]porcupine.Operation
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		parts = append(parts, byKey[key])
	}
	return parts
}
