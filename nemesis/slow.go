package nemesis

import (
	"math/rand/v2"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// slow throttles links. Small messages pass, and what is large (a snapshot, a
// backlog after a partition) holds up everything behind it.
var slow = family{
	name:   "slow",
	says:   "links carry no more than 16 to 256 KiB/s",
	on:     onLinks,
	needs:  []cluster.Fault{cluster.RateFault},
	shapes: paths,
	modes: []mode{{draw: func(rng *rand.Rand) effect {
		return effect{condition: cluster.Condition{BytesPerSecond: int(logUniform(rng, 16, 256)) << 10}}
	}}},
	inject: spoil,
	heal:   mend,
}
