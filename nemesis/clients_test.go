package nemesis

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Every shape of links between clients and nodes, on three nodes.
func TestClientsOfThree(t *testing.T) {
	want := map[string]string{
		"clients-all":         "clients>n1 clients>n2 clients>n3 n1>clients n2>clients n3>clients of n1 n2 n3",
		"clients-leader":      "clients>n1 n1>clients of n1",
		"clients-leader-mute": "n1>clients of n1",
		"clients-leader-out":  "n1>clients of n1",
		"clients-one":         "clients>n1 n1>clients of n1",
		"clients-minority":    "clients>n1 n1>clients of n1",
		"clients-one-way":     "n1>clients of n1",
	}
	got := map[string]string{}
	for _, s := range slices.Concat(clientCuts, clientPaths) {
		hit := s.Choose(cluster.Names(3))
		var links []string
		for _, link := range hit.Links {
			links = append(links, link.String())
		}
		slices.Sort(links)
		got[s.Name] = strings.Join(links, " ") + " of " + strings.Join(hit.Nodes, " ")
		if s.Leader != strings.HasPrefix(s.Name, "clients-leader") || !s.clients {
			t.Errorf("%s aims at the leader: %v; hits clients: %v", s.Name, s.Leader, s.clients)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Links to clients are hit if that is asked for, in every way that there is, beside
// those between nodes; and are healed, recorded and replayed as those are.
func TestClients(t *testing.T) {
	const text = "partition:clients,latency:clients,slow:clients-leader,partition,overlap"
	seen := map[string]bool{}
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(5)
			n := parse(t, text, time.Second)
			f.after = func(e history.Event) {
				if e.Type != history.Inject || !e.OnlyClients() {
					return
				}
				seen[e.Family+" "+e.Shape] = true
				for _, text := range e.Links {
					link, err := cluster.ParseLink(text)
					if err != nil || f.links[link] == (cluster.Condition{}) {
						t.Errorf("during %s %s, %s is whole; %v", e.Family, e.Shape, text, err)
					}
				}
			}
			wantHealed(t, f, n.Play(t.Context(), f.stage(30*time.Second, seed)))
			want := did(f.events)
			again, err := Replay(f.events)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(again.Needs(), cluster.ClientFault) {
				t.Errorf("the replay needs %v", again.Needs())
			}
			f = newFake(5)
			wantHealed(t, f, again.Play(t.Context(), f.stage(30*time.Second, 0)))
			if diff := cmp.Diff(want, did(f.events)); diff != "" {
				t.Errorf("(-recorded +replayed):\n%s", diff)
			}
		})
	}
	if want := len(clientCuts) + len(clientPaths) + 1; len(seen) != want {
		t.Errorf("%d shapes of %d: %v", len(seen), want, seen)
	}
	for text, want := range map[string]bool{text: true, "partition:clients-one:reset": true, "all": false, "partition,latency,slow": false} {
		if got := slices.Contains(parse(t, text, 0).Needs(), cluster.ClientFault); got != want {
			t.Errorf("%s needs links of clients: %v", text, got)
		}
	}
}

// What a world lacks is skipped, and no more than that.
func TestClientsInAPoorWorld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(3)
		f.lacks = map[cluster.Fault]error{cluster.ClientFault: errors.New("no links of clients here")}
		wantHealed(t, f, parse(t, "partition:clients,partition:leader", time.Second).Play(t.Context(), f.stage(10*time.Second, 1)))
		if f.told()[0] != "0s skip partition no links of clients here" || f.count(history.Inject) != 10 || f.count(history.Skip) != 1 {
			t.Errorf("%v", f.told())
		}
	})
}

// Clients are let in again at the end, also if healing has failed.
func TestClientsAreHealedAtTheEnd(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		f.fails = func(action string) error {
			if action == "cut " && time.Since(f.began) < 10*time.Second {
				return errors.New("no way")
			}
			return nil
		}
		planned := a(1, &partition, find(t, &partition, "clients-minority"), 1, 2, f.nodes...)
		planned.clients = true
		return []fault{planned}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		if f.count(history.Trouble) != 1 {
			t.Errorf("%v", f.told())
		}
	})
}

// Nodes of a role are hit, and nobody where there are none.
func TestRoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(5)
		f.role = func(node cluster.Node) string {
			if node == "n4" || node == "n5" {
				return "router"
			}
			return ""
		}
		hit := map[string]bool{}
		f.after = func(e history.Event) {
			if e.Type == history.Inject {
				hit[fmt.Sprint(e.Family, e.Shape, e.Nodes)] = true
			}
		}
		s := parse(t, "kill:role=router,partition:role=router:reset,pause:role=controller", time.Second)
		wantHealed(t, f, s.Play(t.Context(), f.stage(60*time.Second, 1)))
		want := map[string]bool{"killrole=router[n4]": true, "killrole=router[n5]": true, "partitionrole=router[n4]": true, "partitionrole=router[n5]": true}
		if diff := cmp.Diff(want, hit); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if f.count(history.Skip) != 20 || !strings.HasSuffix(f.told()[slices.IndexFunc(f.told(), func(line string) bool { return strings.Contains(line, "skip") })], "no node is a controller") {
			t.Errorf("%v", f.told())
		}
	})
}
