package nemesis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A family is one kind of fault.
type family struct {
	name, says string
	on         surface
	needs      []cluster.Fault // what the world must be able to inject
	shapes     []shape
	// modes are the ways to do it, one of which is drawn for each fault. None
	// means that there is nothing to draw.
	modes []mode
	// inject and heal act on the victims. Either may be called again after it
	// has failed half-way.
	inject, heal func(context.Context, *player, fault) error
}

// A surface is what a family acts on.
type surface string

const (
	onLinks  surface = "links"
	onClocks surface = "clocks"
	onNodes  surface = "nodes" // that run; and of these, perhaps some processes alone
)

// families are all that there are, in the order of reports.
var families = []*family{&partition, &kill, &pause, &latency, &loss, &flaky, &slow, &clock}

// A mode is one way to inject a family's faults, and how bad they are. Its name
// is empty if it is the only one.
type mode struct {
	name string
	draw func(*rand.Rand) effect
}

// An effect is what a fault does to each of its links, or to the clock of each
// of its nodes. Kills and pauses have none.
type effect struct {
	condition cluster.Condition
	clock     cluster.Clock
}

// A shape chooses the victims of a fault.
type shape struct {
	name, says string
	leader     bool           // the first of the order must be the leader
	follower   bool           // the last of the order must be the leader
	weight     int            // how often it is drawn, relative to others of its family
	atLeast    int            // nodes
	members    []cluster.Node // that the cluster must have
	choose     func(order []cluster.Node) victims
}

// victims are the nodes that are hit; or the links, and then the nodes on their
// smaller side, if it has one.
type victims struct {
	nodes []cluster.Node
	links []cluster.Link
}

// atRandom is the shape of a fault that would have aimed at the leader, or spared it,
// in a system that has none, ever: its name claims no leader.
func (s shape) atRandom() shape {
	s.name = "random" + strings.TrimPrefix(strings.TrimPrefix(s.name, "leader"), "follower")
	s.leader, s.follower = false, false
	return s
}

// possible returns nil, or why the shape cannot be had with these nodes.
func (s shape) possible(nodes []cluster.Node) error {
	if len(nodes) < s.atLeast {
		return fmt.Errorf("%s needs %d nodes, and there are %d", s.name, s.atLeast, len(nodes))
	}
	for _, node := range s.members {
		if !slices.Contains(nodes, node) {
			return fmt.Errorf("%s names %s, which is not in the cluster", s.name, node)
		}
	}
	return nil
}

// A fault is one entry of a plan.
type fault struct {
	number     int // from 1
	family     *family
	shape      shape
	mode       string         // of its family
	processes  string         // hit alone, by name; empty means the whole node
	begin, end time.Duration  // since the faults phase began
	order      []cluster.Node // what shape.choose gets, but for the leader
	hit        victims        // known once the time has come
	effect
}

// event describes the fault, and what of it happened.
func (f fault) event(what history.EventType) history.Event {
	event := history.Event{
		Type:      what,
		Fault:     f.number,
		Family:    f.family.name,
		Shape:     f.shape.name,
		Mode:      f.mode,
		Nodes:     f.hit.nodes,
		Processes: f.processes,
		Planned:   f.begin,
		Detail:    f.effect.String(),
	}
	if what == history.Heal {
		event.Planned = f.end
	}
	for _, link := range f.hit.links {
		event.Links = append(event.Links, link.String())
	}
	f.effect.record(&event)
	return event
}

// roles are the shapes of families that hit nodes. Some weights are low because
// a system without majority answers nothing, and what answers nothing cannot be
// wrong; they are there for what must survive on disk.
var roles = []shape{
	{name: "one", says: "any node", weight: 2, atLeast: 1,
		choose: func(order []cluster.Node) victims { return victims{nodes: order[:1]} }},
	{name: "leader", says: "the leader", leader: true, weight: 2, atLeast: 1,
		choose: func(order []cluster.Node) victims { return victims{nodes: order[:1]} }},
	{name: "follower", says: "a node that does not lead", follower: true, weight: 1, atLeast: 2,
		choose: func(order []cluster.Node) victims { return victims{nodes: order[:1]} }},
	{name: "minority", says: "as many as a majority can do without", weight: 2, atLeast: 3,
		choose: func(order []cluster.Node) victims { return victims{nodes: order[:minority(order)]} }},
	{name: "leader-minority", says: "a minority with the leader among them", leader: true, weight: 1, atLeast: 3,
		choose: func(order []cluster.Node) victims { return victims{nodes: order[:minority(order)]} }},
	{name: "majority", says: "just more than half", weight: 1, atLeast: 1,
		choose: func(order []cluster.Node) victims { return victims{nodes: order[:majority(order)]} }},
	{name: "all", says: "every node", weight: 1, atLeast: 1,
		choose: func(order []cluster.Node) victims { return victims{nodes: order} }},
}

func majority(nodes []cluster.Node) int { return len(nodes)/2 + 1 }
func minority(nodes []cluster.Node) int { return (len(nodes) - 1) / 2 }
