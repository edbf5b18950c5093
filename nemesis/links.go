package nemesis

import (
	"context"
	"maps"
	"slices"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// paths are the shapes of families that make links worse without cutting them.
var paths = []Shape{
	{Name: "all", Doc: "every link", Weight: 2, AtLeast: 2, Choose: isolated},
	{Name: "leader", Doc: "the leader's links, both ways", Leader: true, Weight: 2, AtLeast: 2, Choose: alone},
	{Name: "leader-out", Doc: "links from the leader", Leader: true, Weight: 1, AtLeast: 2, Choose: mute},
	{Name: "leader-in", Doc: "links to the leader", Leader: true, Weight: 1, AtLeast: 2, Choose: deaf},
	{Name: "one", Doc: "any node's links, both ways", Weight: 1, AtLeast: 2, Choose: alone},
	{Name: "minority", Doc: "links between a minority and the rest", Weight: 1, AtLeast: 3, Choose: majorityMinority},
}

// clientPaths are those of links between clients and nodes.
var clientPaths = []Shape{
	{Name: "clients-all", Doc: "links between clients and nodes", clients: true, Weight: 1, AtLeast: 1, Choose: clientsOfAll},
	{Name: "clients-leader", Doc: "links between clients and the leader", Leader: true, clients: true, Weight: 2, AtLeast: 1, Choose: clientsOfFirst},
	{Name: "clients-leader-out", Doc: "links from the leader to clients", Leader: true, clients: true, Weight: 1, AtLeast: 1, Choose: answersOfFirst},
	{Name: "clients-one", Doc: "links between clients and any node", clients: true, Weight: 1, AtLeast: 1, Choose: clientsOfFirst},
	{Name: "clients-minority", Doc: "links between clients and a minority", clients: true, Weight: 1, AtLeast: 3, Choose: clientsOfMinority},
}

// clientCuts are the shapes of partitions that cut clients off, and leave the links
// between nodes whole.
var clientCuts = []Shape{
	{Name: "clients-leader", Doc: "clients from the leader", Leader: true, clients: true, Weight: 2, AtLeast: 1, Choose: clientsOfFirst},
	{Name: "clients-leader-mute", Doc: "the leader hears clients, and they do not hear it", Leader: true, clients: true, Weight: 1, AtLeast: 1, Choose: answersOfFirst},
	{Name: "clients-one", Doc: "clients from any node", clients: true, Weight: 1, AtLeast: 1, Choose: clientsOfFirst},
	{Name: "clients-minority", Doc: "clients from a minority", clients: true, Weight: 1, AtLeast: 3, Choose: clientsOfMinority},
	{Name: "clients-one-way", Doc: "a minority hears clients, and they do not hear it", clients: true, Weight: 1, AtLeast: 3, Choose: answersOfMinority},
	{Name: "clients-all", Doc: "clients from every node", clients: true, Weight: 1, AtLeast: 1, Choose: clientsOfAll},
}

var clients = []cluster.Node{cluster.Clients}

func clientsOfAll(order []cluster.Node) Victims      { return Victims{order, between(clients, order)} }
func clientsOfFirst(order []cluster.Node) Victims    { return clientsOfAll(order[:1]) }
func clientsOfMinority(order []cluster.Node) Victims { return clientsOfAll(order[:minority(order)]) }
func answersOfFirst(order []cluster.Node) Victims {
	return Victims{order[:1], from(order[:1], clients)}
}
func answersOfMinority(order []cluster.Node) Victims {
	few := order[:minority(order)]
	return Victims{few, from(few, clients)}
}

// unsure is what is known of a link after SetLinks has failed on it: nothing
// that a fault could ask for.
var unsure = cluster.Condition{Cut: "unsure"}

// setLinks gives each of the links what all faults in force make of it together,
// but for the one of that number. It touches only those for which that changes.
func (p *player) setLinks(ctx context.Context, links []cluster.Link, without int) error {
	want := map[cluster.Link]cluster.Condition{}
	for _, f := range p.others(without) {
		for _, link := range f.hit.Links {
			want[link] = together(want[link], f.Condition)
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
