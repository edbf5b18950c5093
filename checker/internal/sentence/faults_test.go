package sentence

import (
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

func TestFaultsInWords(t *testing.T) {
	inject := func(fault int, at float64, e history.Event) history.Event {
		e.Type, e.Fault, e.Time = history.Inject, fault, time.Duration(at*float64(time.Second))
		return e
	}
	heal := func(fault int, at float64) history.Event {
		return history.Event{Type: history.Heal, Fault: fault, Time: time.Duration(at * float64(time.Second))}
	}
	crash := func(node string, at float64) history.Event {
		return history.Event{Type: history.Crash, Time: time.Duration(at * float64(time.Second)), Nodes: []string{node}, Detail: "exit status 2"}
	}
	cut := history.Event{Family: "partition", Nodes: []string{"n3"}, Links: []string{"n1>n3", "n3>n1", "n2>n3", "n3>n2"}}
	pause := func(nodes ...string) history.Event { return history.Event{Family: "pause", Nodes: nodes} }
	for _, test := range []struct {
		name   string
		nodes  []string
		events []history.Event
		says   string // at 10 s
	}{
		{name: "nothing is known", nodes: []string{"n3"}},
		{"not yet", []string{"n3"}, []history.Event{inject(1, 11, cut)}, "; no fault was in force"},
		{"not understood", []string{"n3"}, []history.Event{{Type: history.Unrecognized, Time: 3, Detail: "flood"}}, ""},
		{"not understood, and later", []string{"n3"}, []history.Event{{Type: history.Unrecognized, Time: 11 * time.Second, Detail: "flood"}}, "; no fault was in force"},
		{"cut off", []string{"n1", "n3"}, []history.Event{inject(1, 3, cut)}, "; n3 had been cut off from n1 n2 since 3.000 s"},
		{"from the other side", []string{"n1", "n9"}, []history.Event{inject(1, 3, cut)}, "; n1 had been cut off from n3 since 3.000 s"},
		{"clients", []string{"n1"}, []history.Event{inject(1, 3, history.Event{Family: "partition", Nodes: []string{"n1"}, Links: []string{"clients>n1", "n1>clients"}})}, "; n1 had been cut off from clients since 3.000 s"},
		{"one way", []string{"n1"}, []history.Event{inject(1, 3, history.Event{Family: "partition", Links: []string{"n2>n1", "n1>n3"}})},
			"; n1 had not heard n2 and n1 had not been heard by n3 since 3.000 s"},
		{"links unknown", []string{"n1"}, []history.Event{inject(1, 3, history.Event{Family: "partition", Nodes: []string{"n1"}})}, "; n1 had been cut off since 3.000 s"},
		{"healed long ago", []string{"n3"}, []history.Event{inject(1, 1, cut), heal(1, 4)}, "; no fault was in force"},
		{"healed just now", []string{"n3"}, []history.Event{inject(1, 1, cut), heal(1, 9.5)}, "; n3 had been cut off from n1 n2 from 1.000 s to 9.500 s"},
		{"paused", []string{"n3"}, []history.Event{inject(1, 8, pause("n3", "n4"))}, "; n3 n4 had been paused since 8.000 s"},
		{"pauses, told once", []string{"n3"}, []history.Event{inject(1, 6, pause("n3")), heal(1, 7), inject(2, 8, pause("n3")), heal(2, 9)},
			"; n3 had been paused twice, last from 8.000 s to 9.000 s"},
		{"killed", []string{"n1", "n2"}, []history.Event{inject(1, 8, history.Event{Family: "kill", Nodes: []string{"n2"}, Processes: "sentinel"})}, "; n2's sentinel had been killed at 8.000 s"},
		{"restarted", []string{"n1", "n2"}, []history.Event{inject(1, 8, history.Event{Family: "kill", Nodes: []string{"n2"}}), heal(1, 9.6)},
			"; n2 had been killed at 8.000 s and restarted at 9.600 s"},
		{"clock and latency", []string{"n1"}, []history.Event{
			inject(1, 1, history.Event{Family: "clock", Mode: "jump", Nodes: []string{"n1"}, Detail: "3.2s ahead"}),
			inject(2, 2, history.Event{Family: "latency", Links: []string{"n1>n2", "n2>n1", "n1>n3"}, Detail: "50ms by nfqueue"}),
		}, "; n1's clock had been wrong (3.2s ahead) since 1.000 s, n1's links with n2 had been delayed (50ms by nfqueue) and n1's links to n3 had been delayed (50ms by nfqueue) since 2.000 s"},
		{"a family of another program", []string{"n1"}, []history.Event{inject(1, 1, history.Event{Family: "cosmic rays", Nodes: []string{"n1"}})}, "; n1 had suffered cosmic rays since 1.000 s"},
		{"a user's own family", []string{"n1"}, []history.Event{
			inject(1, 1, history.Event{Family: "flush", Own: &history.Family{Did: "been flushed"}, Nodes: []string{"n1", "n2"}, Detail: "3 tables"}),
			inject(2, 2, history.Event{Family: "upgrade", Own: &history.Family{Did: "been upgraded", Ends: true}, Nodes: []string{"n1"}}), heal(2, 7),
			inject(3, 9, history.Event{Family: "satellite", Own: &history.Family{On: history.OnLinks, Did: "gone by satellite"}, Links: []string{"n1>n2"}}),
		}, "; n1 n2 had been flushed (3 tables) since 1.000 s, n1's links to n2 had gone by satellite since 9.000 s, n1 had been upgraded at 2.000 s and restarted at 7.000 s"},
		{"clients cut off", []string{"n1"}, []history.Event{
			inject(1, 1, history.Event{Family: "partition", Nodes: []string{"n1"}, Links: []string{"clients>n1", "n1>clients"}}),
			inject(2, 2, history.Event{Family: "latency", Nodes: []string{"n1"}, Links: []string{"n1>clients"}, Detail: "50ms"}),
		}, "; n1 had been cut off from clients since 1.000 s, n1's links to clients had been delayed (50ms) since 2.000 s"},
		{"clients of another node", []string{"n4"}, []history.Event{inject(1, 1, history.Event{Family: "partition", Nodes: []string{"n1"}, Links: []string{"n1>clients"}})},
			"; elsewhere n1 had not been heard by clients since 1.000 s"},
		{"unrelated ones are left out", []string{"n3"}, []history.Event{inject(1, 1, pause("n5")), inject(2, 3, cut)}, "; n3 had been cut off from n1 n2 since 3.000 s"},
		{"only unrelated ones", []string{"n4"}, []history.Event{inject(1, 1, pause("n5")), inject(2, 3, cut), heal(1, 4)}, "; elsewhere n3 had been cut off from n1 n2 since 3.000 s"},
		{"no nodes are known", nil, []history.Event{inject(1, 1, pause("n5"))}, "; n5 had been paused since 1.000 s"},
		{"in force first, and three at most", []string{"n1", "n2", "n3"}, []history.Event{
			inject(1, 1, pause("n1")), heal(1, 9), inject(2, 2, pause("n2")), inject(3, 3, cut), inject(4, 4, history.Event{Family: "slow", Nodes: []string{"n1"}}),
		}, "; n2 had been paused since 2.000 s, n3 had been cut off from n1 n2 since 3.000 s, n1 had suffered slow since 4.000 s, and 1 more"},
		{"nobody knows whom", []string{"n1"}, []history.Event{inject(1, 1, history.Event{Family: "kill"})}, "; nodes that are not known had suffered kill at 1.000 s"},
		{"an event that is not understood", []string{"n1"}, []history.Event{{Type: "sabotage", Time: time.Second}}, ""},
		{"a fault that could not be healed", []string{"n1"}, []history.Event{{Type: history.Trouble, Time: time.Second, Reason: "no answer"}}, ""},
		{"a fault that could not be injected later", []string{"n1"}, []history.Event{{Type: history.Trouble, Time: time.Minute, Reason: "no answer"}}, "; no fault was in force"},
		{"nobody knows who crashed", []string{"n1"}, []history.Event{{Type: history.Crash, Time: time.Second}, inject(1, 2, history.Event{Family: "kill", Nodes: []string{"n2"}}), heal(1, 4)},
			"; nodes that are not known had suffered a crash at 1.000 s"},
		{"crashed", []string{"n1", "n2"}, []history.Event{crash("n2", 1)}, "; n2 had crashed (exit status 2) at 1.000 s"},
		{"crashed elsewhere", []string{"n1"}, []history.Event{crash("n2", 1)}, "; elsewhere n2 had crashed (exit status 2) at 1.000 s"},
		{"crashed later", []string{"n2"}, []history.Event{crash("n2", 11)}, "; no fault was in force"},
		{"crashed, killed and restarted", []string{"n2"}, []history.Event{crash("n2", 1), inject(1, 6, history.Event{Family: "kill", Nodes: []string{"n2"}}), heal(1, 9)},
			"; n2 had crashed (exit status 2) at 1.000 s and restarted at 9.000 s, n2 had been killed at 6.000 s and restarted at 9.000 s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Faults(&history.Run{Events: test.events}, Span{10 * time.Second, 10 * time.Second}, test.nodes...); got != test.says {
				t.Errorf("got  %q\nwant %q", got, test.says)
			}
		})
	}
}

// An object without a key is what it is.
func TestObjectsWithoutAKey(t *testing.T) {
	for _, test := range []struct {
		kind history.Kind
		key  string
		name string
	}{
		{history.Read, "", "the register"}, {history.Read, "k3", "k3"}, {history.Write, "0", "key 0"}, {history.CompareAndSet, ":x", "key :x"},
		{history.Add, "", "the set"}, {history.ReadAll, "s", "set s"},
		{history.Enqueue, "", "the queue"}, {history.Dequeue, "0", "queue 0"},
		{history.Acquire, "", "the lock"}, {history.Release, "l", "lock l"}, {history.Use, "", "the lock"},
	} {
		if got := (Teller{Key: test.key}).Name(test.kind); got != test.name {
			t.Errorf("a %s of %q is of %q, want %q", test.kind, test.key, got, test.name)
		}
	}
}
