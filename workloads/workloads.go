// Package workloads holds what clients do to a system, and what must then hold:
// one file a workload. Each names the small interface that a target's client
// implements to get it.
package workloads

import (
	"fmt"
	"strings"

	"github.com/rashomon-io/rashomon/harness"
)

// All are the workloads with their defaults, in the order of lists.
var All = []harness.Workload{Register{}, Set{}}

// ByName returns the workload that --workload names.
func ByName(name string) (harness.Workload, error) {
	var names []string
	for _, workload := range All {
		if workload.Name() == name {
			return workload, nil
		}
		names = append(names, workload.Name())
	}
	return nil, fmt.Errorf("no workload %q (there are: %s)", name, strings.Join(names, ", "))
}
