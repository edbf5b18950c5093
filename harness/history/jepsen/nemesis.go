package jepsen

import (
	"cmp"
	"fmt"
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
	// started is the family of the last :start, which a :stop ends.
	started string
}

func newNemesis() nemesis {
	return nemesis{begun: map[string]time.Duration{}, open: map[string]int{}}
}

// An action is what an :f does.
type action struct {
	family string // one of history.Families
	heals  bool
}

// actions are what Jepsen's nemeses are asked for, beside :start and :stop; effects what
// they say that they did to a node.
var actions, effects = map[string]action{}, map[string]action{}

func init() {
	for _, family := range history.Families {
		words := family.Jepsen
		for _, w := range []struct {
			in    map[string]action
			words []string
			heals bool
		}{
			{actions, append(words.Injects, "start-"+family.Name), false}, {actions, append(words.Heals, "stop-"+family.Name), true},
			{effects, words.Did, false}, {effects, words.Undid, true},
		} {
			for _, word := range w.words {
				w.in[word] = action{family.Name, w.heals}
			}
		}
	}
}

// harmless are the :f of a nemesis that changes nothing.
var harmless = []string{"check-clock-offsets", "check-offsets", "noop", "log"}

// understand returns what an event did; false if it is not known.
func (n *nemesis) understand(e event) (did action, known bool) {
	if effect := said(e.value); effect != "" {
		if did, known = effects[effect]; known {
			return did, true
		}
	}
	kill, partition := history.FamilyKill.Name, history.FamilyPartition.Name
	_, killed := n.open[kill]
	switch {
	case e.f == "start" && killed: // nodes, and not a fault
		return action{kill, true}, true
	case e.f == "start":
		_, links, _ := victims(e.value)
		return action{partition, false}, len(links) > 0
	case e.f == "stop":
		return action{cmp.Or(n.started, partition), true}, true
	}
	did, known = actions[e.f]
	return did, known
}

// said is the word that a value tells of each of its nodes: {"n1" :killed}, or
// {"n1" [:paused "redis-server"]}.
func said(value datum) string {
	value = value.untagged()
	if value.kind != mapping || len(value.items) == 0 {
		return ""
	}
	what := value.items[1]
	if isWord(what) {
		what = what.items[0]
	}
	if what.kind != keyword {
		return ""
	}
	return what.text
}

// isWord: a vector is no list of nodes, but a word and what it is about.
func isWord(d datum) bool {
	return (d.kind == vector || d.kind == list) && len(d.items) > 0 && d.items[0].kind == keyword
}

// add takes an event of the nemesis. One that does nothing is left out.
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
	if slices.Contains(harmless, e.f) {
		return
	}
	did, known := n.understand(e)
	if !known {
		n.events = append(n.events, history.Event{Time: begun, Type: history.Unrecognized, Detail: fmt.Sprintf("%s %.100s", clip(e.f), e.value)})
		return
	}
	fault, inForce := n.open[did.family]
	made := history.Event{Time: now, Type: history.Heal, Fault: fault, Family: did.family, Took: now - begun}
	switch {
	case did.heals && !inForce:
		return
	case did.heals:
		delete(n.open, did.family)
	default:
		n.faults++
		n.open[did.family] = n.faults
		made.Type, made.Fault = history.Inject, n.faults
		made.Nodes, made.Links, made.Processes = victims(e.value)
	}
	if e.f == "start" && !did.heals {
		n.started = did.family
	}
	n.events = append(n.events, made)
}

// finish tells of actions that were begun, and of which nothing more is known.
func (n *nemesis) finish() {
	for f, begun := range n.begun {
		if !slices.Contains(harmless, f) && !actions[f].heals && f != "stop" {
			n.events = append(n.events, history.Event{Time: begun, Type: history.Unrecognized, Detail: clip(f)})
		}
	}
	slices.SortStableFunc(n.events, func(a, b history.Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Detail, b.Detail))
	})
}

// victims returns the nodes or links that a fault's value names: [n1 n2],
// {n1 :killed}, {n1 [:paused "process"]}, or a partition's grudge {n1 #{n2 n3}}, in
// which n1 hears neither n2 nor n3. Older Jepsens write "Cut off" and the grudge.
func victims(value datum) (nodes, links []string, processes string) {
	value = value.untagged()
	if grudge, ok := strings.CutPrefix(value.text, "Cut off "); ok && value.kind == text {
		value, _ = newEDNReader(strings.NewReader(grudge)).value(0) // or it names nothing
	}
	if isWord(value) && len(value.items) == 2 && value.items[1].untagged().kind == mapping { // [:isolated {…}]
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
			switch deaf, what := pair[0].text, pair[1]; {
			case isWord(what):
				nodes = append(nodes, deaf)
				if len(what.items) == 2 && what.items[1].kind == text {
					processes = what.items[1].text
				}
			case what.kind == set || what.kind == vector || what.kind == list:
				for _, mute := range what.items {
					links = append(links, history.Link{From: mute.text, To: deaf}.String())
				}
			default:
				nodes = append(nodes, deaf)
			}
		}
	}
	slices.Sort(nodes)
	slices.Sort(links)
	return nodes, links, processes
}
