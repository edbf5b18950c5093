package stale

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// random returns a small history of up to four clients; some values are written twice.
func random(r *rand.Rand) (steps []register.Step, values int) {
	values = 2 + r.IntN(4)
	free := make([]int64, 1+r.IntN(4))
	next := register.Value(1)
	twice := r.IntN(4) == 0
	for range 2 + r.IntN(6) {
		c := r.IntN(len(free))
		if free[c] == math.MaxInt64 {
			continue
		}
		s := register.Step{Call: free[c] + r.Int64N(6), From: register.None, To: register.None}
		s.Ret = s.Call + r.Int64N(8)
		kind := r.IntN(8)
		if kind < 5 && (int(next) < values || twice) {
			if s.To = next; twice && r.IntN(2) == 0 || int(next) >= values {
				s.To = 1 + r.Int32N(int32(values-1))
			} else {
				next++
			}
			if r.IntN(5) == 0 {
				s.Ret = math.MaxInt64
			}
		}
		if kind >= 5 || kind == 0 || s.To == register.None {
			if s.From = r.Int32N(int32(values)); s.From == s.To {
				s.From = 0
			}
			s.Not = s.To == register.None && s.From != register.Nothing && kind == 7
		}
		free[c] = s.Ret
		if free[c] < math.MaxInt64 {
			free[c] += r.Int64N(3)
		}
		steps = append(steps, s)
	}
	return steps, values
}

// explained goes through all orders, with reads that are called so much earlier, and may
// return one of the last n+1 values.
func explained(steps []register.Step, earlier int64, n int) bool {
	called := func(s register.Step) int64 {
		if s.To == register.None {
			return s.Call - earlier
		}
		return s.Call
	}
	done := make([]bool, len(steps))
	held := []register.Value{register.Nothing}
	var next func() bool
	next = func() bool {
		finished := true
		last := held[max(0, len(held)-n-1):]
		for i, s := range steps {
			if done[i] {
				continue
			}
			finished = finished && s.Ret == math.MaxInt64
			before := false // another one must come first
			for j, o := range steps {
				before = before || !done[j] && j != i && o.Ret < called(s)
			}
			fits := true
			switch {
			case s.From == register.None:
			case s.To != register.None:
				fits = held[len(held)-1] == s.From
			case s.Not:
				fits = slices.ContainsFunc(last, func(v register.Value) bool { return v != s.From })
			default:
				fits = slices.Contains(last, s.From)
			}
			if before || !fits {
				continue
			}
			done[i] = true
			if s.To != register.None {
				held = append(held, s.To)
			}
			if next() {
				return true
			}
			if s.To != register.None {
				held = held[:len(held)-1]
			}
			done[i] = false
		}
		return finished
	}
	return next()
}

func some(steps []register.Step, witness []int32) []register.Step {
	var all []register.Step
	for _, i := range witness {
		all = append(all, steps[i])
	}
	return all
}

type tally map[[2]int]int

func judge(t *testing.T, r *rand.Rand, tally tally) {
	steps, values := random(r)
	for kind := range 2 {
		var earlier int64
		var n int
		var answer Answer
		if kind == 0 {
			earlier = r.Int64N(12)
			answer = ByTime(t.Context(), steps, values, earlier, 1<<30)
		} else {
			n = 1 + r.IntN(3)
			answer = ByVersions(t.Context(), steps, values, n, 1<<30)
		}
		want := Invalid
		if explained(steps, earlier, n) {
			want = Valid
		}
		tally[[2]int{kind, int(want)}]++
		if answer.Verdict != want {
			t.Fatalf("%+v earlier by %d or by %d versions: %+v, want %d", steps, earlier, n, answer, want)
		}
		if want == Invalid && explained(some(steps, answer.Witness), earlier, n) {
			t.Fatalf("%+v earlier by %d or by %d versions: no witness: %+v", steps, earlier, n, some(steps, answer.Witness))
		}
	}
}

func TestAgainstAllOrders(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 2_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	tally := tally{}
	for range n {
		judge(t, r, tally)
	}
	t.Log(tally)
	for kind := range 2 {
		for _, verdict := range []Verdict{Valid, Invalid} {
			if tally[[2]int{kind, int(verdict)}] < n/20 {
				t.Errorf("of kind %d hardly any history has the verdict %d", kind, verdict)
			}
		}
	}
}

func FuzzStale(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { judge(t, rand.New(rand.NewPCG(seed, 5)), tally{}) })
}

// follower returns the history of clients that write through a leader and read from a
// follower that is behind by up to lag writes.
func follower(r *rand.Rand, writes, lag int) (steps []register.Step, values int) {
	for i := range writes {
		t := int64(i) * 10
		steps = append(steps, register.Step{Call: t, Ret: t + 5 + r.Int64N(30), From: register.None, To: register.Value(i + 1)})
		for range 3 {
			read := register.Step{Call: t + 50 + r.Int64N(5), From: register.Value(max(0, i+1-r.IntN(lag+1))), To: register.None}
			read.Ret = read.Call + r.Int64N(20)
			steps = append(steps, read)
		}
	}
	return steps, writes + 1
}

func TestFollower(t *testing.T) {
	const writes = 20_000
	r := rand.New(rand.NewPCG(1, 1))
	steps, values := follower(r, writes, 2)
	if answer := ByVersions(t.Context(), steps, values, 8, 1<<30); answer.Verdict != Valid {
		t.Errorf("by 8 versions: %d, %v", answer.Verdict, answer.Err)
	}
	if answer := ByTime(t.Context(), steps, values, 80, 1<<30); answer.Verdict != Valid {
		t.Errorf("by 80 ns: %d, %v", answer.Verdict, answer.Err)
	}
	steps, values = follower(r, writes, 20)
	if answer := ByVersions(t.Context(), steps, values, 8, 1<<30); answer.Verdict != Invalid || len(answer.Witness) > 30 {
		t.Errorf("20 behind, by 8 versions: %d with %d, %v", answer.Verdict, len(answer.Witness), answer.Err)
	}
	if answer := ByTime(t.Context(), steps, values, 80, 1<<30); answer.Verdict != Invalid || len(answer.Witness) > 4 {
		t.Errorf("20 behind, by 80 ns: %d with %d, %v", answer.Verdict, len(answer.Witness), answer.Err)
	}
}
