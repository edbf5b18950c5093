package registers

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/checker/internal/simulate"
	"github.com/rashomon-io/rashomon/checker/internal/zones"
	"github.com/rashomon-io/rashomon/harness/history"
)

// budget is more than any history here needs.
var budget = court.Budget{Time: time.Minute, MemoryBytes: 2 << 30}

func TestRegisterAgreesWithPorcupine(t *testing.T) {
	for _, u := range simulate.Universes {
		t.Run(u.Name, func(t *testing.T) {
			t.Parallel()
			anomalies := map[anomaly.Name]int{}
			verdicts := map[zones.Verdict]int{}
			invalid, small := 0, 0
			n := script.Histories(t)
			for seed := range uint64(n) {
				operations := u.Draw(rand.New(rand.NewPCG(seed, 7)))
				run := &history.Run{History: history.History{Operations: operations}}
				if seed%3 == 0 {
					run.Events = []history.Event{{Type: history.PhaseBegins, Phase: history.Final, Time: operations[len(operations)/2].Invoke}}
				}
				answer, verdict := compare(t, run)
				verdicts[verdict]++
				invalid += answer.KeysInvalid
				for _, v := range answer.Violations {
					anomalies[v.Anomaly]++
					if len(v.Witness) <= 4 {
						small++
					}
				}
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			t.Logf("%d of %d invalid; witnesses of at most 4: %d of %v; zones says valid %d, invalid %d, repeated %d, undecided %d", invalid, n, small, anomalies,
				verdicts[zones.Valid], verdicts[zones.Invalid], verdicts[zones.Repeated], verdicts[zones.Undecided])
			if invalid == 0 || invalid == n {
				t.Error("the histories are all alike")
			}
		})
	}
}

// compare holds the check of one key, and all that leads to it, against
// Porcupine on the whole.
func compare(t *testing.T, run *history.Run) (*model.Answer, zones.Verdict) {
	t.Helper()
	operations := run.History.Operations
	valid := simulate.Linearizable(operations)
	answer := Decide(t.Context(), run, budget, "")
	if answer.KeysUnknown > 0 || (answer.KeysInvalid == 0) != valid {
		t.Errorf("%d keys invalid, %d unknown (%s), but Porcupine says %t, of\n%s", answer.KeysInvalid, answer.KeysUnknown, answer.Reason, valid, script.List(operations))
	}
	if (answer.StaleReads.Certain > 0 || answer.LostCommits.Certain > 0) && valid {
		t.Errorf("%d stale reads and %d lost commits in a valid history\n%s", answer.StaleReads, answer.LostCommits, script.List(operations))
	}
	for _, v := range answer.Violations {
		checkWitness(t, operations, v)
	}
	// What the direct analysis finds, and whether all of it stands.
	keys := splitKeys(run)
	if len(keys) == 0 {
		return answer, zones.Valid
	}
	h := keys[0]
	h.order()
	for _, v := range answer.Violations {
		checkMinimal(t, h, v)
	}
	if valid {
		checkClosures(t, h, rand.New(rand.NewPCG(uint64(len(operations)), uint64(operations[len(operations)-1].Complete))))
	}
	verdict := zones.Decide(h.steps, h.values).Verdict
	candidates := h.candidates(h.measure().CertainlyLost)
	if valid && len(candidates) > 0 || verdict == zones.Invalid && len(candidates) == 0 {
		t.Errorf("linearizable %t, with candidates %v\n%s", valid, candidates, script.List(operations))
	}
	for _, c := range candidates {
		if h.origins().enclose(t.Context(), court.NewMemory(1<<30), c) == nil {
			t.Errorf("%s of %d steps is no contradiction\n%s", c.anomaly, len(c.told), script.List(operations))
		}
	}
	return answer, verdict
}

// FuzzRegister reads each operation from six bytes: kind, invocation, duration,
// two values and outcome.
func FuzzRegister(f *testing.F) {
	f.Add([]byte("\x01\x00\x01\x01\x00\x00\x00\x03\x01\x01\x00\x00"))
	f.Add([]byte("\x02\x00\x09\x01\x02\x00\x02\x00\x09\x02\x01\x00"))
	f.Add([]byte("\x01\x00\x01\x01\x00\x00\x02\x03\x01\x01\x05\x02\x02\x04\x01\x01\x06\x03\x00\x05\x01\x06\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const size, most = 6, 12
		var operations []history.Operation
		for len(data) >= size && len(operations) < most {
			at := time.Duration(data[1] % 32)
			o := history.Operation{
				Process: len(operations), Key: "x", Invoke: at, Complete: at + time.Duration(data[2]%16),
				Outcome: []history.Outcome{history.OK, history.Info, history.Fail, history.Fail}[data[5]%4],
			}
			first, second := int64(data[3]%16), int64(data[4]%16)
			switch data[0] % 3 {
			case 0:
				o.Kind = history.Read
				if first > 0 {
					o.Output = history.Ints(first)
				}
			case 1:
				o.Kind, o.Input = history.Write, history.Ints(first)
			case 2:
				o.Kind, o.Input = history.CompareAndSet, history.Ints(first, second)
				if data[5]%4 == 3 {
					o.Output = history.Ints(int64(data[5]>>2) % 16)
				}
			}
			operations = append(operations, o)
			data = data[size:]
		}
		compare(t, &history.Run{History: history.History{Operations: operations}})
	})
}

// checkWitness demands that a witness is part of the history, closed, illegal by
// itself, and has a sentence.
func checkWitness(t *testing.T, operations []history.Operation, v anomaly.Violation) {
	t.Helper()
	if simulate.Linearizable(v.Witness) {
		t.Errorf("the witness is linearizable:\n%s", script.List(v.Witness))
	}
	if v.Sentence == "" {
		t.Error("no sentence")
	}
	for _, o := range v.Witness {
		if !slices.ContainsFunc(operations, func(p history.Operation) bool { return p.Process == o.Process }) {
			t.Error("the witness holds a stranger")
		}
	}
}

// checkMinimal demands that a witness is closed, except for the swaps in it that
// were cut, and that nothing can be taken out of it.
func checkMinimal(t *testing.T, h *object, v anomaly.Violation) {
	t.Helper()
	var steps []int32
	for i := range h.steps {
		is := h.operation(int32(i))
		if slices.ContainsFunc(v.Witness, func(o history.Operation) bool { return o.Process == is.Process && o.Invoke == is.Invoke }) {
			steps = append(steps, int32(i))
		}
	}
	if len(steps) != len(v.Witness) {
		t.Errorf("%d of the witness's %d operations say anything\n%s", len(steps), len(v.Witness), script.List(v.Witness))
	}
	w := h.origins().witness(steps, map[int32]bool{}, nil)
	w.survey()
	for _, i := range steps {
		if s := &h.steps[i]; s.Writes() && w.observes(i) && w.lacks(i) {
			w.count(i, -1)
			w.cut[i] = true
		}
	}
	for _, i := range steps {
		if !w.observes(i) || !w.lacks(i) {
			continue
		}
		if h.steps[i].Not && w.granted == nil {
			w.granted = w.in // zones has proven it
		}
		if w.lacks(i) {
			t.Errorf("the witness lacks something for %s\n%s", script.Brief(*h.operation(i)), script.List(v.Witness))
		}
	}
	if len(w.cut) > 0 {
		return // what is left may do without more: a gap that is known
	}
	for i := range steps {
		if rest := w.without(i, i+1).history(); len(rest.steps) > 0 && rest.refuted(t.Context(), court.NewMemory(1<<30)) {
			t.Errorf("the witness can do without %s\n%s", script.Brief(*h.operation(steps[i])), script.List(v.Witness))
		}
	}
}

// checkClosures demands that whatever is closed is linearizable in a history that
// is: the theorem that witnesses rest on.
func checkClosures(t *testing.T, h *object, r *rand.Rand) {
	t.Helper()
	if len(h.steps) == 0 {
		return
	}
	origins := h.origins()
	for range 3 {
		seed := make([]int32, 1+r.IntN(4))
		for i := range seed {
			seed[i] = int32(r.IntN(len(h.steps)))
		}
		closed, _ := origins.closure(seed, r.IntN(len(h.steps)+1), false)
		from := r.IntN(len(closed.steps))
		for _, w := range []*witness{closed, closed.without(from, from+1), origins.everything().without(int(seed[0]), int(seed[0])+1)} {
			part := w.history()
			if explained, err := part.linearizable(t.Context(), court.NewMemory(1<<30)); err != nil || !explained {
				var all []history.Operation
				for _, i := range w.steps {
					all = append(all, *h.operation(i))
				}
				t.Errorf("a closed part is not linearizable (%v):\n%s(cut %v) of\n%s", err, script.List(all), w.cut, script.List(h.run.History.Operations))
			}
		}
	}
}

// Witnesses stay small however often values are written.
func TestFewValues(t *testing.T) {
	for _, w := range []simulate.Workload{
		{Operations: 100_000, Keys: 1, Concurrency: 5, Distinct: 5},
		{Operations: 100_000, Keys: 1, Concurrency: 100, Unknown: 5, Distinct: 5},
		{Operations: 20_000, Keys: 10, Concurrency: 20, Unknown: 1, Distinct: 2},
	} {
		run := &history.Run{History: history.History{Operations: w.Repeated(true)}}
		answer := Decide(t.Context(), run, budget, "")
		if answer.KeysInvalid != 1 || len(answer.Violations) != 1 || answer.StaleReads.Certain != 1 {
			t.Errorf("%+v: %d keys invalid (%s), %d violations, %s stale reads", w, answer.KeysInvalid, answer.Reason, len(answer.Violations), answer.StaleReads)
			continue
		}
		v := answer.Violations[0]
		if v.Anomaly != anomaly.StaleRead || len(v.Witness) > 6 || simulate.Linearizable(v.Witness) {
			t.Errorf("%+v: %s\n%s", w, v.Anomaly, script.List(v.Witness))
		}
		h := splitKeys(run)[0]
		h.order()
		checkMinimal(t, h, v)
	}
}
