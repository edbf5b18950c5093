package nemesis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// maxFaults bounds a plan.
const maxFaults = 10_000

// plan makes the whole schedule. The duration is divided into one slot a fault,
// of random lengths; each fault begins with its slot and leaves a gap at the
// slot's end, or may reach into the next slots if faults overlap. Shapes that
// these nodes do not allow are left out, and reported as skipped.
func (s Schedule) plan(nodes []cluster.Node, duration time.Duration, rng *rand.Rand) (faults []fault, skipped []history.Event, err error) {
	interval := s.Interval
	if interval == 0 {
		interval = DefaultInterval
	}
	if interval < 0 {
		return nil, nil, fmt.Errorf("nemesis: the interval is %v: it must be positive", interval)
	}
	if duration/interval >= maxFaults {
		return nil, nil, fmt.Errorf("nemesis: faults every %v for %v are more than %d: use a longer interval", interval, duration, maxFaults)
	}
	decks, skipped := s.decks(nodes)
	if len(decks) == 0 || duration <= 0 {
		return nil, skipped, nil
	}

	shares := make([]float64, max(1, int(duration.Round(interval)/interval)))
	var sum float64
	for i := range shares {
		if i%len(decks) == 0 { // a new round
			rng.Shuffle(len(decks), func(i, j int) { decks[i], decks[j] = decks[j], decks[i] })
		}
		f := decks[i%len(decks)].deal(rng)
		f.number = i + 1
		f.order = slices.Clone(nodes)
		rng.Shuffle(len(nodes), func(i, j int) { f.order[i], f.order[j] = f.order[j], f.order[i] })
		faults = append(faults, f)

		shares[i] = uniform(rng, 0.4, 1.2)
		if f.shape.Leader {
			shares[i] = uniform(rng, 1.2, 1.7)
		}
		sum += shares[i]
	}

	var begin float64 // in shares
	for i := range faults {
		shortest, longest := 0.35, 0.85 // of the slot
		if shape := faults[i].shape; shape.Leader || shape.Follower {
			shortest = 0.7 // an election, or a lease, and time for what comes after it
		}
		if s.Overlap {
			shortest, longest = 2*shortest, 2*longest
		}
		length := shares[i] * uniform(rng, shortest, longest)
		at := func(share float64) time.Duration {
			return min(time.Duration(share/sum*float64(duration)), duration).Truncate(time.Microsecond)
		}
		faults[i].begin, faults[i].end = at(begin), at(begin+length)
		begin += shares[i]
	}
	return faults, skipped, nil
}

func uniform(rng *rand.Rand, low, high float64) float64 {
	return low + (high-low)*rng.Float64()
}

// A deck deals the faults of one family. Two of three aim at the leader, if
// there are both sorts: what is wrong with a system shows most where it changes
// hands. Of each pile, all are dealt before one is dealt again.
type deck struct {
	piles [2][]card // at the leader, others
	left  [2][]card
	dealt int
}

type card struct {
	injection
	shape Shape
	modes []Mode
}

// decks returns one deck a family, without the shapes that these nodes do not
// allow.
func (s Schedule) decks(nodes []cluster.Node) (decks []*deck, skipped []history.Event) {
	for _, family := range s.families() {
		var d deck
		for _, p := range s.picks {
			if p.family.Name != family {
				continue
			}
			for _, shape := range p.shapes {
				if err := shape.possible(nodes); err != nil {
					skipped = append(skipped, history.Event{
						Type: history.Skip, Family: family, Shape: shape.Name, Reason: err.Error(),
					})
					continue
				}
				pile := &d.piles[1]
				if shape.Leader {
					pile = &d.piles[0]
				}
				*pile = append(*pile, slices.Repeat([]card{{p.injection, shape, p.modes}}, max(1, shape.Weight))...)
			}
		}
		if len(d.piles[0])+len(d.piles[1]) > 0 {
			decks = append(decks, &d)
		}
	}
	return decks, skipped
}

func (d *deck) deal(rng *rand.Rand) fault {
	i := d.dealt % 3 / 2
	d.dealt++
	if len(d.piles[i]) == 0 {
		i = 1 - i
	}
	if len(d.left[i]) == 0 {
		d.left[i] = slices.Clone(d.piles[i])
		rng.Shuffle(len(d.left[i]), func(a, b int) { d.left[i][a], d.left[i][b] = d.left[i][b], d.left[i][a] })
	}
	top := d.left[i][0]
	d.left[i] = d.left[i][1:]
	f := fault{injection: top.injection, shape: top.shape}
	if len(top.modes) > 0 {
		mode := top.modes[0]
		if len(top.modes) > 1 {
			mode = top.modes[rng.IntN(len(top.modes))]
		}
		f.mode = mode.Name
		if mode.Draw != nil {
			f.Effect = mode.Draw(rng)
		}
	}
	return f
}
