package targets

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/workloads"
)

// Whatever its options, a system serves every workload but these. Nobody can give a
// lock, or the oldest element, to one alone without a leader or an order.
func TestServes(t *testing.T) {
	lacks := map[string][]string{
		"lww":        {"queue", "lock"},
		"redis":      {"bank", "unique-ids"},
		"raft-redis": {"bank", "unique-ids"},
		"zookeeper":  {"bank"},
	}
	for _, system := range All {
		for _, options := range append([]string{""}, system.Options...) {
			target, err := Parse(system.Name + ":" + options)
			if err != nil {
				t.Fatal(err)
			}
			for _, workload := range workloads.All() {
				want := !slices.Contains(lacks[system.Name], workload.Name())
				if lack, known := harness.Serves(t.Context(), target, workload); (lack == nil) != want || !known {
					t.Errorf("%s, %s: %v, known: %t", target, workload.Name(), lack, known)
				}
			}
		}
	}
}

// What Serves says is what the trial finds once the cluster runs.
func TestServesIsWhatATrialFinds(t *testing.T) {
	target, err := Parse("lww")
	if err != nil {
		t.Fatal(err)
	}
	for _, workload := range []harness.Workload{workloads.Queue{}, &workloads.Lock{}} {
		want, _ := harness.Serves(t.Context(), target, workload)
		_, _, err := harness.Run(t.Context(), harness.Trial{Target: target, Workload: workload, Nodes: 1, Dir: t.TempDir()})
		if err == nil || want == nil || !strings.Contains(err.Error(), errors.Unwrap(want).Error()) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}
