package reports

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// crashed is a run whose node n2 panicked, and which then never served again.
func crashed() Entry {
	e := staleRaft()
	e.Run.Events = slices.Insert(e.Run.Events, 3, history.Event{Time: 4 * s, Type: history.Crash, Nodes: []string{"n2"}, Detail: "exit status 2", Reason: "panic: no such row\n\ngoroutine 7 [running]:"})
	e.Run.Events = append(e.Run.Events,
		history.Event{Time: 20 * s, Type: history.Logged, Nodes: []string{"n2"}, Detail: "stderr.log", Reason: "panic: no such row"},
		history.Event{Time: 20 * s, Type: history.Unserved, Nodes: []string{"n1", "n2"}, Took: 15 * s})
	e.Result.AsClaimed, e.Result.FirstViolation = checker.NotAsClaimed, 0
	e.Result.Violations = []anomaly.Violation{
		{Anomaly: anomaly.NoRecovery, Sentence: "The cluster did not serve again."},
		{Anomaly: anomaly.NodeCrashed, Sentence: "n2 ended by itself at 4.000 s with exit status 2."},
	}
	e.Result.Warnings = []string{"Faults of 1.5 s were too short."}
	e.Result.Statistics.Troubles = []string{"at 7.000 s: kill leader n4: the engine did not answer"}
	return e
}

// What no operation proves is told by its sentence alone, in text, on a page and in
// a comparison.
func TestViolationsWithoutAWitness(t *testing.T) {
	e := crashed()
	var text, compare bytes.Buffer
	Text(&text, e.Run, e.Result)
	c := compared(e, staleRaft())
	c.Text(&compare)
	for _, got := range []string{text.String(), compare.String()} {
		for _, want := range []string{"\nno recovery: The cluster did not serve again.\n", "\nnode crashed: n2 ended by itself at 4.000 s with exit status 2.\n", "INVALID, not as claimed"} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is missing in\n%s", want, got)
			}
		}
	}
	page := pageOf(t, e)
	for _, want := range []string{
		`<div class="violation"><b>no recovery</b> The cluster did not serve again.</div>`,
		`<div class="violation"><b>node crashed</b> n2 ended by itself at 4.000 s with exit status 2.</div>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing on the page", want)
		}
	}
	if strings.Contains(page, `<details class="violation"`) || strings.Contains(page, `<svg class="timeline"`) {
		t.Error("the page has something to open, or a drawing, where there is nothing to show")
	}
}

// What went wrong beside operations is told: faults that failed, warnings, nodes that
// ended or did not serve, and what clients were told.
func TestWhatWentWrongIsTold(t *testing.T) {
	e := crashed()
	var text bytes.Buffer
	Text(&text, e.Run, e.Result)
	page := pageOf(t, e)
	for _, want := range []string{"Warning: Faults of 1.5 s were too short.", "Trouble: at 7.000 s: kill leader n4: the engine did not answer"} {
		if !strings.Contains(text.String(), want) || !strings.Contains(page, want) {
			t.Errorf("%q is missing in the text, or on the page:\n%s", want, &text)
		}
	}
	if want := "time-out (through n1)"; !strings.Contains(text.String(), want) || !strings.Contains(page, "<td>240</td><td>read</td><td>unknown</td><td>"+want) {
		t.Errorf("%q is missing in the text, or on the page:\n%s", want, &text)
	}
	for _, want := range []string{
		`<tr class="crash"><td>4.000 s</td><td>crash</td><td></td><td>crash of n2 (exit status 2): panic: no such row / goroutine 7 [running]:</td>`,
		`<td>log</td><td></td><td>n2 (stderr.log): panic: no such row</td>`,
		`<td>unserved</td><td></td><td>n1 n2 did not serve</td><td>15.0 s</td>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing on the page:\n%s", want, page)
		}
	}
	if got := faults(e.Run.Events, 20*s); !slices.Contains(got, fault{"crash", "crash", "crash of n2 (exit status 2)", 4 * s, 4 * s}) {
		t.Errorf("no crash among the faults %v", got)
	}
}

// A crash during a violation is on its timeline, and one long before is not.
func TestCrashOnATimeline(t *testing.T) {
	e := staleRaft()
	v := e.Result.Violations[0]
	for at, want := range map[fault]int{
		{Hue: "crash", From: 3300 * ms, To: 3300 * ms}: 1,
		{Hue: "crash", From: 300 * ms, To: 300 * ms}:   0,
	} {
		if drawn := newTimeline(v.Witness, nil, nil, []fault{at}).Faults; len(drawn) != want || want == 1 && drawn[0].Width < 1 {
			t.Errorf("at %v: %+v, want %d", at.From, drawn, want)
		}
	}
}

// Errors that nobody else has are the others.
func TestErrorRows(t *testing.T) {
	rows := errorRows(clean([]statistics.ErrorClass{
		{Kind: history.Write, Outcome: history.Fail, Count: 8911, Example: "no\nleader"},
		{Count: 3, Example: "i/o timeout", Node: "n2"},
	}))
	want := [][]string{{"8,911", "write", "failed", `no\nleader`}, {"3", "others", "–", "i/o timeout (through n2)"}}
	if !slices.EqualFunc(rows, want, slices.Equal) {
		t.Errorf("got %q, want %q", rows, want)
	}
}

func pageOf(t *testing.T, entries ...Entry) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	writePage(t, path, entries)
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}
