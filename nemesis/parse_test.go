package nemesis

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for text, name := range map[string]string{
		"none":                        "none",
		"all":                         "partition,kill,pause,latency,loss,flaky,slow,clock",
		"partition, kill ,pause":      "partition,kill,pause",
		"kill,all":                    "kill,partition,pause,latency,loss,flaky,slow,clock",
		"latency,latency:leader":      "latency,latency:leader",
		"clock:leader:strobe":         "clock:leader:strobe",
		"clock:jump,overlap":          "clock:jump,overlap",
		"pause:leader@redis-server":   "pause:leader@redis-server",
		"kill@java":                   "kill@java",
		"kill,overlap,pause:all":      "kill,pause:all,overlap",
		"partition:leader":            "partition:leader",
		"partition:leader:reset":      "partition:leader:reset",
		"partition:follower":          "partition:follower",
		"partition:silent":            "partition:silent",
		"rooms:n1,n2,n3/n4,n5":        "rooms:n1,n2,n3/n4,n5",
		"rooms:n1,n2/n3:reset,kill":   "rooms:n1,n2/n3:reset,kill",
		"partition:clients":           "partition:clients",
		"latency:clients-leader":      "latency:clients-leader",
		"partition:role=router:reset": "partition:role=router:reset",
		"kill:role=a-b@java":          "kill:role=a-b@java",
		"kill:one,rooms:n1/n2,n3/n4":  "kill:one,rooms:n1/n2,n3/n4",
	} {
		if got := parse(t, text, time.Second); got.Name() != name || got.Interval != time.Second {
			t.Errorf("%q is %q every %v, want %q", text, got.Name(), got.Interval, name)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                      `there is no fault ""; possible are none, all, overlap, partition, partition:SHAPE, kill,`,
		"parttion":              `there is no fault "parttion"; possible are none, all`,
		"kill,":                 `there is no fault ""`,
		"kill:boss":             `"kill:boss": there is no such kill; possible are one, leader, follower, minority`,
		"partition:":            `"partition:": there is no such partition; possible are leader, `,
		"kill:leader:reset":     `"kill:leader:reset": there is no such kill; possible are one, leader, `,
		"clock:leader:later":    `"clock:leader:later": there is no such clock; possible are one, leader, follower, minority, leader-minority, majority, all, jump, drift, strobe, mixed`,
		"partition::silent":     `there is no such partition`,
		"latency:silent":        `there is no such latency; possible are all, leader, leader-out, leader-in, one, minority`,
		"kill@":                 `after @, kill and pause take the name of a process`,
		"pause:one@a/b":         `after @, kill and pause take`,
		"clock:one@java":        `after @, kill and pause take`,
		"kill@longer-than-15-c": `of at most 15 characters`,
		"loss:clients":          `there is no such loss`,
		"kill:clients":          `there is no such kill`,
		"kill:role=":            `there is no such kill`,
		"kill:role=a b":         `there is no such kill`,
		"none,kill":             `"none" goes with no other word`,
		"overlap":               `"overlap" needs faults`,
		"rooms:":                `"" is not a node; write rooms as rooms:n1,n2,n3/n4,n5`,
		"rooms:n1,n2":           `it takes two rooms`,
		"rooms:n1,n2/n2":        `n2 is in two rooms`,
		"rooms:n1/x2":           `"x2" is not a node`,
		"rooms:n1/n2,n3:x":      `"n3:x" is not a node`,
		"partition:rooms:n1":    `there is no such partition`,
	} {
		_, err := Parse(text, 0)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := Parse("all", -time.Second); err == nil {
		t.Error("a negative interval was accepted")
	}
}

// Every word that is listed can be said, and means what it says again.
func TestListRoundTrip(t *testing.T) {
	for _, entry := range List() {
		if entry.Meaning == "" {
			t.Errorf("%q is not described", entry.Word)
		}
		switch entry.Word {
		case "all", "overlap":
			continue
		}
		if got := parse(t, entry.Word, 0).Name(); got != entry.Word {
			t.Errorf("%q became %q", entry.Word, got)
		}
	}
}

func TestConstructors(t *testing.T) {
	overlapping := Kills("leader", "all")
	overlapping.Overlap = true
	overlapping.Interval = time.Second
	shared := Partitions("bridge:reset", "rooms:n1/n2")
	for want, s := range map[string]Schedule{
		"none":              None(),
		"partition":         Partitions(),
		"kill":              Kills(),
		"pause:leader":      Pauses("leader"),
		"pause@java":        Pauses("@java"),
		"pause:leader@java": Pauses("leader@java"),
		"latency,loss:one,flaky,slow:leader-out,clock:jump,clock:leader:drift": Combine(
			Latency(), Loss("one"), Flaky(), Slow("leader-out"), Clocks("jump", "leader:drift")),
		"kill:leader,kill:all,overlap":                                          overlapping,
		"partition:bridge:reset,rooms:n1/n2,pause,kill:leader,kill:all,overlap": Combine(shared, Pauses(), overlapping, Pauses()),
		"partition:bridge:reset,rooms:n1/n2,kill":                               Combine(shared, Kills()),
	} {
		if s.Name() != want {
			t.Errorf("got %q, want %q", s.Name(), want)
		}
	}
	if got := Combine(Kills(), overlapping).Interval; got != time.Second {
		t.Errorf("interval %v", got)
	}
	defer func() {
		if r, _ := recover().(string); !strings.Contains(r, "possible are one, leader") {
			t.Errorf("Kills with an unknown role panics with %q", r)
		}
	}()
	Kills("boss")
}

func FuzzParse(f *testing.F) {
	for _, entry := range List() {
		f.Add(entry.Word + ",kill")
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text, time.Second)
		if err != nil {
			return
		}
		again, err := Parse(n.Name(), time.Second)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, n.Name(), err)
		}
		if diff := cmp.Diff(n.Name(), again.Name()); diff != "" {
			t.Fatalf("%q (-once +twice):\n%s", text, diff)
		}
	})
}
