package statistics

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker/internal/script"
	"github.com/rashomon-io/rashomon/harness/history"
)

// phased is a run of three nodes, one of which is cut off from 10 to 20 s, and
// another killed from 15 to 18 s.
func phased(t *testing.T) *history.Run {
	run := script.Parse(t, `
		p1 n1 write x 1 [1,2] ok
		p2 n2 read x -> 1 [3,4] ok
		p1 n1 write x 2 [11,13] info
		p3 n2 write x 3 [12,13] ok
		p4 n3 cas x 1 9 [13,14] fail
		p3 n2 read x -> 3 [16,17] ok
		p5 n3 read x [16,17] info
		p6 n1 read x [19,19.5] info
		p3 n2 read x -> 3 [21,22] ok
		p7 n3 read x -> 3 [21,23] ok
		p8 n1 read x -> 3 [20,24] ok
		p8 n1 read x -> 3 [24,25] ok
		p8 n1 read x -> 3 [31,32] ok
		final at 30
		partition n1 from 10 to 20`)
	at := func(s int, e history.Event) {
		e.Time = time.Duration(s) * time.Second
		run.Events = append(run.Events, e)
	}
	events := run.Events
	run.Events = nil
	at(0, history.Event{Type: history.PhaseBegins, Phase: history.Quiet})
	at(9, history.Event{Type: history.PhaseBegins, Phase: history.Faults})
	run.Events = append(run.Events, events[0]) // inject
	at(15, history.Event{Type: history.Inject, Fault: 9, Family: "kill", Nodes: []string{"n3"}})
	at(16, history.Event{Type: history.Skip, Fault: 10, Reason: "no leader"})
	at(18, history.Event{Type: history.Heal, Fault: 9, Family: "kill"})
	run.Events = append(run.Events, events[1]) // heal
	at(20, history.Event{Type: history.PhaseBegins, Phase: history.Recovery})
	run.Events = append(run.Events, events[2]) // final
	at(33, history.Event{Type: history.PhaseBegins, Phase: history.Done})
	return run
}

func TestMeasure(t *testing.T) {
	got := Measure(phased(t))
	if len(got.Series) != 125 || got.SeriesStep != 250*time.Millisecond {
		t.Errorf("%d slices of %s", len(got.Series), got.SeriesStep)
	}
	if diff := cmp.Diff(Slice{Start: 16 * time.Second, OK: 1, Unknown: 1, P50: time.Second, P99: time.Second, Max: time.Second}, got.Series[64]); diff != "" {
		t.Error(diff)
	}
	got.Series = nil
	second := time.Second
	want := Statistics{
		Operations: 13, OK: 10, Unknown: 3, Reads: 7, Writes: 2,
		Before: Service{Operations: 2, OK: 2, PerSecond: 2. / 9, P50: second, P99: second},
		During: Service{Operations: 6, OK: 3, PerSecond: 3. / 11, P50: second, P99: second},
		After:  Service{Operations: 4, OK: 4, PerSecond: .4, P50: second, P99: 4 * second},
		// From 15 to 18 s n3 is away, and n2 alone is no majority.
		Majority:   Service{Operations: 2, OK: 2, PerSecond: .2, P50: second, P99: second},
		Minority:   Service{Operations: 3, OK: 1, PerSecond: .1, P50: second, P99: second},
		Recovery:   4 * second,
		Faults:     map[string]int{"partition": 1, "kill": 1},
		Skipped:    map[string]int{"no leader": 1},
		SeriesStep: 250 * time.Millisecond,
		Kinds: map[history.Kind]Service{
			history.Read:          {Operations: 9, OK: 7, PerSecond: 7. / 32, P50: second, P99: 4 * second},
			history.Write:         {Operations: 3, OK: 2, PerSecond: 2. / 32, P50: second, P99: second},
			history.CompareAndSet: {Operations: 1, OK: 1, PerSecond: 1. / 32, P50: second, P99: second},
		},
		Nodes: map[string]Service{
			"n1": {Operations: 6, OK: 4, PerSecond: 4. / 32, P50: second, P99: 4 * second},
			"n2": {Operations: 4, OK: 4, PerSecond: 4. / 32, P50: second, P99: second},
			"n3": {Operations: 3, OK: 2, PerSecond: 2. / 32, P50: second, P99: 2 * second},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMeasureLittle(t *testing.T) {
	got := Measure(&history.Run{})
	if got.Recovery >= 0 || got.Before.Availability() >= 0 || len(got.Series) != 0 {
		t.Errorf("%+v", got)
	}
	unhealed := phased(t)
	for i := range unhealed.History.Operations {
		if o := &unhealed.History.Operations[i]; o.Node == "n3" && o.Invoke > 20*time.Second {
			o.Outcome = history.Info
		}
	}
	if got := Measure(unhealed).Recovery; got >= 0 {
		t.Errorf("recovered in %s, though n3 never served again", got)
	}
	gap := phased(t) // between the last heal and the recovery phase
	for i := range gap.Events {
		if e := &gap.Events[i]; e.Phase == history.Recovery {
			e.Time = 22 * time.Second
		}
	}
	if got := Measure(gap).Recovery; got != 4*time.Second {
		t.Errorf("recovered in %s, want 4 s since the last heal", got)
	}
	hostile := &history.Run{History: history.History{Operations: []history.Operation{
		{Invoke: -history.Never, Complete: history.Never}, {Invoke: history.Never - 1, Complete: 0, Outcome: history.OK},
	}}}
	if got := Measure(hostile); len(got.Series) > maxSlices {
		t.Errorf("%d slices", len(got.Series))
	}
}

// A delayed link is no cut one, a node with a wrong clock is where it was, and so is one
// that clients do not reach.
func TestOnlyPartitionsPart(t *testing.T) {
	nodes := []string{"n1", "n2", "n3"}
	inForce := map[int]history.Event{
		1: {Family: "latency", Nodes: []string{"n2"}, Links: []string{"n2>n1", "n2>n3"}, Detail: "50ms"},
		2: {Family: "clock", Nodes: []string{"n3"}},
		9: {Family: "partition", Nodes: []string{"n1"}, Links: []string{"clients>n1", "n1>clients"}},
	}
	if place(nodes, inForce).parted {
		t.Error("parted without a partition")
	}
	inForce[3] = history.Event{Family: "partition", Nodes: []string{"n1"}, Links: []string{"n1>n2", "n1>n3"}}
	want := map[string]side{"n1": minoritySide, "n2": majoritySide, "n3": majoritySide}
	if diff := cmp.Diff(want, place(nodes, inForce).sides); diff != "" {
		t.Error(diff)
	}
	inForce[4] = history.Event{Family: "pause", Nodes: []string{"n3"}}
	want = map[string]side{"n1": minoritySide, "n2": minoritySide}
	if diff := cmp.Diff(want, place(nodes, inForce).sides); diff != "" {
		t.Error(diff)
	}
}

// Whoever takes the leader's place shows in the history: only what was invoked
// and acknowledged while the leader was away, elsewhere, with a majority, counts.
func TestLeaderChanges(t *testing.T) {
	for name, test := range map[string]struct {
		family, shape, leader, history string
		want                           []LeaderChange
	}{
		"the first update of another leader": {"partition", "leader", "n1", `
			p1 n1 write x 1 [11,12] ok
			p2 n2 write x 2 [9,13] ok
			p3 n3 read x -> 2 [12,14] ok
			p3 n3 cas x 9 3 -> 2 [14,15] fail
			p3 n3 write x 4 [15,15.5] info
			p5 n2 cas x 2 3 [13,19] ok
			p4 n3 cas x 2 3 [16,17] ok
			p2 n2 write x 5 [18,18.5] ok`,
			[]LeaderChange{{Fault: 1, At: 10 * time.Second, Took: 7 * time.Second}}},
		"healed too soon": {"kill", "leader-minority", "n1", `
			p2 n2 write x 2 [19,21] ok
			p2 n2 write x 3 [20,22] ok`,
			[]LeaderChange{{Fault: 1, At: 10 * time.Second, Took: -1}}},
		"an empty queue tells nothing": {"pause", "leader", "n1", `
			p2 n2 dequeue q [11,12] ok
			p2 n2 dequeue q -> 1 [13,14] ok`,
			[]LeaderChange{{Fault: 1, At: 10 * time.Second, Took: 4 * time.Second}}},
		"a lock": {"pause", "leader", "n1", `
			p2 n2 acquire l [11,12] fail
			p2 n2 acquire l -> 1 [12,15] ok
			p3 n2 release l 1 [14,16] ok`,
			[]LeaderChange{{Fault: 1, At: 10 * time.Second, Took: 5 * time.Second}}},
		"no leader, ever":     {"pause", "random", "", `p2 n2 write x 2 [11,12] ok`, nil},
		"not aimed at leader": {"pause", "one", "", `p2 n2 write x 2 [11,12] ok`, nil},
		"a leader that stays": {"clock", "leader", "n1", `p2 n2 write x 2 [11,12] ok`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			run := script.Parse(t, test.history+"\npartition n1 from 10 to 20")
			for i := range run.Events {
				run.Events[i].Family, run.Events[i].Shape, run.Events[i].Leader = test.family, test.shape, test.leader
			}
			if diff := cmp.Diff(test.want, Measure(run).LeaderChanges); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Rooms take the leader away if it is in the smaller one.
func TestLeaderChangeOfRooms(t *testing.T) {
	for leader, want := range map[string][]LeaderChange{
		"n1": {{Fault: 1, At: 10 * time.Second, Took: 2 * time.Second}},
		"n2": nil,
		"":   nil,
	} {
		run := script.Parse(t, "p2 n2 write x 2 [11,12] ok\npartition n1 from 10 to 20")
		run.Events[0].Shape, run.Events[0].Leader = "rooms:n1/n2,n3", leader
		if diff := cmp.Diff(want, Measure(run).LeaderChanges); diff != "" {
			t.Errorf("%q led: %s", leader, diff)
		}
	}
}

// Where there is no majority, nobody can take a leader's place.
func TestLeaderChangeWithoutMajority(t *testing.T) {
	run := script.Parse(t, `p2 n2 write x 2 [11,12] ok
		p2 n2 write x 3 [16,17] ok
		partition n1 from 10 to 20`)
	run.Events[0].Shape, run.Events[0].Leader = "leader", "n1"
	run.Events = slices.Insert(run.Events, 0, history.Event{Time: 9 * time.Second, Type: history.Inject, Fault: 7, Family: "pause", Nodes: []string{"n3"}})
	if got := Measure(run).LeaderChanges; len(got) != 1 || got[0].Took >= 0 {
		t.Errorf("%v, though n2 was alone", got)
	}
}
