package checker

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/harness/history"
)

func TestCheckIDs(t *testing.T) {
	for _, test := range []struct {
		name    string
		history string
		verdict Verdict
		ids     counts.IDs
		witness []string
		says    string
	}{
		{
			name: "all different, of keys of their own, unknown or failed",
			history: `p1 n1 generate g -> 1 [0,1] ok
			          p2 n2 generate g -> 2 [0,1] ok
			          p2 n2 generate h -> 2 [2,3] ok
			          p3 n3 generate g [0,1] info
			          p4 n3 generate g -> 2 [0,1] info
			          p5 n3 generate g -> 2 [0,1] fail`,
			verdict: Valid,
			ids:     counts.IDs{Acknowledged: 3, Unknown: 2},
		},
		{
			name: "given twice",
			history: `p1 n1 generate g -> 7 [0,1] ok
			          p2 n2 generate g -> 7 [2,4] ok
			          p3 n3 generate g -> 7 [3,5] ok
			          p4 n3 generate g -> 8 [3,5] ok
			          partition n1 from 2 to 9`,
			verdict: Invalid,
			ids:     counts.IDs{Acknowledged: 4, Duplicated: 1, DuplicatedIDs: []int64{7}},
			witness: []string{"generate -> 7", "generate -> 7"},
			says:    "p2 got the id 7 through n2 (invoked at 2.000 s, answered at 4.000 s), 3.000 s after p1 had got it through n1; n1 had been cut off from n2 n3 since 2.000 s.",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := Check(t.Context(), script.Parse(t, test.history), IDs, Options{})
			if result.Verdict != test.verdict {
				t.Errorf("%s: %s", result.Verdict, result.Reason)
			}
			if diff := cmp.Diff(&test.ids, result.IDs); diff != "" {
				t.Error(diff)
			}
			checkStory(t, result, test.verdict, anomaly.DuplicateID, test.witness, test.says)
		})
	}
	nameless := script.Parse(t, "p1 n1 generate g [0,1] ok")
	if r := Check(t.Context(), nameless, IDs, Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, "without an id") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
}

// A run of ids alone has no reads, and observes all the same.
func TestIDsAreNotVacuous(t *testing.T) {
	run := &history.Run{}
	for i := range 20 {
		at := time.Duration(i)
		run.History.Operations = append(run.History.Operations, history.Operation{
			Process: i, Kind: history.Generate, Output: history.Ints(int64(i)), Invoke: at, Complete: at, Outcome: history.OK})
	}
	if r := Check(t.Context(), run, IDs, Options{}); r.Vacuous != "" || r.Verdict != Valid {
		t.Errorf("%s %q", r.Verdict, r.Vacuous)
	}
}

func TestIDsAgreeWithPorcupine(t *testing.T) {
	t.Parallel()
	invalid := 0
	for seed := range uint64(script.Histories(t)) {
		r := rand.New(rand.NewPCG(seed, 17))
		operations := make([]history.Operation, 1+r.IntN(8))
		var entries []porcupine.Operation
		for i := range operations {
			call := time.Duration(r.IntN(10))
			operations[i] = history.Operation{Process: i, Kind: history.Generate, Invoke: call, Complete: call + time.Duration(r.IntN(5)),
				Outcome: []history.Outcome{history.OK, history.OK, history.OK, history.Info, history.Fail}[r.IntN(5)]}
			if o := &operations[i]; o.Outcome == history.OK {
				o.Output = history.Ints(r.Int64N(25))
				entries = append(entries, porcupine.Operation{Input: o.Output.At(0), Call: int64(o.Invoke), Return: int64(o.Complete)})
			}
		}
		want := Valid
		if !porcupine.CheckOperations(porcupine.Model{
			Init: func() any { return 0 },
			Step: func(given, id, _ any) (bool, any) {
				bit := 1 << id.(int64)
				return given.(int)&bit == 0, given.(int) | bit
			},
		}, entries) {
			want = Invalid
			invalid++
		}
		slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
		if got := Check(t.Context(), &history.Run{History: history.History{Operations: operations}}, IDs, Options{}); got.Verdict != want {
			t.Fatalf("seed %d: %s, but Porcupine says %s, of\n%s", seed, got.Verdict, want, script.List(operations))
		}
	}
	if invalid == 0 || invalid == script.Histories(t) {
		t.Error("the histories are all alike")
	}
}
