package zones

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/internal/register"
	"github.com/rashomon-io/rashomon/checker/internal/simulate"
	"github.com/rashomon-io/rashomon/harness/history"
)

// linearizable asks Porcupine, with a model of its own.
func linearizable(steps []register.Step) bool {
	var entries []porcupine.Operation
	for _, s := range steps {
		entries = append(entries, porcupine.Operation{Input: s, Call: s.Call, Return: s.Ret})
	}
	return porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return register.Nothing },
		Step: func(state, input, _ any) (bool, any) {
			held, s := state.(register.Value), input.(register.Step)
			switch {
			case s.From != register.None && (s.From == held) == s.Not:
				return s.Ret == register.Never, held
			case s.To != register.None:
				return true, s.To
			}
			return true, held
		},
	}, entries)
}

// draw returns a random history. A real register is simulated, with effects at
// random moments of the intervals, and then some observations are spoilt.
func draw(r *rand.Rand, size int) (steps []register.Step, values int) {
	n := 1 + r.IntN(size)
	span := 2 + r.IntN(3*n) // a small span makes for ties
	width := 1 + r.IntN(span)
	spoil := []float64{0, 0, 0.1, 0.4}[r.IntN(4)]
	unknown := []float64{0, 0.1, 0.5}[r.IntN(3)]
	refused := []float64{0, 0, 0.3, 0.6}[r.IntN(4)]
	type effect struct{ at, step int }
	var effects []effect
	for i := range n {
		call := r.IntN(span)
		ret := call + r.IntN(width)
		s := register.Step{Call: int64(call), Ret: int64(ret), From: register.None, To: register.None}
		at := call + r.IntN(1+ret-call)
		if r.Float64() < unknown {
			s.Ret = register.Never
			at = call + r.IntN(2*span)
		}
		steps = append(steps, s)
		effects = append(effects, effect{at, i})
	}
	slices.SortStableFunc(effects, func(a, b effect) int { return a.at - b.at })
	held, fresh := register.Nothing, register.Nothing
	past := []register.Value{register.Nothing}
	pick := func() register.Value {
		switch r.IntN(100) {
		case 0:
			return register.Value(n + 1) // that nobody writes
		case 1, 2:
			return min(fresh+1, register.Value(n)) // that is written later, perhaps
		}
		return past[max(0, len(past)-1-r.IntN(4))]
	}
	for _, e := range effects {
		s := &steps[e.step]
		happens := s.Ret != register.Never || r.IntN(2) == 0
		switch kind := r.IntN(10); {
		case r.Float64() < refused && s.Ret != register.Never:
			s.Not, s.From = true, pick()
			if s.From == held && r.Float64() >= spoil {
				s.From = past[r.IntN(len(past))]
			}
			if s.From == held && r.Float64() >= spoil {
				s.From = register.Value(n + 1)
			}
		case kind < 4 && s.Ret != register.Never:
			s.From = held
			if r.Float64() < spoil {
				s.From = pick()
			}
		case kind < 7:
			fresh++
			s.To = fresh
			if r.IntN(60) == 0 {
				s.To = pick()
			}
			if happens {
				held = s.To
			}
			past = append(past, s.To)
		default:
			s.From = held
			if !happens || r.Float64() < spoil {
				s.From = pick()
				happens = happens && s.From == held
			}
			fresh++
			s.To = fresh
			if r.IntN(30) == 0 {
				s.To = s.From
			}
			if happens {
				held = s.To
				past = append(past, s.To)
			}
		}
	}
	return steps, n + 2
}

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
	return 100_000
}

func TestAgreesWithPorcupine(t *testing.T) {
	count := map[Verdict]int{}
	undecided := map[bool]int{}
	kinds := map[Kind]int{}
	for seed := range uint64(histories(t)) {
		steps, values := draw(rand.New(rand.NewPCG(seed, 11)), 12)
		answer := Decide(steps, values)
		count[answer.Verdict]++
		if answer.Verdict == Repeated {
			continue
		}
		explained := linearizable(steps)
		if answer.Verdict == Undecided {
			undecided[explained]++
			continue
		}
		if (answer.Verdict == Valid) != explained {
			t.Fatalf("seed %d: verdict %d, but Porcupine says %t, of\n%s", seed, answer.Verdict, explained, list(steps))
		}
		conflicts := Conflicts(steps, values, register.NewIndex(steps, values))
		if (len(conflicts) > 0) == explained {
			t.Fatalf("seed %d: %v, but Porcupine says %t, of\n%s", seed, conflicts, explained, list(steps))
		}
		for _, c := range conflicts {
			kinds[c.Kind]++
		}
	}
	t.Logf("verdicts %v, undecided although valid or not %v, kinds %v", count, undecided, kinds)
}

// What the fuzz hardly ever draws: refusals that seem to have a place.
func TestRefusals(t *testing.T) {
	write := func(to register.Value, call, ret int64) register.Step {
		return register.Step{Call: call, Ret: ret, From: register.None, To: to}
	}
	read := func(from register.Value, call, ret int64) register.Step {
		return register.Step{Call: call, Ret: ret, From: from, To: register.None}
	}
	swap := func(from, to register.Value, call, ret int64) register.Step {
		return register.Step{Call: call, Ret: ret, From: from, To: to}
	}
	refusal := func(from register.Value, call, ret int64) register.Step {
		return register.Step{Call: call, Ret: ret, From: from, To: register.None, Not: true}
	}
	for _, test := range []struct {
		name  string
		steps []register.Step
		want  Verdict
	}{
		{"replaced just before it returned", []register.Step{write(1, 0, 1), write(2, 4, 9), refusal(1, 2, 4)}, Valid},
		{"replaced too late", []register.Step{write(1, 0, 1), write(2, 5, 9), refusal(1, 2, 4)}, Invalid},
		{"called as its value was written", []register.Step{write(1, 0, 1), refusal(1, 1, 4)}, Valid},
		{"replaced by a swap that nobody needs", []register.Step{write(1, 0, 1), swap(1, 2, 0, register.Never), refusal(1, 2, 4)}, Valid},
		{"the next of the chain begins early, and the one after it cannot", []register.Step{
			write(1, 0, 1), refusal(1, 3, 4), swap(1, 2, 2, 20), refusal(2, 5, 6), swap(2, 3, 18, 19),
		}, Undecided},
		{"another value begins early, and is read long after", []register.Step{
			write(1, 0, 1), refusal(1, 3, 4), write(2, 2, 20), refusal(2, 5, 6), write(3, 5, 30), read(2, 18, 20),
		}, Undecided},
		{"the other write has to come before", []register.Step{write(1, 0, 2), read(1, 8, 9), write(2, 0, 5), refusal(1, 10, 12)}, Invalid},
		{"either of two is there at last", []register.Step{write(1, 0, 5), write(2, 0, 10), refusal(1, 11, 12), refusal(2, 13, 14)}, Undecided},
		{"the earlier of two is there at last", []register.Step{write(1, 0, 5), write(2, 0, 10), refusal(2, 13, 14)}, Valid},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Decide(test.steps, 4); got.Verdict != test.want {
				t.Errorf("verdict %d, want %d", got.Verdict, test.want)
			}
			if test.want != Undecided && linearizable(test.steps) != (test.want == Valid) || test.want == Undecided && linearizable(test.steps) {
				t.Error("Porcupine does not agree")
			}
		})
	}
}

// Whatever the guess, galloping finds what counting finds.
func TestBegunBefore(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		var a analysis
		for range r.IntN(20) {
			a.forward = append(a.forward, zone{first: r.Int64N(20)})
		}
		slices.SortFunc(a.forward, func(x, y zone) int { return int(x.first - y.first) })
		at, guess, want := r.Int64N(22), r.IntN(len(a.forward)+1), 0
		for want < len(a.forward) && a.forward[want].first < at {
			want++
		}
		if got := a.begunBefore(at, guess); got != want {
			t.Fatalf("%d of %v begin before %d, want %d; guessed %d", got, a.forward, at, want, guess)
		}
	}
}

// Refusals are decided in histories of every shape that a workload has.
func TestRefusalsOfWorkloads(t *testing.T) {
	for _, concurrency := range []int{2, 5, 20, 100} {
		for _, unknown := range []int{0, 5, 20} {
			for seed := range uint64(3) {
				steps, values := workload(simulate.Workload{Operations: 5000, Keys: 1, Concurrency: concurrency, Unknown: unknown, Refusals: true, Seed: seed})
				if answer := Decide(steps, values); answer.Verdict != Valid {
					t.Errorf("concurrency %d, %d %% unknown, seed %d: %v", concurrency, unknown, seed, answer)
				}
				planted := plantRefusal(steps)
				if planted < 0 {
					continue
				}
				answer := Decide(steps, values)
				conflicts := Conflicts(steps, values, register.NewIndex(steps, values))
				if answer.Verdict != Invalid || len(conflicts) != 1 || conflicts[0].Kind != Refused || conflicts[0].Steps[0] != planted {
					t.Errorf("concurrency %d, %d %% unknown, seed %d: %v and %v, though step %d is planted", concurrency, unknown, seed, answer, conflicts, planted)
				}
			}
		}
	}
}

// workload turns the operations on one key, whose values are small, into steps.
func workload(w simulate.Workload) (steps []register.Step, values int) {
	expected := func(o history.Operation) register.Value {
		if o.Input.At(0) == 0 { // which nobody writes
			return register.Value(w.Operations + 1)
		}
		return register.Value(o.Input.At(0))
	}
	for _, o := range w.History() {
		s := register.Step{Call: int64(o.Invoke), Ret: int64(o.Complete), From: register.None, To: register.None}
		switch {
		case o.Outcome == history.Fail:
			s.Not, s.From = true, expected(o)
		case o.Kind == history.CompareAndSet:
			s.From, s.To = expected(o), register.Value(o.Input.At(1))
		case o.Kind == history.Write:
			s.To = register.Value(o.Input.At(0))
		case o.Output.Len() > 0:
			s.From = register.Value(o.Output.At(0))
		default:
			s.From = register.Nothing
		}
		if o.Outcome == history.Info {
			s.Ret = register.Never
		}
		steps = append(steps, s)
	}
	return steps, w.Operations + 2
}

// plantRefusal turns a read of a value that was there before and afterwards into
// a refusal of it, and returns it; -1 if there is none.
func plantRefusal(steps []register.Step) int32 {
	first, last := map[register.Value]int64{}, map[register.Value]int64{}
	for _, s := range steps {
		if s.From > register.Nothing && s.To == register.None && !s.Not {
			if ret, ok := first[s.From]; !ok || s.Ret < ret {
				first[s.From] = s.Ret
			}
			last[s.From] = max(last[s.From], s.Call)
		}
	}
	for i := range steps {
		s := &steps[i]
		if s.From > register.Nothing && s.To == register.None && !s.Not && first[s.From] < s.Call && s.Ret < last[s.From] {
			s.Not = true
			return int32(i)
		}
	}
	return -1
}

func list(steps []register.Step) string {
	text := ""
	for i, s := range steps {
		ret := fmt.Sprint(s.Ret)
		if s.Ret == register.Never {
			ret = "∞"
		}
		text += fmt.Sprintf("%d: [%d,%s] %d→%d not=%t\n", i, s.Call, ret, s.From, s.To, s.Not)
	}
	return text
}
