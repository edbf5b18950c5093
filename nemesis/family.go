package nemesis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A Family is one kind of fault. The built-in ones are of this type, and users write
// their own: a flush, a compaction, a failpoint. With and Parse have it planned, healed
// and recorded as any other.
type Family struct {
	// Family is its name, and what judges and reports know of it. The name is of
	// lower-case letters, digits and "-", at most 20. Away, Ends and Exits are of
	// families that act on nodes, Cuts is of one that acts on links.
	history.Family
	// Doc is a line for lists: "nodes are killed, and later restarted".
	Doc string
	// Needs are what the world must be able to inject; it grants nothing else.
	Needs []cluster.Fault
	// Shapes choose the victims; by default Roles(), or Paths() for links.
	Shapes []Shape
	// Modes are the ways to do it, one of which is drawn for each fault. Families of
	// links and clocks need them, and have neither Inject nor Heal: a link has what all
	// faults in force make of it together, a clock what the last one says. The modes of
	// one that cuts links are named after cluster.Silent and cluster.Reset.
	Modes []Mode
	// ByProcess means that Hit.Processes may be set, as in "kill:leader@redis-server".
	ByProcess bool
	// Inject does it to the victims, and may return a note for reports, in a few words.
	// Its context ends after ten seconds, and not with the trial, since half a fault is
	// neither injected nor healed. After an error, or a panic, Heal is called at once;
	// an error that is errors.ErrUnsupported means that nothing was done.
	Inject func(context.Context, Hit) (note string, err error)
	// Heal undoes it; nil means that there is nothing to undo. It is called again at the
	// end of the trial if it has failed, and must not mind what is undone already.
	Heal func(context.Context, Hit) error
}

// A Hit is what Inject and Heal work on. Links and clocks of the cluster are the
// schedule's matter. Every node that does not run at the end of the faults is started.
type Hit struct {
	Cluster   cluster.Cluster
	Nodes     []cluster.Node // the victims, which ran
	Processes string         // of the nodes' processes, the name of those to hit alone; empty means all
	Mode      string         // the one that was drawn
}

// A Mode is one way to inject a family's faults, and how bad they are.
type Mode struct {
	Name string // may be empty if it is the only one
	Doc  string // a line for lists; or empty
	// Draw says what it does to each link or clock; nil for faults of nodes.
	Draw func(*rand.Rand) Effect
}

// An Effect is what a fault does to each of its links, or to the clock of each of its
// nodes.
type Effect struct {
	Condition cluster.Condition
	Clock     cluster.Clock
}

// A Shape chooses the victims of a fault.
type Shape struct {
	Name string
	Doc  string // a line for lists
	// Leader means that the first of the order must be the leader, Follower that the
	// last one must. In a system that has none, ever, any node is in its place, and the
	// shape is told as "random…".
	Leader, Follower bool
	Weight           int // how often it is drawn, relative to others of its family; default 1
	AtLeast          int // nodes; default 1
	// Choose is a pure function of the cluster's nodes in some order.
	Choose func(order []cluster.Node) Victims

	members []cluster.Node // that the cluster must have
	clients bool           // links between clients and nodes are hit, which is drawn only if it is named
	role    string         // of the first of the order, if it must have one
}

// Victims are the nodes that are hit; or the links, and then the nodes on their
// smaller side, if it has one.
type Victims struct {
	Nodes []cluster.Node
	Links []cluster.Link
}

// builtin are all families that users do not bring, in the order of reports.
var builtin = []*Family{&partition, &kill, &pause, &latency, &loss, &flaky, &slow, &clock}

// families are the built-in ones and the user's own, whose defaults are filled in.
func families(own []Family) ([]*Family, error) {
	all := slices.Clone(builtin)
	for _, f := range own {
		if len(f.Shapes) == 0 {
			f.Shapes = Roles()
			if f.On == history.OnLinks {
				f.Shapes = Paths()
			}
		}
		if err := f.validate(); err != nil {
			return nil, fmt.Errorf("the family %q: %w", f.Name, err)
		}
		if slices.ContainsFunc(all, func(g *Family) bool { return g.Name == f.Name }) {
			return nil, fmt.Errorf("the family %q: there are two of that name", f.Name)
		}
		all = append(all, &f)
	}
	return all, nil
}

var isName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)

// reserved are words of schedules and of reports that name no family.
var reserved = []string{"none", "all", "overlap", "rooms", "crash", "other"}

func (f *Family) validate() error {
	switch {
	case !isName.MatchString(f.Name) || slices.Contains(reserved, f.Name):
		return fmt.Errorf("want a name of lower-case letters, digits and -, at most 20, and none of %s", strings.Join(reserved, ", "))
	case !slices.Contains([]history.Surface{history.OnNodes, history.OnLinks, history.OnClocks}, f.On):
		return fmt.Errorf("it acts on %q (want nodes, links or clocks)", f.On)
	case f.On == history.OnNodes && f.Inject == nil:
		return fmt.Errorf("it has no Inject")
	case f.On != history.OnNodes && (f.Inject != nil || f.Heal != nil || f.ByProcess || f.Away || f.Ends || f.Exits):
		return fmt.Errorf("Inject, Heal, ByProcess, Away, Ends and Exits are of faults of nodes, and it acts on %s", f.On)
	case f.On != history.OnNodes && len(f.Modes) == 0:
		return fmt.Errorf("it has no Modes, and so nothing happens to the %s", f.On)
	case f.On != history.OnLinks && f.Cuts:
		return fmt.Errorf("it cuts, but does not act on links")
	}
	var names []string
	for _, s := range f.Shapes {
		if !isName.MatchString(s.Name) || strings.HasPrefix(s.Name, random) || s.Choose == nil {
			return fmt.Errorf("the shape %q: want a lower-case name that does not begin with %q, and Choose", s.Name, random)
		}
		names = append(names, s.Name)
	}
	for _, m := range f.Modes {
		switch {
		case !isName.MatchString(m.Name) && (m.Name != "" || len(f.Modes) > 1):
			return fmt.Errorf("the mode %q: want a lower-case name", m.Name)
		case (f.On != history.OnNodes) != (m.Draw != nil):
			return fmt.Errorf("the mode %q: want Draw for links and clocks, and for nothing else", m.Name)
		case f.Cuts && m.Name != string(cluster.Silent) && m.Name != string(cluster.Reset):
			return fmt.Errorf("the mode %q of what cuts links: want %q or %q", m.Name, cluster.Silent, cluster.Reset)
		}
		names = append(names, m.Name)
	}
	slices.Sort(names)
	if len(slices.Compact(slices.Clone(names))) < len(names) {
		return fmt.Errorf("two of its shapes and modes have the same name")
	}
	return nil
}

// own is what events must tell of the family; nil if it is built in.
func (f *Family) own() *history.Family {
	if slices.Contains(builtin, f) {
		return nil
	}
	return &f.Family
}

// random is how shapes that aim at the leader, or spare it, are told where there is none.
const random = "random"

// atRandom is such a shape in a system that has no leader, ever.
func (s Shape) atRandom() Shape {
	s.Name = random + strings.TrimPrefix(strings.TrimPrefix(s.Name, "leader"), "follower")
	s.Leader, s.Follower = false, false
	return s
}

// possible returns nil, or why the shape cannot be had with these nodes.
func (s Shape) possible(nodes []cluster.Node) error {
	if len(nodes) < s.AtLeast {
		return fmt.Errorf("%s needs %d nodes, and there are %d", s.Name, s.AtLeast, len(nodes))
	}
	for _, node := range s.members {
		if !slices.Contains(nodes, node) {
			return fmt.Errorf("%s names %s, which is not in the cluster", s.Name, node)
		}
	}
	return nil
}

// roles are the shapes of families that hit nodes. Some weights are low because
// a system without majority answers nothing, and what answers nothing cannot be
// wrong; they are there for what must survive on disk.
var roles = []Shape{
	{Name: "one", Doc: "any node", Weight: 2, AtLeast: 1, Choose: first},
	{Name: "leader", Doc: "the leader", Leader: true, Weight: 2, AtLeast: 1, Choose: first},
	{Name: "follower", Doc: "a node that does not lead", Follower: true, Weight: 1, AtLeast: 2, Choose: first},
	{Name: "minority", Doc: "as many as a majority can do without", Weight: 2, AtLeast: 3,
		Choose: func(order []cluster.Node) Victims { return Victims{Nodes: order[:minority(order)]} }},
	{Name: "leader-minority", Doc: "a minority with the leader among them", Leader: true, Weight: 1, AtLeast: 3,
		Choose: func(order []cluster.Node) Victims { return Victims{Nodes: order[:minority(order)]} }},
	{Name: "majority", Doc: "just more than half", Weight: 1, AtLeast: 1,
		Choose: func(order []cluster.Node) Victims { return Victims{Nodes: order[:majority(order)]} }},
	{Name: "all", Doc: "every node", Weight: 1, AtLeast: 1,
		Choose: func(order []cluster.Node) Victims { return Victims{Nodes: order} }},
}

func first(order []cluster.Node) Victims { return Victims{Nodes: order[:1]} }

func majority(nodes []cluster.Node) int { return len(nodes)/2 + 1 }
func minority(nodes []cluster.Node) int { return (len(nodes) - 1) / 2 }

// Roles are the shapes of faults of nodes and clocks that have these names, or all if
// there are none: one, leader, follower, minority, leader-minority, majority, all. It
// panics if there is no such shape.
func Roles(names ...string) []Shape { return named(roles, names) }

// Paths are the shapes of faults that make links worse, likewise: all, leader,
// leader-out, leader-in, one, minority; and, if they are named, of links between clients
// and nodes: clients-all, clients-leader, clients-leader-out, clients-one,
// clients-minority.
func Paths(names ...string) []Shape {
	if len(names) == 0 {
		return slices.Clone(paths)
	}
	return named(slices.Concat(paths, clientPaths), names)
}

func named(shapes []Shape, names []string) []Shape {
	if len(names) == 0 {
		return slices.Clone(shapes)
	}
	var some []Shape
	for _, name := range names {
		i := slices.IndexFunc(shapes, func(s Shape) bool { return s.Name == name })
		if i < 0 {
			panic(fmt.Sprintf("nemesis: there is no shape %q", name))
		}
		some = append(some, shapes[i])
	}
	return some
}
