package checker

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/checker/internal/versions"
	"github.com/rashomon-io/rashomon/harness/history"
)

func TestCheckVersionedRegister(t *testing.T) {
	for _, test := range []struct {
		name    string
		history string
		verdict Verdict
		stale   int
		anomaly anomaly.Name
		witness []string
		says    string
	}{
		{
			name: "one order",
			history: `p1 n1 read x -> 0 [0,1] ok
			          p1 n1 write x 3 -> 1 [2,3] ok
			          p1 n1 cas x 3 4 -> 7 [4,5] ok
			          p1 n1 write x 3 [6,7] info
			          p2 n1 read x -> 8 3 [8,9] ok`,
			verdict: Valid,
		},
		{
			name: "an old version",
			history: `p1 n1 write x 3 -> 1 [0,1] ok
			          p1 n1 write x 3 -> 2 [2,3] ok
			          p2 n2 read x -> 1 3 [4,5] ok
			          partition n2 from 0 to 9`,
			verdict: Invalid, stale: 1,
			anomaly: anomaly.StaleRead,
			witness: []string{"write 3 -> 2", "read -> 1 3"},
			says:    "p2 read x = 3 in version 1 through n2 at 5.000 s, after p1 wrote x = 3 in version 2 through n1 at 3.000 s; n2 had been cut off from n1 n3 since 0.000 s.",
		},
		{
			name: "two values of a version",
			history: `p1 n1 write x 3 -> 1 [0,9] ok
			          p2 n1 write x 4 -> 1 [0,9] ok`,
			verdict: Invalid,
			anomaly: anomaly.Disorder,
			witness: []string{"write 4 -> 1", "write 3 -> 1"},
			says:    "p2 wrote x = 4 in version 1 through n1 (invoked at 0.000 s, answered at 9.000 s) and p1 wrote x = 3 in version 1 through n1 (invoked at 0.000 s, answered at 9.000 s): one version cannot be both.",
		},
		{
			name: "an older version for a later write",
			history: `p1 n1 write x 3 -> 2 [0,1] ok
			          p2 n1 write x 4 -> 1 [2,3] ok`,
			verdict: Invalid,
			anomaly: anomaly.Disorder,
			witness: []string{"write 3 -> 2", "write 4 -> 1"},
			says:    "p2 wrote x = 4 in version 1 through n1 at 3.000 s, after p1 wrote x = 3 in version 2 through n1 at 1.000 s.",
		},
		{
			name:    "never written",
			history: `p2 n1 read x -> 1 9 [0,1] ok`,
			verdict: Invalid,
			anomaly: anomaly.PhantomRead,
			witness: []string{"read -> 1 9"},
			says:    "p2 read x = 9 in version 1 through n1 at 1.000 s, but nobody ever wrote 9.",
		},
		{
			name: "a swap of another value",
			history: `p1 n1 write x 3 -> 1 [0,1] ok
			          p1 n1 cas x 4 5 -> 2 [2,3] ok
			          p3 n1 write x 4 -> 3 [4,5] ok
			          p3 n1 read x -> 3 4 [6,7] ok`,
			verdict: Invalid,
			anomaly: anomaly.Disorder,
			witness: []string{"cas 4 5 -> 2", "write 4 -> 3"},
			says:    "no order of 2 operations explains the versions and values that were told until 5.000 s.",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := Check(t.Context(), script.Parse(t, test.history), VersionedRegister, Options{})
			if result.Verdict != test.verdict || result.StaleReads.Certain != test.stale {
				t.Errorf("%s: %s, %d stale", result.Verdict, result.Reason, result.StaleReads)
			}
			checkStory(t, result, test.verdict, test.anomaly, test.witness, test.says)
		})
	}
}

const maxTestVersion = 24

// plainPorcupineVersions judges one key with a model of its own: an update whose
// version was not told gets any that is greater.
func plainPorcupineVersions(operations []history.Operation) bool {
	type state struct{ version, value int64 }
	var entries []porcupine.Operation
	for _, o := range operations {
		ret := int64(o.Complete)
		if o.Outcome == history.Info {
			ret = math.MaxInt64
		}
		if o.Outcome == history.OK || o.Outcome == history.Info && o.Kind != history.Read {
			entries = append(entries, porcupine.Operation{Input: o, Call: int64(o.Invoke), Return: ret})
		}
	}
	above := func(version, value int64) (all []any) {
		for v := version + 1; v <= maxTestVersion; v++ {
			all = append(all, state{v, value})
		}
		return all
	}
	model := porcupine.NondeterministicModel{
		Init: func() []any { return above(-2, 0) },
		Step: func(before, input, _ any) []any {
			held, o := before.(state), input.(history.Operation)
			switch {
			case o.Kind == history.Read:
				if o.Output.At(0) != history.NoVersion && o.Output.At(0) != held.version || o.Output.Len() == 1 && held.value != 0 || o.Output.Len() == 2 && held.value != o.Output.At(1) {
					return nil
				}
				return []any{held}
			case o.Kind == history.CompareAndSet && held.value != o.Input.At(0):
				if o.Outcome == history.Info {
					return []any{held}
				}
				return nil
			case o.Output.Len() == 0:
				after := above(held.version, o.Input.At(o.Input.Len()-1))
				if o.Outcome == history.Info {
					after = append(after, held)
				}
				return after
			case o.Output.At(0) <= held.version:
				return nil
			}
			return []any{state{o.Output.At(0), o.Input.At(o.Input.Len() - 1)}}
		},
	}
	return porcupine.CheckOperations(model.ToModel(), entries)
}

// drawVersions returns a random history of one key: a real register is simulated,
// and then some of what was told is spoilt.
func drawVersions(r *rand.Rand) []history.Operation {
	n := 1 + r.IntN(8)
	span := 2 + r.IntN(3*n)
	width := 1 + r.IntN(span)
	spoil := []float64{0, 0.1, 0.4}[r.IntN(3)]
	silent := []float64{0, 0.3}[r.IntN(2)]
	gaps := r.IntN(2) == 0
	type effect struct {
		at int
		*history.Operation
	}
	operations := make([]history.Operation, n)
	effects := make([]effect, n)
	for i := range operations {
		call := r.IntN(span)
		ret := call + r.IntN(width)
		operations[i] = history.Operation{
			Process: i, Key: "x", Invoke: time.Duration(call), Complete: time.Duration(ret), Outcome: history.OK,
			Kind: []history.Kind{history.Read, history.Read, history.Write, history.CompareAndSet}[r.IntN(4)],
		}
		at := call + r.IntN(1+ret-call)
		if r.IntN(6) == 0 {
			operations[i].Outcome, at = history.Info, call+r.IntN(2*span)
		}
		effects[i] = effect{at, &operations[i]}
	}
	slices.SortStableFunc(effects, func(a, b effect) int { return a.at - b.at })
	version, value := int64(0), int64(0)
	for _, o := range effects {
		told := func() int64 {
			switch {
			case r.Float64() < silent:
				return history.NoVersion
			case r.Float64() < spoil:
				return max(0, version+r.Int64N(3)-1)
			}
			return version
		}
		fresh := 1 + r.Int64N(4)
		switch o.Kind {
		case history.Read:
			o.Output = history.Ints(told())
			shown := value
			if r.Float64() < spoil/2 {
				shown = r.Int64N(5)
			}
			if shown > 0 {
				o.Output = history.Ints(o.Output.At(0), shown)
			}
			continue
		case history.Write:
			o.Input = history.Ints(fresh)
		default:
			expected := value
			if r.Float64() < spoil/2 || value == 0 {
				expected = fresh
			}
			o.Input = history.Ints(expected, 1+r.Int64N(4))
			if expected != value && r.Float64() >= spoil {
				o.Outcome, o.Error = history.Fail, "another value"
			}
		}
		if o.Outcome == history.Fail || o.Outcome == history.Info && r.IntN(2) == 0 {
			continue
		}
		value = o.Input.At(o.Input.Len() - 1)
		if version++; gaps && r.IntN(3) == 0 {
			version++
		}
		if v := told(); o.Outcome == history.OK && v != history.NoVersion {
			o.Output = history.Ints(v)
		}
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return operations
}

func TestVersionedRegisterAgreesWithPorcupine(t *testing.T) {
	t.Parallel()
	anomalies := map[anomaly.Name]int{}
	invalid, searched, n := 0, 0, script.Histories(t)/2
	for seed := range uint64(n) {
		operations := drawVersions(rand.New(rand.NewPCG(seed, 31)))
		want := Valid
		if !plainPorcupineVersions(operations) {
			want = Invalid
			invalid++
		}
		got := Check(t.Context(), &history.Run{History: history.History{Operations: operations}}, VersionedRegister, Options{})
		if got.Verdict != want || want == Valid && got.StaleReads.Certain > 0 {
			t.Fatalf("seed %d: verdict %s (%s), %d stale, but Porcupine says %s, of\n%s", seed, got.Verdict, got.Reason, got.StaleReads, want, script.List(operations))
		}
		// Every candidate must be one, not only those that are shown.
		_, candidates := versions.Candidates("x", model.Pointers(operations))
		if want == Invalid && len(candidates) == 0 {
			searched++
		}
		for _, s := range candidates {
			if explained, err := s.Explained(t.Context(), court.NewMemory(1<<30)); explained || err != nil || want == Valid {
				t.Fatalf("seed %d: %s is no contradiction, %v:\n%s\nof\n%s", seed, s.Anomaly, err, script.List(s.Witness), script.List(operations))
			}
		}
		for _, v := range got.Violations {
			anomalies[v.Anomaly]++
			if plainPorcupineVersions(v.Witness) || v.Sentence == "" {
				t.Fatalf("seed %d: %s is no witness:\n%s\nof\n%s", seed, v.Sentence, script.List(v.Witness), script.List(operations))
			}
		}
	}
	t.Logf("%d of %d invalid, %d of these by a search: %v", invalid, n, searched, anomalies)
	if invalid == 0 || invalid == n || searched == 0 || len(anomalies) < 3 {
		t.Error("the histories are all alike")
	}
}
