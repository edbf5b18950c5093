package nemesis

import (
	"math/rand/v2"
	"slices"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// partition cuts directed links: between nodes, and then clients reach every node all
// the time; or, if that is named, between clients and nodes.
var partition = Family{
	Family: history.FamilyPartition,
	Doc:    "links between nodes are cut, silently or with reset",
	Needs:  []cluster.Fault{cluster.CutFault},
	Shapes: slices.Concat([]Shape{
		{Name: "leader", Doc: "the leader alone", Leader: true, Weight: 3, AtLeast: 2, Choose: alone},
		{Name: "leader-minority", Doc: "the leader with a minority", Leader: true, Weight: 2, AtLeast: 3, Choose: majorityMinority},
		{Name: "leader-mute", Doc: "the leader hears all, and nobody hears it", Leader: true, Weight: 1, AtLeast: 2, Choose: mute},
		{Name: "leader-deaf", Doc: "all hear the leader, and it hears nobody", Leader: true, Weight: 1, AtLeast: 2, Choose: deaf},
		{Name: "one", Doc: "any node alone", Weight: 1, AtLeast: 2, Choose: alone},
		{Name: "follower", Doc: "a node that does not lead, alone", Follower: true, Weight: 1, AtLeast: 2, Choose: alone},
		{Name: "majority-minority", Doc: "a majority, and the rest", Weight: 1, AtLeast: 3, Choose: majorityMinority},
		{Name: "halves", Doc: "two halves; no majority if the nodes are even", Weight: 1, AtLeast: 2, Choose: halves},
		{Name: "majorities-ring", Doc: "every node sees a majority, no two see the same", Weight: 1, AtLeast: 4, Choose: majoritiesRing},
		{Name: "bridge", Doc: "two halves that are joined by one node", Weight: 1, AtLeast: 3, Choose: bridge},
		{Name: "one-way", Doc: "packets from a minority to the rest vanish, and not back", Weight: 1, AtLeast: 3, Choose: oneWay},
		{Name: "isolated", Doc: "every node alone", Weight: 1, AtLeast: 2, Choose: isolated},
	}, clientCuts),
	Modes: []Mode{
		{Name: string(cluster.Silent), Draw: func(*rand.Rand) Effect { return severed(cluster.Silent) }},
		{Name: string(cluster.Reset), Draw: func(*rand.Rand) Effect { return severed(cluster.Reset) }},
	},
}

func severed(how cluster.Cut) Effect { return Effect{Condition: cluster.Condition{Cut: how}} }

func alone(order []cluster.Node) Victims {
	return Victims{order[:1], between(order[:1], order[1:])}
}

func majorityMinority(order []cluster.Node) Victims {
	few := minority(order)
	return Victims{order[:few], between(order[:few], order[few:])}
}

func mute(order []cluster.Node) Victims {
	return Victims{order[:1], from(order[:1], order[1:])}
}

func deaf(order []cluster.Node) Victims {
	return Victims{order[:1], from(order[1:], order[:1])}
}

func halves(order []cluster.Node) Victims {
	half := len(order) / 2
	hit := Victims{order[:half], between(order[:half], order[half:])}
	if len(order)%2 == 0 {
		hit.Nodes = nil // neither side is the smaller one
	}
	return hit
}

// majoritiesRing seats the nodes in a ring, where each keeps the links to its
// nearest neighbours on both sides, just enough of them for a majority. No two
// see the same nodes because no two windows of a ring are the same, unless they
// are the whole ring: so it takes four.
func majoritiesRing(order []cluster.Node) Victims {
	count, reach := len(order), majority(order)/2
	var hit Victims
	for i, a := range order {
		for j, b := range order {
			if apart := (j - i + count) % count; min(apart, count-apart) > reach {
				hit.Links = append(hit.Links, cluster.Link{From: a, To: b})
			}
		}
	}
	return hit
}

func bridge(order []cluster.Node) Victims {
	rest := order[1:]
	half := len(rest) / 2
	return Victims{Links: between(rest[:half], rest[half:])}
}

func oneWay(order []cluster.Node) Victims {
	few := minority(order)
	return Victims{order[:few], from(order[:few], order[few:])}
}

func isolated(order []cluster.Node) Victims {
	return Victims{Links: between(slices.Collect(slices.Chunk(order, 1))...)}
}

// rooms separates groups of nodes that stand together, such as data centres. A
// node in no room keeps all its links.
func rooms(name string, groups [][]cluster.Node) Shape {
	smallest := slices.MinFunc(groups, func(a, b []cluster.Node) int { return len(a) - len(b) })
	hit := Victims{Links: between(groups...)}
	if len(groups) == 2 && len(groups[0]) != len(groups[1]) {
		hit.Nodes = smallest
	}
	return Shape{
		Name:    name,
		Weight:  1,
		members: slices.Concat(groups...),
		Choose:  func([]cluster.Node) Victims { return hit },
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
	return isolated(nodes).Links
}
