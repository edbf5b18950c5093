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
			if len(o.Output) > 0 {
				seen = o.Output[0]
			}
			switch {
			case o.Kind == history.Read && o.Outcome == history.OK:
				return held == seen, held
			case o.Kind == history.Write && o.Outcome != history.Fail:
				return true, o.Input[0]
			case o.Kind == history.CompareAndSet && o.Outcome == history.Fail:
				return len(o.Output) == 0 || held == seen, held
			case o.Kind == history.CompareAndSet && held == o.Input[0]:
				return true, o.Input[1]
			case o.Kind == history.CompareAndSet:
				return o.Outcome == history.Info, held
			}
			return true, held
		},
	}, entries)
}

// A universe is how random histories are drawn.
type universe struct {
	unique bool
	size   int
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
	pick := func() int64 { // a value that may be there, or that never was
		if len(written) == 0 || r.IntN(200) == 0 {
			return 99
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
			o.Output = slices.Clone(held)
			if r.Float64() < spoil {
				o.Output = history.Value{pick()}
			}
			if r.Float64() < spoil/4 {
				o.Output = nil
			}
		case history.Write:
			o.Input = history.Value{fresh}
			if r.IntN(20) == 0 {
				o.Outcome, happens = history.Fail, false
			}
			if happens {
				held = history.Value{fresh}
			}
			if happens || r.IntN(8) == 0 {
				written = append(written, fresh)
			}
		case history.CompareAndSet:
			expected := pick()
			if len(held) > 0 && r.IntN(4) > 0 {
				expected = held[0]
			}
			o.Input = history.Value{expected, fresh}
			switch swaps := len(held) > 0 && held[0] == expected; {
			case swaps && happens:
				held = history.Value{fresh}
			case !swaps && o.Outcome == history.OK && r.Float64() >= spoil:
				o.Outcome = history.Fail
				if r.IntN(2) == 0 {
					o.Output = slices.Clone(held)
				}
				if r.Float64() < spoil {
					o.Output = history.Value{pick()}
				}
			}
			if len(held) > 0 && held[0] == fresh || r.IntN(20) == 0 {
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
	return 10_000
}

func TestRegisterAgreesWithPorcupine(t *testing.T) {
	for _, u := range []universe{{true, 14}, {false, 12}} {
		t.Run(fmt.Sprintf("unique=%v", u.unique), func(t *testing.T) {
			t.Parallel()
			anomalies := map[Anomaly]int{}
			invalid, small, direct, spurious := 0, 0, 0, 0
			for seed := range uint64(histories(t)) {
				operations := u.draw(rand.New(rand.NewPCG(seed, 7)))
				run := &history.Run{History: history.History{Operations: operations}}
				if seed%3 == 0 {
					run.Events = []history.Event{{Type: history.PhaseBegins, Phase: history.Final, Time: operations[len(operations)/2].Invoke}}
				}
				want := Valid
				if !plainPorcupine(operations) {
					want = Invalid
					invalid++
				}
				got := Check(t.Context(), run, Register, Options{})
				if got.Verdict != want {
					t.Fatalf("seed %d: verdict %s (%s), but Porcupine says %s, of\n%s", seed, got.Verdict, got.Reason, want, list(operations))
				}
				if (got.StaleReads.Certain > 0 || got.LostCommits.Certain > 0) && want == Valid {
					t.Fatalf("seed %d: %s stale reads and %s lost commits in a valid history\n%s", seed, got.StaleReads, got.LostCommits, list(operations))
				}
				// What the direct analysis finds, and how much of it stands.
				r := splitRegisters(run)[0]
				suspects := r.contradictions(measure(operations, r.final).certainlyLost)
				if want == Invalid && len(suspects) > 0 {
					direct++
				}
				if want == Valid && len(suspects) > 0 || want == Invalid && u.unique && r.unique && len(suspects) == 0 {
					t.Fatalf("seed %d: %s, with suspects %v\n%s", seed, want, suspects, list(operations))
				}
				for _, c := range suspects {
					if explained, err := linearizable[value](t.Context(), newMemory(1<<30), r.enclose(c.told)); err != nil || explained {
						spurious++
						t.Logf("seed %d: %s of %d steps is no contradiction", seed, c.anomaly, len(c.told))
					}
				}
				for _, v := range got.Violations {
					anomalies[v.Anomaly]++
					if len(v.Witness) <= 4 {
						small++
					}
					checkWitness(t, seed, operations, v)
				}
			}
			t.Logf("%d of %d invalid, %d of these by direct analysis, %d suspects spurious; witnesses of at most 4: %d of %v",
				invalid, histories(t), direct, spurious, small, anomalies)
			if invalid == 0 || invalid == histories(t) {
				t.Error("the histories are all alike")
			}
			if spurious > 0 {
				t.Error("the direct analysis suspects the innocent")
			}
		})
	}
}

// checkWitness demands that a witness is part of the history, closed, illegal by
// itself, and has a sentence.
func checkWitness(t *testing.T, seed uint64, operations []history.Operation, v Violation) {
	t.Helper()
	if plainPorcupine(v.Witness) {
		t.Fatalf("seed %d: the witness is linearizable:\n%s", seed, list(v.Witness))
	}
	if v.Sentence == "" {
		t.Fatalf("seed %d: no sentence", seed)
	}
	in := map[int]bool{}
	for _, o := range v.Witness {
		in[o.Process] = true
		if !slices.ContainsFunc(operations, func(p history.Operation) bool { return p.Process == o.Process }) {
			t.Fatalf("seed %d: the witness holds a stranger", seed)
		}
	}
	for _, o := range v.Witness {
		observed := o.Output
		if o.Kind == history.CompareAndSet && o.Outcome != history.Fail {
			observed = o.Input[:1]
		}
		if o.Kind == history.Write || len(observed) == 0 {
			continue
		}
		for _, w := range operations {
			writes := w.Outcome != history.Fail && w.Kind != history.Read && w.Input[len(w.Input)-1] == observed[0]
			needless := w.Outcome == history.Info && w.Kind == history.CompareAndSet // may have been dropped with what it needs
			if writes && !needless && !in[w.Process] {
				t.Fatalf("seed %d: the witness is not closed: %s wrote what %s observed\n%s", seed, brief(w), brief(o), list(v.Witness))
			}
		}
	}
}

func list(operations []history.Operation) string {
	text := ""
	for _, o := range operations {
		text += fmt.Sprintf("  p%d %s [%d,%d] %s\n", o.Process, brief(o), o.Invoke, o.Complete, o.Outcome)
	}
	return text
}
