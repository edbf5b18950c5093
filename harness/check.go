package harness

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
)

// checkDir is where Check keeps the run directories of failed trials.
const checkDir = "rashomon-runs"

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
	if err := trial.complete(); err != nil {
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

// createCheckDir makes a directory that a failing test leaves: where a test finds its
// own files or, if nobody may write there, among temporary ones.
func createCheckDir(t testing.TB, trial Trial) (string, error) {
	name := trial.Target.String() + "-" + trial.Workload.Name()
	if artifacts() {
		return history.CreateRunDir(t.ArtifactDir(), name, time.Now())
	}
	beside, err := filepath.Abs(checkDir)
	if err != nil {
		return "", err
	}
	const tries = 10 // as a parallel test may remove what seems to be empty
	for range tries {
		dir, err := history.CreateRunDir(beside, name, time.Now())
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return history.CreateRunDir(filepath.Join(os.TempDir(), checkDir), name, time.Now())
}

// removeCheckDir removes what createCheckDir made, unless other trials need it.
func removeCheckDir(t testing.TB, dir string) {
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
	parent := filepath.Dir(dir)
	latest := filepath.Join(parent, history.LatestLink)
	if _, err := os.Stat(latest); err != nil { // it has pointed here
		_ = os.Remove(latest)
	}
	_ = os.Remove(parent) // if it is empty
}

// artifacts returns whether the test runs with -artifacts.
func artifacts() bool {
	set := flag.Lookup("test.artifacts")
	return set != nil && set.Value.String() == "true"
}

// uncache keeps `go test` from caching a pass. It caches what it takes for a pure
// function of files within the module, environment variables and flags; a trial depends
// on servers and engines, too. So the test looks at a file that is there when the pass
// would be cached, and gone at the next run: its own binary. Its path must begin with
// the package's directory, as files elsewhere do not count.
func uncache() {
	dir, err := os.Getwd()
	if err != nil {
		return
	}
	binary, err := os.Executable()
	if err != nil {
		return
	}
	if way, err := filepath.Rel(dir, binary); err == nil {
		_, _ = os.Stat(dir + string(filepath.Separator) + way)
	}
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
