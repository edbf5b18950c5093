package nemesis

import (
	"context"
	"maps"
	"slices"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// paths are the shapes of families that make links worse without cutting them.
var paths = []shape{
	{name: "all", says: "every link", weight: 2, atLeast: 2, choose: isolated},
	{name: "leader", says: "the leader's links, both ways", leader: true, weight: 2, atLeast: 2, choose: alone},
	{name: "leader-out", says: "links from the leader", leader: true, weight: 1, atLeast: 2, choose: mute},
	{name: "leader-in", says: "links to the leader", leader: true, weight: 1, atLeast: 2, choose: deaf},
	{name: "one", says: "any node's links, both ways", weight: 1, atLeast: 2, choose: alone},
	{name: "minority", says: "links between a minority and the rest", weight: 1, atLeast: 3, choose: majorityMinority},
}

// spoil and mend inject and heal faults of links.
func spoil(ctx context.Context, p *player, f fault) error { return p.setLinks(ctx, f.hit.links, 0) }
func mend(ctx context.Context, p *player, f fault) error {
	return p.setLinks(ctx, f.hit.links, f.number)
}

// unsure is what is known of a link after SetLinks has failed on it: nothing
// that a fault could ask for.
var unsure = cluster.Condition{Cut: "unsure"}

// setLinks gives each of the links what all faults in force make of it together,
// but for the one of that number. It touches only those for which that changes.
func (p *player) setLinks(ctx context.Context, links []cluster.Link, without int) error {
	want := map[cluster.Link]cluster.Condition{}
	for _, f := range p.others(without) {
		for _, link := range f.hit.links {
			want[link] = together(want[link], f.condition)
		}
	}
	changed := map[cluster.Condition][]cluster.Link{}
	var order []cluster.Condition // of their first links
	for _, link := range links {
		to := want[link]
		if to == p.links[link] {
			continue
		}
		if changed[to] == nil {
			order = append(order, to)
		}
		changed[to] = append(changed[to], link)
	}
	for _, to := range order {
		for _, link := range changed[to] {
			p.links[link] = unsure
		}
		if err := p.stage.Cluster.SetLinks(ctx, changed[to], to); err != nil {
			return err
		}
		for _, link := range changed[to] {
			p.links[link] = to
		}
	}
	return nil
}

// others are the faults in force, but for one, in the order of their numbers:
// what they do together must not depend on chance.
func (p *player) others(without int) (others []fault) {
	for _, number := range slices.Sorted(maps.Keys(p.inForce)) {
		if number != without {
			others = append(others, p.inForce[number])
		}
	}
	return others
}
