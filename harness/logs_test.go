package harness_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/workloads"
)

// logged runs a trial whose nodes log what write says, and returns what was found.
func logged(t *testing.T, write func(*mortal), patterns ...string) (found, troubles []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		recorded, _ := run(t, &store{}, func(trial *harness.Trial) {
			trial.World = mortalWorld{built: write}
			trial.Quiet, trial.Duration, trial.Recovery = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
			trial.Target.LogFiles = []string{"log/*.txt"}
			for _, pattern := range patterns {
				trial.Target.LogPatterns = append(trial.Target.LogPatterns, regexp.MustCompile(pattern))
			}
		})
		for _, e := range recorded.Events {
			switch e.Type {
			case history.Logged:
				found = append(found, fmt.Sprintf("%s %s: %s", e.Nodes[0], e.Detail, e.Reason))
			case history.Trouble:
				troubles = append(troubles, e.Reason)
			}
		}
	})
	return found, troubles
}

// Collect has a log in the data of n3.
func (c *mortal) Collect(_ context.Context, node cluster.Node, dir string, patterns ...string) error {
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o777); err != nil || node != "n3" || !slices.Equal(patterns, []string{"log/*.txt"}) {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "log", "server.txt"), []byte("fine\nchecksum is broken\n"), 0o666)
}

func TestLogPatterns(t *testing.T) {
	for name, c := range map[string]struct {
		write    func(*mortal)
		patterns []string
		want     []string
	}{
		"a Go program panics and is restarted": {
			write: func(c *mortal) { c.log("n1", "stderr.log", "a\npanic: boom\nb\npanic: again\n") },
			want:  []string{"n1 n1/stderr.log: panic: boom"},
		},
		"each of them": {
			write: func(c *mortal) {
				c.log("n1", "stdout.log", "WARNING: DATA RACE\nfatal error: concurrent map writes\n[signal SIGSEGV: segmentation violation code=0x1]\n")
			},
			want: []string{
				"n1 n1/stdout.log: WARNING: DATA RACE", "n1 n1/stdout.log: fatal error: concurrent map writes",
				"n1 n1/stdout.log: [signal SIGSEGV: segmentation violation code=0x1]",
			},
		},
		"behind a time": {
			write: func(c *mortal) {
				c.log("n1", "stderr.log", "2026/11/30 13:00:00 apply: recovered: panic: boom\n")
				c.log("n2", "stderr.log", "2026/11/30 13:00:00 http: panic serving 127.0.0.1:4711: boom\n")
			},
			want: []string{
				"n1 n1/stderr.log: 2026/11/30 13:00:00 apply: recovered: panic: boom",
				"n2 n2/stderr.log: 2026/11/30 13:00:00 http: panic serving 127.0.0.1:4711: boom",
			},
		},
		"ordinary lines": {
			write: func(c *mortal) {
				c.log("n1", "stderr.log", "do not panic\nfatal errors: 0\na data race of two clients\n--- n1 was ended by SIGSEGV ---\n")
			},
		},
		"the target's, in the data": {
			write:    func(*mortal) {},
			patterns: []string{"checksum .* broken"},
			want:     []string{"n3 n3/data/log/server.txt: checksum is broken"},
		},
		"what a crash quotes": {
			write: func(c *mortal) {
				time.AfterFunc(150*time.Millisecond, func() { c.exit("n1", "exit status 2", "panic: boom\n") })
			},
		},
		"a long line, and one after it": {
			write: func(c *mortal) {
				c.log("n2", "stderr.log", "panic: "+strings.Repeat("x", 1<<20)+"\nWARNING: DATA RACE\n")
			},
			want: []string{"n2 n2/stderr.log: panic: " + strings.Repeat("x", 493), "n2 n2/stderr.log: WARNING: DATA RACE"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			found, troubles := logged(t, c.write, c.patterns...)
			if !slices.Equal(found, c.want) || len(troubles) > 0 {
				t.Errorf("found %q, want %q; troubles %q", found, c.want, troubles)
			}
		})
	}
}

// Patterns of log files that match nothing are told; what is no pattern is refused.
func TestLogFilesThatAreNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var progress bytes.Buffer
		run(t, &store{}, func(trial *harness.Trial) {
			trial.Target.LogFiles, trial.Progress = []string{"log/*.txt", "logs/*.txt"}, &progress
			trial.World = mortalWorld{built: func(c *mortal) { c.log("n3", "data/log/server.txt", "fine\n") }}
		})
		if text := progress.String(); strings.Count(text, "no node has a log in its data that matches") != 1 || !strings.Contains(text, "matches logs/*.txt\n") {
			t.Errorf("progress says\n%s", text)
		}
	})
	target := (&store{}).target()
	target.LogFiles = []string{"log/[a-.txt"}
	_, _, err := harness.Run(t.Context(), harness.Trial{Target: target, Workload: workloads.Register{}, Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), `LogFiles has "log/[a-.txt"`) {
		t.Errorf("error %v", err)
	}
}

// A log that is too large is searched in part, and that is said.
func TestHugeLog(t *testing.T) {
	_, troubles := logged(t, func(c *mortal) {
		c.log("n1", "stderr.log", "start\n")
		if err := os.Truncate(filepath.Join(c.spec.Logs, "n1", "stderr.log"), 300<<20); err != nil { // a hole
			t.Error(err)
		}
	})
	if want := "logs: n1/stderr.log has 300 MiB, of which only the first 256 were searched"; !slices.Equal(troubles, []string{want}) {
		t.Errorf("troubles %q, want %q", troubles, want)
	}
}

// Many lines are told up to a bound.
func TestManyForbiddenLines(t *testing.T) {
	var patterns []string
	for i := range 150 {
		patterns = append(patterns, fmt.Sprintf("^bad %d$", i))
	}
	found, _ := logged(t, func(c *mortal) {
		for i := range 150 {
			c.log("n1", "stderr.log", fmt.Sprintf("bad %d\n", i))
		}
	}, patterns...)
	if len(found) != 100 {
		t.Errorf("%d lines recorded, want 100", len(found))
	}
}
