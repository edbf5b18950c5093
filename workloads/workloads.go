// Package workloads holds what clients do to a system, and what must then hold:
// one file a workload. Each names the small interface that a target's client
// implements to get it.
package workloads

import (
	"fmt"
	"strings"

	"github.com/rashomon-io/rashomon/harness"
)

// All returns the workloads with their defaults, in the order of lists. They are
// made anew, because some serve one trial only.
func All() []harness.Workload {
	return []harness.Workload{Register{}, Set{}, Counter{}, Queue{}, &Lock{}, Bank{}, IDs{}}
}

// ByName returns the workload that --workload names, for one trial: one of All or of a
// user's own.
func ByName(name string, own ...harness.Workload) (harness.Workload, error) {
	var names []string
	for _, workload := range append(All(), own...) {
		if workload.Name() == name {
			return workload, nil
		}
		names = append(names, workload.Name())
	}
	return nil, fmt.Errorf("no workload %q (there are: %s)", name, strings.Join(names, ", "))
}
