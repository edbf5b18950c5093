package nemesis

import (
	"math/rand/v2"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// latency delays what links carry, by about as much as heartbeats are apart:
// far less is not felt, far more is a partition. Delays that differ by direction
// or by node are what makes a system that believes in time order things wrongly.
var latency = family{
	name:   "latency",
	says:   "links are delayed by 10 to 300 ms, with jitter",
	on:     onLinks,
	needs:  []cluster.Fault{cluster.DelayFault},
	shapes: paths,
	modes: []mode{{draw: func(rng *rand.Rand) effect {
		delay := logDuration(rng, 10*time.Millisecond, 300*time.Millisecond)
		return effect{condition: cluster.Condition{
			Delay:  delay,
			Jitter: time.Duration(uniform(rng, 0, 0.5) * float64(delay)).Round(time.Millisecond),
			Normal: rng.IntN(2) == 0,
		}}
	}}},
	inject: spoil,
	heal:   mend,
}
