package checker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// recently is for how long a fault that is over is still told: connections and
// leaders take seconds to come back.
const recently = 5 * time.Second

// maxFaultsTold bounds the faults that a sentence tells of, and maxPeers the
// nodes that it names beside a victim.
const (
	maxFaultsTold = 3
	maxPeers      = 6
)

// A spell is the time that a fault was in force; until never, if it still was.
type spell struct {
	history.Event
	until time.Duration
}

func (s spell) over() bool { return s.until != never }

// since is "since 3.000 s", or "from 3.000 s to 5.900 s".
func (s spell) since() string {
	if s.over() {
		return fmt.Sprintf("from %s to %s", seconds(s.Time), seconds(s.until))
	}
	return "since " + seconds(s.Time)
}

// faults says what the nemesis was doing to these nodes at a time: first what
// was in force, then what was over only recently. If that is nothing, or no
// nodes are named, it tells of faults in force anywhere. Nothing if the run has
// no events.
func faults(run *history.Run, at time.Duration, nodes ...string) string {
	if len(run.Events) == 0 {
		return ""
	}
	spells := spells(run.Events, at)
	told := tell(spells, at, nodes)
	elsewhere := ""
	if len(told) == 0 {
		inForce := slices.DeleteFunc(spells, spell.over)
		told = tell(inForce, at, victims(inForce))
		if len(nodes) > 0 {
			elsewhere = "elsewhere "
		}
	}
	switch {
	case len(told) > 0:
	case slices.ContainsFunc(run.Events, func(e history.Event) bool { return e.Type == history.Unrecognized && e.Time <= at }):
		return ""
	default:
		return "; no fault was in force"
	}
	if more := len(told) - maxFaultsTold; more > 0 {
		told = append(told[:maxFaultsTold], fmt.Sprintf("and %d more", more))
	}
	return "; " + elsewhere + strings.Join(told, ", ")
}

// spells returns the faults in force at a time, by when they came, and then
// those over recently, the last one first.
func spells(events []history.Event, at time.Duration) []spell {
	var all []spell
	for _, e := range events {
		if e.Type == history.Inject {
			e.Time -= e.Took // some of its victims are hit before all are
		}
		if e.Time > at {
			continue
		}
		switch e.Type {
		case history.Inject:
			all = append(all, spell{e, never})
		case history.Heal:
			for i := range all {
				if all[i].Fault == e.Fault && !all[i].over() {
					all[i].until = e.Time
				}
			}
		}
	}
	all = slices.DeleteFunc(all, func(s spell) bool { return s.over() && s.until < at-recently })
	slices.SortStableFunc(all, func(a, b spell) int { return cmp.Compare(b.until, a.until) })
	return all
}

// victims are the nodes that spells hit.
func victims(spells []spell) []string {
	var all []string
	for _, s := range spells {
		all = append(all, s.Nodes...)
		for _, link := range s.Links {
			from, to, _ := strings.Cut(link, ">")
			all = append(all, from, to)
		}
	}
	return all
}

// tell says each spell of the first node that it hit, or rather of the first on
// the smaller side; and the last of a family on a node only.
func tell(spells []spell, at time.Duration, nodes []string) []string {
	type hit struct{ family, node string }
	said := map[hit]bool{}
	var told []string
	for _, s := range spells {
		node, text := "", ""
		for _, n := range nodes {
			if t := s.about(n, at); t != "" && (text == "" || slices.Contains(s.Nodes, n) && !slices.Contains(s.Nodes, node)) {
				node, text = n, t
			}
		}
		if text == "" || s.over() && said[hit{s.Family, node}] {
			continue
		}
		said[hit{s.Family, node}] = true
		told = append(told, text)
	}
	return told
}

// about says what the fault had done to a node until a time; empty if nothing.
func (s spell) about(node string, at time.Duration) string {
	if len(s.Links) > 0 {
		return s.aboutLinks(node)
	}
	if node == "" || !slices.Contains(s.Nodes, node) {
		return ""
	}
	who := node
	if s.Processes != "" {
		who = node + "'s " + s.Processes
	}
	switch s.Family {
	case "partition":
		return fmt.Sprintf("%s had been cut off %s", node, s.since())
	case "kill":
		if s.over() {
			return fmt.Sprintf("%s had been killed at %s and restarted at %s, %s before", who, seconds(s.Time), seconds(s.until), gap(at-s.until))
		}
		return fmt.Sprintf("%s had been killed at %s", who, seconds(s.Time))
	case "pause":
		return fmt.Sprintf("%s had been paused %s", who, s.since())
	case "clock":
		return fmt.Sprintf("%s's clock had been wrong%s %s", node, s.detail(), s.since())
	}
	return fmt.Sprintf("%s had suffered %s%s %s", who, s.Family, s.detail(), s.since())
}

// ills are what faults of links, but for partitions, do to them.
var ills = map[string]string{"latency": "been delayed", "loss": "lost packets", "flaky": "been flaky", "slow": "been slow"}

func (s spell) aboutLinks(node string) string {
	var both, in, out []string // peers, by the direction of their links with it
	for _, link := range s.Links {
		from, to, _ := strings.Cut(link, ">")
		back := slices.Contains(s.Links, to+">"+from)
		switch {
		case to == node && back:
			both = append(both, from)
		case to == node:
			in = append(in, from)
		case from == node && !back:
			out = append(out, to)
		}
	}
	cut := s.Family == "partition"
	ill := cmp.Or(ills[s.Family], "suffered "+s.Family)
	var told []string
	for _, direction := range []struct {
		peers      []string
		cut, spoil string
	}{
		{both, "%s had been cut off from %s", "%s's links with %s had "},
		{in, "%s had not heard %s", "%s's links from %s had "},
		{out, "%s had not been heard by %s", "%s's links to %s had "},
	} {
		switch {
		case len(direction.peers) == 0:
		case cut:
			told = append(told, fmt.Sprintf(direction.cut, node, peers(direction.peers)))
		default:
			told = append(told, fmt.Sprintf(direction.spoil, node, peers(direction.peers))+ill+s.detail())
		}
	}
	if len(told) == 0 {
		return ""
	}
	return strings.Join(told, " and ") + " " + s.since()
}

func (s spell) detail() string {
	if s.Detail == "" {
		return ""
	}
	return " (" + s.Detail + ")"
}

func peers(nodes []string) string {
	if len(nodes) > maxPeers {
		return fmt.Sprintf("%d nodes", len(nodes))
	}
	return strings.Join(nodes, " ")
}
