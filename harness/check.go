package harness

import (
	"path/filepath"
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
