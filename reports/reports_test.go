package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got; go test ./reports -update accepts it):\n%s", path, diff)
	}
}

func TestText(t *testing.T) {
	stale, rest := staleRaft(), others()
	for name, entry := range map[string]Entry{
		"invalid.txt": stale, "valid.txt": rest[0], "vacuous.txt": rest[1], "unknown.txt": rest[2],
	} {
		var b bytes.Buffer
		Text(&b, entry.Run, entry.Result)
		golden(t, name, b.Bytes())
	}
}

// Each of several named verdicts is told, and which of them a violation is of: as text, on
// the page and in a comparison.
func TestNamedVerdicts(t *testing.T) {
	entry := staleRaft()
	entry.Result.Parts = []checker.Part{
		{Name: "linearizable", Verdict: checker.Valid},
		{Name: "no lost <append>", Verdict: checker.Invalid},
		{Name: "bounded", Verdict: checker.Unknown, Reason: "out of time"},
	}
	entry.Result.Violations[0].Part = "no lost <append>"
	var text, compared bytes.Buffer
	Text(&text, entry.Run, entry.Result)
	p, err := newPage(enter(entry))
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, p); err != nil {
		t.Fatal(err)
	}
	other := staleRaft()
	other.Result.Parts = []checker.Part{{Name: "no lost <append>", Verdict: checker.Valid}}
	NewComparison("rashomon compare", []Tried{{Name: "raft", Runs: []Entry{entry, other}}, {Name: "etcd", Runs: others()[:1]}}).Text(&compared)
	for where, c := range map[string]struct {
		in   string
		want []string
	}{
		"text":       {text.String(), []string{"judged: linearizable        │ valid", "judged: no lost <append>    │ invalid", "judged: bounded             │ unknown: out of time", "\nstale read (no lost <append>): p0 read"}},
		"page":       {page.String(), []string{"<dt>judged: no lost &lt;append&gt;</dt><dd>invalid</dd>", "<b>stale read (no lost &lt;append&gt;)</b>"}},
		"comparison": {compared.String(), []string{"What each part of the check says", "no lost <append>", "1 × invalid, 1 × valid"}},
	} {
		for _, want := range c.want {
			if !strings.Contains(c.in, want) {
				t.Errorf("%s lacks %q:\n%s", where, want, c.in)
			}
		}
	}
}

func TestTextSaysHowManyViolationsItLeavesOut(t *testing.T) {
	entry := staleRaft()
	entry.Result.Violations = slices.Repeat(entry.Result.Violations[:1], 12)
	var b bytes.Buffer
	Text(&b, entry.Run, entry.Result)
	if want := "… and 7 more violations"; !strings.Contains(b.String(), want) {
		t.Errorf("%q is missing in\n%s", want, &b)
	}
}

func TestVerdictLine(t *testing.T) {
	admits := []string{"stale read"}
	for _, test := range []struct {
		want   string
		expect []string
		result checker.Result
	}{
		{"raft: valid, as claimed", nil, checker.Result{Verdict: checker.Valid, AsClaimed: checker.AsClaimed}},
		{"raft: valid, as claimed (expects stale reads, and showed none)", admits, checker.Result{Verdict: checker.Valid, AsClaimed: checker.AsClaimed}},
		{"raft: valid, as claimed", []string{"lock held twice"}, checker.Result{Model: "register", Verdict: checker.Valid, AsClaimed: checker.AsClaimed}},
		{"raft: INVALID, as claimed (expects stale reads)", admits, checker.Result{Verdict: checker.Invalid, AsClaimed: checker.AsClaimed}},
		{"raft: INVALID, not as claimed (expects stale reads)", admits, checker.Result{Verdict: checker.Invalid, AsClaimed: checker.NotAsClaimed}},
		{"raft: INVALID, not as claimed (claims linearizability)", nil, checker.Result{Verdict: checker.Invalid, AsClaimed: checker.NotAsClaimed}},
		{"raft: unknown: out of time", nil, checker.Result{Verdict: checker.Unknown, AsClaimed: checker.Undecided, Reason: "out of time"}},
		{"raft: VACUOUS, no pass: nothing happened", nil, checker.Result{Verdict: checker.Valid, AsClaimed: checker.Undecided, Vacuous: "nothing happened"}},
		{"raft: undecided: key k2", nil, checker.Result{Verdict: checker.Valid, AsClaimed: checker.Undecided, Reason: "key k2"}},
		{"raft: INVALID, as claimed (expects stale reads): key k2", admits, checker.Result{Verdict: checker.Invalid, AsClaimed: checker.AsClaimed, Reason: "key k2"}},
		{"raft: unknown: the run was interrupted; cut off after 17 bytes", nil, checker.Result{Verdict: checker.Unknown, AsClaimed: checker.Undecided, Reason: "the run was interrupted", Torn: "cut off after 17 bytes"}},
		{"raft: INVALID, not as claimed but VACUOUS (claims linearizability): little happened", nil, checker.Result{Verdict: checker.Invalid, AsClaimed: checker.NotAsClaimed, Vacuous: "little happened"}},
	} {
		run := &history.Run{Manifest: history.Manifest{Target: "raft", Claim: history.Claim{CAP: "CP", Expect: test.expect}}}
		if got := verdictLine(enter(Entry{run, test.result})); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// Why something is unknown is told once, whatever else there is to tell.
func TestReasonIsToldOnce(t *testing.T) {
	const reason = "key \"k2\": out of time"
	for _, test := range []struct {
		verdict checker.Verdict
		vacuous string
	}{{checker.Unknown, ""}, {checker.Unknown, "little happened"}, {checker.Invalid, ""}, {checker.Invalid, "little happened"}} {
		e := staleRaft()
		e.Result.Verdict, e.Result.Vacuous, e.Result.Reason, e.Result.KeysUnknown = test.verdict, test.vacuous, reason, 1
		var b bytes.Buffer
		Text(&b, e.Run, e.Result)
		if told := strings.Count(b.String(), reason); told != 1 {
			t.Errorf("%s, vacuous %q: told %d times in\n%s", test.verdict, test.vacuous, told, &b)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{percent(-1), "–"}, {percent(0), "0 %"}, {percent(1), "100 %"},
		{percent(0.99999), "99.9 %"}, {percent(0.00001), "< 0.1 %"}, {percent(0.29), "29.0 %"},
		{duration(-1), "–"}, {duration(850 * time.Microsecond), "850 µs"}, {duration(2100 * time.Microsecond), "2.1 ms"},
		{duration(187 * ms), "187 ms"}, {duration(1234 * ms), "1.23 s"}, {duration(61 * s), "61.0 s"}, {duration(125 * s), "2 min 5 s"},
		{count(7), "7"}, {count(1234), "1,234"}, {count(1234567), "1,234,567"},
		{counted(1, "key"), "1 key"}, {counted(1000, "key"), "1,000 keys"},
		{Clean("n1 é →", 10), "n1 é →"}, {Clean("a\x1b[31m\n\u202e\xff", 100), `a\x1b[31m\n\u202e\xff`}, {Clean("12345", 3), "123…"},
		{atLeast(checker.Result{Verdict: checker.Invalid}, counts.Bounds{Certain: 7, Possible: 1009}), "7–1,009"},
		{atLeast(checker.Result{Verdict: checker.Valid}, counts.Bounds{}), "0"},
		{atLeast(checker.Result{Verdict: checker.Invalid, KeysUnknown: 1}, counts.Bounds{Certain: 7, Possible: 9}), "≥ 7"},
		{tally(nil), "none"}, {tally(map[string]int{"pause": 0, "kill": 2}), "kill 2"},
		{call(history.Operation{Kind: history.Read, Key: "k", Outcome: history.OK}, nil), "read(k) = nothing"},
		{call(history.Operation{Kind: history.Read, Key: "k"}, nil), "read(k)"},
		{call(history.Operation{Kind: history.CompareAndSet, Key: "k", Input: history.Ints(1, 2), Output: history.Ints(3), Outcome: history.Fail}, nil), "cas(k, 1, 2) saw 3"},
		{call(history.Operation{Kind: history.ReadAll, Outcome: history.OK, Output: history.Ints(slices.Repeat([]int64{1}, 1010)...)}, nil), "read-all() = {1, 1, 1, 1, 1, 1, 1, 1, … 1,002 more}"},
		{call(history.Operation{Kind: history.ReadAll, Outcome: history.OK, Output: history.Ints(5, 9)}, []int64{7, 5}), "read-all() with 5 without 7"},
		{call(history.Operation{Kind: history.ReadAll, Outcome: history.OK}, []int64{7}), "read-all() without 7"},
		{interval(history.Operation{Invoke: s, Complete: 2 * s}), "1.000000 s – ?"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

// However many leader changes there were, the slowest and those not seen are told.
func TestNewLeader(t *testing.T) {
	var changes []statistics.LeaderChange
	for i := range 10 {
		changes = append(changes, statistics.LeaderChange{Took: time.Duration(10-i) * 100 * ms})
	}
	lost := statistics.LeaderChange{Took: -1}
	for want, some := range map[string][]statistics.LeaderChange{
		"–":               nil,
		"not seen 1 time": {lost},
		"600 ms, 700 ms, 1.00 s, not seen 1 time":                                          {changes[0], changes[3], lost, changes[4]},
		"100 ms, 200 ms, 300 ms, 400 ms, 500 ms, 600 ms, 700 ms, 800 ms, not seen 2 times": append(slices.Clone(changes[2:]), lost, lost),
		"10 times: median 600 ms, longest 1.00 s":                                          changes,
		"10 times: median 600 ms, longest 1.00 s, not seen 2 times":                        append(slices.Clone(changes), lost, lost),
	} {
		if got := newLeader(some); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// hostile is what a system under test, or a forged run directory, may say.
const hostile = `"><img src=x onerror="document.title='owned'"><script>document.title='owned';alert(1)</script>{{.}}` +
	"\x1b[2J\x1b]0;owned\x07\r\n\t\u202e\u2028\x00\xff\xfe"

// hostileEntry has a hostile text in every place that holds text.
func hostileEntry(text string) Entry {
	e := staleRaft()
	m := &e.Run.Manifest
	for _, field := range []*string{
		&e.Run.Dir, &m.Target, &m.Options, &m.Workload, &m.Nemesis, &m.World, &m.Claim.CAP, &m.Claim.Expect[0], &m.Command,
		&e.Result.Reason, &e.Result.Vacuous, &e.Result.Torn, (*string)(&e.Result.Decisions[0].Engine), &e.Result.Decisions[0].Why, &e.Result.Model, (*string)(&e.Result.AsClaimed), (*string)(&e.Result.Verdict),
	} {
		*field = text
	}
	spoil := func(operations []history.Operation) {
		for i := range operations {
			o := &operations[i]
			o.Key, o.Node, o.Error, o.Kind = text, text, text, history.Kind(text)
		}
	}
	spoil(e.Run.History.Operations)
	for i := range e.Result.Violations {
		v := &e.Result.Violations[i]
		v.Key, v.Sentence, v.Anomaly = text, text, anomaly.Name(text)
		spoil(v.Witness)
	}
	for i := range e.Run.Events {
		event := &e.Run.Events[i]
		event.Family, event.Shape, event.Mode, event.Reason = text, text, text, text
		event.Nodes, event.Links = []string{text, text}, []string{text, text}
		if i > 3 {
			event.Type, event.Phase = history.EventType(text), history.Phase(text)
		}
	}
	e.Run.Events[3].Type, e.Run.Events[3].Detail = history.Crash, text
	e.Result.Violations = append(e.Result.Violations, anomaly.Violation{Anomaly: anomaly.Name(text), Sentence: text})
	e.Result.Warnings = slices.Repeat([]string{text}, 40)
	s := &e.Result.Statistics
	s.Troubles = slices.Repeat([]string{text}, 40)
	s.Errors = slices.Repeat([]statistics.ErrorClass{{Kind: history.Kind(text), Count: 1, Example: text, Node: text}}, 40)
	s.Faults, s.Skipped = map[string]int{text: 3}, map[string]int{text: 3}
	s.Kinds, s.Nodes = map[history.Kind]statistics.Service{history.Kind(text): s.During}, map[string]statistics.Service{text: s.During}
	return e
}

func TestHostileTextStaysText(t *testing.T) {
	for _, text := range []string{hostile, strings.Repeat(hostile, 1000), strings.Repeat("é", 100_000)} {
		e := hostileEntry(text)
		var b bytes.Buffer
		Text(&b, e.Run, e.Result)
		five := compared(e, e, e, e, e)
		five.Text(&b)
		if b.Len() > 150_000 {
			t.Errorf("%d bytes of text", b.Len())
		}
		if i := bytes.IndexFunc(b.Bytes(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 || !utf8.Valid(b.Bytes()) {
			t.Errorf("a control character got through: %q", b.Bytes()[max(i-20, 0):][:40])
		}
		for _, entries := range [][]Entry{{e}, {e, e}} {
			path := filepath.Join(t.TempDir(), "page.html")
			writePage(t, path, entries)
			page, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, markup := range []string{"<img", "<script", "<iframe", "javascript:", "\x1b", "\u202e", "\x00"} {
				if bytes.Contains(page, []byte(markup)) {
					t.Errorf("%q got into the page", markup)
				}
			}
			if !utf8.Valid(page) {
				t.Error("the page is not UTF-8")
			}
		}
	}
}

// TestPageIsBounded gives everything more than a page may show.
func TestPageIsBounded(t *testing.T) {
	e := hugeEntry(100_000, `k"<&'>`)
	path := filepath.Join(t.TempDir(), "page.html")
	writePage(t, path, []Entry{e})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > 3<<20 {
		t.Errorf("%d bytes, more than 3 MB", info.Size())
	}
}

// writePage makes the page of a run, or of a comparison if there are several.
func writePage(t *testing.T, path string, entries []Entry) {
	t.Helper()
	p, err := newPage(enter(entries[0]))
	if len(entries) > 1 {
		p, err = newComparisonPage(path, compared(entries...))
	}
	if err == nil {
		err = p.write(path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func hugeEntry(operations int, key string) Entry {
	e := staleRaft()
	template := history.Operation{
		Node: "n1", Kind: history.Write, Key: key, Input: history.Ints(-1 << 63), Error: strings.Repeat(key, 10), Outcome: history.Fail,
	}
	e.Run.History.Operations = make([]history.Operation, operations)
	for i := range e.Run.History.Operations {
		o := &e.Run.History.Operations[i]
		*o = template
		o.Process, o.Invoke, o.Complete = i, time.Duration(i)*ms, time.Duration(i+1)*ms
	}
	witness := slices.Clone(e.Run.History.Operations[:8])
	for i := range witness {
		witness[i].Outcome = history.OK
		witness[i].Process, witness[i].Complete = -1-i, time.Duration(operations)*ms
	}
	e.Result.Violations = slices.Repeat([]anomaly.Violation{{
		Anomaly: anomaly.StaleRead, Key: key, Sentence: strings.Repeat(key, 100), Witness: witness,
	}}, checker.MaxViolations)
	event := history.Event{Type: history.Inject, Family: "partition", Shape: key, Nodes: slices.Repeat([]string{key}, 64), Links: slices.Repeat([]string{"n1>n2"}, 4000), Reason: key}
	e.Run.Events = nil
	for i := range 10_000 {
		event.Time, event.Fault = time.Duration(i)*ms, i
		e.Run.Events = append(e.Run.Events, event)
	}
	e.Result.Statistics.Series = nil
	for i := range 50_000 {
		e.Result.Statistics.Series = append(e.Result.Statistics.Series, statistics.Slice{Start: time.Duration(i) * s, OK: i, P50: time.Duration(i) * ms, P99: time.Duration(i%17) * s, Max: time.Duration(i%97) * s})
	}
	e.Result.Staleness = &counts.Staleness{Ages: slices.Repeat([]int{math.MinInt, 3, math.MaxInt}, 1000)}
	for i := range 1000 {
		e.Result.Statistics.Nodes[fmt.Sprint("n", i)] = statistics.Service{Operations: i}
	}
	return e
}

func writeRun(t *testing.T, e Entry) string {
	t.Helper()
	dir := t.TempDir()
	var events, operations bytes.Buffer
	for _, event := range e.Run.Events {
		line, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		events.Write(append(line, '\n'))
	}
	err := errors.Join(
		history.WriteManifest(dir, e.Run.Manifest),
		history.WriteJSON(filepath.Join(dir, history.ResultFile), e.Result),
		history.WriteHistory(&operations, e.Run.History),
		os.WriteFile(filepath.Join(dir, history.HistoryFile), operations.Bytes(), 0o644),
		os.WriteFile(filepath.Join(dir, history.NemesisFile), events.Bytes(), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWrite(t *testing.T) {
	dir := writeRun(t, staleRaft())
	for range 2 { // the second time over the first report
		if err := Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, history.ReportFile))
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(page, []byte(`class="chart"`)); got != 2 {
		t.Errorf("%d charts on the page, want that over time and that of stale reads", got)
	}
	if got := bytes.Count(page, []byte(`class="violation"`)); got != 2 {
		t.Errorf("%d violations on the page, want 2", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".report-*")); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
}

func TestWriteRefusesWhatIsNoResult(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"empty":       {"", "not a result"},
		"cut off":     {`{"version":1,"verdict":"val`, "not a result"},
		"no verdict":  {`{}`, `verdict "" is none of`},
		"odd verdict": {"{\"verdict\":\"\\u001b[31mfine\"}", `verdict "\\x1b[31mfine" is none of`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeRun(t, staleRaft())
			if err := Write(dir); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(filepath.Join(dir, history.ReportFile))
			if err := os.WriteFile(filepath.Join(dir, history.ResultFile), []byte(test.content), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := Write(dir); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v, want one with %q", err, test.want)
			}
			if after, _ := os.ReadFile(filepath.Join(dir, history.ReportFile)); !bytes.Equal(before, after) {
				t.Error("the old report has changed")
			}
		})
	}
	dir := writeRun(t, staleRaft())
	if err := os.Remove(filepath.Join(dir, history.ResultFile)); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got the error %v, want that there is no result", err)
	}
}

func TestLink(t *testing.T) {
	for _, test := range []struct{ path, dir, want string }{
		{"runs/compare.html", "runs/raft-1", "./raft-1/report.html"},
		{"compare.html", "", ""},
		{"runs/compare.html", "runs/a:b?c#d", "./a:b%3Fc%23d/report.html"},
	} {
		if got := link(test.path, test.dir); got != test.want {
			t.Errorf("link(%q, %q) = %q, want %q", test.path, test.dir, got, test.want)
		}
	}
}

func TestFaults(t *testing.T) {
	events := []history.Event{
		{Time: 1, Type: history.Inject, Fault: 1, Family: "kill"},
		{Time: 2, Type: history.Inject, Fault: 2, Family: "volcano"},
		{Time: 3, Type: history.Skip, Fault: 3, Family: "pause"},
		{Time: 4, Type: history.Heal, Fault: 1, Family: "kill"},
		{Time: 5, Type: history.Heal, Fault: 9, Family: "kill"},
	}
	want := []fault{{"kill", "kill", "kill", 1, 4}, {"other", "volcano", "volcano", 2, 99}}
	if diff := cmp.Diff(want, faults(events, 99)); diff != "" {
		t.Error(diff)
	}
}

// Families of a user's own have lanes of their own, up to a limit, and are told by name.
func TestOwnFamiliesAreDrawn(t *testing.T) {
	e := staleRaft()
	for i := range maxLanes + 2 {
		e.Run.Events = append(e.Run.Events, history.Event{
			Time: 7 * s, Type: history.Inject, Fault: 100 + i, Family: fmt.Sprintf("flush%d", i), Shape: "leader", Nodes: []string{"n1"}, Leader: "n1", Own: &history.Family{Did: "been flushed"}})
	}
	drawn := faults(e.Run.Events, 20*s)
	want := []string{"partition", "kill", "pause", "other", "flush0", "flush1", "flush2", "flush3", "flush4", "flush5"}
	if diff := cmp.Diff(want, lanes(drawn)); diff != "" {
		t.Error(diff)
	}
	page := pageOf(t, e)
	for _, text := range []string{">flush5</text>", ">other</text>", `<tr class="other"><td>7.000 s</td><td>inject</td><td>#107</td><td>flush7 leader n1</td>`} {
		if !strings.Contains(page, text) {
			t.Errorf("%q is missing on the page", text)
		}
	}
}

// What is in force when there are more faults than are drawn is drawn until it was
// healed.
func TestMoreFaultsThanAreDrawn(t *testing.T) {
	var events []history.Event
	for i := range maxFaults + 1 {
		events = append(events, history.Event{Time: time.Duration(i), Type: history.Inject, Fault: i + 1})
	}
	events = append(events, history.Event{Time: 1000, Type: history.Heal, Fault: 1})
	if drawn := faults(events, 9999); len(drawn) != maxFaults || drawn[0].To != 1000 {
		t.Errorf("%d faults, the first until %d", len(drawn), drawn[0].To)
	}
}

func TestThinKeepsCountsAndExtremes(t *testing.T) {
	var series []statistics.Slice
	for i := range 10 {
		series = append(series, statistics.Slice{Start: time.Duration(i), OK: 1, Failed: 2, Unknown: 3, P50: time.Duration(i), P99: time.Duration(20 - i), Max: 5})
	}
	got, step := thin(series, 1, 3)
	want := []statistics.Slice{
		{Start: 0, OK: 4, Failed: 8, Unknown: 12, P50: 3, P99: 20, Max: 5},
		{Start: 4, OK: 4, Failed: 8, Unknown: 12, P50: 7, P99: 16, Max: 5},
		{Start: 8, OK: 2, Failed: 4, Unknown: 6, P50: 9, P99: 12, Max: 5},
	}
	if diff := cmp.Diff(want, got); diff != "" || step != 4 {
		t.Errorf("step %d\n%s", step, diff)
	}
}

func TestNeighbours(t *testing.T) {
	e := staleRaft()
	violation := e.Result.Violations[0]
	planted := violation.Witness[0]
	planted.Process, planted.Invoke = 99, planted.Invoke-1
	other := planted
	other.Key = "k2"
	operations := []history.Operation{other, planted, violation.Witness[0]}
	for i := range 10_000 {
		far := planted
		far.Process, far.Invoke, far.Complete = 1000+i, 3300*ms+time.Duration(i), 3300*ms+time.Duration(i)
		operations = append(operations, far)
	}
	near, total := neighbours(violation.Key, violation.Witness, operations)
	if len(near) != maxNeighbours || total != 10_001 {
		t.Fatalf("%d of %d, want %d of 10,001", len(near), total, maxNeighbours)
	}
	if diff := cmp.Diff(planted, near[0]); diff != "" {
		t.Errorf("the nearest is missing: %s", diff)
	}
	if !slices.IsSortedFunc(near, func(a, b history.Operation) int { return int(a.Invoke - b.Invoke) }) {
		t.Error("not ordered by Invoke")
	}
}

// TestScaleKeepsOrder is the promise of the timeline: what came first is left
// of what came later.
func TestScaleKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		instants := rapid.Int64Range(0, int64(time.Hour))
		var witness []history.Operation
		for range rapid.IntRange(1, 4).Draw(t, "operations") {
			from := instants.Draw(t, "invoke")
			witness = append(witness, history.Operation{Invoke: time.Duration(from), Complete: time.Duration(from + instants.Draw(t, "took"))})
		}
		scale := newScale(witness)
		a := rapid.SampledFrom(witness).Draw(t, "a").Invoke
		b := rapid.SampledFrom(witness).Draw(t, "b").Complete
		if apart := scale.x(b) - scale.x(a); a < b && apart < 10 || a > b && apart > -10 {
			t.Errorf("%d and %d are %g pixels apart", a, b, apart)
		}
		between := time.Duration(rapid.Int64Range(int64(min(a, b)), int64(max(a, b))).Draw(t, "between"))
		if x := scale.x(between); x < scale.x(min(a, b)) || x > scale.x(max(a, b)) {
			t.Errorf("%d is not between %d and %d", between, a, b)
		}
		if left, right := scale.x(-1<<62), scale.x(1<<62); left < laneLabels || right > timelineRight+0.01 {
			t.Errorf("from %g to %g, outside of the lanes", left, right)
		}
	})
}

func FuzzReport(f *testing.F) {
	e := staleRaft()
	result, err := json.Marshal(e.Result)
	if err != nil {
		f.Fatal(err)
	}
	events, err := json.Marshal(e.Run.Events)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(result, events)
	f.Add([]byte(`{"statistics":{"series_step_ns":-1,"series":[{"start_ns":-9223372036854775808,"ok":-1,"max_ns":9223372036854775807}]}}`), []byte(`[]`))
	f.Add([]byte(`{"violations":[{"witness":[{"invoke_ns":-9223372036854775808,"complete_ns":9223372036854775807}]}]}`), []byte(`[{"time_ns":-5,"type":"inject"}]`))
	f.Fuzz(func(t *testing.T, result, events []byte) {
		e := Entry{Run: &history.Run{History: e.Run.History}}
		if json.Unmarshal(result, &e.Result) != nil || json.Unmarshal(events, &e.Run.Events) != nil {
			t.Skip()
		}
		var b bytes.Buffer
		Text(&b, e.Run, e.Result)
		if i := strings.IndexFunc(b.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("a control character got through: %q", b.String()[i:][:1])
		}
		c := compared(e, e)
		c.Text(&b)
		p, err := newPage(enter(e))
		if err != nil {
			t.Fatal(err)
		}
		several, err := newComparisonPage("page.html", c)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []page{p, several} {
			b.Reset()
			if err := pageTemplate.Execute(&b, p); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), "NaN") && !strings.Contains(string(result)+string(events), "NaN") {
				t.Error("a coordinate is no number")
			}
		}
	})
}

func TestDescribe(t *testing.T) {
	for want, event := range map[string]history.Event{
		"partition one n1 (reset)":             {Family: "partition", Shape: "one", Nodes: []string{"n1"}, Mode: "reset"},
		"partition one n1 (reset, by nft)":     {Family: "partition", Shape: "one", Nodes: []string{"n1"}, Mode: "reset", Detail: "by nft"},
		"latency all (50ms ± 20ms by nfqueue)": {Family: "latency", Shape: "all", Detail: "50ms ± 20ms by nfqueue"},
		"clock leader n1 (jump, 3.2s behind)":  {Family: "clock", Shape: "leader", Nodes: []string{"n1"}, Mode: "jump", Detail: "3.2s behind"},
		"partition rooms:n1/n2 n1 (n2 led)":    {Family: "partition", Shape: "rooms:n1/n2", Nodes: []string{"n1"}, Leader: "n2"},
		"pause leader n1 @redis-server":        {Family: "pause", Shape: "leader", Nodes: []string{"n1"}, Processes: "redis-server"},
	} {
		if got := describe(event); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Each family has its colours, in the light and in the dark.
func TestFamiliesHaveColours(t *testing.T) {
	page, err := os.ReadFile("page.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range hues {
		for _, variable := range []string{"--" + family + ": #", "--" + family + "-shade: #"} {
			if found := strings.Count(string(page), variable); found != 2 {
				t.Errorf("%q is defined %d times", variable, found)
			}
		}
	}
}

// Of a long witness the last operations are shown, with the one that no order explains.
func TestLongWitness(t *testing.T) {
	v := anomaly.Violation{Anomaly: anomaly.Disorder, Key: "x", Sentence: "no order explains p99's read."}
	for i := range 20 {
		at := time.Duration(i) * time.Second
		v.Witness = append(v.Witness, history.Operation{Process: i, Kind: history.Read, Key: "x", Invoke: at, Complete: at + time.Second/2, Outcome: history.OK})
	}
	v.Witness[3].Process, v.Witness[3].Complete = 99, 100*time.Second
	shown := lastOf(v.Witness)
	if len(shown) != maxWitness || shown[0].Process != 99 || shown[len(shown)-1].Process != 19 {
		t.Errorf("shown are %v", shown)
	}
	var out strings.Builder
	e := enter(Entry{Run: &history.Run{}, Result: checker.Result{Verdict: checker.Invalid, Violations: []anomaly.Violation{v}}})
	writeViolations(&out, e, 1)
	if text := out.String(); !strings.Contains(text, "p99") || !strings.Contains(text, "12 operations before them belong to it, too") {
		t.Error(text)
	}
}
