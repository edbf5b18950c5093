package jepsen

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
)

// texts are a model of Porcupine's for one key that holds a string.
var textModel = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		switch c := input.(call); c.f {
		case "get":
			return c.outcome == history.Info || state == c.output.text, state
		case "put":
			return true, c.input.text
		default:
			return true, state.(string) + c.input.text
		}
	},
}

// Reading appends as compare-and-sets and writes never changes the verdict.
// Half of the histories are linearizable by construction: each operation takes
// effect somewhere in its interval; in the others a get may show anything.
func TestResolveAppendsAgreesWithPorcupine(t *testing.T) {
	judged, refused, invalid := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		calls := drawTexts(t)
		var operations []porcupine.Operation
		for _, c := range calls {
			o := porcupine.Operation{ClientId: c.process, Input: c, Call: int64(c.invoke), Return: int64(c.complete)}
			if c.outcome == history.Info {
				o.Return = int64(latest)
			}
			if c.outcome != history.Fail && !(c.outcome == history.Info && c.f == "get") {
				operations = append(operations, o)
			}
		}
		// A call of unknown outcome may also never have happened.
		want := porcupine.CheckOperations(maybe(textModel), operations)
		made, err := convert(calls, Options{Model: "register"})
		if err != nil {
			if !strings.Contains(err.Error(), "appends are judged only") && !strings.Contains(err.Error(), "model") {
				t.Fatal(err)
			}
			refused++
			return
		}
		judged++
		result := checker.Check(t.Context(), &history.Run{History: made.History}, checker.Register, checker.Options{})
		if result.Verdict == checker.Invalid {
			invalid++
		}
		if (result.Verdict == checker.Valid) != want || result.Verdict == checker.Unknown {
			t.Fatalf("Porcupine says %v of the strings, and the registers are %s %s\n%v", want, result.Verdict, result.Reason, made.History.Operations)
		}
	})
	t.Logf("%d judged, %d of them invalid, %d refused", judged, invalid, refused)
	if judged == 0 || invalid == 0 || invalid == judged {
		t.Errorf("of %d judged, %d are invalid", judged, invalid)
	}
}

// maybe makes calls of unknown outcome optional.
func maybe(m porcupine.Model) porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Init: func() []any { return []any{m.Init()} },
		Step: func(state, input, output any) []any {
			ok, after := m.Step(state, input, output)
			switch {
			case !ok:
				return nil
			case input.(call).outcome == history.Info:
				return []any{state, after}
			}
			return []any{after}
		},
	}).ToModel()
}

// drawTexts draws calls on one key, with pieces that may come twice.
func drawTexts(t *rapid.T) []call {
	n := rapid.IntRange(1, 11).Draw(t, "calls")
	lies := rapid.Bool().Draw(t, "lies")
	state := ""
	past := []string{"", "?"}
	var calls []call
	for i := range n {
		c := call{line: i + 1, process: i, f: rapid.SampledFrom([]string{"get", "get", "put", "append", "append"}).Draw(t, "f")}
		middle := time.Duration(10 * (i + 1)) // takes effect here
		c.invoke = middle - time.Duration(rapid.IntRange(0, 25).Draw(t, "before"))
		c.invoke = max(c.invoke, 0)
		c.complete = middle + time.Duration(rapid.IntRange(0, 25).Draw(t, "after"))
		c.outcome = rapid.SampledFrom([]history.Outcome{history.OK, history.OK, history.OK, history.OK, history.Info, history.Fail}).Draw(t, "outcome")
		if c.outcome == history.Fail {
			c.failure = "failed"
		}
		piece := fmt.Sprintf("%d.", rapid.IntRange(0, 3).Draw(t, "piece"))
		happened := c.outcome == history.OK || c.outcome == history.Info && rapid.Bool().Draw(t, "happened")
		switch {
		case c.f == "get":
			c.output = datum{kind: text, text: state}
			if lies && rapid.Bool().Draw(t, "lie") {
				c.output.text = rapid.SampledFrom(past).Draw(t, "told")
			}
		default:
			if c.f == "put" && rapid.IntRange(0, 5).Draw(t, "empty") == 0 {
				piece = ""
			}
			c.input = datum{kind: text, text: piece}
			if happened && c.f == "put" {
				state = piece
			} else if happened {
				state += piece
			}
			past = append(past, state, state+piece)
		}
		calls = append(calls, c)
	}
	// An append that fails makes it a history of appends.
	calls = append(calls, call{line: n + 1, process: n, f: "append", input: datum{kind: text, text: "9."}, outcome: history.Fail, failure: "failed", invoke: time.Duration(10 * (n + 3)), complete: time.Duration(10 * (n + 4))})
	return calls
}
