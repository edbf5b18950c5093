package nemesis

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// clock lies to nodes about the time of day, as a bad NTP server, a virtual
// machine that was suspended or an administrator does. Monotonic clocks stay
// right. When it is healed, the clock jumps back to the right time, so each of
// these faults is two.
var clock = Family{
	Family: history.FamilyClock,
	Doc:    "wall clocks of nodes are wrong",
	Needs:  []cluster.Fault{cluster.ClockFault},
	Shapes: Roles(),
	Modes: []Mode{
		{Name: "jump", Doc: "by half a second to ten years, ahead or behind, mostly seconds", Draw: func(rng *rand.Rand) Effect { return wrong(cluster.Clock{Offset: jump(rng)}) }},
		{Name: "drift", Doc: "1 to 20 % fast or slow", Draw: func(rng *rand.Rand) Effect { return wrong(cluster.Clock{Drift: drift(rng)}) }},
		{Name: "strobe", Doc: "to and fro, each for 10 to 500 ms", Draw: func(rng *rand.Rand) Effect {
			return wrong(cluster.Clock{
				Offset: sign(rng, logDuration(rng, 100*time.Millisecond, 10*time.Second)),
				Strobe: logDuration(rng, 10*time.Millisecond, 500*time.Millisecond),
			})
		}},
		{Name: "mixed", Doc: "a jump and a drift", Draw: func(rng *rand.Rand) Effect { return wrong(cluster.Clock{Offset: jump(rng), Drift: drift(rng)}) }},
	},
}

func wrong(c cluster.Clock) Effect { return Effect{Clock: c} }

// jump draws seconds three times of four: leases and time-outs are about as
// long, and are wrong only while they last. Else up to ten years, at which
// certificates expire and arithmetic overflows.
func jump(rng *rand.Rand) time.Duration {
	if rng.IntN(4) > 0 {
		return sign(rng, logDuration(rng, 500*time.Millisecond, time.Minute))
	}
	return sign(rng, logDuration(rng, time.Minute, 10*365*24*time.Hour).Round(time.Second))
}

// drift draws 1 to 20 %, fast or slow.
func drift(rng *rand.Rand) float64 {
	return math.Copysign(percent(rng, 1, 20), rng.Float64()-0.5)
}

func sign(rng *rand.Rand, d time.Duration) time.Duration {
	if rng.IntN(2) == 0 {
		return -d
	}
	return d
}

// setClocks gives each of the nodes the clock of the last fault in force that
// hits it, but for the one of that number, or the right one. Clocks do not add
// up as links' troubles do: a strobe and a jump make no third clock.
func (p *player) setClocks(ctx context.Context, nodes []cluster.Node, without int) error {
	want := map[cluster.Node]cluster.Clock{}
	for _, f := range p.others(without) {
		if f.family.On == history.OnClocks {
			for _, node := range f.hit.Nodes {
				want[node] = f.Clock
			}
		}
	}
	var changed []cluster.Node
	for _, node := range nodes {
		if p.clocks[node] != want[node] {
			changed = append(changed, node)
			p.clocks[node] = unsureClock
		}
	}
	err := each(ctx, changed, func(ctx context.Context, node cluster.Node) error {
		return p.stage.Cluster.SetClock(ctx, node, want[node])
	})
	if err != nil {
		return err
	}
	for _, node := range changed {
		p.clocks[node] = want[node]
	}
	return nil
}

// unsureClock is what is known of a clock after SetClock has failed on it, or on
// another: nothing that a fault could ask for.
var unsureClock = cluster.Clock{Strobe: -1}
