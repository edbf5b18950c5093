package search

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// porcupineSays judges steps with a model of its own, and no preprocessing.
func porcupineSays(steps []register.Step) bool {
	operations := make([]porcupine.Operation, len(steps))
	for i, s := range steps {
		operations[i] = porcupine.Operation{Input: s, Call: s.Call, Return: s.Ret}
	}
	return porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return register.Nothing },
		Step: func(state, input, _ any) (bool, any) {
			held, s := state.(register.Value), input.(register.Step)
			switch {
			case s.From != register.None && (s.From == held) == s.Not:
				return s.Ret == register.Never, held
			case s.To == register.None:
				return true, held
			}
			return true, s.To
		},
	}, operations)
}

// A universe is how random histories are drawn.
type universe struct {
	size   int // operations, at most
	values int
}

// draw returns the steps of a random history. A real register is simulated with
// random effects inside the intervals, then some observations are spoilt, so that
// linearizable and not come about equally often.
func (u universe) draw(r *rand.Rand) []register.Step {
	n := 1 + r.IntN(u.size)
	processes := 1 + r.IntN(6)
	span := 2 + r.IntN(3*n) // a small span makes for ties
	spoil := []float64{0, 0.1, 0.4}[r.IntN(3)]
	unknown := []float64{0, 0.1, 0.4}[r.IntN(3)]
	swaps := []float64{0.1, 0.5}[r.IntN(2)]
	type effect struct {
		at int
		*register.Step
	}
	steps := make([]register.Step, n)
	effects := make([]effect, n)
	for i := range steps {
		call := r.IntN(span)
		ret := call + r.IntN(1+span*2/processes)
		steps[i] = register.Step{Call: int64(call), Ret: int64(ret), From: register.None, To: register.None}
		at := call + r.IntN(1+ret-call)
		if r.Float64() < unknown {
			steps[i].Ret = register.Never
			at = call + r.IntN(2*span)
		}
		effects[i] = effect{at, &steps[i]}
	}
	slices.SortStableFunc(effects, func(a, b effect) int { return a.at - b.at })
	held := register.Nothing
	some := func() register.Value {
		if r.IntN(4) > 0 {
			return held
		}
		return register.Value(r.IntN(u.values + 1))
	}
	observed := func() register.Value {
		if r.Float64() < spoil {
			return register.Value(r.IntN(u.values + 1))
		}
		return held
	}
	for _, s := range effects {
		happens := s.Ret != register.Never || r.IntN(3) > 0
		switch x := r.Float64(); {
		case x < 0.4:
			s.From = observed()
		case x < 1-0.6*swaps:
			s.To = register.Value(1 + r.IntN(u.values))
			if happens {
				held = s.To
			}
		default:
			s.From, s.To = some(), register.Value(1+r.IntN(u.values))
			switch {
			case s.From == held && s.Ret != register.Never && r.Float64() < spoil/2:
				s.To, s.Not = register.None, true
			case s.From == held && happens:
				held = s.To
			case s.From != held && s.Ret != register.Never && r.Float64() >= spoil:
				if s.To = register.None; r.IntN(2) == 0 {
					s.From = observed()
				} else {
					s.Not = true
				}
			case s.Ret == register.Never && r.IntN(8) == 0:
				s.To, s.Not = register.None, true
			}
		}
	}
	slices.SortStableFunc(steps, func(a, b register.Step) int { return int(a.Call - b.Call) })
	return steps
}

func list(steps []register.Step) string {
	text := ""
	for i, s := range steps {
		ret := strconv.FormatInt(s.Ret, 10)
		if s.Ret == register.Never {
			ret = "never"
		}
		text += fmt.Sprintf("  %d: [%d,%s] from %d (not: %t) to %d\n", i, s.Call, ret, s.From, s.Not, s.To)
	}
	return text
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
	return 200_000
}

// agree demands that the search decides as Porcupine does, however near its
// checkpoints are to each other, and however soon its passes are not rough.
func agree(t *testing.T, steps []register.Step, every, maxRough int) (verdict Verdict, width int) {
	t.Helper()
	want := Invalid
	if porcupineSays(steps) {
		want = Valid
	}
	search := &Search{pass: &registerPass{steps: steps, every: every, maxRough: maxRough}, memory: NewMemory(1 << 30)}
	got := search.run(t.Context())
	if got.Verdict != want {
		t.Fatalf("%s, but Porcupine says %s, of\n%s", got, want, list(steps))
	}
	if want == Invalid {
		end := steps[got.Step].Ret
		var before []register.Step
		for _, s := range steps {
			if s.Call <= end {
				before = append(before, s)
			}
		}
		if porcupineSays(before) {
			t.Fatalf("what was called before step %d returned is linearizable, of\n%s", got.Step, list(steps))
		}
	}
	return want, got.Width
}

// Mutants were planted by hand, and this test kills each of them: returns before
// calls at a tie; configurations kept that are worse, or better but for what is
// spent or counted; joined that lose what is done, or keep what is spent; what is
// dropped, used up or rough not noted; one unknown operation too many, or too
// few; those with one effect in another order; arrivals miscounted, or forgotten
// on the way back; reads done at another value, or not at call; exclusions done
// at their value; writes not hidden, hidden by swaps, not spent, or not happening
// at their return; sequences cut short before observers or swaps; unknown
// operations dropped although observed, expected or excluding; values confused;
// joining from too little.
func TestRegisterAgreesWithPorcupine(t *testing.T) {
	for _, u := range []universe{{8, 2}, {16, 2}, {16, 3}, {14, 5}} {
		t.Run(fmt.Sprintf("%+v", u), func(t *testing.T) {
			t.Parallel()
			invalid := 0
			widths := map[int]int{}
			for seed := range uint64(histories(t) / 4) {
				steps := u.draw(rand.New(rand.NewPCG(seed, 7)))
				verdict, width := agree(t, steps, 1<<(seed%4), []int{-1, 1, roughLevels}[seed%3])
				if verdict == Invalid {
					invalid++
				}
				widths[width]++
			}
			t.Logf("%d of %d invalid, widths %v", invalid, histories(t)/4, widths)
		})
	}
}

// FuzzRegister reads a history from bytes, four for each step.
func FuzzRegister(f *testing.F) {
	f.Add([]byte{0x10, 0x03, 0x00, 0x12, 0x21, 0x02, 0x01, 0x00})
	f.Add([]byte{0x00, 0xff, 0x00, 0x01, 0x11, 0x01, 0x01, 0x02, 0x22, 0x02, 0x81, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		var steps []register.Step
		for ; len(data) >= 4 && len(steps) < 14; data = data[4:] {
			s := register.Step{Call: int64(data[0] % 24), From: register.None, To: register.None}
			if s.Ret = s.Call + int64(data[1]%12); data[1] >= 0xc0 {
				s.Ret = register.Never
			}
			if data[2]&3 != 0 || data[2]&4 != 0 {
				s.From = register.Value(data[2] & 3)
			}
			switch {
			case data[2] >= 0x80 && s.From != register.None:
				s.Not = true
			case data[3]&3 != 0:
				s.To = register.Value(data[3] & 3)
			}
			steps = append(steps, s)
		}
		slices.SortStableFunc(steps, func(a, b register.Step) int { return int(a.Call - b.Call) })
		agree(t, steps, 1, -1)
		agree(t, steps, 32, roughLevels)
	})
}
