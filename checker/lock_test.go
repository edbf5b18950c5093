package checker

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/locks"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/checker/internal/simulate"
	"github.com/rashomon-io/rashomon/harness/history"
)

func TestCheckLock(t *testing.T) {
	for _, test := range []struct {
		name    string
		model   Model // Lock, if it has no name
		history string
		verdict Verdict
		lock    counts.Lock
		anomaly anomaly.Name
		witness []string
		says    string
	}{
		{
			name: "one after the other",
			history: `p1 n1 acquire l -> 1 [0,1] ok
			          p1 n1 use l 1 [2,3] ok
			          p2 n2 acquire l [2,3] fail
			          p1 n1 release l [4,9] ok
			          p2 n2 acquire l -> 2 [5,6] ok
			          p2 n2 use l 2 [7,8] ok
			          p1 n1 use l 1 -> 2 [10,11] fail`,
			verdict: Valid,
			lock:    counts.Lock{Holds: 2, Uses: 2},
		},
		{
			name: "silence says nothing",
			history: `p1 n1 acquire l -> 1 [0,1] info
			          p2 n2 acquire l -> 2 [2,3] ok
			          p2 n2 release l [4,5] info
			          p3 n3 acquire l -> 3 [4,4] ok
			          p3 n3 use l 3 [5,9] info
			          p4 n1 acquire l -> 4 [4,7] ok`,
			verdict: Valid,
			lock:    counts.Lock{Holds: 3},
		},
		{
			name: "tokens of acquires that overlap",
			history: `p1 n1 acquire l -> 2 [0,9] ok
			          p2 n2 acquire l -> 1 [0,5] ok
			          p2 n2 release l [6,7] ok`,
			verdict: Valid,
			lock:    counts.Lock{Holds: 2},
		},
		{
			name: "held twice",
			history: `p1 n1 acquire l [0,1] ok
			          p2 n2 acquire l [2,3] ok
			          p2 n2 use l [4,5] ok
			          p1 n1 use l [6,7] ok
			          p1 n1 use l [8,9] ok
			          p2 n2 release l [10,11] ok
			          p1 n1 release l [12,13] fail
			          partition n1 from 0 to 4`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 2, HeldTwice: 1, Uses: 3, Corrupted: 3},
			anomaly: anomaly.HeldTwice,
			witness: []string{"acquire", "acquire", "release"},
			says:    "p2 acquired lock l through n2 at 3.000 s, while p1 held it, from 1.000 s to 12.000 s at least; n1 had been cut off from n2 n3 from 0.000 s to 4.000 s.",
		},
		{
			name: "held by three",
			history: `p1 n1 acquire l [0,1] ok
			          p2 n2 acquire l [2,3] ok
			          p2 n2 release l [4,5] ok
			          p3 n3 acquire l [6,7] ok
			          p1 n1 release l [8,9] ok`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 3, HeldTwice: 2},
			anomaly: anomaly.HeldTwice,
			witness: []string{"acquire", "acquire", "release"},
			says:    "p2 acquired lock l through n2 at 3.000 s, while p1 held it, from 1.000 s to 8.000 s at least.",
		},
		{
			name: "held twice, and refused by the fence",
			history: `p1 n1 acquire l -> 1 [0,1] ok
			          p2 n2 acquire l -> 2 [2,3] ok
			          p2 n2 use l 2 [4,5] ok
			          p1 n1 use l 1 -> 2 [6,7] fail`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 2, HeldTwice: 1, Uses: 1, Refused: 1},
			anomaly: anomaly.HeldTwice,
			witness: []string{"acquire -> 1", "acquire -> 2", "use 1 -> 2"},
			says:    "p2 acquired lock l with token 2 through n2 at 3.000 s, while p1 held it with token 1, from 1.000 s to 7.000 s at least.",
		},
		{
			name: "held twice, from the same moment",
			history: `p1 n1 acquire l [0,1] ok
			          p2 n2 acquire l [0,1] ok
			          p1 n1 release l [2,3] ok
			          p2 n2 release l [2,3] ok`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 2, HeldTwice: 1},
			anomaly: anomaly.HeldTwice,
			witness: []string{"acquire", "acquire", "release", "release"},
			says:    "p2 acquired lock l through n2 at 1.000 s, while p1 held it, from 1.000 s to 2.000 s at least.",
		},
		{
			name: "held twice, as the tokens tell",
			history: `p1 n1 acquire l -> 7 [0,20] ok
			          p1 n1 release l [30,31] ok
			          p2 n2 acquire l -> 8 [0,10] ok`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 2, HeldTwice: 1},
			anomaly: anomaly.HeldTwice,
			witness: []string{"acquire -> 8", "acquire -> 7", "release"},
			says:    "p2 acquired lock l with token 8 through n2 (invoked at 0.000 s, answered at 10.000 s), although p1, whose token 7 is older, held it until 30.000 s at least.",
		},
		{
			name: "a holder's failed acquire says nothing",
			history: `p1 n1 acquire l [0,1] ok
			          p1 n1 acquire l [2,3] fail with already held
			          p2 n2 acquire l [4,5] ok
			          p1 n1 release l [6,7] ok`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 2, HeldTwice: 1},
			anomaly: anomaly.HeldTwice,
			witness: []string{"acquire", "acquire", "release"},
			says:    "p2 acquired lock l through n2 at 5.000 s, while p1 held it, from 1.000 s to 6.000 s at least.",
		},
		{
			name: "a release that failed did not happen",
			history: `p1 n1 acquire l [0,1] ok
			          p2 n2 acquire l [2,4] ok
			          p1 n1 release l [3,5] fail with an error
			          p2 n2 release l [6,7] ok
			          p1 n1 acquire l [8,9] ok`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 3, HeldTwice: 1},
			anomaly: anomaly.HeldTwice,
			witness: []string{"acquire", "acquire", "release"},
			says:    "p2 acquired lock l through n2 (invoked at 2.000 s, answered at 4.000 s), while p1 held it, from 1.000 s to 5.000 s at least.",
		},
		{
			name: "acquired twice",
			history: `p1 n1 acquire l [0,1] ok
			          p1 n1 acquire l [2,3] ok
			          p1 n1 release l [4,5] ok`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 2, HeldTwice: 1},
			anomaly: anomaly.HeldTwice,
			witness: []string{"acquire", "acquire"},
			says:    "p1 acquired lock l through n1 at 3.000 s, which it held since 1.000 s and had not given back.",
		},
		{
			name: "acquired twice, as reentrant locks can be", model: ReentrantLock,
			history: `p1 n1 acquire l [0,1] ok
			          p1 n1 acquire l [2,3] ok
			          p1 n1 release l [4,5] ok
			          p1 n1 release l [6,7] ok
			          p2 n2 acquire l [6,8] ok`,
			verdict: Valid,
			lock:    counts.Lock{Holds: 2},
		},
		{
			name: "released once of twice", model: ReentrantLock,
			history: `p1 n1 acquire l [0,1] ok
			          p1 n1 acquire l [2,3] ok
			          p1 n1 release l [4,5] ok
			          p2 n2 acquire l [6,7] ok
			          p1 n1 release l [8,9] ok`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 2, HeldTwice: 1},
			anomaly: anomaly.HeldTwice,
			witness: []string{"acquire", "acquire", "release"},
			says:    "p2 acquired lock l through n2 at 7.000 s, while p1 held it, from 1.000 s to 8.000 s at least.",
		},
		{
			name: "token went back",
			history: `p1 n1 acquire l -> 7 [0,1] ok
			          p1 n1 release l [2,3] ok
			          p2 n2 acquire l -> 6 [4,5] ok`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 2, TokenWentBack: 1},
			anomaly: anomaly.TokenWentBack,
			witness: []string{"acquire -> 7", "acquire -> 6"},
			says:    "p2 acquired lock l with token 6 through n2 at 5.000 s, after p1 acquired lock l with token 7 through n1 at 1.000 s: the token did not grow.",
		},
		{
			name: "one token for two",
			history: `p1 n1 acquire l -> 7 [0,3] ok
			          p2 n2 acquire l -> 7 [1,2] ok`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 2, TokenWentBack: 1},
			anomaly: anomaly.TokenWentBack,
			witness: []string{"acquire -> 7", "acquire -> 7"},
			says:    "p1 acquired lock l with token 7 through n1 (invoked at 0.000 s, answered at 3.000 s), after p2 acquired lock l with token 7 through n2 at 2.000 s: the token did not grow.",
		},
		{
			name: "fence broken",
			history: `p1 n1 acquire l -> 7 [0,1] ok
			          p1 n1 release l [2,3] ok
			          p2 n2 acquire l -> 8 [4,5] ok
			          p2 n2 use l 8 [6,7] ok
			          p1 n1 use l 7 [8,9] ok`,
			verdict: Invalid,
			lock:    counts.Lock{Holds: 2, Uses: 2, Corrupted: 1},
			anomaly: anomaly.FenceBroken,
			witness: []string{"use 8", "use 7"},
			says:    "p1 used what lock l protects with token 7 at 9.000 s, after p2 used what lock l protects with token 8 at 7.000 s: an older token was accepted after a newer one.",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.model.name == "" {
				test.model = Lock
			}
			result := Check(t.Context(), script.Parse(t, test.history), test.model, Options{})
			if result.Verdict != test.verdict {
				t.Errorf("%s: %s", result.Verdict, result.Reason)
			}
			if diff := cmp.Diff(&test.lock, result.Lock); diff != "" {
				t.Error(diff)
			}
			compareFirst(t, result, test.anomaly, test.witness, test.says)
		})
	}
}

func TestLockUnknown(t *testing.T) {
	for _, test := range []struct{ history, reason string }{
		{"p1 n1 use l 1 2 [0,1] ok", `lock "l": a use at 0.000 s has 2 input values`},
		{"p1 n1 acquire l 1 [0,1] ok", "has 1 input values (want 0)"},
		{"p1 n1 read l [0,1] ok", "a kind that the model does not know"},
		{"p1 n1 acquire l [0,4] ok\np1 n1 release l [3,5] ok", `p1 invokes "release" at 3.000 s, before its "acquire" has completed at 4.000 s`},
	} {
		if r := Check(t.Context(), script.Parse(t, test.history), Lock, Options{}); r.Verdict != Unknown || !strings.Contains(r.Reason, test.reason) {
			t.Errorf("%s: %s", r.Verdict, r.Reason)
		}
	}
}

// life returns when the process of the first operation, which acquires, was last seen
// to hold the lock, and by when the lock was free.
func life(operations []history.Operation, reentrant bool) (seen, gone time.Duration) {
	seen, gone = operations[0].Complete, math.MaxInt64
	depth := 1
	for _, next := range operations[1:] {
		switch {
		case next.Process != operations[0].Process, next.Kind == history.Acquire && next.Outcome != history.OK:
		case next.Kind == history.Use && next.Outcome == history.Info:
			seen = next.Invoke
		case next.Kind == history.Use:
			seen = next.Complete
		case next.Kind == history.Acquire && reentrant:
			seen = next.Complete
			depth++
		case next.Outcome == history.Fail && next.Error != "":
			return next.Complete, gone
		case next.Outcome != history.OK:
			return next.Invoke, gone
		default:
			seen = next.Invoke
			if depth--; depth == 0 {
				return seen, next.Complete
			}
		}
	}
	return seen, gone
}

// plainPorcupineLock judges one lock with a model of its own: each grant and
// each return takes effect inside its operation, and what is not duly given
// back goes at some time after its process was last seen.
func plainPorcupineLock(operations []history.Operation, reentrant bool) bool {
	type effect struct {
		kind  history.Kind
		hold  int
		token int64 // 0: none
	}
	var entries []porcupine.Operation
	add := func(e effect, call, ret time.Duration) {
		entries = append(entries, porcupine.Operation{Input: e, Call: int64(call), Return: int64(ret)})
	}
	inside := map[int]int{} // how often a process is, in a reentrant lock
	for i, o := range operations {
		if o.Kind == history.Release {
			if inside[o.Process]--; o.Outcome != history.OK {
				inside[o.Process] = 0
			}
		}
		token := int64(0)
		if o.Outcome == history.OK && o.Output.Len() > 0 {
			token = o.Output.At(0)
		}
		switch {
		case o.Kind == history.Use && o.Outcome == history.OK && o.Input.Len() > 0:
			add(effect{history.Use, 0, o.Input.At(0)}, o.Invoke, o.Complete)
		case o.Kind == history.Acquire && o.Outcome == history.OK:
			if reentrant && inside[o.Process] > 0 {
				inside[o.Process]++
				continue
			}
			if inside[o.Process] > 0 {
				return false
			}
			inside[o.Process] = 1
			add(effect{history.Acquire, i, token}, o.Invoke, o.Complete)
			seen, gone := life(operations[i:], reentrant)
			add(effect{history.Release, i, 0}, seen, gone)
		}
	}
	type lock struct {
		held          bool
		hold          int
		granted, used int64
	}
	return porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return lock{} },
		Step: func(state, input, _ any) (bool, any) {
			l, e := state.(lock), input.(effect)
			switch e.kind {
			case history.Use:
				return e.token >= l.used, lock{l.held, l.hold, l.granted, e.token}
			case history.Release:
				return l.held && l.hold == e.hold, lock{false, 0, l.granted, l.used}
			}
			possible := !l.held && (e.token == 0 || e.token > l.granted)
			return possible, lock{true, e.hold, max(e.token, l.granted), l.used}
		},
	}, entries)
}

func TestLockAgreesWithPorcupine(t *testing.T) {
	for _, test := range []struct {
		name      string
		model     Model
		reentrant bool
	}{{"lock", Lock, false}, {"reentrant", ReentrantLock, true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			compareLocks(t, test.model, test.reentrant)
		})
	}
}

func compareLocks(t *testing.T, of Model, reentrant bool) {
	anomalies := map[anomaly.Name]int{}
	invalid := 0
	for seed := range uint64(script.Histories(t)) {
		operations := simulate.Lock(rand.New(rand.NewPCG(seed, 17)))
		want := Valid
		if !plainPorcupineLock(operations, reentrant) {
			want = Invalid
			invalid++
		}
		got := Check(t.Context(), &history.Run{History: history.History{Operations: operations}}, of, Options{})
		if got.Verdict != want {
			t.Fatalf("seed %d: verdict %s (%s), but Porcupine says %s, of\n%s", seed, got.Verdict, got.Reason, want, script.List(operations))
		}
		if c := got.Lock; want == Valid && c.HeldTwice+c.TokenWentBack+c.Corrupted > 0 {
			t.Fatalf("seed %d: %+v in a valid history\n%s", seed, c, script.List(operations))
		}
		// Every candidate must be one, not only those that are shown.
		for _, c := range locks.Candidates("l", reentrant, model.Pointers(operations), &counts.Lock{}) {
			if plainPorcupineLock(c.Witness, reentrant) || len(c.Witness) > 4 || c.Violation(&history.Run{}).Sentence == "" {
				t.Fatalf("seed %d: %s is no witness:\n%s\nof\n%s", seed, c.Anomaly, script.List(c.Witness), script.List(operations))
			}
		}
		for _, v := range got.Violations {
			anomalies[v.Anomaly]++
		}
	}
	t.Logf("%d of %d invalid: %v", invalid, script.Histories(t), anomalies)
	if invalid == 0 || invalid == script.Histories(t) || len(anomalies) < 3 {
		t.Error("the histories are all alike")
	}
}
