package reports

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/guarantees"
)

// Each guarantee has its line, and what broke one comes before what is admitted.
func TestGuarantees(t *testing.T) {
	entry := staleRaft()
	claim := &entry.Run.Manifest.Claim
	claim.Expect, claim.Guarantees = []string{"stale read"}, []string{"sequential", "monotonic reads", "converges"}
	entry.Result.AsClaimed = checker.NotAsClaimed
	entry.Result.Guarantees = []guarantees.Result{
		{Guarantee: "sequential", Verdict: guarantees.Unknown, Reason: "no time\x1b[2J"},
		{Guarantee: "monotonic reads", Verdict: guarantees.Broken, Violation: &anomaly.Violation{
			Anomaly: "broken: monotonic reads", Sentence: "p1 went back.", Witness: entry.Result.Violations[0].Witness}},
		{Guarantee: "converges", Verdict: guarantees.Holds},
	}
	var b bytes.Buffer
	Text(&b, entry.Run, entry.Result)
	text := b.String()
	for _, want := range []string{
		"not as claimed (expects stale reads, claims sequential, monotonic reads, converges): ", "sequential is not decided: no time\\x1b[2J",
		"│ unknown: no time\\x1b[2J", "│ BROKEN ", "│ holds ", "\nbroken: monotonic reads: p1 went back.\n    p",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if broken, admitted := strings.Index(text, "\nbroken: "), strings.Index(text, "\nstale read: "); admitted >= 0 && broken > admitted {
		t.Error("what is admitted comes first")
	}
	page, err := newPage(enter(entry))
	if err != nil {
		t.Fatal(err)
	}
	if v := page.Systems[0].Violations[0]; v.Anomaly != "broken: monotonic reads" || v.Timeline == nil {
		t.Errorf("the page begins with %q", v.Anomaly)
	}
}
