package harness

import (
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker"
)

// Check runs the trial and fails the test unless the target kept what it
// claims: a violation that the target does not admit to fails it with the
// explanation, and so does a verdict that is unknown or vacuous, because that
// is not a pass.
//
// The run directory of a failed trial is kept in rashomon-runs/, beside the test's
// source, and the failure names it. A trial that passes leaves nothing, nor does one
// that did not begin and whose nodes have logged nothing. With `go test -artifacts`, every run directory is kept, under t.ArtifactDir(). Progress is shown by
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
	switch {
	case err != nil && result.Verdict == "" && ours && !artifacts() && trial.leftNothing():
		removeCheckDir(t, trial.Dir)
		t.Fatal(err)
	case err != nil && result.Verdict == "":
		t.Fatalf("%v\nrun directory: %s", err, trial.Dir)
	case err != nil:
		t.Error(err)
	}
	summary := Summary(run, result)
	switch {
	case result.AsClaimed != checker.AsClaimed:
		t.Errorf("%s\nrun directory: %s", summary, trial.Dir)
	case ours && err == nil && !artifacts():
		removeCheckDir(t, trial.Dir)
		kept := "go test -artifacts keeps it"
		if trial.Report != nil {
			kept += ", with its report"
		}
		t.Logf("%s\nno run directory is kept of a pass; %s", summary, kept)
	default:
		t.Log(summary)
	}
	return result
}
