package nemesis

import (
	"math/rand/v2"
	"slices"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// partition cuts directed links. Clients reach every node all the time.
var partition = family{
	name:  "partition",
	says:  "links between nodes are cut, silently or with reset",
	on:    onLinks,
	needs: []cluster.Fault{cluster.CutFault},
	shapes: []shape{
		{name: "leader", says: "the leader alone", leader: true, weight: 3, atLeast: 2, choose: alone},
		{name: "leader-minority", says: "the leader with a minority", leader: true, weight: 2, atLeast: 3, choose: majorityMinority},
		{name: "leader-mute", says: "the leader hears all, and nobody hears it", leader: true, weight: 1, atLeast: 2, choose: mute},
		{name: "leader-deaf", says: "all hear the leader, and it hears nobody", leader: true, weight: 1, atLeast: 2, choose: deaf},
		{name: "one", says: "any node alone", weight: 1, atLeast: 2, choose: alone},
		{name: "follower", says: "a node that does not lead, alone", follower: true, weight: 1, atLeast: 2, choose: alone},
		{name: "majority-minority", says: "a majority, and the rest", weight: 1, atLeast: 3, choose: majorityMinority},
		{name: "halves", says: "two halves; no majority if the nodes are even", weight: 1, atLeast: 2, choose: halves},
		{name: "majorities-ring", says: "every node sees a majority, no two see the same", weight: 1, atLeast: 4, choose: majoritiesRing},
		{name: "bridge", says: "two halves that are joined by one node", weight: 1, atLeast: 3, choose: bridge},
		{name: "one-way", says: "packets from a minority to the rest vanish, and not back", weight: 1, atLeast: 3, choose: oneWay},
		{name: "isolated", says: "every node alone", weight: 1, atLeast: 2, choose: isolated},
	},
	modes: []mode{
		{string(cluster.Silent), func(*rand.Rand) effect { return severed(cluster.Silent) }},
		{string(cluster.Reset), func(*rand.Rand) effect { return severed(cluster.Reset) }},
	},
	inject: spoil,
	heal:   mend,
}

func severed(how cluster.Cut) effect { return effect{condition: cluster.Condition{Cut: how}} }

func alone(order []cluster.Node) victims {
	return victims{order[:1], between(order[:1], order[1:])}
}

func majorityMinority(order []cluster.Node) victims {
	few := minority(order)
	return victims{order[:few], between(order[:few], order[few:])}
}

func mute(order []cluster.Node) victims {
	return victims{order[:1], from(order[:1], order[1:])}
}

func deaf(order []cluster.Node) victims {
	return victims{order[:1], from(order[1:], order[:1])}
}

func halves(order []cluster.Node) victims {
	half := len(order) / 2
	hit := victims{order[:half], between(order[:half], order[half:])}
	if len(order)%2 == 0 {
		hit.nodes = nil // neither side is the smaller one
	}
	return hit
}

// majoritiesRing seats the nodes in a ring, where each keeps the links to its
// nearest neighbours on both sides, just enough of them for a majority. No two
// see the same nodes because no two windows of a ring are the same, unless they
// are the whole ring: so it takes four.
func majoritiesRing(order []cluster.Node) victims {
	count, reach := len(order), majority(order)/2
	var hit victims
	for i, a := range order {
		for j, b := range order {
			if apart := (j - i + count) % count; min(apart, count-apart) > reach {
				hit.links = append(hit.links, cluster.Link{From: a, To: b})
			}
		}
	}
	return hit
}

func bridge(order []cluster.Node) victims {
	rest := order[1:]
	half := len(rest) / 2
	return victims{links: between(rest[:half], rest[half:])}
}

func oneWay(order []cluster.Node) victims {
	few := minority(order)
	return victims{order[:few], from(order[:few], order[few:])}
}

func isolated(order []cluster.Node) victims {
	return victims{links: between(slices.Collect(slices.Chunk(order, 1))...)}
}

// rooms separates groups of nodes that stand together, such as data centres. A
// node in no room keeps all its links.
func rooms(name string, groups [][]cluster.Node) shape {
	smallest := slices.MinFunc(groups, func(a, b []cluster.Node) int { return len(a) - len(b) })
	hit := victims{links: between(groups...)}
	if len(groups) == 2 && len(groups[0]) != len(groups[1]) {
		hit.nodes = smallest
	}
	return shape{
		name:    name,
		weight:  1,
		members: slices.Concat(groups...),
		choose:  func([]cluster.Node) victims { return hit },
	}
}

// between returns the links, both ways, between nodes of different sides.
func between(sides ...[]cluster.Node) []cluster.Link {
	var links []cluster.Link
	for i, a := range sides {
		for j, b := range sides {
			if i != j {
				links = append(links, from(a, b)...)
			}
		}
	}
	return links
}

// from returns the links from each of a to each of b.
func from(a, b []cluster.Node) []cluster.Link {
	var links []cluster.Link
	for _, source := range a {
		for _, target := range b {
			links = append(links, cluster.Link{From: source, To: target})
		}
	}
	return links
}

func allLinks(nodes []cluster.Node) []cluster.Link {
	return isolated(nodes).links
}
