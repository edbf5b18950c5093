package checker

import (
	"context"
	"math"
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

func TestCheckSet(t *testing.T) {
	for _, test := range []struct {
		name    string
		history string
		verdict Verdict
		set     counts.Set
		anomaly anomaly.Name
		witness []string
		says    string
		stale   int
	}{
		{
			name: "every element ok",
			history: `p1 n1 add s 1 [0,1] ok
			          p1 n1 add s 2 [2,3] ok
			          p2 n2 read-all s -> 2 1 1 [4,5] ok`,
			verdict: Valid,
			set:     counts.Set{Attempted: 2, Acknowledged: 2, OK: 2},
		},
		{
			name: "unknown, failed and concurrent",
			history: `p1 n1 add s 1 [0,1] info
			          p2 n1 add s 2 [0,1] info
			          p3 n1 add s 3 [0,1] fail
			          p4 n1 add s 4 [0,9] ok
			          p5 n1 add s 5 [20,21] ok
			          p6 n2 read-all s [2,3] ok
			          p7 n2 read-all s [3,4] info
			          p6 n2 read-all s -> 1 [4,5] ok`,
			verdict: Valid,
			set:     counts.Set{Attempted: 4, Acknowledged: 2, OK: 1, Recovered: 1, NeverRead: 2},
		},
		{
			name: "lost",
			history: `p1 n1 add s 17 [0,1] ok
			          p2 n2 read-all s -> 17 [2,3] ok
			          p3 n3 read-all s [4,5] ok
			          p3 n3 read-all s [6,7] ok
			          partition n1 from 0 to 3`,
			verdict: Invalid,
			set:     counts.Set{Attempted: 1, Acknowledged: 1, Lost: 1, LostElements: []int64{17}},
			anomaly: anomaly.LostCommit,
			witness: []string{"add 17", "read-all"},
			says:    "element 17 had been acknowledged to p1 through n1 at 1.000 s, yet p3 read set s without 17 through n3 at 6.000 s: the element is lost; n1 had been cut off from n2 n3 from 0.000 s to 3.000 s.",
		},
		{
			name: "stale, as another final read shows it",
			history: `p1 n1 add s 17 [0,1] ok
			          p2 n2 read-all s -> 17 [21,22] ok
			          p3 n3 read-all s [24,25] ok
			          final at 20`,
			verdict: Invalid, stale: 1,
			set:     counts.Set{Attempted: 1, Acknowledged: 1, Stale: 1, StaleElements: []int64{17}, StaleMedian: 23 * time.Second, StaleMax: 23 * time.Second},
			anomaly: anomaly.StaleRead,
			witness: []string{"add 17", "read-all"},
			says:    "p3 read set s without 17 through n3 at 24.000 s, 23.000 s after element 17 had been acknowledged to p1 through n1; no fault was in force.",
		},
		{
			name: "stale, as nobody knows how it ended",
			history: `p1 n1 add s 17 [0,1] ok
			          p3 n3 read-all s [4,5] ok
			          torn`,
			verdict: Invalid, stale: 1,
			set:     counts.Set{Attempted: 1, Acknowledged: 1, Stale: 1, StaleElements: []int64{17}, StaleMedian: 3 * time.Second, StaleMax: 3 * time.Second},
			anomaly: anomaly.StaleRead,
			witness: []string{"add 17", "read-all"},
			says:    "p3 read set s without 17 through n3 at 4.000 s, 3.000 s after element 17 had been acknowledged to p1 through n1.",
		},
		{
			name: "stale, known by a read",
			history: `p1 n1 add s 17 [0,1] info
			          p2 n2 read-all s -> 17 [2,3] ok
			          p3 n3 read-all s [5,6] ok
			          p3 n3 read-all s -> 17 [7,8] ok`,
			verdict: Invalid, stale: 1,
			set:     counts.Set{Attempted: 1, Recovered: 1, Stale: 1, StaleElements: []int64{17}, StaleMedian: 2 * time.Second, StaleMax: 2 * time.Second},
			anomaly: anomaly.StaleRead,
			witness: []string{"add 17", "read-all -> 17", "read-all"},
			says:    "p3 read set s without 17 through n3 at 5.000 s, 2.000 s after p2 had read set s with 17 through n2.",
		},
		{
			name: "unexpected",
			history: `p1 n1 add s 3 [0,1] fail
			          p2 n2 read-all s -> 3 9 [2,3] ok`,
			verdict: Invalid,
			set:     counts.Set{Unexpected: 2, UnexpectedElements: []int64{3, 9}},
			anomaly: anomaly.PhantomRead,
			witness: []string{"read-all -> 3"},
			says:    "p2's read of set s through n2 at 2.000 s shows 2 elements that nobody can have added by then, 3 and 9: it shows 3, but p1's add of 3 through n1 had failed at 1.000 s.",
		},
		{
			name: "stale and then lost",
			history: `p1 n1 add s 17 [0,1] ok
			          p3 n3 read-all s [4,5] ok
			          p2 n2 read-all s -> 17 [6,7] ok
			          p3 n3 read-all s [8,9] ok`,
			verdict: Invalid, stale: 1,
			set:     counts.Set{Attempted: 1, Acknowledged: 1, Lost: 1, LostElements: []int64{17}},
			anomaly: anomaly.StaleRead,
			witness: []string{"add 17", "read-all"},
			says:    "p3 read set s without 17 through n3 at 4.000 s, 3.000 s after element 17 had been acknowledged to p1 through n1.",
		},
		{
			name: "many stale in one read",
			history: `p1 n1 add s 17 [0,1] ok
			          p1 n1 add s 18 [1,2] ok
			          p1 n1 add s 19 [2,3] ok
			          p1 n1 add s 20 [3,4] ok
			          p3 n3 read-all s [5,6] ok
			          p3 n3 read-all s -> 17 18 19 20 [8,9] ok`,
			verdict: Invalid, stale: 1,
			set:     counts.Set{Attempted: 4, Acknowledged: 4, Stale: 4, StaleElements: []int64{17, 18, 19, 20}, StaleMedian: 2 * time.Second, StaleMax: 4 * time.Second},
			anomaly: anomaly.StaleRead,
			witness: []string{"add 17", "read-all"},
			says:    "p3's read of set s through n3 at 5.000 s misses 4 acknowledged elements, such as 17, 18 and 19; it was invoked 4.000 s after element 17 had been acknowledged to p1 through n1.",
		},
		{
			name: "too early",
			history: `p2 n2 read-all s -> 3 [2,3] ok
			          p1 n1 add s 3 [4,5] ok`,
			verdict: Invalid,
			set:     counts.Set{Attempted: 1, Acknowledged: 1, Unexpected: 1, UnexpectedElements: []int64{3}},
			anomaly: anomaly.PhantomRead,
			witness: []string{"read-all -> 3", "add 3"},
			says:    "p2 read set s with 3 through n2 at 3.000 s, 1.000 s before p1's add of 3 through n1 was invoked.",
		},
		{
			name: "each element is fine, but the reads disagree",
			history: `p1 n1 add s 1 [0,9] ok
			          p2 n2 add s 2 [0,9] ok
			          p3 n3 read-all s -> 1 [1,8] ok
			          p4 n3 read-all s -> 2 [1,8] ok`,
			verdict: Invalid, stale: 1,
			set:     counts.Set{Attempted: 2, Acknowledged: 2, OK: 2},
			anomaly: anomaly.StaleRead,
			witness: []string{"add 1", "add 2", "read-all -> 1", "read-all -> 2"},
			says:    "no order explains that p1 added 1 to set s through n1 (invoked at 0.000 s, answered at 9.000 s), that p2 added 2 to set s through n2 (invoked at 0.000 s, answered at 9.000 s), that p3 read set s with 1 without 2 through n3 (invoked at 1.000 s, answered at 8.000 s), that p4 read set s with 2 without 1 through n3 (invoked at 1.000 s, answered at 8.000 s): whatever the order, a read was stale.",
		},
		{
			name: "each element is fine, but the adds disagree",
			history: `p1 n1 add s 1 [1,2] ok
			          p1 n1 add s 2 [3,4] ok
			          p3 n3 read-all s -> 2 [0,5] ok`,
			verdict: Invalid, stale: 1,
			set:     counts.Set{Attempted: 2, Acknowledged: 2, OK: 1, NeverRead: 1},
			anomaly: anomaly.StaleRead,
			witness: []string{"read-all -> 2", "add 1", "add 2"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := Check(t.Context(), script.Parse(t, test.history), Set, Options{})
			if result.Verdict != test.verdict || result.StaleReads != (counts.Bounds{Certain: test.stale, Possible: test.stale}) || result.LostCommits != (counts.Bounds{Certain: test.set.Lost, Possible: test.set.Lost}) {
				t.Errorf("%s: %s, %s stale, %s lost", result.Verdict, result.Reason, result.StaleReads, result.LostCommits)
			}
			if diff := cmp.Diff(&test.set, result.Set); diff != "" {
				t.Error(diff)
			}
			if test.verdict != Invalid {
				if len(result.Violations) > 0 {
					t.Errorf("violations %v", result.Violations)
				}
				return
			}
			if len(result.Violations) == 0 {
				t.Fatal("no violation")
			}
			v := result.Violations[0]
			var witness []string
			for _, o := range v.Witness {
				witness = append(witness, script.Brief(o))
			}
			if diff := cmp.Diff(test.witness, witness); diff != "" || v.Anomaly != test.anomaly {
				t.Errorf("%s (want %s)\n%s", v.Anomaly, test.anomaly, diff)
			}
			if test.says != "" && v.Sentence != test.says {
				t.Errorf("it says\n%s\nwant\n%s", v.Sentence, test.says)
			}
			if result.FirstViolation <= 0 || result.FirstViolation > v.At() {
				t.Errorf("first violation at %s, this one at %s", result.FirstViolation, v.At())
			}
		})
	}
}

// All that one read misses is one sentence, however much it is, and one violation.
func TestManyLostAtOnce(t *testing.T) {
	run := script.Parse(t, `p9 n3 read-all s [9000,9001] ok
	                 p9 n2 read-all s [9002,9003] ok
	                 p8 n1 add s 9999 [1,2] info
	                 p8 n1 add s 9998 [1,2] info
	                 p7 n1 read-all s -> 9998 9999 [3,4] ok
	                 final at 8000`)
	for i := range 648 {
		at := time.Duration(5+i) * time.Second
		run.History.Operations = append(run.History.Operations, history.Operation{
			Process: 1, Node: "n1", Kind: history.Add, Key: "s", Input: history.Ints(int64(17 + i)), Invoke: at, Complete: at + 1, Outcome: history.OK})
	}
	expectSentences(t, run, Set,
		"p9's read of set s through n2 at 9002.000 s misses 2 elements that had been read, 9999 and 9998, and no later read shows them: they are lost; "+
			"p7 had read set s with 9999 through n1 at 4.000 s; no fault was in force.",
		"p9's read of set s through n2 at 9002.000 s misses 648 acknowledged elements, such as 17, 18 and 19, and no later read shows them: they are lost; "+
			"element 17 had been acknowledged to p1 through n1 at 5.000 s; no fault was in force.")
	if r := Check(t.Context(), run, Set, Options{}); r.Set.Lost != 650 || r.LostCommits != (counts.Bounds{Certain: 650, Possible: 650}) || r.StaleReads != (counts.Bounds{}) {
		t.Errorf("%+v, %s lost, %s stale", r.Set, r.LostCommits, r.StaleReads)
	}
}

func TestSetUnknown(t *testing.T) {
	twice := script.Parse(t, "p1 n1 add s 1 [0,1] ok\n p1 n1 add s 1 [2,3] info")
	if r := Check(t.Context(), twice, Set, Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, "element 1 is added twice") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	retried := script.Parse(t, "p1 n1 add s 1 [0,1] fail\n p1 n1 add s 1 [2,3] ok")
	if r := Check(t.Context(), retried, Set, Options{}); r.Verdict != Valid {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	read := script.Parse(t, "p1 n1 add s 1 [0,1] ok\n p1 n1 read-all s [2,3] ok")
	if r := Check(ctx, read, Set, Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, "cancelled") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	write := script.Parse(t, "p1 n1 write s 1 [0,1] ok")
	if r := Check(t.Context(), write, Set, Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, "a kind that the model does not know") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
}

// plainPorcupineSet judges one set of elements 0 to 63 with a model of its own.
func plainPorcupineSet(operations []history.Operation) bool {
	bits := func(elements []int64) (all uint64) {
		for _, e := range elements {
			all |= 1 << e
		}
		return all
	}
	var entries []porcupine.Operation
	for _, o := range operations {
		ret := int64(o.Complete)
		if o.Outcome == history.Info {
			ret = math.MaxInt64
		}
		entries = append(entries, porcupine.Operation{Input: o, Call: int64(o.Invoke), Return: ret})
	}
	return porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return uint64(0) },
		Step: func(state, input, _ any) (bool, any) {
			held, o := state.(uint64), input.(history.Operation)
			switch {
			case o.Kind == history.ReadAll && o.Outcome == history.OK:
				return held == bits(o.Output.Ints()), held
			case o.Kind == history.Add && o.Outcome != history.Fail:
				return true, held | bits(o.Input.Ints())
			}
			return true, held
		},
	}, entries)
}

// countSet counts stale reads and lost elements by the definitions alone, of a
// history without a final phase.
func countSet(operations []history.Operation) (staleReads, lostCommits int) {
	reads := slices.DeleteFunc(slices.Clone(operations), func(o history.Operation) bool {
		return o.Kind != history.ReadAll || o.Outcome != history.OK
	})
	stale := map[int]bool{} // by process, which each operation has of its own
	for number := range int64(len(operations)) {
		added, known, early := history.Never, history.Never, false
		for _, o := range operations {
			if o.Kind == history.Add && o.Input.At(0) == number && o.Outcome != history.Fail {
				added = o.Invoke
				if o.Outcome == history.OK {
					known = o.Complete
				}
			}
		}
		shows := func(r history.Operation) bool { return slices.Contains(r.Output.Ints(), number) }
		for _, r := range reads {
			if shows(r) {
				known, early = min(known, r.Complete), early || r.Complete < added
			}
		}
		if early {
			continue
		}
		shownSince := func(t time.Duration) bool {
			return slices.ContainsFunc(reads, func(r history.Operation) bool { return shows(r) && r.Complete >= t })
		}
		last := -history.Never // invocation of a read that misses it
		for _, r := range reads {
			if !shows(r) && known < r.Invoke {
				last = max(last, r.Invoke)
			}
		}
		lost := last != -history.Never && !shownSince(last)
		if lost {
			lostCommits++
		}
		for _, r := range reads {
			if !shows(r) && known < r.Invoke && (!lost || shownSince(r.Invoke)) {
				stale[r.Process] = true
			}
		}
	}
	return len(stale), lostCommits
}

// drawSet returns a random history of one set, as simulate.Universe does.
func drawSet(r *rand.Rand) []history.Operation {
	n := 1 + r.IntN(12)
	span := 2 + r.IntN(3*n)
	spoil := []float64{0, 0.1, 0.5}[r.IntN(3)]
	width := 1 + r.IntN(span)
	operations := make([]history.Operation, n)
	type effect struct {
		at int
		*history.Operation
	}
	effects := make([]effect, n)
	for i := range operations {
		call := r.IntN(span)
		ret := call + r.IntN(width)
		o := history.Operation{Process: i, Key: "s", Kind: history.Add, Input: history.Ints(int64(i)), Outcome: history.OK, Invoke: time.Duration(call), Complete: time.Duration(ret)}
		if r.IntN(2) == 0 {
			o.Kind, o.Input = history.ReadAll, history.Value{}
		}
		at := call + r.IntN(1+ret-call)
		switch r.IntN(10) {
		case 0:
			o.Outcome, at = history.Info, call+r.IntN(2*span)
		case 1:
			o.Outcome = history.Fail
		}
		operations[i] = o
		effects[i] = effect{at, &operations[i]}
	}
	slices.SortStableFunc(effects, func(a, b effect) int { return a.at - b.at })
	var held []int64
	for _, o := range effects {
		switch {
		case o.Kind == history.ReadAll:
			var seen []int64
			for _, e := range held {
				if r.Float64() >= spoil/2 {
					seen = append(seen, e)
				}
			}
			if r.Float64() < spoil/4 {
				seen = append(seen, int64(r.IntN(n)))
			}
			o.Output = history.Ints(seen...)
		case o.Outcome == history.OK || o.Outcome == history.Info && r.IntN(2) == 0:
			held = append(held, o.Input.At(0))
		}
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return operations
}

func TestSetAgreesWithPorcupine(t *testing.T) {
	t.Parallel()
	anomalies := map[anomaly.Name]int{}
	invalid := 0
	for seed := range uint64(script.Histories(t)) {
		operations := drawSet(rand.New(rand.NewPCG(seed, 11)))
		want := Valid
		if !plainPorcupineSet(operations) {
			want = Invalid
			invalid++
		}
		got := Check(t.Context(), &history.Run{History: history.History{Operations: operations}}, Set, Options{})
		if got.Verdict != want {
			t.Fatalf("seed %d: verdict %s (%s), but Porcupine says %s, of\n%s", seed, got.Verdict, got.Reason, want, script.List(operations))
		}
		if bad := got.Set.Lost + got.Set.Stale + got.Set.Unexpected; bad > 0 && want == Valid {
			t.Fatalf("seed %d: %d bad elements in a valid history\n%s", seed, bad, script.List(operations))
		}
		if staleReads, lostCommits := countSet(operations); got.LostCommits.Certain != lostCommits ||
			got.StaleReads.Certain != staleReads && got.Set.Lost+got.Set.Stale+got.Set.Unexpected > 0 {
			t.Fatalf("seed %d: %s stale, %s lost; want %d and %d, of\n%s", seed, got.StaleReads, got.LostCommits, staleReads, lostCommits, script.List(operations))
		}
		for _, v := range got.Violations {
			if v.Anomaly == anomaly.StaleRead && got.StaleReads.Certain == 0 || v.Anomaly == anomaly.LostCommit && got.LostCommits.Certain == 0 {
				t.Fatalf("seed %d: %s, but %s stale and %s lost", seed, v.Anomaly, got.StaleReads, got.LostCommits)
			}
			anomalies[v.Anomaly]++
			for _, o := range v.Witness {
				for _, seen := range o.Output.Ints() {
					if !slices.Contains(v.Elements, seen) {
						t.Fatalf("seed %d: %d is none of the elements %v:\n%s", seed, seen, v.Elements, script.List(v.Witness))
					}
				}
			}
			if plainPorcupineSet(v.Witness) || len(v.Witness) > 4 || v.Sentence == "" || len(v.Elements) == 0 {
				t.Fatalf("seed %d: %s, not a witness:\n%s", seed, v.Sentence, script.List(v.Witness))
			}
		}
	}
	t.Logf("%d of %d invalid: %v", invalid, script.Histories(t), anomalies)
	if invalid == 0 || invalid == script.Histories(t) {
		t.Error("the histories are all alike")
	}
}
