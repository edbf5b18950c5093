package history

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Events of older runs do not say who led, and are read as if they did.
func TestOlderEventsTellWhoLed(t *testing.T) {
	for text, want := range map[string]string{
		`"family":"kill","shape":"leader","nodes":["n2"]`:                             "n2 false, takes n2",
		`"family":"partition","shape":"leader-minority","nodes":["n2","n1"]`:          "n2 false, takes n2",
		`"family":"latency","shape":"leader-out","nodes":["n2"]`:                      "n2 false, takes ",
		`"family":"kill","shape":"leader","nodes":["n2"],"leader":"n3"`:               "n3 false, takes ", // a replay
		`"family":"kill","shape":"leader","nodes":["n2"],"reason":"has no leader"`:    " true, takes ",
		`"family":"kill","shape":"random","nodes":["n2"],"reason":"has no leader"`:    " true, takes ",
		`"family":"kill","shape":"random","nodes":["n2"],"no_leader":true`:            " true, takes ",
		`"family":"kill","shape":"one","nodes":["n2"]`:                                " false, takes ",
		`"family":"partition","shape":"rooms:n1/n2,n3","nodes":["n1"],"leader":"n1"`:  "n1 false, takes n1",
		`"family":"partition","shape":"leader","links":["n1>n2"]`:                     " false, takes ",
		`"family":"partition","shape":"leader","nodes":["n1"],"links":["clients>n1"]`: "n1 false, takes ",
		`"family":"upgrade","own":{"away":true},"shape":"leader","nodes":["n1","n2"]`: "n1 false, takes n1",
		`"family":"compaction","own":{"ends":true},"shape":"leader","nodes":["n1"]`:   "n1 false, takes ",
		`"family":"latency","own":{"cuts":true},"shape":"leader","nodes":["n1"]`:      "n1 false, takes ", // what is built in is known
	} {
		events, err := ReadEvents(strings.NewReader(`{"time_ns":1,"type":"inject","fault":1,` + text + "}\n"))
		if err != nil {
			t.Fatal(err)
		}
		e := events[0]
		if got := fmt.Sprintf("%s %v, takes %s", e.Leader, e.NoLeader, e.TakesLeader()); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// What a user's own family does is known from the event alone.
func TestOwnFamily(t *testing.T) {
	want := Family{Name: "flush", Did: "been flushed", Away: true, Ends: true, Exits: true}
	text, err := json.Marshal(Event{Type: Inject, Family: "flush", Own: &want})
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, e.Of()); diff != "" {
		t.Errorf("%s (-written +read):\n%s", text, diff)
	}
	if diff := cmp.Diff(Family{Name: "flood", Did: "suffered flood"}, Event{Family: "flood"}.Of()); diff != "" {
		t.Error(diff)
	}
}
