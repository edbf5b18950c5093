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
			lines = append(lines, fmt.Sprintf("%v %s #%d %s %s %v %v %s", e.Time-e.Took, e.Type, e.Fault, e.Family, e.Shape, e.Nodes, e.Links, e.Mode))
		}
	}
	return lines
}

// What is recorded is replayed, although the leader is another then, and a
// replay's record replays the same again.
func TestReplayRoundTrip(t *testing.T) {
	for _, text := range []string{"all", "all,overlap", "rooms:n1,n2,n3/n4,n5"} {
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
					f.leader = nil
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
	for want, events := range map[string][]history.Event{
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
		n, err := Replay(events)
		if err != nil {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			f := newFake(3)
			wantHealed(t, f, n.Play(t.Context(), f.stage(10*time.Second, 0)))
		})
	})
}
