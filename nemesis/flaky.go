package nemesis

import (
	"math/rand/v2"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// flaky is a bit of everything that goes wrong on a bad line. Corrupt packets
// fail their checksum, and so are lost on the way to the application: no system
// claims to survive those that do not.
var flaky = family{
	name:   "flaky",
	says:   "links lose, delay, reorder, duplicate and corrupt, a little of each",
	on:     onLinks,
	needs:  []cluster.Fault{cluster.LossFault, cluster.DelayFault},
	shapes: paths,
	modes: []mode{{draw: func(rng *rand.Rand) effect {
		delay := logDuration(rng, 2*time.Millisecond, 50*time.Millisecond)
		return effect{condition: cluster.Condition{
			Delay:     delay,
			Jitter:    delay / 2,
			Loss:      percent(rng, 1, 10),
			Reorder:   percent(rng, 1, 25),
			Duplicate: percent(rng, 1, 10),
			Corrupt:   percent(rng, 1, 5),
		}}
	}}},
	inject: spoil,
	heal:   mend,
}
