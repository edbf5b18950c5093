package checker

import (
	"context"
	"fmt"
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

func TestCheckCounter(t *testing.T) {
	for _, test := range []struct {
		name    string
		history string
		verdict Verdict
		engine  Engine
		counter counts.Counter
		stale   int
		lost    int
		anomaly anomaly.Name
		witness []string
		says    string
	}{
		{
			name: "unknown and failed, concurrent and late",
			history: `p1 n1 increment c 1 [0,1] ok
			          p2 n1 increment c 1 [0,1] info
			          p3 n1 increment c 1 [0,1] fail
			          p4 n1 increment c 1 [0,9] ok
			          p5 n2 read c -> 1 [2,3] ok
			          p5 n2 read c -> 3 [4,5] ok
			          p6 n2 read c [4,5] info
			          p5 n2 increment c 1 [11,12] ok`,
			verdict: Valid, engine: Polynomial,
			counter: counts.Counter{Acknowledged: 3, Unknown: 1, FinalLeast: 3, FinalMost: 4},
		},
		{
			name: "nothing is nought, and a read may end when an increment begins",
			history: `p1 n1 read c [0,1] ok
			          p1 n1 read c -> 1 [1,2] ok
			          p2 n1 increment c 1 [2,3] ok`,
			verdict: Valid, engine: Polynomial,
			counter: counts.Counter{Acknowledged: 1, FinalLeast: 1, FinalMost: 1},
		},
		{
			name: "stale, of what was acknowledged",
			history: `p1 n1 increment c 1 [0,1] ok
			          p2 n1 increment c 1 [0,2] ok
			          p3 n3 read c -> 1 [4,5] ok
			          p3 n3 read c -> 2 [6,7] ok
			          partition n1 from 0 to 3`,
			verdict: Invalid, engine: Polynomial, stale: 1,
			counter: counts.Counter{Acknowledged: 2, FinalLeast: 2, FinalMost: 2},
			anomaly: anomaly.StaleRead,
			witness: []string{"increment 1", "increment 1", "read -> 1"},
			says:    "p3 read c = 1 through n3 at 4.000 s, 2.000 s after 2 increments by 2 in all had been acknowledged; n1 had been cut off from n2 n3 from 0.000 s to 3.000 s.",
		},
		{
			name: "stale, of what another read",
			history: `p1 n1 increment c 1 [0,1] ok
			          p2 n1 increment c 1 [0,2] info
			          p3 n2 read c -> 2 [3,4] ok
			          p4 n3 read c -> 1 [6,7] ok
			          p4 n3 read c -> 2 [8,9] ok`,
			verdict: Invalid, engine: Polynomial, stale: 1,
			counter: counts.Counter{Acknowledged: 1, Unknown: 1, FinalLeast: 1, FinalMost: 2},
			anomaly: anomaly.StaleRead,
			witness: []string{"read -> 2", "read -> 1"},
			says:    "p4 read c = 1 through n3 at 6.000 s, 2.000 s after p3 had read c = 2 through n2.",
		},
		{
			name: "stale, of what was acknowledged after another read",
			history: `p1 n1 increment c 1 [0,1] ok
			          p2 n1 increment c 1 [0,2] info
			          p3 n2 read c -> 2 [3,4] ok
			          p1 n1 increment c 1 [5,6] ok
			          p4 n3 read c -> 2 [7,8] ok
			          p4 n3 read c -> 3 [9,10] ok`,
			verdict: Invalid, engine: Polynomial, stale: 1,
			counter: counts.Counter{Acknowledged: 2, Unknown: 1, FinalLeast: 2, FinalMost: 3},
			anomaly: anomaly.StaleRead,
			witness: []string{"read -> 2", "increment 1", "read -> 2"},
			says:    "p4 read c = 2 through n3 at 7.000 s, 1.000 s after p3 had read c = 2 through n2 and then 1 increment by 1 in all had been acknowledged.",
		},
		{
			name: "stale, of what only the older of two reads proves",
			history: `p1 n1 increment c 1 [0,1] info
			          p2 n1 increment c 1 [0,1] info
			          p3 n1 increment c 1 [0,1] info
			          p4 n2 read c -> 1 [1,1.5] ok
			          p5 n1 increment c 1 [2,6] ok
			          p6 n1 increment c 1 [2,6] ok
			          p7 n1 increment c 1 [2,6] ok
			          p4 n2 read c -> 3 [3,4] ok
			          p4 n2 read c -> 3 [7,8] ok
			          p4 n2 read c -> 6 [9,10] ok`,
			verdict: Invalid, engine: Polynomial, stale: 1,
			counter: counts.Counter{Acknowledged: 3, Unknown: 3, FinalLeast: 3, FinalMost: 6},
			anomaly: anomaly.StaleRead,
			witness: []string{"read -> 1", "increment 1", "increment 1", "increment 1", "read -> 3"},
			says:    "p4 read c = 3 through n2 at 7.000 s, 1.000 s after p4 had read c = 1 through n2 and then 3 increments by 3 in all had been acknowledged.",
		},
		{
			name: "lost",
			history: `p1 n1 increment c 5 [0,1] ok
			          p2 n1 increment c 5 [0,2] ok
			          p3 n2 read c -> 10 [3,4] ok
			          p3 n2 read c -> 0 [21,22] ok
			          p4 n3 read c -> 5 [23,24] ok
			          p5 n3 read c -> 0 [25,26] ok
			          partition n1 from 0 to 9
			          final at 20`,
			verdict: Invalid, engine: Polynomial, lost: 1, stale: 2,
			counter: counts.Counter{Acknowledged: 10, FinalLeast: 10, FinalMost: 10, LostLeast: 5, LostMost: 5},
			anomaly: anomaly.LostCommit,
			witness: []string{"read -> 10", "read -> 0"},
			says:    "p3 had read c = 10 through n2 at 4.000 s, yet p3 read c = 0 through n2 at 21.000 s; and when it had to be 10 in the end, nobody read more than 5: at least 5 of it is lost; n1 had been cut off from n2 n3 from 0.000 s to 9.000 s.",
		},
		{
			name: "stale, as nobody knows how it ended",
			history: `p1 n1 increment c 5 [0,1] ok
			          p3 n2 read c -> 0 [3,4] ok
			          torn`,
			verdict: Invalid, engine: Polynomial, stale: 1,
			counter: counts.Counter{Acknowledged: 5, FinalLeast: 5, FinalMost: 5},
			anomaly: anomaly.StaleRead,
			witness: []string{"increment 5", "read -> 0"},
			says:    "p3 read c = 0 through n2 at 3.000 s, 2.000 s after 1 increment by 5 in all had been acknowledged.",
		},
		{
			name: "lost, and nobody had seen it",
			history: `p1 n1 increment c 1 [0,1] ok
			          p2 n1 increment c 1 [0,2] ok
			          p3 n2 read c -> 1 [21,22] ok
			          p4 n2 read c -> 1 [21,22] ok
			          partition n1 from 0 to 9
			          final at 20`,
			verdict: Invalid, engine: Polynomial, lost: 1,
			counter: counts.Counter{Acknowledged: 2, FinalLeast: 2, FinalMost: 2, LostLeast: 1, LostMost: 1},
			anomaly: anomaly.LostCommit,
			witness: []string{"increment 1", "increment 1", "read -> 1"},
			says:    "p4 read c = 1 through n2 at 21.000 s, 19.000 s after 2 increments by 2 in all had been acknowledged; and when it had to be 2 in the end, nobody read more than 1: at least 1 of it is lost; n1 had been cut off from n2 n3 from 0.000 s to 9.000 s.",
		},
		{
			name: "what is unknown may make up for a loss",
			history: `p1 n1 increment c 1 [0,1] ok
			          p2 n1 increment c 1 [0,2] info
			          p3 n2 read c -> 1 [3,4] ok`,
			verdict: Valid, engine: Polynomial,
			counter: counts.Counter{Acknowledged: 1, Unknown: 1, FinalLeast: 1, FinalMost: 2, LostMost: 1},
		},
		{
			name: "too much",
			history: `p1 n1 increment c 2 [0,1] ok
			          p2 n1 increment c 2 [0,2] info
			          p4 n1 increment c 2 [5,6] ok
			          p3 n2 read c -> 6 [3,4] ok`,
			verdict: Invalid, engine: Polynomial,
			counter: counts.Counter{Acknowledged: 4, Unknown: 2, FinalLeast: 4, FinalMost: 6},
			anomaly: anomaly.WrongCount,
			witness: []string{"increment 2", "increment 2", "read -> 6"},
			says:    "p3 read c = 6 through n2 at 4.000 s, but the increments invoked by then come to 4 at most.",
		},
		{
			name: "too little for anything",
			history: `p1 n1 increment c 2 [0,1] ok
			          p3 n2 read c -> -1 [3,4] ok`,
			verdict: Invalid, engine: Polynomial,
			counter: counts.Counter{Acknowledged: 2, FinalLeast: 2, FinalMost: 2},
			anomaly: anomaly.WrongCount,
			witness: []string{"read -> -1"},
			says:    "p3 read c = -1 through n2 at 4.000 s, but the increments invoked by then come to 0 at least.",
		},
		{
			name: "not a multiple",
			history: `p1 n1 increment c 6 [0,1] ok
			          p1 n1 increment c 4 [0,1] ok
			          p3 n2 read c -> 7 [0,4] ok`,
			verdict: Invalid, engine: Polynomial,
			counter: counts.Counter{Acknowledged: 10, FinalLeast: 10, FinalMost: 10},
			anomaly: anomaly.WrongCount,
			witness: []string{"increment 6", "increment 4", "read -> 7"},
			says:    "p3 read c = 7 through n2 (invoked at 0.000 s, answered at 4.000 s), but all increments are multiples of 2.",
		},
		{
			name: "upside down",
			history: `p1 n1 increment c -1 [0,1] ok
			          p3 n2 read c [3,4] ok
			          p3 n2 read c -> -2 [5,6] ok
			          p3 n2 read c -> -1 [7,8] ok`,
			verdict: Invalid, engine: Polynomial, stale: 1,
			counter: counts.Counter{Acknowledged: -1, FinalLeast: -1, FinalMost: -1},
			anomaly: anomaly.StaleRead,
			witness: []string{"increment -1", "read"},
			says:    "p3 read c = 0 through n2 at 3.000 s, 2.000 s after 1 increment by -1 in all had been acknowledged.",
		},
		{
			name: "up and down",
			history: `p1 n1 increment c 5 [0,1] ok
			          p2 n1 increment c -2 [0,9] ok
			          p2 n1 increment c 1 [0,9] info
			          p3 n2 read c -> 2 [3,4] ok`,
			verdict: Invalid, engine: Polynomial, stale: 1,
			counter: counts.Counter{Acknowledged: 3, Unknown: 1, FinalLeast: 3, FinalMost: 4},
			anomaly: anomaly.StaleRead,
			witness: []string{"increment 5", "increment -2", "read -> 2"},
			says:    "p3 read c = 2 through n2 at 3.000 s, but the increments acknowledged before, and those under way that help, come to 3 at least.",
		},
		{
			name: "up and down, and back in time",
			history: `p1 n1 increment c 5 [0,1] info
			          p2 n1 increment c -2 [0,9] info
			          p3 n2 read c -> 5 [2,3] ok
			          p3 n2 read c [4,5] ok`,
			verdict: Invalid, engine: Polynomial, stale: 1,
			counter: counts.Counter{Unknown: 3, FinalLeast: -2, FinalMost: 5},
			anomaly: anomaly.StaleRead,
			witness: []string{"increment -2", "read -> 5", "read"},
			says:    "p3 read c = 0 through n2 at 4.000 s, but p3 had read c = 5 through n2 at 3.000 s, and the increments since then, with those under way that help, come to 3 at least.",
		},
		{
			name: "down and up, and back in time",
			history: `p1 n1 increment c 3 [0,1] ok
			          p1 n1 increment c -5 [0,1] info
			          p2 n1 increment c 2 [0,9] info
			          p3 n2 read c -> -2 [2,3] ok
			          p3 n2 read c -> 1 [4,5] ok`,
			verdict: Invalid, engine: Polynomial, stale: 1,
			counter: counts.Counter{Acknowledged: 3, Unknown: -3, FinalLeast: -2, FinalMost: 5},
			anomaly: anomaly.StaleRead,
			witness: []string{"increment 2", "read -> -2", "read -> 1"},
			says:    "p3 read c = 1 through n2 at 4.000 s, but p3 had read c = -2 through n2 at 3.000 s, and the increments since then, with those under way that help, come to 0 at most.",
		},
		{
			name: "within all bounds",
			history: `p1 n1 increment c 2 [0,9] ok
			          p3 n1 increment c 2 [0,9] ok
			          p2 n1 increment c 3 [0,9] ok
			          p3 n2 read c -> 4 [1,2] ok
			          p3 n2 read c -> 6 [3,4] ok
			          p3 n2 read c -> 7 [5,6] ok`,
			verdict: Invalid, engine: Porcupine,
			counter: counts.Counter{Acknowledged: 7, FinalLeast: 7, FinalMost: 7, LostMost: 0},
			anomaly: anomaly.Disorder,
			witness: []string{"increment 2", "increment 3", "increment 2", "read -> 6"},
			says:    "no order of the 3 increments invoked by then explains that p3 read c = 6 through n2 at 4.000 s.",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := Check(t.Context(), script.Parse(t, test.history), Counter, Options{})
			if result.Verdict != test.verdict || result.StaleReads.Certain != test.stale || result.LostCommits.Certain != test.lost {
				t.Errorf("%s: %s, %d stale, %d lost", result.Verdict, result.Reason, result.StaleReads, result.LostCommits)
			}
			if diff := cmp.Diff(&test.counter, result.Counter); diff != "" {
				t.Error(diff)
			}
			if len(result.Decisions) != 1 || result.Decisions[0].Engine != test.engine {
				t.Errorf("decisions %v", result.Decisions)
			}
			checkStory(t, result, test.verdict, test.anomaly, test.witness, test.says)
		})
	}
}

// checkStory demands that some violation is of the anomaly, as told.
func checkStory(t *testing.T, result Result, verdict Verdict, name anomaly.Name, witness []string, says string) {
	t.Helper()
	if verdict != Invalid {
		if len(result.Violations) > 0 {
			t.Errorf("violations %v", result.Violations)
		}
		return
	}
	i := slices.IndexFunc(result.Violations, func(v anomaly.Violation) bool { return v.Anomaly == name })
	if i < 0 {
		t.Fatalf("no %s among %v", name, result.Violations)
	}
	v := result.Violations[i]
	var got []string
	for _, o := range v.Witness {
		got = append(got, script.Brief(o))
	}
	if diff := cmp.Diff(witness, got); diff != "" {
		t.Error(diff)
	}
	if v.Sentence != says {
		t.Errorf("it says\n%s\nwant\n%s", v.Sentence, says)
	}
	if first := result.Violations[0]; result.FirstViolation <= 0 || result.FirstViolation > first.At() {
		t.Errorf("first violation at %s, this one at %s", result.FirstViolation, first.At())
	}
}

func TestCounterUnknown(t *testing.T) {
	huge := script.Parse(t, "p1 n1 increment c 1152921504606846976 [0,1] ok\n p1 n1 increment c -1 [2,3] info")
	if r := Check(t.Context(), huge, Counter, Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, "more than 2^60") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fine := script.Parse(t, "p1 n1 increment c 1 [0,1] ok\n p1 n1 read c -> 1 [2,3] ok")
	if r := Check(ctx, fine, Counter, Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, "cancelled") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	unequal := script.Parse(t, "p1 n1 increment c 1 [0,1] ok\n p1 n1 increment c 2 [0,1] ok\n p1 n1 read c -> 3 [2,3] ok")
	if r := Check(t.Context(), unequal, Counter, Options{Engine: Polynomial}); r.Verdict != Unknown || !strings.Contains(r.Reason, "only the engine porcupine") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	// Forty concurrent increments, and a sum that they do not have.
	hard := &history.Run{}
	for i := range 40 {
		hard.History.Operations = append(hard.History.Operations, history.Operation{
			Process: i, Kind: history.Increment, Input: history.Ints(int64(1000*i + 1001)), Complete: 1000, Outcome: history.OK})
	}
	hard.History.Operations = append(hard.History.Operations, history.Operation{
		Process: 40, Kind: history.Read, Output: history.Ints(500_000), Invoke: 1, Complete: 2, Outcome: history.OK})
	if r := Check(t.Context(), hard, Counter, Options{Budget: Budget{Time: 200 * time.Millisecond}}); r.Verdict != Unknown || !strings.Contains(r.Reason, "not decided") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
}

// plainPorcupineCounter judges one counter with a model of its own.
func plainPorcupineCounter(operations []history.Operation) bool {
	var entries []porcupine.Operation
	for _, o := range operations {
		ret := int64(o.Complete)
		if o.Outcome == history.Info {
			ret = math.MaxInt64
		}
		entries = append(entries, porcupine.Operation{Input: o, Call: int64(o.Invoke), Return: ret})
	}
	return porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return int64(0) },
		Step: func(state, input, _ any) (bool, any) {
			held, o := state.(int64), input.(history.Operation)
			switch {
			case o.Kind == history.Read && o.Outcome == history.OK:
				return o.Output.Len() == 0 && held == 0 || o.Output.Len() == 1 && o.Output.At(0) == held, held
			case o.Kind == history.Increment && o.Outcome != history.Fail:
				return true, held + o.Input.At(0)
			}
			return true, held
		},
	}, entries)
}

// drawCounter returns a random history of one counter whose increments are drawn
// from amounts: a real counter is simulated, and some reads are spoilt.
func drawCounter(r *rand.Rand, amounts []int64) []history.Operation {
	n := 1 + r.IntN(12)
	span := 2 + r.IntN(3*n)
	spoil := []float64{0, 0.1, 0.5}[r.IntN(3)]
	width := 1 + r.IntN(span)
	type effect struct {
		at int
		*history.Operation
	}
	operations := make([]history.Operation, n)
	effects := make([]effect, n)
	for i := range operations {
		call := r.IntN(span)
		ret := call + r.IntN(width)
		o := history.Operation{Process: i, Key: "c", Kind: history.Increment, Input: history.Ints(amounts[r.IntN(len(amounts))]),
			Outcome: history.OK, Invoke: time.Duration(call), Complete: time.Duration(ret)}
		if r.IntN(2) == 0 {
			o.Kind, o.Input = history.Read, history.Value{}
		}
		at := call + r.IntN(1+ret-call)
		switch r.IntN(10) {
		case 0, 1:
			o.Outcome, at = history.Info, call+r.IntN(2*span)
		case 2:
			o.Outcome = history.Fail
		}
		operations[i] = o
		effects[i] = effect{at, &operations[i]}
	}
	slices.SortStableFunc(effects, func(a, b effect) int { return a.at - b.at })
	var held int64
	for _, o := range effects {
		switch {
		case o.Kind == history.Read:
			seen := held
			if r.Float64() < spoil {
				seen += int64(r.IntN(5)-3) * []int64{1, amounts[0]}[r.IntN(2)]
			}
			if seen != 0 || r.IntN(2) == 0 {
				o.Output = history.Ints(seen)
			}
		case o.Outcome == history.OK || o.Outcome == history.Info && r.IntN(2) == 0:
			held += o.Input.At(0)
		}
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return operations
}

func TestCounterAgreesWithPorcupine(t *testing.T) {
	for _, amounts := range [][]int64{{1}, {-1}, {3}, {0, 2}, {1, 2, 4}, {-3, -1}, {-2, 1, 2}} {
		t.Run(fmt.Sprint(amounts), func(t *testing.T) {
			t.Parallel()
			anomalies := map[anomaly.Name]int{}
			invalid, searched := 0, 0
			for seed := range uint64(script.Histories(t)) {
				operations := drawCounter(rand.New(rand.NewPCG(seed, 13)), amounts)
				run := &history.Run{History: history.History{Operations: operations}}
				if seed%3 == 0 {
					run.Events = []history.Event{{Type: history.PhaseBegins, Phase: history.Final, Time: operations[len(operations)/2].Invoke}}
				}
				want := Valid
				if !plainPorcupineCounter(operations) {
					want = Invalid
					invalid++
				}
				got := Check(t.Context(), run, Counter, Options{})
				if got.Verdict != want {
					t.Fatalf("seed %d: verdict %s (%s), but Porcupine says %s, of\n%s", seed, got.Verdict, got.Reason, want, script.List(operations))
				}
				if (got.StaleReads.Certain > 0 || got.LostCommits.Certain > 0 || got.Counter.LostLeast != 0) && want == Valid {
					t.Fatalf("seed %d: %d stale and %d lost in a valid history\n%s", seed, got.StaleReads, got.LostCommits, script.List(operations))
				}
				if got.Decisions[0].Engine == Porcupine {
					searched++
				}
				if c := got.Counter; c.LostLeast > c.LostMost || c.FinalLeast > c.FinalMost {
					t.Fatalf("seed %d: %+v of\n%s", seed, *c, script.List(operations))
				}
				for _, v := range got.Violations {
					anomalies[v.Anomaly]++
					if plainPorcupineCounter(v.Witness) || v.Sentence == "" {
						t.Fatalf("seed %d: %s, not a witness:\n%s", seed, v.Sentence, script.List(v.Witness))
					}
				}
			}
			t.Logf("%d of %d invalid, %d searched: %v", invalid, script.Histories(t), searched, anomalies)
			if invalid == 0 || invalid == script.Histories(t) {
				t.Error("the histories are all alike")
			}
		})
	}
}

// busyCounter is the history of n operations on a right counter, by twenty clients,
// a hundredth of which never learn what became of their increments.
func busyCounter(n int) *history.Run {
	r := rand.New(rand.NewPCG(1, 23))
	run := &history.Run{}
	held := int64(0)
	for i := range n {
		at := time.Duration(100 * i)
		o := history.Operation{Process: i, Kind: history.Increment, Input: history.Ints(1), Outcome: history.OK,
			Invoke: max(0, at-time.Duration(r.IntN(1000))), Complete: at + time.Duration(r.IntN(1000))}
		switch {
		case r.IntN(10) < 3:
			o.Kind, o.Input, o.Output = history.Read, history.Value{}, history.Ints(held)
		case r.IntN(100) == 0:
			o.Outcome = history.Info
			held++
		default:
			held++
		}
		run.History.Operations = append(run.History.Operations, o)
	}
	slices.SortStableFunc(run.History.Operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return run
}

func BenchmarkCounter(b *testing.B) {
	for _, c := range []struct {
		n      int
		engine Engine
	}{{1000, Polynomial}, {1000, Porcupine}, {10_000, Polynomial}, {10_000, Porcupine}, {1_000_000, Polynomial}} {
		b.Run(fmt.Sprintf("%s/%d", c.engine, c.n), func(b *testing.B) {
			run := busyCounter(c.n)
			verdict := Verdict("")
			for b.Loop() {
				verdict = Check(b.Context(), run, Counter, Options{Engine: c.engine, Budget: Budget{Time: 10 * time.Second}}).Verdict
			}
			if verdict == Invalid {
				b.Fatal("a right counter is invalid")
			}
			b.ReportMetric(map[Verdict]float64{Valid: 1}[verdict], "decided")
		})
	}
}
