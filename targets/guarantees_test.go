package targets_test

import (
	"slices"
	"testing"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/guarantees"
	"github.com/rashomon-io/rashomon/workloads"
)

// Each system keeps some guarantees and breaks others, by its design. What it breaks is a
// matter of chance, so each has several trials.
func TestGuarantees(t *testing.T) {
	const trials = 4
	for _, c := range []struct {
		target, faults string
		kept, broken   []string
	}{
		{"raft:reads=any", "partition,kill,pause", []string{"linearizable writes", "converges"},
			[]string{"read your writes", "sequential", "stale by at most 1ms", "stale by at most 1 version"}},
		{"lww", "partition,kill,pause", []string{"monotonic reads", "read your writes", "converges"},
			[]string{"linearizable writes", "stale by at most 100ms", "stale by at most 3 versions"}},
		{"async", "partition:leader,kill:leader", []string{"converges"}, []string{"monotonic reads", "read your writes", "sequential"}},
	} {
		t.Run(c.target, func(t *testing.T) {
			t.Parallel()
			missing := slices.Clone(c.broken)
			for seed := uint64(1); seed <= trials && len(missing) > 0; seed++ {
				run, _ := try(t, c.target, c.faults, workloads.Register{}, seed)
				run.Manifest.Claim.Guarantees = slices.Concat(c.kept, c.broken)
				for _, g := range (workloads.Register{}).Check(t.Context(), run, checker.Options{}).Guarantees {
					switch {
					case slices.Contains(c.kept, g.Guarantee) && g.Verdict != guarantees.Holds:
						t.Errorf("seed %d: %s: %s %s %+v", seed, g.Guarantee, g.Verdict, g.Reason, g.Violation)
					case g.Verdict == guarantees.Broken:
						t.Logf("seed %d: %s: %s", seed, g.Guarantee, g.Violation.Sentence)
						missing = slices.DeleteFunc(missing, func(name string) bool { return name == g.Guarantee })
					}
				}
			}
			if len(missing) > 0 {
				t.Errorf("not broken in %d trials: %q", trials, missing)
			}
		})
	}
}
