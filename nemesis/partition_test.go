package nemesis

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
)

// hears says for each node whose packets reach it.
func hears(nodes []cluster.Node, links []cluster.Link) map[cluster.Node][]cluster.Node {
	cut := map[cluster.Link]bool{}
	for _, link := range links {
		cut[link] = true
	}
	heard := map[cluster.Node][]cluster.Node{}
	for _, to := range nodes {
		for _, from := range nodes {
			if !cut[cluster.Link{From: from, To: to}] {
				heard[to] = append(heard[to], from)
			}
		}
	}
	return heard
}

func find(t testing.TB, f *Family, name string) Shape {
	t.Helper()
	for _, s := range f.Shapes {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no %s %s", f.Name, name)
	return Shape{}
}

// Every shape, on five nodes in their natural order: who still hears whom.
func TestPartitionsOfFive(t *testing.T) {
	fixtures := map[string]string{
		"leader":            "n1: n1 | n2: n2 n3 n4 n5 | n3: n2 n3 n4 n5 | n4: n2 n3 n4 n5 | n5: n2 n3 n4 n5 | smaller side: n1",
		"leader-minority":   "n1: n1 n2 | n2: n1 n2 | n3: n3 n4 n5 | n4: n3 n4 n5 | n5: n3 n4 n5 | smaller side: n1 n2",
		"leader-mute":       "n1: n1 n2 n3 n4 n5 | n2: n2 n3 n4 n5 | n3: n2 n3 n4 n5 | n4: n2 n3 n4 n5 | n5: n2 n3 n4 n5 | smaller side: n1",
		"leader-deaf":       "n1: n1 | n2: n1 n2 n3 n4 n5 | n3: n1 n2 n3 n4 n5 | n4: n1 n2 n3 n4 n5 | n5: n1 n2 n3 n4 n5 | smaller side: n1",
		"one":               "n1: n1 | n2: n2 n3 n4 n5 | n3: n2 n3 n4 n5 | n4: n2 n3 n4 n5 | n5: n2 n3 n4 n5 | smaller side: n1",
		"follower":          "n1: n1 | n2: n2 n3 n4 n5 | n3: n2 n3 n4 n5 | n4: n2 n3 n4 n5 | n5: n2 n3 n4 n5 | smaller side: n1",
		"majority-minority": "n1: n1 n2 | n2: n1 n2 | n3: n3 n4 n5 | n4: n3 n4 n5 | n5: n3 n4 n5 | smaller side: n1 n2",
		"halves":            "n1: n1 n2 | n2: n1 n2 | n3: n3 n4 n5 | n4: n3 n4 n5 | n5: n3 n4 n5 | smaller side: n1 n2",
		"majorities-ring":   "n1: n1 n2 n5 | n2: n1 n2 n3 | n3: n2 n3 n4 | n4: n3 n4 n5 | n5: n1 n4 n5 | smaller side:",
		"bridge":            "n1: n1 n2 n3 n4 n5 | n2: n1 n2 n3 | n3: n1 n2 n3 | n4: n1 n4 n5 | n5: n1 n4 n5 | smaller side:",
		"one-way":           "n1: n1 n2 n3 n4 n5 | n2: n1 n2 n3 n4 n5 | n3: n3 n4 n5 | n4: n3 n4 n5 | n5: n3 n4 n5 | smaller side: n1 n2",
		"isolated":          "n1: n1 | n2: n2 | n3: n3 | n4: n4 | n5: n5 | smaller side:",

		"rooms:n1,n2,n3/n4,n5": "n1: n1 n2 n3 | n2: n1 n2 n3 | n3: n1 n2 n3 | n4: n4 n5 | n5: n4 n5 | smaller side: n4 n5",
		"rooms:n1,n2/n4,n5":    "n1: n1 n2 n3 | n2: n1 n2 n3 | n3: n1 n2 n3 n4 n5 | n4: n3 n4 n5 | n5: n3 n4 n5 | smaller side:",
		"rooms:n1/n2,n3/n4,n5": "n1: n1 | n2: n2 n3 | n3: n2 n3 | n4: n4 n5 | n5: n4 n5 | smaller side:",
	}
	nodes := cluster.Names(5)
	got := map[string]string{}
	show := func(s Shape) {
		hit := s.Choose(nodes)
		var lines []string
		heard := hears(nodes, hit.Links)
		for _, node := range nodes {
			lines = append(lines, node+": "+strings.Join(heard[node], " "))
		}
		lines = append(lines, strings.TrimSpace("smaller side: "+strings.Join(hit.Nodes, " ")))
		got[s.Name] = strings.Join(lines, " | ")
	}
	for _, s := range everything(&partition).shapes {
		show(s)
	}
	for name := range fixtures {
		if strings.HasPrefix(name, roomsPrefix) {
			s, err := parseRooms(name)
			if err != nil {
				t.Fatal(err)
			}
			show(s)
		}
	}
	if diff := cmp.Diff(fixtures, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRolesOfFive(t *testing.T) {
	want := map[string]string{
		"one": "n1", "leader": "n1", "follower": "n1", "minority": "n1 n2", "leader-minority": "n1 n2", "majority": "n1 n2 n3", "all": "n1 n2 n3 n4 n5",
	}
	got := map[string]string{}
	for _, s := range roles {
		got[s.Name] = strings.Join(s.Choose(cluster.Names(5)).Nodes, " ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Which shapes small clusters do not allow, and nothing else.
func TestImpossible(t *testing.T) {
	want := map[int]string{
		1: "leader leader-minority leader-mute leader-deaf one follower majority-minority halves majorities-ring bridge one-way isolated follower minority leader-minority",
		2: "leader-minority majority-minority majorities-ring bridge one-way minority leader-minority",
		3: "majorities-ring",
		4: "",
	}
	for count, want := range want {
		var got []string
		for _, s := range slices.Concat(everything(&partition).shapes, roles) {
			if err := s.possible(cluster.Names(count)); err != nil {
				got = append(got, s.Name)
			}
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%d nodes (-want +got):\n%s", count, diff)
		}
	}
}

// What holds for every shape, number of nodes and order.
func TestPartitionProperties(t *testing.T) {
	for _, s := range everything(&partition).shapes {
		t.Run(s.Name, rapid.MakeCheck(func(t *rapid.T) {
			count := rapid.IntRange(s.AtLeast, harness.MaxNodes).Draw(t, "nodes")
			order := rapid.Permutation(cluster.Names(count)).Draw(t, "order")
			before := slices.Clone(order)
			hit := s.Choose(order)
			if !slices.Equal(before, order) {
				t.Fatal("the order was changed")
			}
			cut := map[cluster.Link]bool{}
			for _, link := range hit.Links {
				if link.From == link.To || cut[link] || !slices.Contains(order, link.From) || !slices.Contains(order, link.To) {
					t.Fatalf("link %s to itself, twice, or of nobody", link)
				}
				cut[link] = true
			}
			if len(cut) == 0 {
				t.Fatal("nothing is cut")
			}
			if 2*len(hit.Nodes) > count {
				t.Fatalf("%d of %d nodes are not the smaller side", len(hit.Nodes), count)
			}
			if s.Name == "halves" && count%2 == 0 && len(hit.Nodes) > 0 {
				t.Fatalf("of two equal sides, %v is the smaller one", hit.Nodes)
			}
			if s.Leader && !slices.Equal(hit.Nodes, order[:len(hit.Nodes)]) {
				t.Fatalf("the leader is not on the smaller side %v", hit.Nodes)
			}
			if s.Follower && slices.Contains(hit.Nodes, order[count-1]) {
				t.Fatalf("the leader is on the smaller side %v", hit.Nodes)
			}
			oneWay := slices.Contains([]string{"one-way", "leader-mute", "leader-deaf"}, s.Name)
			for link := range cut {
				if back := (cluster.Link{From: link.To, To: link.From}); cut[back] == oneWay {
					t.Fatalf("%s is cut; back: %v", link, cut[back])
				}
			}
			heard := hears(order, hit.Links)
			switch s.Name {
			case "majorities-ring":
				seen := map[string]bool{}
				for node, from := range heard {
					slices.Sort(from)
					if len(from) < majority(order) || seen[fmt.Sprint(from)] {
						t.Fatalf("%s sees %v: no majority, or not the only one to see it", node, from)
					}
					seen[fmt.Sprint(from)] = true
				}
			case "bridge":
				for node, from := range heard {
					if bridge := node == order[0]; bridge != (len(from) == count) {
						t.Fatalf("%s hears %d of %d", node, len(from), count)
					}
				}
			case "isolated":
				if len(cut) != count*(count-1) {
					t.Fatalf("%d links cut", len(cut))
				}
			case "majority-minority", "leader-minority":
				sizes := map[int]bool{}
				for _, from := range heard {
					sizes[len(from)] = true
				}
				if !maps.Equal(sizes, map[int]bool{minority(order): true, count - minority(order): true}) {
					t.Fatalf("sides of %v", sizes)
				}
			}
		}))
	}
}
