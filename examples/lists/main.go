// Command lists tries a store that Rashomon does not know: with operations, a model
// and a fault of its own.
//
//	go run . run lists:compaction=hasty --workload appends --nemesis compaction,kill:all,overlap
package main

import (
	"github.com/rashomon-io/rashomon"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/nemesis"
)

func main() {
	rashomon.Command{
		Targets:   []harness.System{system},
		Workloads: func() []harness.Workload { return []harness.Workload{appends} },
		Families:  []nemesis.Family{compaction},
	}.Main()
}
