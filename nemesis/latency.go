package nemesis

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// latency delays what links carry, by about as much as heartbeats are apart:
// far less is not felt, far more is a partition. Delays that differ by direction
// or by node are what makes a system that believes in time order things wrongly.
var latency = Family{
	Family: history.FamilyLatency,
	Doc:    "links are delayed by 10 to 300 ms, with jitter",
	Needs:  []cluster.Fault{cluster.DelayFault},
	Shapes: slices.Concat(paths, clientPaths),
	Modes: []Mode{{Draw: func(rng *rand.Rand) Effect {
		delay := logDuration(rng, 10*time.Millisecond, 300*time.Millisecond)
		return Effect{Condition: cluster.Condition{
			Delay:  delay,
			Jitter: time.Duration(uniform(rng, 0, 0.5) * float64(delay)).Round(time.Millisecond),
			Normal: rng.IntN(2) == 0,
		}}
	}}},
}
