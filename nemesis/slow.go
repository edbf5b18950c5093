package nemesis

import (
	"math/rand/v2"
	"slices"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// slow throttles links. Small messages pass, and what is large (a snapshot, a
// backlog after a partition) holds up everything behind it.
var slow = Family{
	Family: history.FamilySlow,
	Doc:    "links carry no more than 16 to 256 KiB/s",
	Needs:  []cluster.Fault{cluster.RateFault},
	Shapes: slices.Concat(paths, clientPaths),
	Modes: []Mode{{Draw: func(rng *rand.Rand) Effect {
		return Effect{Condition: cluster.Condition{BytesPerSecond: int(logUniform(rng, 16, 256)) << 10}}
	}}},
}
