//go:build linux || darwin

package process

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// exits are the calls of Spec.Exited.
type exits struct {
	mu     sync.Mutex
	told   []string
	closed atomic.Bool
}

func (e *exits) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.told)
}

// buildTelling builds a cluster of one node under a shell, whose exits are noted
// with the log's last words at that moment.
func buildTelling(t *testing.T, script string) (*loopback, *exits, string) {
	t.Helper()
	logs, noted := t.TempDir(), &exits{}
	c, err := World().Build(t.Context(), cluster.Spec{
		Nodes: cluster.Names(1), Logs: logs,
		Program: func(cluster.Place) cluster.Program {
			return cluster.Program{Path: "sh", Args: []string{"-c", script}}
		},
		Exited: func(node cluster.Node, status string) {
			if noted.closed.Load() {
				t.Errorf("%s: %s, told after Close", node, status)
			}
			text, err := os.ReadFile(filepath.Join(logs, node, "stderr.log"))
			if err != nil {
				t.Error(err)
			}
			said := strings.Count(string(text), "out of luck\n")
			noted.mu.Lock()
			defer noted.mu.Unlock()
			noted.told = append(noted.told, node+": "+status)
			if strings.Contains(script, "out of luck") && said < len(noted.told) {
				t.Errorf("told %q, and the log has only\n%s", noted.told, text)
			}
		},
	})
	must(t, err)
	t.Cleanup(func() {
		must(t, c.Close())
		noted.closed.Store(true)
	})
	return c.(*loopback), noted, logs
}

// Every end is told once, with all that the node has said in its log, however
// soon the node starts again.
func TestExitedIsTold(t *testing.T) {
	for want, script := range map[string]string{
		"n1: exit status 3":               "echo out of luck >&2; exit 3",
		"n1: exit status 0":               "echo out of luck >&2",
		"n1: signal: killed":              "echo out of luck >&2; kill -s KILL $$",
		"n1: signal: segmentation fault":  "echo out of luck >&2; kill -s SEGV $$",
		"n1: exit status 1, with a child": "sleep 300 & echo out of luck >&2; exit 1",
	} {
		t.Run(want, func(t *testing.T) {
			c, noted, _ := buildTelling(t, script)
			const lives = 5
			for range lives {
				must(t, c.Start(t.Context(), "n1"))
				<-c.nodes["n1"].life.gone
			}
			must(t, c.Close())
			want, _, _ := strings.Cut(want, ",")
			told := noted.all()
			if len(told) != lives || slices.ContainsFunc(told, func(got string) bool { return !strings.HasPrefix(got, want) }) {
				t.Errorf("told %q, want %d times %q", told, lives, want)
			}
		})
	}
}

func TestKillFromOutsideIsTold(t *testing.T) {
	c, noted, _ := buildTelling(t, "sleep 300")
	for range 3 {
		must(t, c.Start(t.Context(), "n1"))
		must(t, syscall.Kill(-c.nodes["n1"].life.pid, syscall.SIGKILL))
		<-c.nodes["n1"].life.gone
		// Killed by the harness, it is not told.
		must(t, c.Start(t.Context(), "n1"))
		must(t, c.Kill(t.Context(), "n1"))
	}
	must(t, c.Start(t.Context(), "n1"))
	must(t, c.Close())
	want := []string{"n1: signal: killed", "n1: signal: killed", "n1: signal: killed"}
	if got := noted.all(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// An end is either the harness' or the node's own, also if both come at the same
// time: what the log says is what is told.
func TestKillMeetsExit(t *testing.T) {
	for range 10 {
		c, noted, logs := buildTelling(t, "exit 3")
		for range 10 {
			must(t, c.Start(t.Context(), "n1"))
			must(t, c.Kill(t.Context(), "n1"))
		}
		must(t, c.Start(t.Context(), "n1"))
		must(t, c.Close())
		noted.closed.Store(true)
		text, err := os.ReadFile(filepath.Join(logs, "n1", "stderr.log"))
		must(t, err)
		if got, want := len(noted.all()), strings.Count(string(text), "exited with status 3"); got != want {
			t.Errorf("told %d times, and the log says %d:\n%s", got, want, text)
		}
	}
}
