package statistics

import (
	"iter"
	"sort"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A side is where a node is during a partition.
type side int

const (
	noSide side = iota // the node is killed or paused
	majoritySide
	minoritySide
	whole // there is no partition
)

// A placement is who is where, from a moment on until the next one.
type placement struct {
	since  time.Duration
	parted bool // a link between nodes is cut
	sides  map[string]side
}

// placements returns those of a run, in order; the first one has been for ever.
func placements(run *history.Run) []placement {
	nodes := run.Nodes()
	inForce := map[int]history.Event{}
	all := []placement{place(nodes, inForce)}
	all[0].since = -history.Never
	for _, e := range run.Events {
		switch e.Type {
		case history.Inject:
			inForce[e.Fault] = e
		case history.Heal:
			delete(inForce, e.Fault)
		default:
			continue
		}
		next := place(nodes, inForce)
		next.since = e.Time
		all = append(all, next)
	}
	return all
}

// at returns the placement at a moment.
func at(moment time.Duration, places []placement) placement {
	return places[sort.Search(len(places)-1, func(i int) bool { return places[i+1].since > moment })]
}

// place is who is where under the faults in force. The majority side are
// nodes with whole links both ways to enough others to be, with themselves,
// more than half.
func place(nodes []string, inForce map[int]history.Event) placement {
	cut := map[history.Link]bool{}
	away := map[string]bool{} // killed or paused
	for _, e := range inForce {
		switch family := e.Of(); {
		case family.Cuts:
			for _, link := range e.Directed() {
				if !link.OfClients() {
					cut[link] = true
				}
			}
		case family.Away:
			for _, node := range e.Nodes {
				away[node] = true
			}
		}
	}
	s := placement{parted: len(cut) > 0, sides: map[string]side{}}
	for _, node := range nodes {
		if away[node] {
			continue
		}
		reached := 0
		for _, peer := range nodes {
			link := history.Link{From: node, To: peer}
			if !away[peer] && !cut[link] && !cut[link.Opposite()] {
				reached++ // itself, too
			}
		}
		s.sides[node] = minoritySide
		if 2*reached > len(nodes) {
			s.sides[node] = majoritySide
		}
	}
	return s
}

// parted returns how long links between nodes were cut, until the end.
func parted(places []placement, end time.Duration) time.Duration {
	var parted time.Duration
	for i, s := range places {
		until := end
		if i+1 < len(places) {
			until = places[i+1].since
		}
		if s.parted {
			parted += until - s.since
		}
	}
	return parted
}

// Sides tell on which side of a partition operations were invoked.
type Sides struct{ places []placement }

// SidesOf are those of a run.
func SidesOf(run *history.Run) Sides { return Sides{placements(run)} }

// Count counts operations by side, as Statistics counts its services.
func (s Sides) Count(operations iter.Seq[*history.Operation]) (majority, minority int) {
	var counts [3]int // by side
	for o := range operations {
		if p := at(o.Invoke, s.places); p.parted {
			counts[p.sides[o.Node]]++
		}
	}
	return counts[majoritySide], counts[minoritySide]
}
