package nemesis

import (
	"math/rand/v2"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// loss drops packets. TCP hides it behind delays that double with each packet
// lost, so connections slow down, and some stand still for seconds.
var loss = Family{
	Family: history.FamilyLoss,
	Doc:    "links lose 5 to 40 % of their packets",
	Needs:  []cluster.Fault{cluster.LossFault},
	Shapes: Paths(),
	Modes: []Mode{{Draw: func(rng *rand.Rand) Effect {
		return Effect{Condition: cluster.Condition{Loss: percent(rng, 5, 40)}}
	}}},
}
