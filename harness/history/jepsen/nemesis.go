package jepsen

import (
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A nemesis makes events of what Jepsen's nemeses did. Each action is told
// twice, when it begins and when it has taken effect.
type nemesis struct {
	events []history.Event
	begun  map[string]time.Duration // actions, by their :f
	faults int
	open   map[string]int // families in force, and the fault's number
}

func newNemesis() nemesis {
	return nemesis{begun: map[string]time.Duration{}, open: map[string]int{}}
}

// families are those of history.Event, which are written as :start-FAMILY and
// :stop-FAMILY.
var families = []string{"partition", "kill", "pause", "latency", "loss", "flaky", "slow", "clock"}

// action returns what an :f does to which family; false if that is not known.
func (n *nemesis) action(f string) (family string, heals, known bool) {
	switch f {
	case "kill", "pause":
		return f, false, true
	case "resume":
		return "pause", true, true
	case "start": // the classic partitioner's; or that of nodes that were killed
		if _, killed := n.open["kill"]; killed {
			return "kill", true, true
		}
		return "partition", false, true
	case "stop":
		return "partition", true, true
	}
	if family, ok := strings.CutPrefix(f, "start-"); ok {
		return family, false, slices.Contains(families, family)
	}
	family, ok := strings.CutPrefix(f, "stop-")
	return family, true, ok && slices.Contains(families, family)
}

// add takes an event of the nemesis; one that is no fault is left out.
func (n *nemesis) add(e event, now time.Duration) {
	if e.f == "phase" && e.value.kind == keyword {
		n.events = append(n.events, history.Event{Time: now, Type: history.PhaseBegins, Phase: history.Phase(e.value.text)})
		return
	}
	begun, second := n.begun[e.f]
	if !second {
		n.begun[e.f] = now
		return
	}
	delete(n.begun, e.f)
	family, heals, known := n.action(e.f)
	fault, inForce := n.open[family]
	if !known || heals && !inForce {
		return
	}
	made := history.Event{Time: now, Type: history.Heal, Fault: fault, Family: family, Took: now - begun}
	if heals {
		delete(n.open, family)
		n.events = append(n.events, made)
		return
	}
	n.faults++
	n.open[family] = n.faults
	made.Type, made.Fault = history.Inject, n.faults
	made.Nodes, made.Links = victims(e.value)
	n.events = append(n.events, made)
}

// victims returns the nodes or links that a fault's value names: [n1 n2],
// {n1 :killed}, or a partition's grudge {n1 #{n2 n3}}, in which n1 hears
// neither n2 nor n3.
func victims(value datum) (nodes, links []string) {
	value = value.untagged()
	if value.kind == vector && len(value.items) == 2 && value.items[1].untagged().kind == mapping { // [:isolated {…}]
		value = value.items[1].untagged()
	}
	switch value.kind {
	case vector, list, set:
		for _, item := range value.items {
			if item.kind == text {
				nodes = append(nodes, item.text)
			}
		}
	case mapping:
		for pair := range slices.Chunk(value.items, 2) {
			switch deaf := pair[0].text; pair[1].kind {
			case set, vector, list:
				for _, mute := range pair[1].items {
					links = append(links, mute.text+">"+deaf)
				}
			default:
				nodes = append(nodes, deaf)
			}
		}
	}
	slices.Sort(nodes)
	slices.Sort(links)
	return nodes, links
}
