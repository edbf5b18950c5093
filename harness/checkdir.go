package harness

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// checkDir is where Check keeps the run directories of failed trials.
const checkDir = "rashomon-runs"

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

// leftNothing returns whether the trial did not begin, and no node said why.
func (t *Trial) leftNothing() bool {
	_, err := os.Stat(filepath.Join(t.Dir, history.HistoryFile))
	return errors.Is(err, fs.ErrNotExist) && t.loggedNothing()
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
