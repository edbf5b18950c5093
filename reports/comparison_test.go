package reports

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// compared is a comparison of systems with one run each.
func compared(entries ...Entry) Comparison {
	var all []Tried
	for _, e := range entries {
		all = append(all, Tried{Name: enter(e).name(), Runs: []Entry{e}})
	}
	return NewComparison("rashomon compare --seed 42", all)
}

// seeded is the entry under another seed, with figures that vary.
func seeded(e Entry, seed uint64) Entry {
	run := *e.Run
	run.Manifest.Seed = seed
	run.Dir += "-" + string('a'+rune(seed%26))
	e.Run = &run
	wiggle := int(seed%3) * 10
	during := &e.Result.Statistics.During
	during.OK -= wiggle
	during.PerSecond -= float64(wiggle)
	if e.Result.StaleReads.Certain > 0 {
		e.Result.StaleReads.Certain += wiggle
		e.Result.StaleReads.Possible += wiggle
	}
	return e
}

// fourSystems are fixtures in no good order: weak, sound, vacuous, never tried.
func fourSystems(seeds ...uint64) []Tried {
	stale, rest := staleRaft(), others()
	for _, e := range []*Entry{&stale, &rest[0]} {
		e.Result.Statistics.Reads, e.Result.Statistics.Writes = 1500, 700
		e.Result.Statistics.LeaderChanges = []statistics.LeaderChange{{Fault: 1, At: 3 * s, Took: 310 * ms}, {Fault: 2, At: 7 * s, Took: -1}}
		e.Result.Minority = counts.Sides{StaleReads: e.Result.StaleReads.Certain, LostCommits: e.Result.LostCommits.Certain}
	}
	stale.Result.Statistics.Minority = statistics.Service{Operations: 180, OK: 171}
	elsewhere := slices.Clone(stale.Run.Events)
	elsewhere[4].Nodes = []string{"n2"}
	stale.Run.Events = elsewhere
	all := []Tried{{Name: "raft:reads=local"}, {Name: "raft"}, {Name: "lww"}, {Name: "etcd", Untried: []Untried{{7, "no image"}}}}
	for _, seed := range seeds {
		for i, e := range []Entry{stale, rest[0], rest[1]} {
			all[i].Runs = append(all[i].Runs, seeded(e, seed))
		}
	}
	return all
}

func TestComparisonText(t *testing.T) {
	for name, seeds := range map[string][]uint64{"compare.txt": {7}, "compare-repeat.txt": {7, 8, 9}} {
		var b bytes.Buffer
		NewComparison("rashomon compare", fourSystems(seeds...)).Text(&b)
		for line := range strings.Lines(b.String()) {
			if strings.ContainsAny(line, "│┌└") && utf8.RuneCountInString(line) > 120 {
				t.Errorf("wider than a terminal: %s", line)
			}
		}
		golden(t, name, b.Bytes())
	}
}

// A vacuous run proves no less what it proves.
func TestComparisonVerdicts(t *testing.T) {
	s := System{Runs: []Judged{{Verdict: checker.Invalid, Vacuous: true}, {Verdict: checker.Valid, Vacuous: true}, {Verdict: checker.Invalid, Vacuous: true}}}
	if diff := cmp.Diff("INVALID, VACUOUS × 2\nVACUOUS × 1", verdicts(s)); diff != "" {
		t.Error(diff)
	}
}

func TestComparisonOrder(t *testing.T) {
	var names []string
	for _, system := range NewComparison("", fourSystems(7)).Systems {
		names = append(names, system.Name)
	}
	if diff := cmp.Diff([]string{"raft", "raft reads=local", "lww", "etcd"}, names); diff != "" {
		t.Error(diff)
	}
}

// What becomes of locks is no matter of a comparison of registers.
func TestComparisonClaim(t *testing.T) {
	systems := fourSystems(7)
	e := &systems[0].Runs[0]
	run := *e.Run
	run.Manifest.Claim = history.Claim{CAP: "CP", Expect: []string{string(anomaly.HeldTwice)}}
	e.Run = &run
	c := NewComparison("", systems)
	which := slices.IndexFunc(c.Systems, func(s System) bool { return s.shown.unclean.Run == e.Run })
	if !c.Systems[which].Claim.Linearizable() {
		t.Errorf("claim %+v", c.Systems[which].Claim)
	}
}

func TestComparisonSums(t *testing.T) {
	c := NewComparison("", fourSystems(7, 8, 9))
	local := c.Systems[1]
	if local.StaleReads.Count != 12*3+30 || local.StaleReads.Possible != 14*3+30 || local.StaleReads.Of != 4500 {
		t.Errorf("%+v", local.StaleReads)
	}
	if i := local.StaleReads.Interval; i == nil || i.Low >= 66./4500 || i.High <= 72./4500 || i.High > 0.1 {
		t.Errorf("interval %+v", i)
	}
	if local.NewLeader.Mean != 0.31 || local.LeaderChanges.Count != 3 || local.LeaderChanges.Of != 6 {
		t.Errorf("%+v, %+v", local.NewLeader, local.LeaderChanges)
	}
	if got := local.MinorityWrong; got != (counts.Sides{StaleReads: 36, LostCommits: 3}) {
		t.Errorf("%+v", got)
	}
	if got := local.PerSecondDuring; math.Abs(got.Mean-106.9) > 1e-9 || got.Interval == nil || got.Low >= got.Mean || got.High <= got.Mean {
		t.Errorf("%+v %+v", got, got.Interval)
	}
	one := NewComparison("", fourSystems(7)).Systems[1]
	for _, i := range []*Interval{one.StaleReads.Interval, one.AsClaimed.Interval, one.During.Interval, one.Recovery.Interval} {
		if i != nil {
			t.Errorf("one run has the interval %+v", *i)
		}
	}
}

// variants are runs of one system, each changed.
func variants(changes ...func(*checker.Result)) System {
	var runs []Entry
	for _, change := range changes {
		e := staleRaft()
		change(&e.Result)
		runs = append(runs, e)
	}
	return NewComparison("", []Tried{{Runs: runs}}).Systems[0]
}

func TestComparisonTellsRecoveriesNotSeen(t *testing.T) {
	took := func(d time.Duration) func(*checker.Result) {
		return func(r *checker.Result) { r.Statistics.Recovery = d }
	}
	unharmed := func(r *checker.Result) { r.Statistics.Faults, r.Statistics.Recovery = nil, -1 }
	for _, test := range []struct {
		system System
		want   string
	}{
		{variants(took(1200*ms), took(-1), took(-1), unharmed), "1.20 s\n1 of 3 seen"},
		{variants(took(-1)), "not seen"},
		{variants(unharmed), "–"},
	} {
		if got := cell(t, test.system, "recovery"); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// A run that answered nothing during faults was slow, and not without a rate.
func TestComparisonCountsRunsThatAnsweredNothing(t *testing.T) {
	during := func(s statistics.Service) func(*checker.Result) {
		return func(r *checker.Result) { r.Statistics.During = s }
	}
	fast := during(statistics.Service{Operations: 600, OK: 300, PerSecond: 100, P50: 2 * ms, P99: 4 * ms})
	system := variants(fast, fast, during(statistics.Service{Operations: 600}), during(statistics.Service{}))
	if m := system.PerSecondDuring; m.Runs != 3 || math.Abs(m.Mean-200./3) > 1e-9 {
		t.Errorf("%+v", m)
	}
	if got, want := cell(t, system, "p50 / p99 during"), "2.0 ms / 4.0 ms"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a check did not come to may be anomalies without end.
func TestComparisonOfUndecidedRunsHasNoUpperBound(t *testing.T) {
	with := func(verdict checker.Verdict, undecided int, stale counts.Bounds) func(*checker.Result) {
		return func(r *checker.Result) {
			r.Verdict, r.KeysUnknown, r.StaleReads, r.Statistics.Reads = verdict, undecided, stale, 2500
		}
	}
	none := with(checker.Unknown, 3, counts.Bounds{})
	some := with(checker.Invalid, 0, counts.Bounds{Certain: 50, Possible: 70})
	most := with(checker.Invalid, 1, counts.Bounds{Certain: 50, Possible: 70})
	for _, test := range []struct {
		system System
		want   string
	}{
		{variants(none, none), "≥ 0 of 5,000"},
		{variants(some, most), "≥ 2.0 %\n≥ 100 of 5,000"},
		{variants(some, none), "≥ 1.0 %\n≥ 50 of 5,000"},
	} {
		if got := cell(t, test.system, "stale reads, of reads"); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
		if s := test.system.StaleReads; s.Interval != nil || s.Possible != 0 {
			t.Errorf("an upper bound: %+v", s)
		}
		c := Comparison{Systems: []System{test.system}}
		if _, err := newComparisonPage("page.html", c); err != nil {
			t.Error(err)
		}
	}
}

// What is not counted is neither 0 nor, with undecided keys, 0 at least.
func TestWhatAModelDoesNotCountIsUnmeasured(t *testing.T) {
	for _, test := range []struct {
		model             string
		stale, lost, side string
	}{
		{checker.Register.String(), "2", "3", "0, 0"},
		{checker.Set.String(), "2", "3", "0, 0"},
		{checker.Counter.String(), "2", "3", "–"},
		{checker.Queue.String(), "–", "3", "–"},
		{checker.Bank(3, 10).String(), "2", "–", "–"},
		{checker.Lock.String(), "–", "–", "–"},
		{checker.IDs.String(), "–", "–", "–"},
	} {
		e := staleRaft()
		e.Result.Model, e.Result.Statistics.Reads, e.Result.Statistics.Writes = test.model, 20, 30
		e.Result.StaleReads, e.Result.LostCommits = counts.Bounds{Certain: 2, Possible: 2}, counts.Bounds{Certain: 3, Possible: 3}
		shown := map[string]string{}
		for _, row := range rows(enter(e)) {
			shown[row[0]] = row[1]
		}
		side := strings.NewReplacer(" stale reads", "", " lost commits", "").Replace(shown["wrong on a minority side"])
		if diff := cmp.Diff([]string{test.stale, test.lost, test.side}, []string{shown["stale reads"], shown["lost commits"], side}); diff != "" {
			t.Errorf("%s: %s", test.model, diff)
		}

		e.Result.KeysUnknown = 1
		system := compared(e).Systems[0]
		for head, want := range map[string]string{"stale reads, of reads": test.stale, "lost commits, of writes": test.lost, "on minority side: stale, lost": test.side} {
			if got := cell(t, system, head); (got == unmeasured) != (want == unmeasured) {
				t.Errorf("%s: %s is %q", test.model, head, got)
			}
		}
	}
}

// cell is what the tables show of a system under a head.
func cell(t *testing.T, s System, head string) string {
	t.Helper()
	for _, table := range tables(Comparison{Systems: []System{s}}) {
		if i := slices.Index(table.header, head); i > 0 {
			return table.rows[0][i]
		}
	}
	t.Fatalf("no column %q", head)
	return ""
}

func TestScheduleTellsWhoseRoleMadeItDiffer(t *testing.T) {
	c := NewComparison("", fourSystems(7))
	if len(c.Schedules) != 1 {
		t.Fatalf("%d schedules", len(c.Schedules))
	}
	schedule := c.Schedules[0]
	want := "seed 7: 4 faults, planned the same for every system; they hit other nodes in some: 2; skipped in some: 4"
	if got := schedule.line(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if diff := cmp.Diff([]string{"n4", "n2", "n4", "–"}, schedule.Faults[1].Became); diff != "" {
		t.Error(diff)
	}

	leaderless := fourSystems(7)
	for _, system := range []int{0, 2} {
		events := slices.Clone(leaderless[system].Runs[0].Run.Events)
		for i := range events {
			events[i].NoLeader = strings.HasPrefix(events[i].Shape, "leader")
			events[i].Shape = strings.Replace(events[i].Shape, "leader", "random", 1)
		}
		leaderless[system].Runs[0].Run.Events = events
	}
	schedule = NewComparison("", leaderless).Schedules[0]
	names := enter(leaderless[0].Runs[0]).name() + ", " + enter(leaderless[2].Runs[0]).name()
	want = "seed 7: 4 faults, planned the same for every system; they hit other nodes in some: 2; random nodes in place of a leader in " + names + ", which have none; skipped in some: 4"
	if got := schedule.line(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := schedule.Faults[1].Fault, c.Schedules[0].Faults[1].Fault; got != want {
		t.Errorf("fault 2 is %q, and not %q", got, want)
	}

	other := fourSystems(7)
	events := slices.Clone(other[1].Runs[0].Run.Events)
	events[5].Shape = "leader"
	other[1].Runs[0].Run.Events = events
	schedule = NewComparison("", other).Schedules[0]
	if schedule.Differs != 3 || !strings.Contains(schedule.line(), "NOT the same") {
		t.Errorf("another plan goes unnoticed: %s", schedule.line())
	}
}

func TestWriteComparison(t *testing.T) {
	dir := t.TempDir()
	all := fourSystems(7, 8)
	for i := range all {
		for j := range all[i].Runs {
			run := writeRun(t, all[i].Runs[j])
			all[i].Runs[j].Run.Dir = run
			all[i].Runs[j].Run.History = history.History{} // it is read again
		}
	}
	c := NewComparison("rashomon compare", all)
	if err := WriteComparison(dir, c); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, history.ReportFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"what each system refused", "4 systems compared", "no image", "2 of 2", "on the same key around them", ">seed 8<"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("%q is missing", want)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, ComparisonFile))
	if err != nil {
		t.Fatal(err)
	}
	var read Comparison
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if read.Version != comparisonVersion || len(read.Systems) != 4 || read.Systems[1].StaleReads.Interval == nil || read.Systems[1].StaleReads.Count != c.Systems[1].StaleReads.Count {
		t.Errorf("%s", text)
	}
}

// However many systems there are, each is a row, and the page stays bounded.
func TestManySystems(t *testing.T) {
	e := staleRaft()
	c := compared(slices.Repeat([]Entry{e}, 100)...)
	var b bytes.Buffer
	c.Text(&b)
	if longest := slices.MaxFunc(strings.Split(b.String(), "\n"), func(a, b string) int { return len([]rune(a)) - len([]rune(b)) }); strings.ContainsAny(longest, "│┌└") && utf8.RuneCountInString(longest) > 120 {
		t.Errorf("wider than a terminal: %s", longest)
	}
	if _, err := tradeChart(c); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(100, len(tables(c)[0].rows)); diff != "" {
		t.Error(diff)
	}
}

func TestNothingCompared(t *testing.T) {
	c := NewComparison("rashomon compare", []Tried{{Name: "etcd", Untried: []Untried{{1, "no engine"}}}})
	var b bytes.Buffer
	c.Text(&b)
	if !strings.Contains(b.String(), "etcd: not tried with seed 1: no engine") {
		t.Errorf("%s", &b)
	}
	if err := WriteComparison(t.TempDir(), c); err != nil {
		t.Error(err)
	}
}
