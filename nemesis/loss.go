package nemesis

import (
	"math/rand/v2"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// loss drops packets. TCP hides it behind delays that double with each packet
// lost, so connections slow down, and some stand still for seconds.
var loss = family{
	name:   "loss",
	says:   "links lose 5 to 40 % of their packets",
	on:     onLinks,
	needs:  []cluster.Fault{cluster.LossFault},
	shapes: paths,
	modes: []mode{{draw: func(rng *rand.Rand) effect {
		return effect{condition: cluster.Condition{Loss: percent(rng, 5, 40)}}
	}}},
	inject: spoil,
	heal:   mend,
}
