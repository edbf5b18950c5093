package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster/attach"
	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/targets"
)

// rashomon is the command with the built-in systems.
var rashomon = Command{Name: "rashomon", Targets: targets.All}

func TestMain(m *testing.M) {
	docker.Main()
	attach.Main()
	harness.NodeMain(append(own.Targets, targets.All...)) // worlds start this binary, whichever command it was
	switch os.Getenv("RASHOMON_TEST_COMMAND") {           // this binary is the command
	case "":
	case "own":
		own.Main()
	default:
		rashomon.Main()
	}
	testscript.Main(m, map[string]func(){"rashomon": rashomon.Main, "mystore-trials": own.Main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}

// The harness is killed with SIGKILL at random moments of a trial: no process
// and no directory is left, and the history is readable.
func TestNothingIsLeftBehindByAKilledHarness(t *testing.T) {
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("looking for processes left behind needs /proc")
	}
	for i := range 10 {
		moment := time.Duration(rand.Int64N(int64(4 * time.Second)))
		t.Run(fmt.Sprintf("%d after %v", i, moment), func(t *testing.T) {
			t.Parallel()
			temporary, dir := t.TempDir(), filepath.Join(t.TempDir(), "run")
			harness := exec.CommandContext(t.Context(), os.Args[0], "run", []string{"raft", "async", "lww"}[i%3],
				"--dir", dir, "--quiet", "500ms", "--duration", "10s", "--interval", "500ms")
			harness.Env = append(os.Environ(), "RASHOMON_TEST_COMMAND=yes", "TMPDIR="+temporary)
			stderr, err := harness.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := harness.Start(); err != nil {
				t.Fatal(err)
			}
			// The moment is counted from the start of the cluster.
			lines := bufio.NewReader(stderr)
			if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "starting") {
				t.Fatalf("the harness began with %q, %v", line, err)
			}
			go io.Copy(io.Discard, lines)
			<-time.After(moment)
			if err := harness.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = harness.Wait()

			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			for poll := time.NewTicker(10 * time.Millisecond); ; {
				left := leftovers(t, temporary)
				if len(left) == 0 {
					poll.Stop()
					break
				}
				select {
				case <-poll.C:
				case <-ctx.Done():
					t.Fatalf("left behind: %s", strings.Join(left, "; "))
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "history.jsonl")); err != nil {
				return // killed before the first operation
			}
			recorded, err := history.ReadRun(dir)
			if err != nil {
				t.Fatalf("the history is not readable: %v", err)
			}
			t.Logf("%d operations readable; torn: %q", len(recorded.History.Operations), recorded.History.Torn)
		})
	}
}

// leftovers lists the processes that have the directory in their command line,
// and what is in it.
func leftovers(t *testing.T, directory string) (left []string) {
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		if command, err := os.ReadFile(path); err == nil && strings.Contains(string(command), directory) {
			left = append(left, fmt.Sprintf("%s: %q", path, command))
		}
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	return left
}
