package jepsen_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/harness/history/jepsen"
)

// drawOperations draws a history of registers or sets, true or not.
func drawOperations(t *rapid.T, kinds []history.Kind) []history.Operation {
	var operations []history.Operation
	now := make([]time.Duration, 4) // when each seat's process is free
	process := []int{0, 1, 2, 3}
	for range rapid.IntRange(1, 14).Draw(t, "operations") {
		seat := rapid.IntRange(0, 3).Draw(t, "seat")
		o := history.Operation{
			Process: process[seat],
			Node:    rapid.SampledFrom([]string{"", "n1", "n2"}).Draw(t, "node"),
			Kind:    rapid.SampledFrom(kinds).Draw(t, "kind"),
			Key:     rapid.SampledFrom([]string{"x", "y", "3", `"`, "é\n"}).Draw(t, "key"),
			Invoke:  now[seat] + time.Duration(rapid.IntRange(1, 3).Draw(t, "pause")),
			Outcome: rapid.SampledFrom([]history.Outcome{history.OK, history.OK, history.OK, history.Fail, history.Info}).Draw(t, "outcome"),
		}
		o.Complete = o.Invoke + time.Duration(rapid.IntRange(0, 4).Draw(t, "length"))
		now[seat] = o.Complete
		value := func() int64 { return rapid.Int64Range(1, 3).Draw(t, "value") }
		if o.Outcome != history.OK {
			o.Error = rapid.SampledFrom([]string{"time-out", "", "é \"quoted\"\n:x"}).Draw(t, "error")
		}
		switch o.Kind {
		case history.Add:
			o.Input = history.Ints(int64(len(operations)))
		case history.Write:
			o.Input = history.Ints(value())
		case history.CompareAndSet:
			o.Input = history.Ints(value(), value())
			if o.Outcome == history.Fail && rapid.Bool().Draw(t, "saw") {
				o.Output = history.Ints(value())
			}
		case history.Read:
			if o.Outcome == history.OK && rapid.Bool().Draw(t, "found") {
				o.Output = history.Ints(value())
			}
		case history.ReadAll:
			for i := range operations {
				if o.Outcome == history.OK && rapid.Bool().Draw(t, "element") {
					o.Output = history.Ints(append(o.Output.Ints(), int64(i))...)
				}
			}
		}
		if o.Outcome == history.Info {
			process[seat] += len(process)
		}
		operations = append(operations, o)
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return operations
}

// What is written and read again is the same history, and the same verdict.
func TestRoundTrip(t *testing.T) {
	for model, kinds := range map[*checker.Model][]history.Kind{
		&checker.Register: {history.Read, history.Write, history.CompareAndSet},
		&checker.Set:      {history.Add, history.Add, history.ReadAll},
	} {
		t.Run(model.String(), rapid.MakeCheck(func(t *rapid.T) {
			run := &history.Run{History: history.History{Operations: drawOperations(t, kinds)}}
			var text bytes.Buffer
			if err := jepsen.Write(&text, run); err != nil {
				t.Fatal(err)
			}
			made, err := jepsen.Read(bytes.NewReader(text.Bytes()), jepsen.Options{Model: model.String()})
			if err != nil {
				t.Fatalf("%v in\n%s", err, &text)
			}
			want := normal(run.History.Operations)
			if diff := cmp.Diff(want, normal(made.History.Operations)); diff != "" {
				t.Fatalf("%s\nafter\n%s", diff, &text)
			}
			before := checker.Check(t.Context(), run, *model, checker.Options{})
			after := checker.Check(t.Context(), &history.Run{History: made.History}, *model, checker.Options{})
			if before.Verdict != after.Verdict {
				t.Fatalf("%s became %s after\n%s", before.Verdict, after.Verdict, &text)
			}
		}))
	}
}

// normal orders operations that were invoked at once, and leaves out what Jepsen
// has no place for: the name of a single key, and an empty value.
func normal(operations []history.Operation) []history.Operation {
	operations = slices.Clone(operations)
	keys := map[string]bool{}
	for _, o := range operations {
		keys[o.Key] = true
	}
	for i := range operations {
		if len(keys) == 1 {
			operations[i].Key = ""
		}
		if operations[i].Output.Len() == 0 {
			operations[i].Output = history.Value{}
		}
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int {
		if a.Invoke != b.Invoke {
			return int(a.Invoke - b.Invoke)
		}
		return a.Process - b.Process
	})
	return operations
}

// Every kind of operation and the faults come back as they were.
func TestRoundTripOfEveryKind(t *testing.T) {
	at := func(o history.Operation, i int) history.Operation {
		o.Invoke, o.Complete = time.Duration(10*i), time.Duration(10*i+5)
		return o
	}
	for model, operations := range map[string][]history.Operation{
		"counter": {
			{Kind: history.Increment, Input: history.Ints(3), Outcome: history.OK},
			{Kind: history.Read, Output: history.Ints(3), Outcome: history.OK},
		},
		"queue": {
			{Kind: history.Enqueue, Input: history.Ints(3), Outcome: history.OK},
			{Kind: history.Dequeue, Output: history.Ints(3), Outcome: history.OK},
			{Kind: history.Dequeue, Outcome: history.OK},
		},
		"lock": {
			{Kind: history.Acquire, Output: history.Ints(33), Outcome: history.OK},
			{Kind: history.Use, Input: history.Ints(33), Output: history.Ints(34), Outcome: history.Fail},
			{Kind: history.Release, Outcome: history.OK},
			{Kind: history.Acquire, Outcome: history.Fail},
		},
		"bank": {
			{Kind: history.Transfer, Input: history.Ints(0, 11, 7), Outcome: history.OK},
			{Kind: history.ReadAll, Output: history.Ints(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), Outcome: history.OK},
		},
		"unique-ids": {{Kind: history.Generate, Output: history.Ints(9), Outcome: history.OK}},
	} {
		t.Run(model, func(t *testing.T) {
			run := &history.Run{Events: []history.Event{
				{Time: 2, Type: history.PhaseBegins, Phase: history.Faults},
				{Time: 7, Type: history.Inject, Fault: 1, Family: "partition", Links: []string{"n1>n2", "n1>n3", "n3>n2"}, Took: 3},
				{Time: 8, Type: history.Inject, Fault: 2, Family: "kill", Nodes: []string{"n1", "n3"}},
				{Time: 9, Type: history.Heal, Fault: 1, Family: "partition"},
				{Time: 12, Type: history.Heal, Fault: 2, Family: "kill"},
			}}
			for i, o := range operations {
				run.History.Operations = append(run.History.Operations, at(o, i))
			}
			var text bytes.Buffer
			if err := jepsen.Write(&text, run); err != nil {
				t.Fatal(err)
			}
			made, err := jepsen.Read(&text, jepsen.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if made.Model != model {
				t.Errorf("%s was taken for %s, because %s", model, made.Model, made.Why)
			}
			if diff := cmp.Diff(run.History, made.History); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(run.Events, made.Events); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	for want, operations := range map[string][]history.Operation{
		`no word for "fly away"`: {{Kind: "fly away"}},
		"overlaps":               {{Kind: history.Read, Complete: 9, Outcome: history.OK}, {Kind: history.Read, Invoke: 5, Complete: 10}},
		"before it":              {{Kind: history.Read, Invoke: 5, Complete: 4}},
		"another":                {{Kind: history.Read}, {Kind: history.Read, Invoke: 5, Complete: 6}},
	} {
		err := jepsen.Write(&bytes.Buffer{}, &history.Run{History: history.History{Operations: operations}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func ExampleWrite() {
	var text strings.Builder
	_ = jepsen.Write(&text, &history.Run{History: history.History{Operations: []history.Operation{
		{Process: 3, Kind: history.CompareAndSet, Input: history.Ints(1, 2), Output: history.Ints(5), Invoke: 10, Complete: 20, Outcome: history.Fail},
	}}})
	fmt.Print(text.String())
	// Output:
	// {:index 0, :time 10, :type :invoke, :process 3, :f :cas, :value [1 2]}
	// {:index 1, :time 20, :type :fail, :process 3, :f :cas, :value [1 2], :saw 5}
}

// What has a form of its own comes back as it was.
func TestWriteForms(t *testing.T) {
	for name, test := range map[string]struct {
		text    string
		options jepsen.Options
	}{
		"versions": {op(0, "invoke", "write", "[nil 3]") + op(0, "ok", "write", "[1 3]") + op(0, "invoke", "cas", "[nil [3 4]]") + op(0, "ok", "cas", "[nil [3 4]]") +
			op(1, "invoke", "read", "nil") + op(1, "ok", "read", "[2 4]") + op(1, "invoke", "read", "nil") + op(1, "ok", "read", "[nil nil]"), jepsen.Options{}},
		"a bank": {op(0, "invoke", "transfer", "{:from 0, :to 1, :amount 2}") + op(0, "ok", "transfer", "nil") +
			op(1, "invoke", "read", "nil") + op(1, "ok", "read", "{0 5, 1 nil}"), jepsen.Options{Total: "5"}},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := jepsen.Read(strings.NewReader(test.text), test.options)
			if err != nil {
				t.Fatal(err)
			}
			var written bytes.Buffer
			if err := jepsen.Write(&written, &history.Run{History: made.History}); err != nil {
				t.Fatal(err)
			}
			again, err := jepsen.Read(&written, test.options)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(brief(made), brief(again)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Operations of a user's own have her words and values.
func TestWriteOther(t *testing.T) {
	run := &history.Run{
		Manifest: history.Manifest{Kinds: history.Kinds{"put": {Jepsen: "assoc"}}},
		History: history.History{Operations: []history.Operation{
			{Kind: "put", Input: history.JSON(map[string]any{"k": []any{"a\"b", 1.5, nil, true, 7}, "1": "x"}), Invoke: 1, Complete: 2, Outcome: history.OK},
			{Kind: "get", Output: history.JSON("v"), Invoke: 3, Complete: 4, Outcome: history.OK},
		}},
	}
	var got strings.Builder
	if err := jepsen.Write(&got, run); err != nil {
		t.Fatal(err)
	}
	const want = `{:index 0, :time 1, :type :invoke, :process 0, :f :assoc, :value {"1" "x", "k" ["a\"b" 1.5 nil true 7]}}
{:index 1, :time 2, :type :ok, :process 0, :f :assoc, :value {"1" "x", "k" ["a\"b" 1.5 nil true 7]}}
{:index 2, :time 3, :type :invoke, :process 0, :f :get, :value nil}
{:index 3, :time 4, :type :ok, :process 0, :f :get, :value "v"}
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}
