package stream

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A store is a linearizable register whose clients take their time, and now and
// then get no answer.
type store struct {
	random *rand.Rand
	held   Value
	next   int64
	calls  []*Step // under way
	lost   []*Step // of unknown outcome, which have not taken effect
}

func (s *store) invoke(now time.Duration) *Step {
	step := &Step{Call: now, Kind: history.Read}
	s.next++
	switch draw := s.random.IntN(10); {
	case draw < 3:
		step.Kind, step.New = history.Write, s.next
	case draw < 6 && s.held.Found:
		step.Kind, step.Expected, step.New = history.CompareAndSet, s.held.Number, s.next
	}
	s.calls = append(s.calls, step)
	return step
}

// happens lets the step take effect.
func (s *store) happens(step *Step) (outcome history.Outcome, seen Value) {
	switch {
	case step.Kind == history.Write, step.Kind == history.CompareAndSet && s.held == Value{step.Expected, true}:
		s.held = Value{step.New, true}
		return history.OK, Value{}
	case step.Kind == history.CompareAndSet:
		return history.Fail, s.held
	}
	return history.OK, s.held
}

// act lets time go by for a client, and tells the register.
func (s *store) act(r *Register, now time.Duration, clients int) (*Contradiction, bool) {
	i := s.random.IntN(clients)
	if i >= len(s.calls) {
		return nil, r.Begin(s.invoke(now))
	}
	step := s.calls[i]
	s.calls = slices.Delete(s.calls, i, i+1)
	if len(s.lost) > 0 && s.random.IntN(4) == 0 {
		late := s.random.IntN(len(s.lost))
		s.happens(s.lost[late])
		s.lost = slices.Delete(s.lost, late, late+1)
	}
	if s.random.IntN(20) == 0 {
		s.lost = append(s.lost, step)
		return r.End(step, now, history.Info, Value{}), true
	}
	outcome, seen := s.happens(step)
	return r.End(step, now, outcome, seen), true
}

// What is forgotten is exactly what any further observation of would contradict
// the rest, as the package comment defines it.
func TestForgetsWhatIsClosed(t *testing.T) {
	forgotten := 0
	for seed := range uint64(50) {
		s := &store{random: rand.New(rand.NewPCG(seed, 1))}
		r := NewRegister()
		clients := 1 + s.random.IntN(20)
		all := map[*block]bool{} // that ever were
		for now := time.Duration(1); now < 500; now++ {
			if contradiction, unique := s.act(r, now, clients); contradiction != nil || !unique {
				t.Fatalf("seed %d: the register is said to contradict itself: %v", seed, contradiction)
			}
			remembered := map[*block]bool{}
			for b := r.earliest; b != nil; b = b.later {
				remembered[b], all[b] = true, true
			}
			for x := range all {
				closed := false
				for y := range all {
					closed = closed || x != y && x.f < y.s && y.f < r.watermark
				}
				if closed == remembered[x] {
					t.Fatalf("seed %d at %d: closed %v, remembered %v: [%d, %d]", seed, now, closed, remembered[x], x.f, x.s)
				}
			}
			forgotten = max(forgotten, len(all)-len(remembered))
		}
	}
	if forgotten < 50 {
		t.Errorf("at most %d blocks were forgotten", forgotten)
	}
}

// A chain of swaps is one block for ever, of which only the end is remembered.
func TestChainIsForgottenBehind(t *testing.T) {
	r := NewRegister()
	w := &Step{Kind: history.Write, Call: 1}
	r.Begin(w)
	r.End(w, 2, history.OK, Value{})
	for now := time.Duration(3); now < 2000; now += 2 {
		s := &Step{Kind: history.CompareAndSet, Expected: int64(now-3) / 2, New: int64(now-1) / 2, Call: now}
		r.Begin(s)
		if c := r.End(s, now+1, history.OK, Value{}); c != nil {
			t.Fatal(c)
		}
		if r.Remembered() > 3 {
			t.Fatalf("%d values are remembered", r.Remembered())
		}
	}
}
