package redis

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

func TestParseOptions(t *testing.T) {
	for text, want := range map[string]Options{
		"":                               {},
		"reads=primary,timeouts=tuned":   {},
		"wait=0,min-replicas-to-write=0": {},
		"lease=2s":                       {},
		"reads=replica":                  {ReplicaReads: true},
		"wait=1,min-replicas-to-write=2": {Wait: 1, MinReplicas: 2},
		"appendfsync=always":             {AppendFsync: "always"},
		"timeouts=default,lease=500ms":   {DefaultTimes: true, Lease: 500 * time.Millisecond},
		"image=redis:8,wait=1":           {Image: "redis:8", Wait: 1},
	} {
		got, err := ParseOptions(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	}
	for text, want := range map[string]string{
		"reads=any":                `reads="any" is not possible: want primary or replica`,
		"wait=64":                  `wait="64" is not possible: want a number of replicas, 0 to 63`,
		"min-replicas-to-write=-1": `min-replicas-to-write="-1" is not possible: want a number of replicas, 0 to 63`,
		"appendfsync":              `appendfsync="" is not possible: want no, everysec or always`,
		"wait=1,wait=2":            `wait is given twice`,
		"timeouts=0":               `timeouts="0" is not possible: want tuned or default`,
		"lease=1us":                `lease="1us" is not possible: want 10ms to 1h0m0s, in whole milliseconds`,
		"reads=replica,":           `unknown option "" (there are, for example, reads=replica, wait=1, min-replicas-to-write=1, appendfsync=always, timeouts=default, lease=2s, image=redis:8)`,
	} {
		if _, err := ParseOptions(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

// What is accepted is printed so that it means the same again.
func FuzzParseOptions(f *testing.F) {
	for _, choice := range Choices {
		f.Add(choice)
	}
	f.Add(strings.Join(Choices, ","))
	f.Fuzz(func(t *testing.T, text string) {
		options, err := ParseOptions(text)
		if err != nil {
			return
		}
		again, err := ParseOptions(options.String())
		if diff := cmp.Diff(options, again); diff != "" || err != nil {
			t.Errorf("%q became %q: %v %s", text, options, err, diff)
		}
	})
}

// place is n2's of two nodes.
func place(data string) cluster.Place {
	return cluster.Place{
		Node: "n2", Data: data,
		Ports: map[string]cluster.Port{
			"server":   {Listen: "127.0.0.1:72", Public: "10.0.0.2:720"},
			"sentinel": {Listen: "127.0.0.1:82", Public: "10.0.0.2:820"},
		},
		Public: map[cluster.Node]map[string]string{
			"n1": {"server": "10.0.0.1:710", "sentinel": "10.0.0.1:810"},
			"n2": {"server": "10.0.0.2:720", "sentinel": "10.0.0.2:820"},
		},
	}
}

func TestConfigurations(t *testing.T) {
	s := &system{options: Options{MinReplicas: 1, AppendFsync: "always", DefaultTimes: true}}
	if diff := cmp.Diff(`bind 127.0.0.1
port 72
protected-mode no
dir "/the \"data\""
replica-announce-ip 10.0.0.2
replica-announce-port 720
replicaof 10.0.0.1 710
appendonly yes
appendfsync always
min-replicas-to-write 1
repl-diskless-sync-delay 0
`, s.serverConfiguration(place(`/the "data"`))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(`bind 127.0.0.1
port 82
protected-mode no
dir "/data"
sentinel announce-ip 10.0.0.2
sentinel announce-port 820
sentinel myid 40243476fcaaf8dca4d9eda7fde4232c5c18f75d
sentinel monitor rashomon 10.0.0.1 710 2
sentinel known-sentinel rashomon 10.0.0.1 810 40b3eab63f3f1d4fa48e09559401c5ed4efceaa6
sentinel known-replica rashomon 10.0.0.2 720
`, s.sentinelConfiguration(place("/data"))); diff != "" {
		t.Error(diff)
	}
}
