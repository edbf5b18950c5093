package history

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// staleRead is testdata/stale_read.jsonl.
var staleRead = []Operation{
	{Process: 0, Node: "n1", Kind: Write, Key: "x", Input: Ints(1), Invoke: 1e6, Complete: 2e6, Outcome: OK},
	{Process: 1, Node: "n2", Kind: Read, Key: "x", Invoke: 3e6, Complete: 4e6, Outcome: OK},
	{Process: 2, Node: "n3", Kind: CompareAndSet, Key: "x", Input: Ints(7, 8), Output: Ints(1), Invoke: 3.5e6, Complete: 4.1e6, Outcome: Fail},
	{Process: 0, Node: "n1", Kind: Write, Key: "x", Input: Ints(2), Invoke: 5e6, Complete: 9e6, Outcome: Info, Error: "connection reset by peer"},
}

func fixture(t testing.TB) string {
	text, err := os.ReadFile("testdata/stale_read.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReadHistory(t *testing.T) {
	h, err := ReadHistory(strings.NewReader(fixture(t)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(History{Operations: staleRead}, h); diff != "" {
		t.Error(diff)
	}
}

// Version 1 knew arrays of integers alone.
func TestVersion1(t *testing.T) {
	text, err := os.ReadFile("testdata/version1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	h, err := ReadHistory(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(History{Operations: staleRead}, h); diff != "" {
		t.Error(diff)
	}
}

func TestWriteHistory(t *testing.T) {
	var text bytes.Buffer
	if err := WriteHistory(&text, History{Operations: staleRead}); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(fixture(t), text.String()); diff != "" {
		t.Error(diff)
	}
}

// TestCutOff cuts the fixture off at every byte. Only a file that does not
// even name its version, and a whole one, are not torn.
func TestCutOff(t *testing.T) {
	text := fixture(t)
	for end := range len(text) {
		h, err := ReadHistory(strings.NewReader(text[:end]))
		wholeLines := strings.Count(text[:end]+"\n", "}\n") // also one that lacks its newline
		switch {
		case wholeLines == 0:
			if err == nil {
				t.Fatalf("cut at byte %d: accepted without a header", end)
			}
			continue
		case err != nil:
			t.Fatalf("cut at byte %d: %v", end, err)
		}
		if torn, want := h.Torn != "", end < len(text)-1; torn != want {
			t.Errorf("cut at byte %d: torn %q", end, h.Torn)
		}
		events := 0
		for _, op := range h.Operations {
			events++
			if op.Error != "no completion recorded" {
				events++
			}
		}
		if want := min(wholeLines-1, 2*len(staleRead)); events != want {
			t.Errorf("cut at byte %d: %d events of %d whole lines", end, events, want)
		}
	}
}

func TestTornSaysWhere(t *testing.T) {
	const text = `{"rashomon":"history","version":2}
{"time":1,"process":0,"type":"invoke","op":"write","key":"x","value":[1]}
{"time":5,"process":1,"type":"invoke","op":"read","key":"x"}
{"time":7,"process":1,"ty`
	got, err := ReadHistory(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := History{
		Operations: []Operation{
			{Process: 0, Kind: Write, Key: "x", Input: Ints(1), Invoke: 1, Complete: 5, Error: "no completion recorded"},
			{Process: 1, Kind: Read, Key: "x", Invoke: 5, Complete: 5, Error: "no completion recorded"},
		},
		Torn: "line 4 is cut off, as when the harness is killed or the disk is full: the 2 events before that were read",
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadHistoryRefuses(t *testing.T) {
	const header = `{"rashomon":"history","version":2}` + "\n"
	const invoke = `{"time":5,"process":0,"type":"invoke","op":"read"}` + "\n"
	const end = `{"time":9,"type":"end"}` + "\n"
	for _, test := range []struct{ name, text, want string }{
		{"empty", "", "line 1: not a history: want the header " + strings.TrimSpace(header)},
		{"no header", invoke, "line 1: not a history"},
		{"other file", `{"version":1,"target":"raft"}`, "line 1: not a history"},
		{"newer version", `{"rashomon":"history","version":3}`, "line 1: version 3 of the history's form is not known"},
		{"nonsense", header + invoke + "nonsense\n" + end, "line 3: invalid character 'o'"},
		{"cut in the middle", header + `{"time":5,"proc` + "\n" + invoke, "line 2: "},
		{"two values", header + `{"time":9,"type":"end"} 7` + "\n" + end, `line 2: more than one JSON value: "7"`},
		{"unknown field", header + `{"time":5,"process":0,"type":"invoke","op":"read","colour":1}`, `line 2: json: unknown field "colour"`},
		{"no time", header + `{"process":0,"type":"invoke","op":"read"}`, "line 2: no time"},
		{"no process", header + `{"time":5,"type":"invoke","op":"read"}`, "line 2: no process"},
		{"no op", header + `{"time":5,"process":0,"type":"invoke"}`, "line 2: no op"},
		{"no type", header + `{"time":5,"process":0,"op":"read"}`, `line 2: unknown type ""`},
		{"unknown type", header + `{"time":5,"process":0,"type":"maybe","op":"read"}`, `line 2: unknown type "maybe" (want invoke, ok, fail, info or end)`},
		{"array", header + `[1]` + "\n" + end, "line 2: json: cannot unmarshal array"},
		{"deep value", header + `{"time":5,"process":0,"type":"invoke","op":"write","value":` + strings.Repeat("[", 66) + strings.Repeat("]", 66) + `}`, "line 2: value \"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\" is nested deeper than 64 levels"},
		{"value not UTF-8", header + `{"time":5,"process":0,"type":"invoke","op":"write","value":["` + "\xff" + `"]}`, "line 2: value \"[\\\"\\xff\\\"]\" is not UTF-8"},
		{"half a character", header + `{"time":5,"process":0,"type":"invoke","op":"write","value":["\ud800"]}`, "has an escape that is no character"},
		{"negative time", header + `{"time":-1,"process":0,"type":"invoke","op":"read"}`, "line 2: negative time -1"},
		{"time backwards", header + invoke + `{"time":4,"process":0,"type":"ok","op":"read"}`, "line 3: time runs backwards, from 5 to 4"},
		{"end before", header + invoke + `{"time":4,"type":"end"}`, "line 3: time runs backwards"},
		{"after the end", header + end + `{"time":9,"process":0,"type":"invoke","op":"read"}`, "line 3: an event after the end line"},
		{"no invocation", header + `{"time":5,"process":7,"type":"ok","op":"read"}`, "line 2: process 7 completes \"read\" without an invocation"},
		{"completed twice", header + invoke + strings.Repeat(`{"time":6,"process":0,"type":"ok","op":"read"}`+"\n", 2), "line 4: process 0 completes \"read\" without an invocation"},
		{"two open", header + invoke + invoke, "line 3: process 0 invokes \"read\" while its \"read\" is open"},
		{"after info", header + invoke + `{"time":6,"process":0,"type":"info","op":"read"}` + "\n" + `{"time":7,"process":0,"type":"invoke","op":"read"}`, "line 4: process 0 goes on after its info"},
		{"other op", header + invoke + `{"time":6,"process":0,"type":"ok","op":"write"}`, `line 3: process 0 completes "write" of key "", but invoked "read" of key ""`},
		{"other key", header + invoke + `{"time":6,"process":0,"type":"ok","op":"read","key":"y"}`, `completes "read" of key "y"`},
		{"error at invocation", header + `{"time":5,"process":0,"type":"invoke","op":"read","error":"x"}`, "line 2: an invocation with an error"},
		{"node at completion", header + invoke + `{"time":6,"process":0,"type":"ok","op":"read","node":"n1"}`, "line 3: a completion with a node"},
		{"key not UTF-8", header + `{"time":5,"process":0,"type":"invoke","op":"read","key":"` + "\xff" + `"}`, "line 2: op, key or node \"\ufffd\" is not UTF-8"},
		{"long name", header + `{"` + strings.Repeat("x", 1000) + `":1}`, `line 2: json: unknown field "xxx`},
		{"hostile op", header + `{"time":5,"process":0,"type":"ok","op":"\n` + strings.Repeat("x", 1000) + `"}`, `line 2: process 0 completes "\nxxx`},
		{"long line", header + strings.Repeat(" ", lineLimit) + "\n", "line 2: longer than 64 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadHistory(strings.NewReader(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
			if err != nil && (len(err.Error()) > 400 || strings.Contains(err.Error(), "\n")) {
				t.Errorf("not one short line: %q", err)
			}
		})
	}
}

func TestReadErrorIsNotTorn(t *testing.T) {
	broken := errors.New("input/output error")
	r := io.MultiReader(strings.NewReader(fixture(t)[:200]), iotest.ErrReader(broken))
	if _, err := ReadHistory(r); !errors.Is(err, broken) {
		t.Errorf("got error %v", err)
	}
}

func TestWriteHistoryRefuses(t *testing.T) {
	for _, test := range []struct {
		name, want string
		operations []Operation
	}{
		{"unordered", "not ordered by Invoke", []Operation{{Kind: Read, Invoke: 2, Complete: 3, Outcome: OK}, {Process: 1, Kind: Read, Invoke: 1, Complete: 3}}},
		{"completed before", "without an invocation", []Operation{{Kind: Read, Invoke: 2, Complete: 1}}},
		{"negative", "negative time", []Operation{{Kind: Read, Invoke: -1, Complete: 1}}},
		{"overlapping", "while its \"read\" is open", []Operation{{Kind: Read, Invoke: 1, Complete: 3, Outcome: OK}, {Kind: Read, Invoke: 2, Complete: 4}}},
		{"after info", "goes on after its info", []Operation{{Kind: Read, Invoke: 1, Complete: 3}, {Kind: Read, Invoke: 4, Complete: 5}}},
		{"outcome", "unknown outcome(3)", []Operation{{Kind: Read, Invoke: 1, Complete: 3, Outcome: 3}}},
		{"kind", "no op", []Operation{{Invoke: 1, Complete: 3}}},
		{"key", "is not UTF-8", []Operation{{Kind: Read, Key: "a\xc3", Invoke: 1, Complete: 3}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := WriteHistory(io.Discard, History{Operations: test.operations})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

// histories are of processes that each do one operation after another, at
// coarse times so that many coincide.
func histories() *rapid.Generator[History] {
	values := rapid.Custom(func(t *rapid.T) Value {
		switch rapid.IntRange(0, 9).Draw(t, "what") {
		case 0:
			return JSON(rapid.String().Draw(t, "text"))
		case 1:
			return JSON(rapid.MapOfN(rapid.String(), rapid.SliceOfN(rapid.Float64(), 0, 3), 0, 3).Draw(t, "map"))
		}
		return Ints(rapid.SliceOfN(rapid.Int64(), 0, 3).Draw(t, "value")...)
	})
	return rapid.Custom(func(t *rapid.T) History {
		var h History
		for process := range rapid.IntRange(0, 4).Draw(t, "processes") {
			now := time.Duration(0)
			for range rapid.IntRange(0, 6).Draw(t, "operations") {
				op := Operation{
					Process: process,
					Node:    rapid.StringN(0, 3, -1).Draw(t, "node"),
					Kind:    rapid.SampledFrom([]Kind{Read, Write, CompareAndSet, Add, ReadAll, "enqueue"}).Draw(t, "kind"),
					Key:     rapid.StringN(0, 8, -1).Draw(t, "key"),
					Input:   values.Draw(t, "input"),
					Output:  values.Draw(t, "output"),
					Outcome: rapid.SampledFrom([]Outcome{OK, Fail, Info}).Draw(t, "outcome"),
					Error:   rapid.String().Draw(t, "error"),
				}
				now += time.Duration(rapid.IntRange(0, 3).Draw(t, "idle"))
				op.Invoke = now
				now += time.Duration(rapid.IntRange(0, 3).Draw(t, "took"))
				op.Complete = now
				h.Operations = append(h.Operations, op)
				if op.Outcome == Info {
					break
				}
			}
		}
		slices.SortStableFunc(h.Operations, func(a, b Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
		return h
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := histories().Draw(t, "history")
		for _, op := range want.Operations {
			if strings.ContainsRune(op.Node+op.Key, '\ufffd') {
				t.Skip("not a key")
			}
		}
		if diff := gocmp.Diff(want, rewrite(t, want), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

type failer interface{ Fatalf(string, ...any) }

// rewrite writes h and reads it again.
func rewrite(t failer, h History) History {
	var text bytes.Buffer
	if err := WriteHistory(&text, h); err != nil {
		t.Fatalf("%v", err)
	}
	again, err := ReadHistory(&text)
	if err != nil {
		t.Fatalf("%v\n%s", err, &text)
	}
	return again
}

func FuzzReadHistory(f *testing.F) {
	text := fixture(f)
	f.Add([]byte(text))
	f.Add([]byte(text[:len(text)/2]))
	f.Add([]byte(headerLine + `{"time":0,"process":-1,"type":"invoke","op":"\u0000","key":"\ud83d\ude00\u202e","value":[ 1 , -2 ]}` + "\n\x00\x00"))
	f.Add([]byte(headerLine + `{"TIME":1,"time":2,"type":"end"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := ReadHistory(bytes.NewReader(text))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		again := rewrite(t, h)
		if (again.Torn == "") != (h.Torn == "") {
			t.Errorf("torn %q became %q", h.Torn, again.Torn)
		}
		if diff := gocmp.Diff(h.Operations, again.Operations, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReadEvents(t *testing.T) {
	const text = `{"time_ns":5,"type":"inject","fault":1,"family":"partition","links":["n1>n2"],"mode":"silent"}
{"time_ns":3,"type":"phase","phase":"faults"}
{"time_ns":9,"type":"he`
	got, err := ReadEvents(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Event{
		{Time: 3, Type: PhaseBegins, Phase: Faults},
		{Time: 5, Type: Inject, Fault: 1, Family: "partition", Links: []string{"n1>n2"}, Mode: "silent"},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadEventsRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"a history", headerLine, `line 1: json: unknown field "rashomon"`},
		{"unknown type", `{"time_ns":3,"type":"flood"}`, `line 1: unknown type "flood"`},
		{"negative time", `{"time_ns":-3,"type":"heal"}`, "line 1: negative time -3"},
		{"cut in the middle", "{\"time_ns\":3,\n" + `{"time_ns":-3,"type":"heal"}`, "line 1: unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadEvents(strings.NewReader(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add([]byte(`{"time_ns":5,"type":"inject","fault":1,"nodes":["n1"],"took_ns":7}` + "\n" + `{"time_ns":6,"type":"heal","fault":1`))
	f.Add([]byte(`{"time_ns":5,"type":"skip","reason":"\u001b[2J"}` + "\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		events, err := ReadEvents(bytes.NewReader(text))
		if err == nil && !slices.IsSortedFunc(events, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) }) {
			t.Errorf("not ordered by time: %v", events)
		}
	})
}
