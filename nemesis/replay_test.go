package nemesis

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness/history"
)

// did says what was done to the cluster, and when the action began.
func did(events []history.Event) (lines []string) {
	for _, e := range events {
		if e.Type == history.Inject || e.Type == history.Heal {
			lines = append(lines, fmt.Sprintf("%v %s #%d %s %s %v %v %s %s %s", e.Time-e.Took, e.Type, e.Fault, e.Family, e.Shape, e.Nodes, e.Links, e.Mode, e.Processes, e.Detail)+spelled(e))
		}
	}
	return lines
}

// spelled is what was done to links and clocks, to the last digit.
func spelled(e history.Event) string {
	text, err := json.Marshal([]any{e.Condition, e.Clock})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// What is recorded is replayed, although the leader is another then, and a
// replay's record replays the same again.
func TestReplayRoundTrip(t *testing.T) {
	for _, text := range []string{"all", "all,overlap", "rooms:n1,n2,n3/n4,n5", "kill@java,pause:leader@java"} {
		for seed := range uint64(10) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(5)
				wantHealed(t, f, parse(t, text, time.Second).Play(t.Context(), f.stage(20*time.Second, seed)))
				want := did(f.events)
				for range 2 {
					again, err := Replay(f.events)
					if err != nil {
						t.Fatal(err)
					}
					f = newFake(5)
					f.leader = func() (string, error) { return "n5", nil }
					wantHealed(t, f, again.Play(t.Context(), f.stage(20*time.Second, 0)))
					if diff := cmp.Diff(want, did(f.events)); diff != "" {
						t.Fatalf("%s, seed %d (-recorded +replayed):\n%s", text, seed, diff)
					}
				}
			})
		}
	}
}

var begins = history.Event{Time: 2 * time.Second, Type: history.PhaseBegins, Phase: history.Faults}

func injected(number int, at time.Duration, nodes ...string) history.Event {
	return history.Event{Time: at, Type: history.Inject, Fault: number, Family: "kill", Shape: "leader", Nodes: nodes}
}

func TestReplayOfUnfinishedAndForeignRuns(t *testing.T) {
	n, err := Replay([]history.Event{
		begins,
		injected(1, 3*time.Second, "n2"), // and the harness was killed
		{Time: 4 * time.Second, Type: history.Skip, Fault: 2, Family: "kill"},
		injected(3, 5*time.Second, "n7"),
		injected(4, time.Minute, "n1"),
		{Time: time.Minute, Type: history.Heal, Nodes: []string{"n3"}, Reason: "n3 was exited"},
	})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFake(3)
		wantHealed(t, f, n.Play(t.Context(), f.stage(10*time.Second, 0)))
		wantEvents(t, f,
			"0s skip kill leader leader names n7, which is not in the cluster",
			"0s skip kill leader it began after 58s, and this faults phase is over then",
			"1s inject kill leader [n2]",
			"10s heal kill leader [n2]",
		)
	})
}

func TestReplayErrors(t *testing.T) {
	cut := func(mode string, links ...string) history.Event {
		return history.Event{Type: history.Inject, Fault: 1, Family: "partition", Links: links, Mode: mode}
	}
	one := func(e history.Event) []history.Event {
		e.Type, e.Fault = history.Inject, 1
		return []history.Event{begins, e}
	}
	late := func(c history.Condition) []history.Event {
		return one(history.Event{Family: "latency", Links: []string{"n1>n2"}, Condition: &c})
	}
	skewed := func(c history.Clock) []history.Event {
		return one(history.Event{Family: "clock", Nodes: []string{"n1"}, Clock: &c})
	}
	for want, events := range map[string][]history.Event{
		"delay -1ns ± 0s":                            late(history.Condition{Delay: -1}),
		"delay 0s ± 2h0m0s":                          late(history.Condition{Jitter: 2 * time.Hour}),
		"-1 bytes per second":                        late(history.Condition{BytesPerSecond: -1}),
		"share 1.5 of packets":                       late(history.Condition{Loss: 1.5}),
		"share -1 of packets":                        late(history.Condition{Corrupt: -1}),
		"a clock with strobe -1ns":                   skewed(history.Clock{Strobe: -1}),
		"strobe 0s and drift -1 ":                    skewed(history.Clock{Drift: -1}),
		"a latency that has no condition":            one(history.Event{Family: "latency", Links: []string{"n1>n2"}}),
		"a partition that has no condition":          one(history.Event{Family: "partition", Links: []string{"n1>n2"}, Mode: "reset", Condition: &history.Condition{Delay: 1}}),
		"a clock that has no condition":              one(history.Event{Family: "clock", Nodes: []string{"n1"}}),
		"a kill that has no condition or":            one(history.Event{Family: "kill", Nodes: []string{"n1"}, Clock: &history.Clock{Offset: 1}}),
		"a loss of 0 links":                          one(history.Event{Family: "loss", Nodes: []string{"n1"}}),
		"a clock of 1 nodes and 1 links":             one(history.Event{Family: "clock", Nodes: []string{"n1"}, Links: []string{"n1>n2"}}),
		`of the processes "a b" alone`:               one(history.Event{Family: "kill", Nodes: []string{"n1"}, Processes: "a b"}),
		`of the processes "java" alone`:              one(history.Event{Family: "clock", Nodes: []string{"n1"}, Processes: "java"}),
		"never begin the faults phase":               {injected(1, time.Second, "n1")},
		"no fault was injected":                      {begins},
		"fault 1 is injected twice":                  {begins, injected(1, 3*time.Second, "n1"), injected(1, 4*time.Second, "n1")},
		"fault 1 is healed before it is injected":    {begins, injected(1, 4*time.Second, "n1"), {Type: history.Heal, Fault: 1}},
		`fault 0: unknown family "kill"`:             {begins, injected(0, time.Second, "n1")},
		`unknown family "flood"`:                     {begins, {Type: history.Inject, Fault: 1, Family: "flood"}},
		"a kill of 0 nodes":                          {begins, injected(1, time.Second)},
		"a partition of 0 links":                     {begins, cut("silent")},
		`a partition of 1 links with mode "painful"`: {begins, cut("painful", "n1>n2")},
		`"n1" is not a link`:                         {begins, cut("silent", "n1")},
	} {
		if _, err := Replay(events); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Whatever the file says, Replay refuses it or plays it and heals.
func FuzzReplay(f *testing.F) {
	for _, events := range [][]history.Event{
		{begins, injected(1, 3*time.Second, "n1"), {Time: 4 * time.Second, Type: history.Heal, Fault: 1}},
		{begins, {Type: history.Inject, Fault: 2, Family: "partition", Links: []string{"n1>n2"}, Mode: "reset", Took: -5}},
		{begins, {Type: history.Inject, Fault: 3, Family: "flaky", Links: []string{"n1>n2", "n1>n2"}, Condition: &history.Condition{Loss: 0.5, Delay: 7}}},
		{begins, {Type: history.Inject, Fault: 4, Family: "clock", Nodes: []string{"n1"}, Clock: &history.Clock{Offset: -1 << 62, Drift: 0.1}}},
		{begins, {Type: history.Inject, Fault: 6, Family: "freeze", Nodes: []string{"n1"}, Own: &history.Family{Away: true}, Mode: "log"}},
		{begins, {Type: history.Inject, Fault: 7, Family: "partition", Nodes: []string{"n1"}, Links: []string{"clients>n1"}, Mode: "reset"}},
		{begins, {Type: history.Inject, Fault: 5, Family: "pause", Nodes: []string{"n1"}, Processes: "java"}},
	} {
		text, err := json.Marshal(events)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var events []history.Event
		if json.Unmarshal(text, &events) != nil {
			return
		}
		z := newFrozen()
		n, err := Replay(events, z.family())
		if err != nil {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			f := newFake(3)
			wantHealed(t, f, n.Play(t.Context(), f.stage(10*time.Second, 0)))
			if left := z.left(); len(left) > 0 {
				t.Errorf("still frozen: %v", left)
			}
		})
	})
}
