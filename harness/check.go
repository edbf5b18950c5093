package harness

import (
	"fmt"
	"maps"
	"path/filepath"
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
// The run directory is under t.ArtifactDir(), so `go test -artifacts` keeps
// it. Progress is shown by `go test -v`. Check returns the result for tests
// that want to know more.
func Check(t testing.TB, trial Trial) checker.Result {
	t.Helper()
	if trial.Dir == "" {
		dir, err := history.CreateRunDir(t.ArtifactDir(), trial.Target.String()+"-"+workloadName(trial), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		trial.Dir = dir
	}
	if trial.Progress == nil {
		trial.Progress = t.Output()
	}
	run, result, err := Run(t.Context(), trial)
	if err != nil && result.Verdict == "" {
		t.Fatal(err)
	} else if err != nil {
		t.Error(err)
	}
	summary := Summary(run, result)
	switch result.AsClaimed {
	case checker.AsClaimed:
		t.Log(summary)
	default:
		t.Errorf("%s\nrun directory (kept by `go test -artifacts`): %s", summary, filepath.Clean(run.Dir))
	}
	return result
}

func workloadName(trial Trial) string {
	if trial.Workload == nil {
		return "nothing"
	}
	return trial.Workload.Name()
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
