package locks

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/simulate"
)

// Corrupted uses are counted in near-linear time; this is the definition.
func TestCorruptedUses(t *testing.T) {
	for seed := range uint64(5000) {
		l := newLock("l", false, model.Pointers(simulate.Lock(rand.New(rand.NewPCG(seed, 19)))))
		want := 0
		for _, u := range l.unfenced {
			if slices.ContainsFunc(l.holds, func(h *hold) bool {
				return h.acquire.Process != u.Process && h.f() < u.Invoke && u.Complete < h.s()
			}) {
				want++
			}
		}
		if got := l.corrupted(); got != want {
			t.Fatalf("seed %d: %d corrupted, want %d", seed, got, want)
		}
	}
}
