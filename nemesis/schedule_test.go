package nemesis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

func mustPlan(t testing.TB, s Schedule, nodes int, duration time.Duration, seed uint64) ([]fault, []history.Event) {
	t.Helper()
	faults, skipped, err := s.plan(cluster.Names(nodes), duration, rand.New(rand.NewPCG(seed, 0)))
	if err != nil {
		t.Fatal(err)
	}
	return faults, skipped
}

// lines shows all of a plan.
func lines(faults []fault) (lines []string) {
	for _, f := range faults {
		lines = append(lines, fmt.Sprintf("#%d %v–%v %s %s %s %v %v", f.number, f.begin, f.end, f.family.Name, f.shape.Name, f.mode, f.Effect, f.order))
	}
	return lines
}

func TestPlanIsDecidedBySeed(t *testing.T) {
	s := parse(t, "all", 0)
	one, _ := mustPlan(t, s, 5, time.Minute, 1)
	again, _ := mustPlan(t, s, 5, time.Minute, 1)
	if diff := cmp.Diff(lines(one), lines(again)); diff != "" {
		t.Errorf("the same seed (-first +second):\n%s", diff)
	}
	other, _ := mustPlan(t, s, 5, time.Minute, 2)
	if cmp.Equal(lines(one), lines(other)) {
		t.Error("seeds 1 and 2 make the same plan")
	}
}

// In ten seconds: five faults or more, every family, two of them at the leader,
// lengths on both sides of an election time-out.
func TestPlanOfTenSeconds(t *testing.T) {
	s := parse(t, "partition,kill,pause", 0)
	var short, long int
	for seed := range uint64(200) {
		faults, skipped := mustPlan(t, s, 5, 10*time.Second, seed)
		got := map[*Family]int{}
		var leader int
		for _, f := range faults {
			got[f.family]++
			if f.shape.Leader {
				leader++
			}
			if length := f.end - f.begin; length < 800*time.Millisecond {
				short++
			} else if length > 1200*time.Millisecond {
				long++
			}
		}
		if len(faults) < 5 || len(got) != 3 || leader < 2 || len(skipped) > 0 {
			t.Fatalf("seed %d: %d at the leader, skipped %v:\n%s", seed, leader, skipped, strings.Join(lines(faults), "\n"))
		}
	}
	if short < 100 || long < 300 {
		t.Errorf("of 1400 faults %d are short, %d long", short, long)
	}
}

// Over a long run two of three faults aim at the leader, families are even, and
// every shape has its turn.
func TestPlanIsBalanced(t *testing.T) {
	faults, _ := mustPlan(t, parse(t, "partition,kill,pause", 0), 5, 9*time.Minute, 3)
	var leader int
	by := map[string]int{}
	for _, f := range faults {
		by[f.family.Name]++
		by[f.family.Name+":"+f.shape.Name]++
		by[f.mode]++
		if f.shape.Leader {
			leader++
		}
	}
	if len(faults) != 360 || leader != 240 || by["partition"] != 120 || by["kill"] != 120 || by["pause"] != 120 {
		t.Errorf("%d faults, %d at the leader, %v", len(faults), leader, by)
	}
	rounds := map[string]bool{}
	for round := range slices.Chunk(faults, 3) {
		rounds[round[0].family.Name+round[1].family.Name+round[2].family.Name] = true
	}
	if len(rounds) != 6 {
		t.Errorf("families take turns in %d orders", len(rounds))
	}
	if by["silent"] < 10 || by["reset"] < 10 {
		t.Errorf("%d silent, %d reset", by["silent"], by["reset"])
	}
	for _, family := range []*Family{&partition, &kill, &pause} {
		for _, s := range everything(family).shapes {
			if by[family.Name+":"+s.Name] == 0 {
				t.Errorf("no %s %s", family.Name, s.Name)
			}
		}
	}
}

func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Combine(Partitions(), Kills(), Pauses(), Latency(), Loss(), Flaky(), Slow(), Clocks())
		s.Interval = time.Duration(rapid.Int64Range(int64(10*time.Millisecond), int64(10*time.Second)).Draw(t, "interval"))
		s.Overlap = rapid.Bool().Draw(t, "overlap")
		duration := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "duration"))
		nodes := cluster.Names(rapid.IntRange(1, 64).Draw(t, "nodes"))
		faults, _, err := s.plan(nodes, duration, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		if err != nil {
			t.Fatal(err)
		}
		if duration > 0 && len(faults) != max(1, int(duration.Round(s.Interval)/s.Interval)) {
			t.Fatalf("%d faults every %v in %v", len(faults), s.Interval, duration)
		}
		var before fault
		for _, f := range faults {
			if f.begin < before.begin || f.begin < before.end && !s.Overlap || f.end < f.begin || f.end > duration {
				t.Fatalf("%s after %s in %v", lines([]fault{f}), lines([]fault{before}), duration)
			}
			sorted := slices.Clone(f.order)
			slices.Sort(sorted)
			all := slices.Clone(nodes)
			slices.Sort(all)
			if !slices.Equal(sorted, all) || f.shape.possible(nodes) != nil {
				t.Fatalf("%s among %v", lines([]fault{f}), nodes)
			}
			before = f
		}
	})
}

func TestPlanOverlaps(t *testing.T) {
	faults, _ := mustPlan(t, parse(t, "all,overlap", 0), 5, time.Minute, 1)
	var overlaps int
	for i := range faults[1:] {
		if faults[i+1].begin < faults[i].end {
			overlaps++
		}
	}
	if overlaps < len(faults)/2 {
		t.Errorf("%d of %d overlap", overlaps, len(faults))
	}
}

func TestPlanSaysWhatIsImpossible(t *testing.T) {
	faults, skipped := mustPlan(t, parse(t, "partition,rooms:n1,n2/n3,n9", 0), 3, time.Minute, 1)
	var reasons []string
	for _, e := range skipped {
		reasons = append(reasons, fmt.Sprintf("%s %s: %s", e.Type, e.Family, e.Reason))
	}
	want := []string{
		"skip partition: majorities-ring needs 4 nodes, and there are 3",
		"skip partition: rooms:n1,n2/n3,n9 names n9, which is not in the cluster",
	}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(faults) != 40 {
		t.Errorf("%d faults of the possible shapes", len(faults))
	}
}

// A nemesis that can do something does it, and tells of the rest; one that can do
// nothing is known before the trial.
func TestPossible(t *testing.T) {
	f := newFake(3)
	f.lacks = map[cluster.Fault]error{cluster.ClockFault: errors.New("no clock here"), cluster.SignalFault: errors.New("no signals here")}
	foreign, err := Replay([]history.Event{begins, injected(1, time.Second, "n7")})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		nemesis harness.Nemesis
		want    string
	}{
		{None(), ""},
		{parse(t, "clock,kill", 0), ""},
		{parse(t, "partition", 0), ""},
		{parse(t, "pause:leader@redis-server", 0), "no signals here"},
		{parse(t, "pause:leader@redis-server,pause", 0), ""},
		{parse(t, "clock", 0), "no clock here"},
		{parse(t, "rooms:n1,n2/n3,n9,clock", 0), "rooms:n1,n2/n3,n9 names n9, which is not in the cluster"},
		{parse(t, "rooms:n1,n2/n3,n9,rooms:n1,n2/n3", 0), ""},
		{foreign, "leader names n7, which is not in the cluster"},
	} {
		got := ""
		if err := test.nemesis.Possible(t.Context(), fakeWorld{f}, f.nodes); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.nemesis.Name(), got, test.want)
		}
	}
}

func TestPlanIsBounded(t *testing.T) {
	for _, s := range []Schedule{{Interval: time.Nanosecond}, {Interval: -time.Second}} {
		s := Combine(s, Kills())
		if _, _, err := s.plan(cluster.Names(3), time.Hour, rand.New(rand.NewPCG(1, 1))); err == nil {
			t.Errorf("interval %v was accepted", s.Interval)
		}
	}
}
