package harness_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

func always(kind history.Kind) harness.Generator {
	return harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) { return history.Operation{Kind: kind}, true })
}

// count plays a generator for so many turns, 1 ms each, and counts kinds.
func count(generator harness.Generator, turns int) map[history.Kind]int {
	counts := map[history.Kind]int{}
	for i := range turns {
		if operation, ok := generator.Next(&harness.Turn{Now: time.Duration(i) * time.Millisecond}); ok {
			counts[operation.Kind]++
		}
	}
	return counts
}

func TestGenerators(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	reads, writes := always(history.Read), always(history.Write)
	for _, c := range []struct {
		name              string
		generator         harness.Generator
		turns             int
		reads, writes, by int // by: the tolerance
	}{
		{"mix by weight", harness.Mix(r, harness.Weighted{Weight: 3, Generator: reads}, harness.Weighted{Weight: 1, Generator: writes}), 4000, 3000, 1000, 150},
		{"a mix outlives its parts", harness.Mix(r, harness.Weighted{Weight: 1, Generator: harness.Limit(5, reads)}, harness.Weighted{Weight: 1, Generator: writes}), 100, 5, 95, 0},
		{"a mix ends", harness.Mix(r, harness.Weighted{Weight: 1, Generator: harness.Limit(5, reads)}), 100, 5, 0, 0},
		{"limit by count", harness.Limit(7, reads), 100, 7, 0, 0},
		{"limit by time", harness.Until(30*time.Millisecond, reads), 100, 30, 0, 0},
		{"phases", harness.Then(harness.Limit(10, reads), writes), 100, 10, 90, 0},
		{"each", harness.Each([]history.Operation{{Kind: history.Read}, {Kind: history.Write}}), 10, 1, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			counts := count(c.generator, c.turns)
			if abs(counts[history.Read]-c.reads) > c.by || abs(counts[history.Write]-c.writes) > c.by {
				t.Errorf("%v, want %d reads and %d writes", counts, c.reads, c.writes)
			}
		})
	}
}

func abs(n int) int { return max(n, -n) }

func TestRateIsTheMeanAndNeverCatchesUp(t *testing.T) {
	rate := harness.Rate(rand.New(rand.NewPCG(1, 2)), 100, always(history.Read))
	turn := harness.Turn{}
	for range 1000 {
		rate.Next(&turn)
		turn.Now, turn.At = turn.At, 0
	}
	if turn.Now < 9*time.Second || turn.Now > 11*time.Second {
		t.Errorf("1000 operations at 100/s took %v", turn.Now)
	}
	turn.Now += time.Hour // the system hung
	late := turn.Now
	for range 100 {
		rate.Next(&turn)
		turn.Now, turn.At = turn.At, 0
	}
	if took := turn.Now - late; took < 500*time.Millisecond {
		t.Errorf("after a stall, 100 operations came within %v", took)
	}
}

func TestUntilCountsTheWait(t *testing.T) {
	slow := harness.Rate(rand.New(rand.NewPCG(1, 2)), 0.001, always(history.Read))
	if _, ok := harness.Until(time.Second, slow).Next(&harness.Turn{}); ok {
		t.Error("an operation that would be invoked after the end was generated")
	}
}
