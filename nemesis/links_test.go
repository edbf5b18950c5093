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

// worse is a fault of links or clocks with that effect.
func worse(number int, f *Family, s Shape, e Effect, begin, end float64, order ...cluster.Node) fault {
	planned := a(number, f, s, begin, end, order...)
	planned.Effect = e
	return planned
}

func delay(d time.Duration) Effect { return Effect{Condition: cluster.Condition{Delay: d}} }

// Every shape on three nodes: which links it hits, and whose they are.
func TestPathsOfThree(t *testing.T) {
	want := map[string]string{
		"all":        "n1>n2 n1>n3 n2>n1 n2>n3 n3>n1 n3>n2 of ",
		"leader":     "n1>n2 n1>n3 n2>n1 n3>n1 of n1",
		"leader-out": "n1>n2 n1>n3 of n1",
		"leader-in":  "n2>n1 n3>n1 of n1",
		"one":        "n1>n2 n1>n3 n2>n1 n3>n1 of n1",
		"minority":   "n1>n2 n1>n3 n2>n1 n3>n1 of n1",
	}
	got := map[string]string{}
	for _, s := range paths {
		hit := s.Choose(cluster.Names(3))
		var links []string
		for _, link := range hit.Links {
			links = append(links, link.String())
		}
		slices.Sort(links)
		got[s.Name] = strings.Join(links, " ") + " of " + strings.Join(hit.Nodes, " ")
		if s.Leader != strings.HasPrefix(s.Name, "leader") {
			t.Errorf("%s aims at the leader: %v", s.Name, s.Leader)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A link has what all faults in force make of it, each healing takes its own
// part away, and other links are not touched.
func TestOverlappingLinks(t *testing.T) {
	const link = "n1>n2"
	var seen []string
	run(t, 3, func(f *fake) []fault {
		f.after = func(e history.Event) {
			c := f.links[cluster.Link{From: "n1", To: "n2"}]
			seen = append(seen, strings.TrimSpace(fmt.Sprintf("%s %v", c.Cut, Effect{Condition: c})))
			if back := f.links[cluster.Link{From: "n3", To: "n2"}]; back.Delay != 0 && back.Delay != 20*ms {
				t.Errorf("n3>n2 has %+v", back)
			}
		}
		order := []cluster.Node{"n1", "n2", "n3"}
		cut := a(3, &partition, find(t, &partition, "one"), 3, 5, order...)
		return []fault{
			worse(1, &latency, find(t, &latency, "leader-out"), delay(100*ms), 1, 6, order...),
			worse(2, &latency, find(t, &latency, "all"), delay(20*ms), 2, 4, order...),
			cut,
			worse(4, &slow, find(t, &slow, "one"), Effect{Condition: cluster.Condition{BytesPerSecond: 2048}}, 5.5, 7, order...),
		}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		want := []string{
			"100ms",          // 1
			"120ms",          // 1 2
			"silent 120ms",   // 1 2 3
			"silent 100ms",   // 1 3
			"100ms",          // 1
			"100ms, 2 KiB/s", // 1 4
			"2 KiB/s",        // 4
			"",
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("%s (-want +got):\n%s", link, diff)
		}
	})
}

// A link of which SetLinks has failed is set again, whatever is wanted then.
func TestLinksAfterFailure(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		failures := 0
		f.fails = func(action string) error {
			if action == "cut " && failures < 2 { // of the injection, and of the first healing
				failures++
				return errors.New("no way")
			}
			return nil
		}
		order := []cluster.Node{"n1", "n2", "n3"}
		return []fault{
			worse(1, &latency, find(t, &latency, "one"), delay(ms), 1, 2, order...),
			worse(2, &latency, find(t, &latency, "one"), delay(2*ms), 3, 4, order...),
		}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		wantEvents(t, f,
			"1s error latency one [n1] 1ms no way",
			"1s error latency one [n1] 1ms no way",
			"2s heal latency one [n1] 1ms",
			"3s inject latency one [n1] 2ms",
			"4s heal latency one [n1] 2ms",
		)
	})
}

// The record says what was used.
func TestMeans(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		f.means = map[cluster.Fault]string{cluster.DelayFault: "nfqueue", cluster.LossFault: "nft", cluster.CutFault: "nft"}
		order := []cluster.Node{"n1", "n2", "n3"}
		return []fault{
			worse(1, &latency, find(t, &latency, "one"), delay(ms), 1, 2, order...),
			worse(2, &flaky, find(t, &flaky, "one"), Effect{Condition: cluster.Condition{Loss: 0.1}}, 3, 4, order...),
			a(3, &partition, find(t, &partition, "one"), 5, 6, order...),
		}
	}, func(t *testing.T, f *fake, err error) {
		var got []string
		for _, e := range f.events {
			if e.Type == history.Inject {
				got = append(got, e.Detail)
			}
		}
		if diff := cmp.Diff([]string{"1ms by nfqueue", "10% lost by nft, nfqueue", "by nft"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Each family that the world cannot inject is skipped once, with its reason,
// and the others take its place.
func TestAllInAPoorWorld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(5)
		f.lacks = map[cluster.Fault]error{cluster.LossFault: errors.New("streams"), cluster.ClockFault: errors.New("shared clock")}
		wantHealed(t, f, parse(t, "all,overlap", time.Second).Play(t.Context(), f.stage(40*time.Second, 1)))
		if diff := cmp.Diff([]string{"0s skip loss streams", "0s skip flaky streams", "0s skip clock shared clock"}, f.told()[:3]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		by := map[string]int{}
		for _, e := range f.events {
			if e.Type == history.Inject {
				by[e.Family]++
			}
		}
		for _, family := range []string{"partition", "kill", "pause", "latency", "slow"} {
			if by[family] < 4 {
				t.Errorf("%d of %s", by[family], family)
			}
		}
	})
}
