package harness

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Check runs the trial and fails the test unless the target kept what it
// claims: a violation that the target does not admit to fails it with the
// explanation, and so does a verdict that is unknown or vacuous, because that
// is not a pass.
//
// The run directory of a failed trial is kept in rashomon-runs/, beside the test's
// source, and the failure names it; a trial that passes leaves nothing. With `go test
// -artifacts`, every run directory is kept, under t.ArtifactDir(). Progress is shown by
// `go test -v`.
//
// Check ends before `go test -timeout` does, and fails the test if there is too little
// time for a verdict. A pass is not cached: `go test` runs the trial again, for it does
// not know whether the servers are still the same.
//
// Check returns the result for tests that want to know more.
func Check(t testing.TB, trial Trial) checker.Result {
	t.Helper()
	uncache()
	if test, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		trial.deadline, _ = test.Deadline()
	}
	if trial.Progress == nil {
		trial.Progress = t.Output()
	}
	if err := trial.complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	ours := trial.Dir == ""
	if ours {
		dir, err := createCheckDir(t, trial)
		if err != nil {
			t.Fatal(err)
		}
		trial.Dir = dir
	}
	run, result, err := Run(t.Context(), trial)
	if err != nil && result.Verdict == "" {
		t.Fatalf("%v\nrun directory: %s", err, trial.Dir)
	} else if err != nil {
		t.Error(err)
	}
	summary := Summary(run, result)
	switch {
	case result.AsClaimed != checker.AsClaimed:
		t.Errorf("%s\nrun directory: %s", summary, trial.Dir)
	case ours && err == nil && !artifacts():
		t.Log(summary)
		removeCheckDir(t, trial.Dir)
	default:
		t.Log(summary)
	}
	return result
}

// Summary tells a result in a few lines: the verdict, what it rests on, and a
// sentence for each violation.
func Summary(run *history.Run, result checker.Result) string {
	var b strings.Builder
	name := strings.TrimSpace(run.Manifest.Target + " " + run.Manifest.Options)
	fmt.Fprintf(&b, "%s: %s, %s", name, result.Verdict, result.AsClaimed)
	if expect := run.Manifest.Claim.Expect; len(expect) > 0 {
		fmt.Fprintf(&b, " (expect: %s)", strings.Join(expect, ", "))
	}
	for _, why := range []string{result.Reason, result.Vacuous, result.Torn} {
		if why != "" {
			fmt.Fprintf(&b, "; %s", why)
		}
	}
	s := result.Statistics
	fmt.Fprintf(&b, "\n%d operations: %d ok, %d failed, %d unknown; ", s.Operations, s.OK, s.Failed, s.Unknown)
	if result.StaleReads.Possible+result.LostCommits.Possible > 0 { // not all models count them
		fmt.Fprintf(&b, "%s stale reads, %s lost commits; ", result.StaleReads, result.LostCommits)
	}
	b.WriteString("faults:")
	for _, family := range slices.Sorted(maps.Keys(s.Faults)) {
		fmt.Fprintf(&b, " %s %d", family, s.Faults[family])
	}
	fmt.Fprintf(&b, "; seed %d", run.Manifest.Seed)
	const most = 5
	for i, violation := range result.Violations {
		if i == most {
			fmt.Fprintf(&b, "\n… and %d more", len(result.Violations)-most)
			break
		}
		fmt.Fprintf(&b, "\n%s: %s", violation.Anomaly, violation.Sentence)
	}
	return b.String()
}
