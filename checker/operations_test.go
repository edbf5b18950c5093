package checker

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/checker/internal/corpus"

	"github.com/rashomon-io/rashomon/checker/anomaly"
)

// A call is what the example models take; what it returns is an int.
type call struct {
	name  string
	key   string
	value int
}

func (c call) String() string { return strings.TrimSpace(fmt.Sprint(c.name, " ", c.key)) }

// unknown is the output of an operation of unknown outcome.
const unknown = -2

func unanswered(output any) bool { return output == unknown }

// theRegister has states that == compares, and no Equal.
var theRegister = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		if c := input.(call); c.name == "write" {
			return true, c.value
		}
		return output == unknown || output == state, state
	},
}

// theQueue has states that == cannot compare; its Hash is poor.
var theQueue = porcupine.Model{
	Init: func() any { return []int(nil) },
	Step: func(state, input, output any) (bool, any) {
		held, c := state.([]int), input.(call)
		switch {
		case c.name == "enqueue":
			return true, append(slices.Clip(held), c.value)
		case len(held) == 0:
			return output == unknown || output == -1, held
		}
		return output == unknown || output == held[0], held[1:]
	},
	Equal: func(a, b any) bool { return slices.Equal(a.([]int), b.([]int)) },
	Hash:  func(state any) uint64 { return uint64(len(state.([]int))) },
}

// theCounters are counters by key; to add returns what was there before.
var theCounters = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		return output == unknown || output == state, state.(int) + input.(call).value
	},
	Partition: func(operations []porcupine.Operation) [][]porcupine.Operation {
		return byKey(operations, func(o porcupine.Operation) string { return o.Input.(call).key })
	},
	PartitionEvent: func(events []porcupine.Event) [][]porcupine.Event {
		keys := map[int]string{}
		for _, e := range events {
			if e.Kind == porcupine.CallEvent {
				keys[e.Id] = e.Value.(call).key
			}
		}
		return byKey(events, func(e porcupine.Event) string { return keys[e.Id] })
	},
}

func byKey[T any](all []T, key func(T) string) [][]T {
	var parts [][]T
	index := map[string]int{}
	for _, one := range all {
		i, known := index[key(one)]
		if !known {
			i, index[key(one)] = len(parts), len(parts)
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], one)
	}
	return parts
}

var exampleModels = []struct {
	name     string
	model    porcupine.Model
	calls    []call
	readOnly func(input, output any) bool
}{
	{"register", theRegister, []call{{"write", "", 1}, {"write", "", 2}, {"read", "", 0}},
		func(input, _ any) bool { return input.(call).name == "read" }},
	{"queue", theQueue, []call{{"enqueue", "", 1}, {"enqueue", "", 2}, {"dequeue", "", 0}},
		func(input, output any) bool { return input.(call).name == "dequeue" && output == -1 }},
	{"counters", theCounters, []call{{"add", "x", 1}, {"add", "y", 1}, {"add", "x", 0}},
		func(input, _ any) bool { return input.(call).value == 0 }},
}

// drawOperations draws a history of few moments, in no order, with operations that
// return at the end of time.
func drawOperations(t *rapid.T, calls []call) []porcupine.Operation {
	operations := make([]porcupine.Operation, rapid.IntRange(0, 8).Draw(t, "operations"))
	for i := range operations {
		o := &operations[i]
		o.ClientId = i
		o.Input = rapid.SampledFrom(calls).Draw(t, "input")
		o.Output = rapid.IntRange(-1, 2).Draw(t, "output")
		o.Call = rapid.Int64Range(-9, 9).Draw(t, "call")
		o.Return = o.Call + rapid.Int64Range(0, 6).Draw(t, "takes")
		switch rapid.IntRange(0, 9).Draw(t, "end") {
		case 0:
			o.Return = math.MaxInt64
		case 1:
			o.Return, o.Output = math.MaxInt64, unknown
		case 2:
			o.Call, o.Return = math.MaxInt64, math.MaxInt64
		}
	}
	return operations
}

func TestCheckOperationsAgreesWithPorcupine(t *testing.T) {
	for _, example := range exampleModels {
		t.Run(example.name, rapid.MakeCheck(func(t *rapid.T) {
			operations := drawOperations(t, example.calls)
			want := Valid
			if !porcupine.CheckOperations(example.model, operations) {
				want = Invalid
			}
			for _, options := range []Options{
				{}, {Engine: Search}, {Engine: Porcupine}, {ReadOnly: example.readOnly}, {Unknown: unanswered},
				{Engine: Search, ReadOnly: example.readOnly, Unknown: unanswered},
				{Engine: Porcupine, ReadOnly: example.readOnly, Unknown: unanswered},
			} {
				options.Budget.Witness = time.Minute
				got := CheckOperations(t.Context(), example.model, operations, options)
				if got.Verdict != want {
					t.Fatalf("%+v: %s (%s), want %s of\n%v", options, got.Verdict, got.Reason, want, operations)
				}
				if (len(got.Violations) > 0) != (want == Invalid) {
					t.Fatalf("%+v: %s with %d violations", options, want, len(got.Violations))
				}
				for _, v := range got.Violations {
					if v.NotShortest {
						t.Fatalf("%+v: the time did not suffice for %d operations", options, len(operations))
					}
				}
			}
		}))
	}
}

// Each witness is a beginning of its partition that no order explains, and the
// shortest: what had returned before its last operation can be explained.
func TestCheckOperationsWitness(t *testing.T) {
	for _, example := range exampleModels {
		t.Run(example.name, rapid.MakeCheck(func(t *rapid.T) {
			operations := drawOperations(t, example.calls)
			parts := [][]porcupine.Operation{operations}
			if example.model.Partition != nil {
				parts = example.model.Partition(operations)
			}
			for _, engine := range []Engine{"", Search, Porcupine} {
				at := int64(math.MaxInt64)
				for _, part := range parts {
					for _, o := range part {
						if !explainable(example.model, part, o.Return) {
							at = min(at, o.Return)
						}
					}
				}
				got := CheckOperations(t.Context(), example.model, operations, Options{Engine: engine})
				if got.Verdict == Invalid && got.FirstViolation != time.Duration(at) {
					t.Fatalf("%q: illegal at %d, want %d: %v", engine, got.FirstViolation, at, got.Violations)
				}
				for _, v := range got.Violations {
					last := v.At()
					for _, o := range v.Witness {
						if o.Invoke > last {
							t.Fatalf("%q: %v was called after %d", engine, o, last)
						}
					}
				}
			}
		}))
	}
}

// explainable tries every order of the operations called until a moment; those
// that return later may be left out.
func explainable(model porcupine.Model, operations []porcupine.Operation, until int64) bool {
	var called []porcupine.Operation
	for _, o := range operations {
		if o.Call <= until {
			called = append(called, o)
		}
	}
	var try func(state any, left []porcupine.Operation) bool
	try = func(state any, left []porcupine.Operation) bool {
		first := int64(math.MaxInt64) // the earliest return of those that must come
		must := false
		for _, o := range left {
			if o.Return <= until {
				must, first = true, min(first, o.Return)
			}
		}
		if !must {
			return true
		}
		for i, o := range left {
			if o.Call > first {
				continue
			}
			if ok, after := model.Step(state, o.Input, o.Output); ok && try(after, slices.Delete(slices.Clone(left), i, i+1)) {
				return true
			}
		}
		return false
	}
	return try(model.Init(), called)
}

func TestCheckEventsAgreesWithPorcupine(t *testing.T) {
	for _, example := range exampleModels {
		t.Run(example.name, rapid.MakeCheck(func(t *rapid.T) {
			var events []porcupine.Event
			var open []int
			for id := range rapid.IntRange(0, 7).Draw(t, "operations") {
				events = append(events, porcupine.Event{Kind: porcupine.CallEvent, Id: id, Value: rapid.SampledFrom(example.calls).Draw(t, "input")})
				open = append(open, id)
				for len(open) > 0 && rapid.Bool().Draw(t, "return") {
					i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
					events = append(events, porcupine.Event{Kind: porcupine.ReturnEvent, Id: open[i], Value: rapid.IntRange(-1, 2).Draw(t, "output")})
					open = slices.Delete(open, i, i+1)
				}
			}
			for _, id := range open {
				events = append(events, porcupine.Event{Kind: porcupine.ReturnEvent, Id: id, Value: unknown})
			}
			want := Valid
			if !porcupine.CheckEvents(example.model, events) {
				want = Invalid
			}
			if got := CheckEvents(t.Context(), example.model, events, Options{}); got.Verdict != want {
				t.Fatalf("%s (%s), want %s of\n%v", got.Verdict, got.Reason, want, events)
			}
		}))
	}
}

func TestCheckOperationsTells(t *testing.T) {
	operations := []porcupine.Operation{
		{ClientId: 1, Input: call{"write", "", 1}, Output: 0, Call: 10, Return: 20},
		{ClientId: 2, Input: call{"write", "", 2}, Output: 0, Call: 15, Return: math.MaxInt64},
		{ClientId: 3, Input: call{"read", "", 0}, Output: 0, Call: 30, Return: 40},
		{ClientId: 3, Input: call{"read", "", 0}, Output: 1, Call: 50, Return: 60},
	}
	for _, engine := range []Engine{"", Search, Porcupine} {
		r := CheckOperations(t.Context(), theRegister, operations, Options{Engine: engine})
		if r.Verdict != Invalid || len(r.Violations) != 1 {
			t.Fatalf("%s (%s), %d violations", r.Verdict, r.Reason, len(r.Violations))
		}
		const want = "no order explains p3's read -> 0 from 30 to 40 together with 1 operation that had returned by then, whatever became of 1 operation that had not."
		v := r.Violations[0]
		if v.Sentence != want || len(v.Witness) != 3 || v.Anomaly != anomaly.Disorder || r.FirstViolation != 40 || r.AsClaimed != NotAsClaimed {
			t.Errorf("%s: %s\n%+v", engine, v.Sentence, v.Witness)
		}
	}
}

// Of declared reads, those that are not needed are left out; in a budget that is over,
// the witness is a beginning all the same, or the whole, and says that it is not the
// shortest.
func TestCheckOperationsWitnessBudget(t *testing.T) {
	var operations []porcupine.Operation
	for i := range int64(20) {
		operations = append(operations,
			porcupine.Operation{Input: call{"write", "", int(i)}, Call: 10 * i, Return: 10*i + 1},
			porcupine.Operation{Input: call{"read", "", 0}, Output: int(i), Call: 10*i + 2, Return: 10*i + 3})
	}
	operations = append(operations,
		porcupine.Operation{Input: call{"read", "", 0}, Output: 3, Call: 300, Return: 301},
		porcupine.Operation{Input: call{"write", "", 3}, Call: 400, Return: 401})
	for _, test := range []struct {
		name        string
		options     Options
		witness     int
		notShortest bool
	}{
		{"shortest beginning", Options{}, 41, false},
		{"without reads", Options{ReadOnly: exampleModels[0].readOnly}, 21, false},
		{"no time", Options{Engine: Porcupine, Budget: Budget{Witness: -1}}, 42, true},
		{"no time for reads", Options{Engine: Search, ReadOnly: exampleModels[0].readOnly, Budget: Budget{Witness: -1}}, 41, true},
	} {
		r := CheckOperations(t.Context(), theRegister, operations, test.options)
		if r.Verdict != Invalid || len(r.Violations) != 1 {
			t.Fatalf("%s: %s (%s)", test.name, r.Verdict, r.Reason)
		}
		v := r.Violations[0]
		if len(v.Witness) != test.witness || v.NotShortest != test.notShortest || strings.Contains(v.Sentence, "did not suffice") != test.notShortest {
			t.Errorf("%s: %d operations, want %d; %s", test.name, len(v.Witness), test.witness, v.Sentence)
		}
	}
}

// What is decided here, Porcupine does not decide in five times the time: a store, and a
// lock with operations of unknown outcome.
func TestCheckOperationsDecidesMore(t *testing.T) {
	for _, test := range []struct {
		shape corpus.Shape
		seed  uint64
		legal bool
	}{} {
		h := test.shape.Make(test.seed, test.legal)
		began := time.Now()
		r := CheckOperations(t.Context(), h.Model, h.Operations, Options{ReadOnly: h.ReadOnly, Unknown: h.Unknown, Budget: Budget{Witness: -1}})
		took := time.Since(began)
		if r.Verdict == Unknown || test.legal != (r.Verdict == Valid) {
			t.Errorf("%s: %s (%s)", h.Name, r.Verdict, r.Reason)
		}
		if said := porcupine.CheckOperationsTimeout(h.Model, h.Operations, 5*took); said != porcupine.Unknown {
			t.Errorf("%s: we took %s, and Porcupine says %s", h.Name, took, said)
		}
	}
}

// One partition that is hard leaves the others their verdicts.
func TestCheckOperationsTakesTurns(t *testing.T) {
	model := theCounters
	model.Step = func(state, input, output any) (bool, any) {
		c := input.(call)
		if c.key == "hard" { // every set of operations, in any order, is another state
			return c.value < 40, 31*state.(int) + c.value
		}
		return theCounters.Step(state, input, output)
	}
	var operations []porcupine.Operation
	for i := range 40 {
		operations = append(operations, porcupine.Operation{Input: call{"add", "hard", i}, Call: 0, Return: 100})
	}
	operations = append(operations,
		porcupine.Operation{Input: call{"add", "hard", 40}, Call: 200, Return: 201},
		porcupine.Operation{Input: call{"add", "bad", 1}, Output: 7, Call: 0, Return: 1})
	budget := Budget{Time: 2 * time.Second}
	if r := CheckOperations(t.Context(), model, operations, Options{Budget: budget}); r.Verdict != Invalid || r.KeysInvalid != 1 || r.KeysUnknown != 1 {
		t.Errorf("%s: %d invalid, %d unknown: %s", r.Verdict, r.KeysInvalid, r.KeysUnknown, r.Reason)
	}
	hard := operations[:41]
	for _, engine := range []Engine{"", Search, Porcupine} {
		for reason, budget := range map[string]Budget{"time budget": {Time: 200 * time.Millisecond}, "memory budget": {MemoryBytes: 1 << 20}} {
			if r := CheckOperations(t.Context(), model, hard, Options{Engine: engine, Budget: budget}); r.Verdict != Unknown || !strings.Contains(r.Reason, reason) {
				t.Errorf("%s: %s: %s, want the %s", engine, r.Verdict, r.Reason, reason)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := CheckOperations(ctx, model, hard, Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, "cancelled") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
}

// States that are large count.
func TestCheckOperationsMeasuresStates(t *testing.T) {
	model := porcupine.Model{
		Init: func() any { return map[string][]string{} },
		Step: func(_, input, _ any) (bool, any) {
			return input != "impossible", map[string][]string{"k": {strings.Repeat("x", 1<<20)}}
		},
		Equal: func(a, b any) bool { return false },
	}
	var operations []porcupine.Operation
	for i := range 12 {
		operations = append(operations, porcupine.Operation{Input: i, Call: 0, Return: 1})
	}
	operations = append(operations, porcupine.Operation{Input: "impossible", Call: 2, Return: 3})
	for _, engine := range []Engine{"", Search, Porcupine} {
		r := CheckOperations(t.Context(), model, operations, Options{Engine: engine, Budget: Budget{MemoryBytes: 16 << 20}})
		if r.Verdict != Unknown || !strings.Contains(r.Reason, "memory budget of 16 MiB") {
			t.Errorf("%s: %s: %s", engine, r.Verdict, r.Reason)
		}
	}
}

// A model that gives up when its context ends has not refused anything.
func TestCheckOperationsInterrupted(t *testing.T) {
	model := porcupine.Model{
		Init: func() any { return 0 },
		StepContext: func(ctx context.Context, _, _, _ any) (bool, any) {
			<-ctx.Done()
			return false, nil
		},
	}
	for _, engine := range []Engine{"", Search, Porcupine} {
		r := CheckOperations(t.Context(), model, []porcupine.Operation{{Call: 0, Return: 1}}, Options{Engine: engine, Budget: Budget{Time: 50 * time.Millisecond}})
		if r.Verdict != Unknown || !strings.Contains(r.Reason, "time budget") {
			t.Errorf("%s: %s: %s", engine, r.Verdict, r.Reason)
		}
	}
}

func TestCheckOperationsRefuses(t *testing.T) {
	fine := []porcupine.Operation{{Input: call{"write", "", 1}, Call: 0, Return: 1}}
	shallow := theQueue
	shallow.Equal, shallow.Hash = nil, nil
	for _, test := range []struct {
		name, reason string
		model        porcupine.Model
		operations   []porcupine.Operation
		engine       Engine
	}{
		{"engine", `the engine "zones" cannot decide`, theRegister, fine, Zones},
		{"no init", "lacks Init", porcupine.Model{Step: theRegister.Step}, fine, ""},
		{"no step", "lacks Init, or both", porcupine.Model{Init: theRegister.Init}, fine, ""},
		{"backwards", "client 4 that is called at 7 returns at 3", theRegister, []porcupine.Operation{{ClientId: 4, Input: call{}, Call: 7, Return: 3}}, ""},
		{"states", "state of type []int, which == cannot compare", shallow, fine, ""},
		{"states", "state of type []int, which == cannot compare", shallow, fine, Porcupine},
	} {
		r := CheckOperations(t.Context(), test.model, test.operations, Options{Engine: test.engine})
		if r.Verdict != Unknown || !strings.Contains(r.Reason, test.reason) {
			t.Errorf("%s: %s: %s, want %s", test.name, r.Verdict, r.Reason, test.reason)
		}
	}
	called := porcupine.Event{Kind: porcupine.CallEvent, Id: 7, Value: call{"write", "", 1}}
	returned := porcupine.Event{Kind: porcupine.ReturnEvent, Id: 7}
	for reason, events := range map[string][]porcupine.Event{
		"event 0 is a call that never returns": {called},
		"event 1 calls 7, which another has":   {called, called, returned},
		"event 0 returns 7, which is not open": {returned, called},
		"event 2 returns 7, which is not open": {called, returned, returned},
	} {
		if r := CheckEvents(t.Context(), theRegister, events, Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, reason) {
			t.Errorf("%s: %s, want %s", r.Verdict, r.Reason, reason)
		}
	}
	if r := CheckOperations(t.Context(), theRegister, nil, Options{}); r.Verdict != Valid || r.Vacuous == "" || r.AsClaimed != Undecided {
		t.Errorf("nothing: %s, vacuous %q", r.Verdict, r.Vacuous)
	}
}
