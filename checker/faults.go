package checker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// recently is for how long a fault is still told that was over before: connections
// and leaders take seconds to come back.
const recently = 5 * time.Second

// maxFaultsTold bounds the faults that a sentence tells of, and maxPeers the
// nodes that it names beside a victim.
const (
	maxFaultsTold = 3
	maxPeers      = 6
)

// A span is the time of which a sentence tells, both ends included.
type span struct{ from, to time.Duration }

// spanOf is from the first invocation to the last answer of operations; one that has
// none is told of when it was invoked.
func spanOf(told ...*history.Operation) span {
	s := span{never, 0}
	for _, o := range told {
		if o == nil {
			continue
		}
		s.from, s.to = min(s.from, o.Invoke), max(s.to, o.Invoke)
		if o.Outcome != history.Info {
			s.to = max(s.to, o.Complete)
		}
	}
	return s
}

// A spell is the time that a fault was in force, or a node down that had crashed;
// until never, if it still was.
type spell struct {
	history.Event
	until time.Duration
}

func (s spell) over() bool { return s.until != never }

// faults says what happened to these nodes in a span, and what was over only
// recently before it, the last one first. If that is nothing, it tells of what happened
// anywhere in the span; and so it does if no nodes are named, but then the first comes
// first. That nothing happened is said only if all of the run's events are understood;
// nothing is said if there are none.
func faults(run *history.Run, during span, nodes ...string) string {
	if len(run.Events) == 0 {
		return ""
	}
	past := recently
	if run.History.Untimed {
		past = 0
	}
	spells := spells(run.Events, during.to)
	if len(nodes) == 0 {
		slices.SortStableFunc(spells, func(a, b spell) int { return cmp.Compare(a.Time, b.Time) })
	}
	since := func(t time.Duration) []spell {
		return slices.DeleteFunc(slices.Clone(spells), func(s spell) bool { return s.until < t })
	}
	told := tell(since(during.from-past), nodes, !run.History.Untimed)
	elsewhere := ""
	if len(told) == 0 {
		anywhere := since(during.from)
		told = tell(anywhere, victims(anywhere), !run.History.Untimed)
		if len(nodes) > 0 {
			elsewhere = "elsewhere "
		}
	}
	switch more := len(told) - maxFaultsTold; {
	case len(told) == 0 && !understood(run.Events, during.to):
		return ""
	case len(told) == 0:
		return "; no fault was in force"
	case more > 0:
		told = append(told[:maxFaultsTold], fmt.Sprintf("and %d more", more))
	}
	return "; " + elsewhere + strings.Join(told, ", ")
}

// understood is whether it is known of each event until a time what it did to the
// cluster: not of a fault that could not be injected or healed, nor of events that
// are of no known type.
func understood(events []history.Event, until time.Duration) bool {
	return !slices.ContainsFunc(events, func(e history.Event) bool {
		switch e.Type {
		case history.PhaseBegins, history.Inject, history.Heal, history.Skip, history.Stop, history.Crash, history.Logged, history.Unserved, history.Unlinked:
			return false
		}
		return e.Time <= until
	})
}

// spells returns what happened until a time: first what was still in force, by when
// it came, and then what was over, the last one first.
func spells(events []history.Event, until time.Duration) []spell {
	var all []spell
	for _, e := range events {
		if e.Type == history.Inject {
			e.Time -= e.Took // some of its victims are hit before all are
		}
		if e.Time > until {
			continue
		}
		switch e.Type {
		case history.Inject, history.Crash:
			all = append(all, spell{e, never})
		case history.Heal:
			heal(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b spell) int { return cmp.Compare(b.until, a.until) })
	return all
}

// heal ends the spell of a fault. If its nodes ended with it, they were started again,
// whatever else had ended them.
func heal(all []spell, e history.Event) {
	i := slices.IndexFunc(all, func(s spell) bool { return s.Type == history.Inject && s.Fault == e.Fault && !s.over() })
	if i < 0 {
		return
	}
	all[i].until = e.Time
	if !all[i].Of().Ends {
		return
	}
	started := func(node string) bool { return slices.Contains(all[i].Nodes, node) }
	for j := range all {
		if s := &all[j]; s.Type == history.Crash && !s.over() && slices.ContainsFunc(s.Nodes, started) {
			s.until = e.Time
		}
	}
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

// A note tells of spells that are alike; last is the one to be dated.
type note struct {
	text  string
	count int
	last  spell
}

// tell says each spell as seen by the first of the nodes that it hit, or rather by
// the first on the smaller side. Those that are alike are told once, with the last
// of them.
func tell(spells []spell, nodes []string, timed bool) []string {
	var notes []note
	for _, s := range spells {
		text := s.text(nodes)
		if text == "" {
			continue
		}
		if i := slices.IndexFunc(notes, func(n note) bool { return n.text == text }); i >= 0 {
			notes[i].count++
			if s.Time > notes[i].last.Time {
				notes[i].last = s
			}
		} else {
			notes = append(notes, note{text, 1, s})
		}
	}
	var told []string
	for _, n := range notes {
		told = append(told, n.words(timed))
	}
	return told
}

// words are the text, with how often and when: "n1 had been paused twice, last since
// 3.000 s".
func (n note) words(timed bool) string {
	text, last := n.text, ""
	switch {
	case n.count == 2:
		text, last = text+" twice", ", last"
	case n.count > 2:
		text, last = fmt.Sprintf("%s %d times", text, n.count), ", last"
	}
	s := n.last
	point := s.Of().Ends || s.Type == history.Crash // what happens at one moment
	switch {
	case !timed:
		return text
	case point && s.over():
		return fmt.Sprintf("%s%s at %s and restarted at %s", text, last, seconds(s.Time), seconds(s.until))
	case point:
		return fmt.Sprintf("%s%s at %s", text, last, seconds(s.Time))
	case s.over():
		return fmt.Sprintf("%s%s from %s to %s", text, last, seconds(s.Time), seconds(s.until))
	}
	return fmt.Sprintf("%s%s since %s", text, last, seconds(s.Time))
}

// text says what happened, as seen by one of the nodes; empty if it hit none of them.
func (s spell) text(nodes []string) string {
	if len(s.Links) == 0 && len(s.Nodes) == 0 {
		return fmt.Sprintf("nodes that are not known had suffered %s%s", cmp.Or(s.Family, "a "+string(s.Type)), s.detail())
	}
	node, text := "", ""
	for _, n := range nodes {
		if t := s.about(n); t != "" && (text == "" || slices.Contains(s.Nodes, n) && !slices.Contains(s.Nodes, node)) {
			node, text = n, t
		}
	}
	return text
}

// about says what happened to a node, and to the others with it; empty if nothing.
func (s spell) about(node string) string {
	if len(s.Links) > 0 {
		return s.aboutLinks(node)
	}
	if node == "" || !slices.Contains(s.Nodes, node) {
		return ""
	}
	who := peers(s.Nodes)
	if s.Processes != "" {
		who = whose(s.Nodes, s.Processes)
	}
	switch family := s.Of(); {
	case s.Type == history.Crash:
		return who + " had crashed" + s.detail()
	case family.On == history.OnClocks:
		return whose(s.Nodes, "clock") + " had " + family.Did + s.detail()
	case family.Away || family.Cuts:
		return who + " had " + family.Did
	case family.On == history.OnLinks: // nobody knows which
		return who + " had suffered " + s.Family + s.detail()
	default:
		return who + " had " + family.Did + s.detail()
	}
}

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
	family := s.Of()
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
		case family.Cuts:
			told = append(told, fmt.Sprintf(direction.cut, node, peers(direction.peers)))
		default:
			told = append(told, fmt.Sprintf(direction.spoil, node, peers(direction.peers))+family.Did+s.detail())
		}
	}
	if len(told) == 0 {
		return ""
	}
	return strings.Join(told, " and ")
}

// whose is "n2's clock", or "the clocks of n1 n2".
func whose(nodes []string, what string) string {
	if len(nodes) == 1 {
		return nodes[0] + "'s " + what
	}
	return "the " + what + "s of " + peers(nodes)
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
	nodes = slices.SortedFunc(slices.Values(nodes), func(a, b string) int { // n2 before n10
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	return strings.Join(nodes, " ")
}
