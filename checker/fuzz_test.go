package checker

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/checker/internal/zones"
	"github.com/rashomon-io/rashomon/harness/history"
)

// plainPorcupine judges one key with a model of its own and no preprocessing:
// an unknown operation returns at infinity, and an unknown compare-and-set may
// fail.
func plainPorcupine(operations []history.Operation) bool {
	var entries []porcupine.Operation
	for _, o := range operations {
		ret := int64(o.Complete)
		if o.Outcome == history.Info {
			ret = math.MaxInt64
		}
		entries = append(entries, porcupine.Operation{Input: o, Call: int64(o.Invoke), Return: ret})
	}
	const nothing = math.MinInt64
	return porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return int64(nothing) },
		Step: func(state, input, _ any) (bool, any) {
			held, o := state.(int64), input.(history.Operation)
			seen := int64(nothing)
			if o.Output.Len() > 0 {
				seen = o.Output.At(0)
			}
			switch {
			case o.Kind == history.Read && o.Outcome == history.OK:
				return held == seen, held
			case o.Kind == history.Write && o.Outcome != history.Fail:
				return true, o.Input.At(0)
			case o.Kind == history.CompareAndSet && o.Outcome == history.Fail:
				if o.Output.Len() == 0 {
					return o.Error != "" || held != o.Input.At(0), held
				}
				return held == seen, held
			case o.Kind == history.CompareAndSet && held == o.Input.At(0):
				return true, o.Input.At(1)
			case o.Kind == history.CompareAndSet:
				return o.Outcome == history.Info, held
			}
			return true, held
		},
	}, entries)
}

// A universe is how random histories are drawn.
type universe struct {
	name     string
	unique   bool // no value is written twice, or hardly ever
	refusals bool // most compare-and-sets that fail do not tell what they saw
	size     int
}

var universes = []universe{
	{name: "unique", unique: true, size: 14},
	{name: "refusals", unique: true, refusals: true, size: 12},
	{name: "repeated", size: 12},
}

// draw returns a random history of one key. A real register is simulated with
// random effects inside the intervals, then some observations are spoilt, so
// that linearizable and not come about equally often.
func (u universe) draw(r *rand.Rand) []history.Operation {
	n := 1 + r.IntN(u.size)
	processes := 1 + r.IntN(5)
	span := 2 + r.IntN(3*n) // a small span makes for ties
	spoil := []float64{0, 0.1, 0.6}[r.IntN(3)]
	unknown := []float64{0, 0.1, 0.4}[r.IntN(3)]
	type effect struct {
		at int
		*history.Operation
	}
	operations := make([]history.Operation, n)
	effects := make([]effect, n)
	for i := range operations {
		call := r.IntN(span)
		ret := call + r.IntN(1+span/processes)
		operations[i] = history.Operation{
			Process: i, Node: fmt.Sprintf("n%d", 1+i%3), Key: "x",
			Invoke: time.Duration(call), Complete: time.Duration(ret), Outcome: history.OK,
			Kind: []history.Kind{history.Read, history.Read, history.Write, history.CompareAndSet, history.CompareAndSet}[r.IntN(5)],
		}
		at := call + r.IntN(1+ret-call)
		if r.Float64() < unknown {
			operations[i].Outcome = history.Info
			at = call + r.IntN(2*span)
		}
		effects[i] = effect{at, &operations[i]}
	}
	slices.SortStableFunc(effects, func(a, b effect) int { return a.at - b.at })
	var held history.Value
	var written []int64
	pick := func() int64 { // a value that may be there, or that never was, or not yet
		switch {
		case len(written) == 0 || r.IntN(200) == 0:
			return 99
		case u.unique && r.IntN(40) == 0:
			return int64(len(written) + 1 + r.IntN(4))
		}
		return written[max(0, len(written)-1-r.IntN(3))]
	}
	for i, o := range effects {
		fresh := int64(i + 1)
		if !u.unique {
			fresh = int64(1 + r.IntN(3))
		}
		if u.unique && len(written) > 0 && r.IntN(40) == 0 && o.Kind == history.CompareAndSet {
			fresh = 98 // two of these are a repetition, which must be noticed
		}
		happens := o.Outcome == history.OK || r.IntN(3) > 0
		if len(written) == 0 && r.IntN(50) > 0 {
			o.Kind = history.Write // before it there is little to observe
		}
		switch o.Kind {
		case history.Read:
			o.Output = held
			if r.Float64() < spoil {
				o.Output = history.Ints(pick())
			}
			if r.Float64() < spoil/4 {
				o.Output = history.Value{}
			}
		case history.Write:
			o.Input = history.Ints(fresh)
			if r.IntN(20) == 0 {
				o.Outcome, happens = history.Fail, false
			}
			if happens {
				held = history.Ints(fresh)
			}
			if happens || r.IntN(8) == 0 {
				written = append(written, fresh)
			}
		case history.CompareAndSet:
			expected := pick()
			if held.Len() > 0 && r.IntN(4) > 0 {
				expected = held.At(0)
			}
			if r.IntN(30) == 0 {
				fresh = expected // which changes nothing
			}
			o.Input = history.Ints(expected, fresh)
			swaps := held.Len() > 0 && held.At(0) == expected
			if swaps && o.Outcome == history.OK && (u.refusals && r.IntN(2) == 0 || r.IntN(10) == 0) && r.Float64() < spoil {
				o.Outcome = history.Fail // although it held
				break
			}
			switch {
			case swaps && happens:
				held = history.Ints(fresh)
			case !swaps && o.Outcome == history.OK && r.Float64() >= spoil:
				o.Outcome = history.Fail
				switch {
				case r.IntN(10) == 0:
					o.Error = "refused" // which says nothing
				case u.refusals && r.IntN(5) > 0:
				case r.Float64() < spoil:
					o.Output = history.Ints(pick())
				case r.IntN(2) == 0:
					o.Output = held
				}
			}
			if held.Len() > 0 && held.At(0) == fresh || r.IntN(20) == 0 {
				written = append(written, fresh)
			}
		}
	}
	slices.SortStableFunc(operations, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) })
	return operations
}

// histories is how many the differential fuzz draws; RASHOMON_HISTORIES sets it.
func histories(t *testing.T) int {
	if text := os.Getenv("RASHOMON_HISTORIES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return 10_000
	}
	return 70_000
}

func TestRegisterAgreesWithPorcupine(t *testing.T) {
	for _, u := range universes {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			anomalies := map[anomaly.Name]int{}
			verdicts := map[zones.Verdict]int{}
			invalid, small := 0, 0
			n := histories(t)
			for seed := range uint64(n) {
				operations := u.draw(rand.New(rand.NewPCG(seed, 7)))
				run := &history.Run{History: history.History{Operations: operations}}
				if seed%3 == 0 {
					run.Events = []history.Event{{Type: history.PhaseBegins, Phase: history.Final, Time: operations[len(operations)/2].Invoke}}
				}
				result, verdict := compare(t, run)
				verdicts[verdict]++
				if result.Verdict == Invalid {
					invalid++
				}
				for _, v := range result.Violations {
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
func compare(t *testing.T, run *history.Run) (Result, zones.Verdict) {
	t.Helper()
	operations := run.History.Operations
	want := Valid
	if !plainPorcupine(operations) {
		want = Invalid
	}
	result := Check(t.Context(), run, Register, Options{})
	if result.Verdict != want {
		t.Errorf("verdict %s (%s), but Porcupine says %s, of\n%s", result.Verdict, result.Reason, want, list(operations))
	}
	if (result.StaleReads.Certain > 0 || result.LostCommits.Certain > 0) && want == Valid {
		t.Errorf("%d stale reads and %d lost commits in a valid history\n%s", result.StaleReads, result.LostCommits, list(operations))
	}
	for _, v := range result.Violations {
		checkWitness(t, operations, v)
	}
	// What the direct analysis finds, and whether all of it stands.
	keys := splitKeys(run)
	if len(keys) == 0 {
		return result, zones.Valid
	}
	h := keys[0]
	h.order()
	for _, v := range result.Violations {
		checkMinimal(t, h, v)
	}
	if want == Valid {
		checkClosures(t, h, rand.New(rand.NewPCG(uint64(len(operations)), uint64(operations[len(operations)-1].Complete))))
	}
	verdict := zones.Decide(h.steps, h.values).Verdict
	suspects := h.suspects(h.measure().certainlyLost)
	if want == Valid && len(suspects) > 0 || verdict == zones.Invalid && len(suspects) == 0 {
		t.Errorf("%s, with suspects %v\n%s", want, suspects, list(operations))
	}
	for _, s := range suspects {
		if h.origins().enclose(t.Context(), court.NewMemory(1<<30), s) == nil {
			t.Errorf("%s of %d steps is no contradiction\n%s", s.anomaly, len(s.told), list(operations))
		}
	}
	return result, verdict
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
	if plainPorcupine(v.Witness) {
		t.Errorf("the witness is linearizable:\n%s", list(v.Witness))
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
func checkMinimal(t *testing.T, h *keyHistory, v anomaly.Violation) {
	t.Helper()
	var steps []int32
	for i := range h.steps {
		is := h.operation(int32(i))
		if slices.ContainsFunc(v.Witness, func(o history.Operation) bool { return o.Process == is.Process && o.Invoke == is.Invoke }) {
			steps = append(steps, int32(i))
		}
	}
	if len(steps) != len(v.Witness) {
		t.Errorf("%d of the witness's %d operations say anything\n%s", len(steps), len(v.Witness), list(v.Witness))
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
			t.Errorf("the witness lacks something for %s\n%s", script.Brief(*h.operation(i)), list(v.Witness))
		}
	}
	if len(w.cut) > 0 {
		return // what is left may do without more: a gap that is known
	}
	for i := range steps {
		if rest := w.without(i, i+1).history(); len(rest.steps) > 0 && rest.refuted(t.Context(), court.NewMemory(1<<30)) {
			t.Errorf("the witness can do without %s\n%s", script.Brief(*h.operation(steps[i])), list(v.Witness))
		}
	}
}

// checkClosures demands that whatever is closed is linearizable in a history that
// is: the theorem that witnesses rest on.
func checkClosures(t *testing.T, h *keyHistory, r *rand.Rand) {
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
				t.Errorf("a closed part is not linearizable (%v):\n%s(cut %v) of\n%s", err, list(all), w.cut, list(h.run.History.Operations))
			}
		}
	}
}

func list(operations []history.Operation) string {
	text := ""
	for _, o := range operations {
		text += fmt.Sprintf("  p%d %s [%d,%d] %s\n", o.Process, script.Brief(o), o.Invoke, o.Complete, o.Outcome)
	}
	return text
}
