package search

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"
)

// A call is an operation of an example model, with what it answered. A call of
// unknown outcome answered nothing.
type call struct {
	Operation
	name          string
	input, output int
}

func (c call) unknown() bool { return c.Ret == math.MaxInt64 }

// queue is a FIFO queue of digits; what is dequeued from an empty one is -1.
func queue(held string, c call) (string, bool) {
	switch {
	case c.name == "enqueue":
		return held + string(rune('0'+c.input)), true
	case held == "":
		return held, c.unknown() || c.output == -1
	}
	return held[1:], c.unknown() || c.output == int(held[0]-'0')
}

// counter is added to, and read; adding returns what was there before.
func counter(held string, c call) (string, bool) {
	n := 0
	if held != "" {
		fmt.Sscan(held, &n)
	}
	return fmt.Sprint(n + c.input), c.unknown() || c.output == n
}

// text is appended to, put anew, and got.
func text(held string, c call) (string, bool) {
	switch c.name {
	case "put":
		return fmt.Sprint(c.input), c.unknown() || c.output == 0
	case "append":
		return held + fmt.Sprint(c.input), c.unknown() || c.output == 0
	}
	return held, c.unknown() || c.output == len(held)
}

// depthFirst are models with more or less that is known of the calls.
func depthFirst(model func(string, call) (string, bool), calls []call) map[string]Model[string] {
	plain := Comparable("", func(state string, i int) (string, bool) { return model(state, calls[i]) })
	unhashed := plain
	unhashed.Hash = nil
	readOnly := plain
	readOnly.ReadOnly = func(i int) bool { return calls[i].name == "get" }
	alike := plain
	alike.Class = func(i int) int32 {
		for j, c := range calls {
			c.Operation = calls[i].Operation
			if c == calls[i] && calls[j].unknown() == calls[i].unknown() {
				return int32(j)
			}
		}
		panic("it is like itself")
	}
	all := alike
	all.ReadOnly = readOnly.ReadOnly
	return map[string]Model[string]{"plain": plain, "unhashed": unhashed, "read-only": readOnly, "alike": alike, "all": all}
}

// drawCalls draws a history, of which some answers are what the model would
// have given at some moment of the interval.
func drawCalls(t *rapid.T, names []string, model func(string, call) (string, bool)) []call {
	calls := make([]call, rapid.IntRange(1, 9).Draw(t, "calls"))
	at := make([]int64, len(calls))
	order := make([]int, len(calls))
	for i := range calls {
		c := &calls[i]
		c.Call = rapid.Int64Range(0, 20).Draw(t, "call")
		c.Ret = c.Call + rapid.Int64Range(0, 8).Draw(t, "takes")
		c.name = rapid.SampledFrom(names).Draw(t, "name")
		c.input = rapid.IntRange(0, 2).Draw(t, "input")
		at[i] = rapid.Int64Range(c.Call, c.Ret).Draw(t, "at")
		order[i] = i
		if rapid.IntRange(0, 5).Draw(t, "unknown") == 0 {
			c.Ret = math.MaxInt64
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(at[a] - at[b]) })
	held := ""
	for _, i := range order {
		c := &calls[i]
		if c.unknown() && rapid.Bool().Draw(t, "never") {
			continue
		}
		for c.output = -1; ; c.output++ {
			if after, ok := model(held, *c); ok {
				held = after
				break
			}
		}
		if rapid.IntRange(0, 7).Draw(t, "spoil") == 0 {
			c.output = rapid.IntRange(-1, 3).Draw(t, "output")
		}
	}
	slices.SortStableFunc(calls, func(a, b call) int { return int(a.Call - b.Call) })
	return calls
}

func TestGenericAgreesWithPorcupine(t *testing.T) {
	for _, test := range []struct {
		name  string
		names []string
		model func(string, call) (string, bool)
	}{
		{"queue", []string{"enqueue", "dequeue"}, queue},
		{"counter", []string{"add"}, counter},
		{"text", []string{"put", "append", "get"}, text},
	} {
		t.Run(test.name, func(t *testing.T) {
			verdicts := map[Verdict]int{}
			rapid.Check(t, func(t *rapid.T) {
				calls := drawCalls(t, test.names, test.model)
				var operations []Operation
				var entries []porcupine.Operation
				for _, c := range calls {
					operations = append(operations, c.Operation)
					entries = append(entries, porcupine.Operation{Input: c, Call: c.Call, Return: c.Ret})
				}
				// An unknown operation that never happens is one that leaves the
				// state as it is; Porcupine needs to be told which.
				want := Invalid
				if porcupine.CheckOperations((&porcupine.NondeterministicModel{
					Init: func() []any { return []any{""} },
					Step: func(state, input, _ any) (after []any) {
						if next, ok := test.model(state.(string), input.(call)); ok {
							after = append(after, next)
						}
						if input.(call).unknown() {
							after = append(after, state)
						}
						return after
					},
				}).ToModel(), entries) {
					want = Valid
				}
				step := func(state string, i int) (string, bool) { return test.model(state, calls[i]) }
				got := Generic(t.Context(), Comparable("", step), operations, NewMemory(1<<30))
				if got.Verdict != want {
					t.Fatalf("%s, but Porcupine says %s, of %+v", got, want, calls)
				}
				unhashed := Model[string]{Step: step, Equal: func(a, b string) bool { return a == b }}
				narrow := &Search{pass: &genericPass[string]{model: unhashed, operations: operations, first: 1}, memory: NewMemory(1 << 30)}
				if got := narrow.run(t.Context()); got.Verdict != want {
					t.Fatalf("narrow: %s, but Porcupine says %s, of %+v", got, want, calls)
				}
				for name, model := range depthFirst(test.model, calls) {
					deep := NewDepthFirst(model, operations, NewMemory(1<<30)).run(t.Context())
					if deep.Verdict != want || want == Invalid && operations[deep.Step].Ret != operations[got.Step].Ret {
						t.Fatalf("depth first, %s: %s, but Porcupine says %s, and the other search %s, of %+v", name, deep, want, got, calls)
					}
				}
				verdicts[got.Verdict]++
			})
			if verdicts[Valid] == 0 || verdicts[Invalid] == 0 {
				t.Errorf("the histories are all alike: %v", verdicts)
			}
			t.Log(verdicts)
		})
	}
}
