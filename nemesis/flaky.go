package nemesis

import (
	"math/rand/v2"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// flaky is a bit of everything that goes wrong on a bad line. Corrupt packets
// fail their checksum, and so are lost on the way to the application: no system
// claims to survive those that do not.
var flaky = Family{
	Family: history.FamilyFlaky,
	Doc:    "links lose, delay, reorder, duplicate and corrupt, a little of each",
	Needs:  []cluster.Fault{cluster.LossFault, cluster.DelayFault},
	Shapes: Paths(),
	Modes: []Mode{{Draw: func(rng *rand.Rand) Effect {
		delay := logDuration(rng, 2*time.Millisecond, 50*time.Millisecond)
		return Effect{Condition: cluster.Condition{
			Delay:     delay,
			Jitter:    delay / 2,
			Loss:      percent(rng, 1, 10),
			Reorder:   percent(rng, 1, 25),
			Duplicate: percent(rng, 1, 10),
			Corrupt:   percent(rng, 1, 5),
		}}
	}}},
}
