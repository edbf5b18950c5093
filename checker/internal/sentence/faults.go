package sentence

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

// A Span is the time of which a sentence tells, both ends included.
type Span struct{ From, To time.Duration }

// SpanOf is from the first invocation to the last answer of operations; one that has
// none is told of when it was invoked.
func SpanOf(told ...*history.Operation) Span {
	s := Span{history.Never, 0}
	for _, o := range told {
		if o == nil {
			continue
		}
		s.From, s.To = min(s.From, o.Invoke), max(s.To, o.Invoke)
		if o.Outcome != history.Info {
			s.To = max(s.To, o.Complete)
		}
	}
	return s
}

// A Fault is one that was injected, or a node that had crashed, until it was healed or
// started again; until history.Never, if it was not.
type Fault struct {
	history.Event
	until time.Duration
}

// Over reports whether it was healed by then.
func (f Fault) Over() bool { return f.until != history.Never }

// Faults says what happened to these nodes in a span, and what was over only
// recently before it, the last one first. If that is nothing, it tells of what happened
// anywhere in the span; and so it does if no nodes are named, but then the first comes
// first. That nothing happened is said only if all of the run's events are understood;
// nothing is said if there are none.
func Faults(run *history.Run, during Span, nodes ...string) string {
	if len(run.Events) == 0 {
		return ""
	}
	past := recently
	if run.History.Untimed {
		past = 0
	}
	before := FaultsUntil(run.Events, during.To)
	if len(nodes) == 0 {
		slices.SortStableFunc(before, func(a, b Fault) int { return cmp.Compare(a.Time, b.Time) })
	}
	since := func(t time.Duration) []Fault {
		return slices.DeleteFunc(slices.Clone(before), func(f Fault) bool { return f.until < t })
	}
	told := tell(since(during.From-past), nodes, !run.History.Untimed)
	elsewhere := ""
	if len(told) == 0 {
		anywhere := since(during.From)
		told = tell(anywhere, victims(anywhere), !run.History.Untimed)
		if len(nodes) > 0 {
			elsewhere = "elsewhere "
		}
	}
	switch more := len(told) - maxFaultsTold; {
	case len(told) == 0 && !understood(run.Events, during.To):
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

// FaultsUntil returns what happened until a time: first what was still in force, by when
// it came, and then what was over, the last one first.
func FaultsUntil(events []history.Event, until time.Duration) []Fault {
	var all []Fault
	for _, e := range events {
		if e.Type == history.Inject {
			e.Time -= e.Took // some of its victims are hit before all are
		}
		if e.Time > until {
			continue
		}
		switch e.Type {
		case history.Inject, history.Crash:
			all = append(all, Fault{e, history.Never})
		case history.Heal:
			heal(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b Fault) int { return cmp.Compare(b.until, a.until) })
	return all
}

// heal ends a fault. If its nodes ended with it, they were started again,
// whatever else had ended them.
func heal(all []Fault, e history.Event) {
	i := slices.IndexFunc(all, func(f Fault) bool { return f.Type == history.Inject && f.Event.Fault == e.Fault && !f.Over() })
	if i < 0 {
		return
	}
	all[i].until = e.Time
	if !all[i].Of().Ends {
		return
	}
	started := func(node string) bool { return slices.Contains(all[i].Nodes, node) }
	for j := range all {
		if f := &all[j]; f.Type == history.Crash && !f.Over() && slices.ContainsFunc(f.Nodes, started) {
			f.until = e.Time
		}
	}
}

// victims are the nodes that faults hit.
func victims(faults []Fault) []string {
	var all []string
	for _, f := range faults {
		all = append(all, f.Nodes...)
		for _, link := range f.Directed() {
			if !link.OfClients() { // whose nodes are named
				all = append(all, link.From, link.To)
			}
		}
	}
	return all
}

// A note tells of faults that are alike; last is the one to be dated.
type note struct {
	text  string
	count int
	last  Fault
}

// tell says each fault as seen by the first of the nodes that it hit, or rather by
// the first on the smaller side. Those that are alike are told once, with the last
// of them.
func tell(faults []Fault, nodes []string, timed bool) []string {
	var notes []note
	for _, f := range faults {
		text := f.text(nodes)
		if text == "" {
			continue
		}
		if i := slices.IndexFunc(notes, func(n note) bool { return n.text == text }); i >= 0 {
			notes[i].count++
			if f.Time > notes[i].last.Time {
				notes[i].last = f
			}
		} else {
			notes = append(notes, note{text, 1, f})
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
	f := n.last
	point := f.Of().Ends || f.Type == history.Crash // what happens at one moment
	switch {
	case !timed:
		return text
	case point && f.Over():
		return fmt.Sprintf("%s%s at %s and restarted at %s", text, last, Seconds(f.Time), Seconds(f.until))
	case point:
		return fmt.Sprintf("%s%s at %s", text, last, Seconds(f.Time))
	case f.Over():
		return fmt.Sprintf("%s%s from %s to %s", text, last, Seconds(f.Time), Seconds(f.until))
	}
	return fmt.Sprintf("%s%s since %s", text, last, Seconds(f.Time))
}

// text says what happened, as seen by one of the nodes; empty if it hit none of them.
func (f Fault) text(nodes []string) string {
	if len(f.Links) == 0 && len(f.Nodes) == 0 {
		return fmt.Sprintf("nodes that are not known had suffered %s%s", cmp.Or(f.Family, "a "+string(f.Type)), f.detail())
	}
	node, text := "", ""
	for _, n := range nodes {
		if t := f.about(n); t != "" && (text == "" || slices.Contains(f.Nodes, n) && !slices.Contains(f.Nodes, node)) {
			node, text = n, t
		}
	}
	return text
}

// about says what happened to a node, and to the others with it; empty if nothing.
func (f Fault) about(node string) string {
	if len(f.Links) > 0 {
		return f.aboutLinks(node)
	}
	if node == "" || !slices.Contains(f.Nodes, node) {
		return ""
	}
	who := peers(f.Nodes)
	if f.Processes != "" {
		who = whose(f.Nodes, f.Processes)
	}
	switch family := f.Of(); {
	case f.Type == history.Crash:
		return who + " had crashed" + f.detail()
	case family.On == history.OnClocks:
		return whose(f.Nodes, "clock") + " had " + family.Did + f.detail()
	case family.Away || family.Cuts:
		return who + " had " + family.Did
	case family.On == history.OnLinks: // nobody knows which
		return who + " had suffered " + f.Family + f.detail()
	default:
		return who + " had " + family.Did + f.detail()
	}
}

func (f Fault) aboutLinks(node string) string {
	var both, in, out []string // peers, by the direction of their links with it
	links := f.Directed()
	for _, link := range links {
		back := slices.Contains(links, link.Opposite())
		switch {
		case link.To == node && back:
			both = append(both, link.From)
		case link.To == node:
			in = append(in, link.From)
		case link.From == node && !back:
			out = append(out, link.To)
		}
	}
	family := f.Of()
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
			told = append(told, fmt.Sprintf(direction.spoil, node, peers(direction.peers))+family.Did+f.detail())
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

func (f Fault) detail() string {
	if f.Detail == "" {
		return ""
	}
	return " (" + f.Detail + ")"
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
