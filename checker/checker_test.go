package checker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/checker/internal/simulate"
	"github.com/rashomon-io/rashomon/harness/history"
)

func TestMalformed(t *testing.T) {
	good := history.Operation{Process: 3, Kind: history.Write, Key: "x", Input: history.Ints(1), Invoke: 1, Complete: 2, Outcome: history.OK}
	for _, test := range []struct {
		name   string
		change func(*history.Operation)
		says   string
	}{
		{"kind", func(o *history.Operation) { o.Kind = "append" }, "a kind that the model does not know"},
		{"too little", func(o *history.Operation) { o.Input = history.Value{} }, "0 input values (want 1)"},
		{"too much", func(o *history.Operation) { o.Input = history.Ints(1, 2) }, "2 input values (want 1)"},
		{"output", func(o *history.Operation) {
			o.Kind, o.Input, o.Output = history.Read, history.Value{}, history.Ints(1, 2)
		}, "2 output values"},
		{"outcome", func(o *history.Operation) { o.Outcome = 9 }, "the outcome 9"},
		{"negative", func(o *history.Operation) { o.Invoke = -1 }, "a time out of range"},
		{"infinite", func(o *history.Operation) { o.Complete = history.Never }, "a time out of range"},
		{"time", func(o *history.Operation) { o.Complete = 0 }, "completes before it is invoked"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bad := good
			test.change(&bad)
			run := &history.Run{History: history.History{Operations: []history.Operation{good, bad}}}
			result := Check(t.Context(), run, Register, Options{})
			if result.Verdict != Unknown || !strings.Contains(result.Reason, test.says) || !strings.HasPrefix(result.Reason, "operation 2 (p3 ") {
				t.Errorf("%s: %s", result.Verdict, result.Reason)
			}
			if result.AsClaimed != Undecided {
				t.Errorf("as claimed: %s", result.AsClaimed)
			}
		})
	}
}

func TestManyViolations(t *testing.T) {
	operations := simulate.Valid(6000, 30, 5)
	for k := range 30 { // two stale reads a key, and a phantom on one
		for i := range 2 {
			o := operations[k+30*(3+30*i)]
			operations = append(operations, history.Operation{
				Process: 100, Kind: history.Read, Key: o.Key, Output: history.Ints(o.Input.At(o.Input.Len() - 1)), Outcome: history.OK,
				Invoke: time.Second + time.Duration(k)*time.Millisecond, Complete: time.Second + time.Duration(k+1)*time.Millisecond,
			})
		}
	}
	operations = append(operations, history.Operation{
		Process: 101, Kind: history.Read, Key: "k7", Output: history.Ints(-5), Outcome: history.OK, Invoke: 2 * time.Second, Complete: 3 * time.Second,
	})
	result := Check(t.Context(), &history.Run{History: history.History{Operations: operations}}, Register, Options{})
	if result.Verdict != Invalid || result.KeysInvalid != 30 || result.StaleReads != (counts.Bounds{Certain: 60, Possible: 60}) {
		t.Errorf("%s, %d keys invalid, %s stale reads", result.Verdict, result.KeysInvalid, result.StaleReads)
	}
	if len(result.Violations) != MaxViolations {
		t.Errorf("%d violations", len(result.Violations))
	}
	if !slices.ContainsFunc(result.Violations, func(v anomaly.Violation) bool { return v.Anomaly == anomaly.PhantomRead }) {
		t.Error("the one phantom is not among those shown")
	}
	if !slices.IsSortedFunc(result.Violations, func(a, b anomaly.Violation) int { return int(a.At() - b.At()) }) {
		t.Error("not ordered by time")
	}
	if want := time.Second + time.Millisecond; result.FirstViolation != want {
		t.Errorf("first violation at %s, want %s", result.FirstViolation, want)
	}
}

func TestConformance(t *testing.T) {
	long := "p1 n1 write x 1 [0,1] ok\n p1 n1 write x 2 [2,3] ok\n"
	for i := range 10 {
		long += fmt.Sprintf("p1 n1 read x -> 2 [%d,%d] ok\n", 4+2*i, 5+2*i)
	}
	staleToo := long + "p2 n2 read x -> 1 [50,51] ok\n"
	twice := "p2 n2 write y 1 [50,51] ok\n p2 n2 write y 1 [52,53] ok\n" // which zones cannot decide
	for _, test := range []struct {
		name    string
		history string
		expect  []string
		nemesis string
		engine  Engine
		want    Conformance
		vacuous string
	}{
		{name: "linearizable", history: long, want: AsClaimed},
		{name: "not linearizable", history: staleToo, want: NotAsClaimed},
		{name: "admitted", history: staleToo, expect: []string{"stale read"}, want: AsClaimed},
		{name: "better than claimed", history: long, expect: []string{"stale read"}, want: AsClaimed},
		{name: "worse than admitted", history: staleToo, expect: []string{"lost commit"}, want: NotAsClaimed},
		{name: "admitted, but not all is known", history: staleToo + twice, expect: []string{"stale read"}, engine: Zones, want: Undecided},
		{name: "not linearizable, and not all is known", history: staleToo + twice, engine: Zones, want: NotAsClaimed},
		{name: "no fault landed", history: long, nemesis: "partition", want: Undecided, vacuous: "no fault landed"},
		{name: "no fault landed, yet broken", history: staleToo, nemesis: "partition", want: NotAsClaimed},
		{name: "no nemesis", history: long, nemesis: "none", want: AsClaimed},
		{name: "a fault landed", history: long + "partition n1 from 3 to 4\n", nemesis: "partition", want: AsClaimed},
		{name: "empty", want: Undecided, vacuous: "None of 0"},
		{name: "few", history: "p1 n1 read x [0,1] ok", want: Undecided, vacuous: "Only 1 of 1"},
		{name: "unobserved", history: strings.ReplaceAll(long, "read x -> 2", "cas x 2 2"), want: Undecided, vacuous: "nothing was observed"},
		{name: "no swap", history: long + strings.Repeat("p9 n1 cas x 7 8 -> 2 [60,61] fail\n", 5), want: Undecided, vacuous: `None of 5 operations of the kind "cas" was acknowledged`},
		{name: "no read", history: strings.ReplaceAll(long, "read x -> 2", "cas x 2 2") + "p9 n1 read x [60,61] info\n", want: Undecided, vacuous: `None of 1 operations of the kind "read" was acknowledged`},
		{name: "nothing written", history: strings.Repeat("p1 n1 read x [0,1] ok\n", 12), want: Undecided, vacuous: "No update was acknowledged"},
		{name: "hardly any", history: long + strings.Repeat("p9 n1 read x [60,61] info\n", 150), want: Undecided, vacuous: "less than 10 %"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := script.Parse(t, test.history+"\n"+whole)
			run.Manifest.Version = history.Version
			run.Manifest.Claim.Expect = test.expect
			run.Manifest.Version, run.Manifest.Nemesis = 1, test.nemesis
			result := Check(t.Context(), run, Register, Options{Engine: test.engine})
			if result.AsClaimed != test.want || !strings.Contains(result.Vacuous, test.vacuous) || (test.vacuous == "") != (result.Vacuous == "") {
				t.Errorf("%s, vacuous %q", result.AsClaimed, result.Vacuous)
			}
		})
	}
}
