package checker

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/harness/history"
)

// textStore is a user's model: put, append and get of one key, with a get that may
// answer "no" where there is nothing.
var textStore = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		held, call, answer := state.(string), input.(Call), output.(Answer)
		switch call.Kind {
		case "put":
			return true, digits(call.Input)
		case "append":
			return true, held + digits(call.Input)
		case "pop": // takes effect only where there is something
			if held == "" {
				return answer.Outcome == history.Fail, held
			}
			return answer.Outcome != history.Fail && (answer.Outcome == history.Info || digits(answer.Output) == held[:1]), held[1:]
		}
		if answer.Outcome == history.Fail {
			return held == "", held
		}
		return answer.Outcome == history.Info || digits(answer.Output) == held, held
	},
}

func digits(v history.Value) string {
	var b strings.Builder
	for _, n := range v.Ints() {
		b.WriteByte(byte('0' + n))
	}
	return b.String()
}

// either is a model that forgets a put of 1 or not, as it likes.
var either = porcupine.NondeterministicModel{
	Init: func() []any { return []any{""} },
	Step: func(state, input, output any) []any {
		possible, after := textStore.Step(state, input, output)
		switch {
		case !possible:
			return nil
		case input.(Call).Kind == "put" && digits(input.(Call).Input) == "1":
			return []any{state, after}
		}
		return []any{after}
	},
}

// drawHistory draws a history of few moments, on two keys.
func drawHistory(t *rapid.T) []history.Operation {
	operations := make([]history.Operation, rapid.IntRange(0, 7).Draw(t, "operations"))
	for i := range operations {
		o := &operations[i]
		o.Process = i
		o.Kind = rapid.SampledFrom([]history.Kind{"put", "append", "get", "pop"}).Draw(t, "kind")
		o.Key = rapid.SampledFrom([]string{"x", "x", "y"}).Draw(t, "key")
		o.Outcome = rapid.SampledFrom([]history.Outcome{history.OK, history.OK, history.Fail, history.Info}).Draw(t, "outcome")
		o.Invoke = time.Duration(rapid.IntRange(0, 9).Draw(t, "invoke"))
		o.Complete = o.Invoke + time.Duration(rapid.IntRange(0, 5).Draw(t, "takes"))
		one := func(label string) history.Value {
			return history.Ints(rapid.Int64Range(1, 2).Draw(t, label))
		}
		switch {
		case o.Kind == "put" || o.Kind == "append":
			o.Input = one("input")
			if o.Outcome == history.Fail {
				o.Error = "refused"
			}
		case o.Outcome == history.OK:
			o.Output = one("output")
			if rapid.Bool().Draw(t, "two") && o.Kind == "get" {
				o.Output = history.Ints(append(o.Output.Ints(), one("output").Ints()...)...)
			}
		case o.Outcome == history.Fail && rapid.Bool().Draw(t, "error"):
			o.Error = "refused"
		}
	}
	return operations
}

// possibly tries every order of a key's operations, in which those of unknown outcome
// may be missing.
func possibly(step func(state, input, output any) []any, state any, left []history.Operation) bool {
	first, must := time.Duration(math.MaxInt64), false
	for _, o := range left {
		if o.Outcome != history.Info {
			first, must = min(first, o.Complete), true
		}
	}
	if !must {
		return true
	}
	for i, o := range left {
		if o.Invoke > first {
			continue
		}
		for _, after := range step(state, Call{o.Kind, o.Key, o.Input}, Answer{o.Outcome, o.Output}) {
			if possibly(step, after, slices.Delete(slices.Clone(left), i, i+1)) {
				return true
			}
		}
	}
	return false
}

// What a Partition leaves out is not judged, and not valid.
func TestPartitionLeavesOut(t *testing.T) {
	model := textStore
	model.Partition = func(operations []porcupine.Operation) [][]porcupine.Operation {
		return [][]porcupine.Operation{operations[1:]}
	}
	operations := []history.Operation{
		{Process: 1, Kind: "put", Key: "x", Input: history.Ints(1), Invoke: 1, Complete: 2, Outcome: history.OK},
		{Process: 1, Kind: "get", Key: "x", Output: history.Ints(1), Invoke: 3, Complete: 4, Outcome: history.OK},
	}
	run := &history.Run{History: history.History{Operations: operations}}
	got := Check(t.Context(), run, ModelOf("text", model), Options{})
	if got.Verdict != Unknown || !strings.Contains(got.Reason, "leaves out 1 of 2 operations") {
		t.Errorf("%s: %s", got.Verdict, got.Reason)
	}
}

// A read of a nondeterministic model leaves each state, and not what may be there: who
// has read that a put was forgotten does not find it later.
func TestReadOnlyOfNondeterministic(t *testing.T) {
	isGet := func(c Call, _ Answer) bool { return c.Kind == "get" }
	for _, engine := range []Engine{"", Search, Porcupine} {
		rapid.Check(t, func(t *rapid.T) {
			operations := drawHistory(t)
			for i := range operations {
				if operations[i].Kind == "append" || operations[i].Kind == "pop" {
					operations[i].Kind, operations[i].Input = "get", history.Value{}
				}
				operations[i].Key = "x"
			}
			model := either.ToModel()
			want := Invalid
			if porcupine.CheckOperations(ForPorcupine(model, operations)) {
				want = Valid
			}
			run := &history.Run{History: history.History{Operations: operations}}
			if got := Check(t.Context(), run, ModelOf("either", model).ReadOnly(isGet), Options{Engine: engine}); got.Verdict != want {
				t.Fatalf("%q: %s %s, want %s", engine, got.Verdict, got.Reason, want)
			}
		})
	}
}

// A model's verdict is that of trying everything, whatever became of what is unknown,
// and so is Porcupine's on what ForPorcupine makes of the history.
func TestModelOf(t *testing.T) {
	for name, test := range map[string]struct {
		model porcupine.Model
		step  func(state, input, output any) []any
	}{
		"deterministic": {textStore, func(state, input, output any) []any {
			possible, after := textStore.Step(state, input, output)
			if !possible {
				return nil
			}
			return []any{after}
		}},
		"nondeterministic": {either.ToModel(), either.Step},
	} {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			operations := drawHistory(t)
			want := Valid
			for _, key := range []string{"x", "y"} {
				var part []history.Operation
				for _, o := range operations {
					if o.Key == key && (o.Outcome != history.Fail || o.Error == "") {
						part = append(part, o)
					}
				}
				if !possibly(test.step, "", part) {
					want = Invalid
				}
			}
			if got := porcupine.CheckOperations(ForPorcupine(test.model, operations)); got != (want == Valid) {
				t.Fatalf("Porcupine says %t, want %s of\n%v", got, want, operations)
			}
			run := &history.Run{History: history.History{Operations: operations}}
			for _, engine := range []Engine{"", Search, Porcupine} {
				got := Check(t.Context(), run, ModelOf("text", test.model), Options{Engine: engine})
				if got.Verdict != want || (len(got.Violations) > 0) != (want == Invalid) {
					t.Fatalf("%q: %s (%s), want %s of\n%v", engine, got.Verdict, got.Reason, want, operations)
				}
			}
		}))
	}
}

// What belongs together, the model may say.
func TestModelOfPartition(t *testing.T) {
	whole := textStore
	whole.Partition = func(all []porcupine.Operation) [][]porcupine.Operation { return [][]porcupine.Operation{all} }
	run := &history.Run{History: history.History{Operations: []history.Operation{
		{Process: 1, Kind: "put", Key: "x", Input: history.Ints(1), Invoke: 0, Complete: 1, Outcome: history.OK},
		{Process: 2, Kind: "get", Key: "y", Output: history.Ints(1), Invoke: 2, Complete: 3, Outcome: history.OK},
	}}}
	for want, model := range map[Verdict]porcupine.Model{Valid: whole, Invalid: textStore} {
		if r := Check(t.Context(), run, ModelOf("text", model), Options{}); r.Verdict != want || r.Model != "text" {
			t.Errorf("%s of %s, want %s", r.Verdict, r.Model, want)
		}
	}
}

// A violation shows the history's own operations, and tells of their nodes and times.
func TestModelOfTells(t *testing.T) {
	run := &history.Run{History: history.History{Operations: []history.Operation{
		{Process: 1, Node: "n1", Kind: "put", Key: "x", Input: history.Ints(1), Invoke: 0, Complete: time.Second, Outcome: history.OK},
		{Process: 2, Node: "n2", Kind: "append", Key: "x", Input: history.Ints(2), Invoke: time.Second, Complete: 2 * time.Second},
		{Process: 3, Node: "n3", Kind: "get", Key: "x", Output: history.Ints(2), Invoke: 3 * time.Second, Complete: 4 * time.Second, Outcome: history.OK},
		{Process: 4, Node: "n3", Kind: "get", Key: "y", Invoke: 3 * time.Second, Complete: 4 * time.Second, Outcome: history.Fail},
	}}}
	r := Check(t.Context(), run, ModelOf("text", textStore), Options{})
	if r.Verdict != Invalid || r.Keys != 2 || r.KeysInvalid != 1 {
		t.Fatalf("%s, %d of %d keys: %s", r.Verdict, r.KeysInvalid, r.Keys, r.Reason)
	}
	const want = `of key "x", no order explains p3's get -> [2] through n3 at 4.000 s together with 1 operation that had returned by then, whatever became of 1 operation that had not.`
	v := r.Violations[0]
	if v.Sentence != want || v.Key != "x" || len(v.Witness) != 3 || v.Witness[2].Node != "n3" || r.FirstViolation != 4*time.Second {
		t.Errorf("%s\n%+v", v.Sentence, v.Witness)
	}
}

// A model that panics decides nothing, and ends nothing but itself.
func TestModelOfPanics(t *testing.T) {
	model := ModelOf("odd", porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, _, output any) (bool, any) { return output.(Answer).Output.Ints()[1] == 7, state },
	})
	run := script.Parse(t, "p1 n1 read x -> 1 [0,1] ok\n p1 n1 read x -> 2 [2,3] ok\n")
	for _, engine := range []Engine{"", Search, Porcupine} {
		result := Check(t.Context(), run, model, Options{Engine: engine})
		if result.Verdict != Unknown || !strings.Contains(result.Reason, "the model's step panicked, of read -> [1] in the state 0: runtime error") {
			t.Errorf("%q: %s, %s", engine, result.Verdict, result.Reason)
		}
	}
}
