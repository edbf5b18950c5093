package harness_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/workloads"
)

// A mortal cluster's nodes can end by themselves.
type mortal struct {
	memoryCluster

	mu    sync.Mutex
	state map[cluster.Node]cluster.State
}

// mortalWorld calls built with each cluster.
type mortalWorld struct {
	memoryWorld
	built func(*mortal)
}

func (w mortalWorld) Build(_ context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	c := &mortal{memoryCluster: memoryCluster{spec}, state: map[cluster.Node]cluster.State{}}
	for _, node := range spec.Nodes {
		c.state[node] = cluster.Running
		if err := os.MkdirAll(filepath.Join(spec.Logs, node), 0o755); err != nil {
			return nil, err
		}
	}
	if w.built != nil {
		w.built(c)
	}
	return c, nil
}

func (c *mortal) State(node cluster.Node) cluster.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state[node]
}

// exit ends a node that has logged that.
func (c *mortal) exit(node cluster.Node, status, stderr string) {
	c.log(node, "stderr.log", stderr)
	c.mu.Lock()
	c.state[node] = cluster.Exited
	c.mu.Unlock()
	if c.spec.Exited != nil {
		c.spec.Exited(node, status)
	}
}

func (c *mortal) log(node cluster.Node, name, text string) {
	name = filepath.Join(c.spec.Logs, node, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		panic(err)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	fmt.Fprint(file, text)
}

// dead has the clients of nodes that do not run refused.
func dead(s *store, c func() *mortal) {
	s.around = func(_ context.Context, node, _ string, do func()) error {
		if c().State(node) != cluster.Running {
			return harness.Definite(errors.New("connection refused"))
		}
		do()
		return nil
	}
}

func crashesOf(run *history.Run) (all []history.Event) {
	for _, e := range run.Events {
		if e.Type == history.Crash {
			all = append(all, e)
		}
	}
	return all
}

const panicLog = "--- n2 start 1, 2026-01-01T00:00:00Z ---\nserving\n\npanic: index out of range\n\ngoroutine 1 [running]:\nmain.main()\n"

// A node that ends by itself is recorded in every phase, without a nemesis as well,
// and makes the trial no longer by more than it takes to notice.
func TestCrash(t *testing.T) {
	for name, at := range map[string]time.Duration{"quiet": 500 * time.Millisecond, "faults": 2 * time.Second, "recovery": 4500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c *mortal
				var progress bytes.Buffer
				s, began := &store{}, time.Now()
				dead(s, func() *mortal { return c })
				recorded, _ := run(t, s, func(trial *harness.Trial) {
					trial.Progress = &progress
					trial.World = mortalWorld{built: func(built *mortal) {
						c = built
						time.AfterFunc(at, func() { c.exit("n2", "exit status 2", panicLog) })
					}}
				})
				crashes := crashesOf(recorded)
				if len(crashes) != 1 {
					t.Fatalf("crashes recorded: %v", crashes)
				}
				e := crashes[0]
				want := "panic: index out of range\ngoroutine 1 [running]:\nmain.main()"
				if !slices.Equal(e.Nodes, []string{"n2"}) || e.Detail != "exit status 2" || e.Reason != want || (e.Time-at).Abs() > 100*time.Millisecond {
					t.Errorf("recorded %+v", e)
				}
				if !strings.Contains(progress.String(), "n2 ended by itself: exit status 2 | panic: index out of range | goroutine 1") {
					t.Errorf("progress says\n%s", progress.String())
				}
				if took := time.Since(began); took > 8*time.Second {
					t.Errorf("the trial of 5 s took %v with a node down", took)
				}
				for _, e := range recorded.Events {
					if e.Type == history.Logged {
						t.Errorf("what the crash quotes is told again: %+v", e)
					}
				}
			})
		})
	}
}

// A node that ends because its last client has left is recorded, too.
func TestCrashAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *mortal
		var open atomic.Int32
		began := time.Now()
		recorded, _ := run(t, &store{}, func(trial *harness.Trial) {
			trial.World = mortalWorld{built: func(built *mortal) { c = built }}
			inner := trial.Target.Open
			trial.Target.Open = func(ctx context.Context, cl cluster.Cluster, node cluster.Node) (harness.Client, error) {
				client, err := inner(ctx, cl, node)
				open.Add(1)
				return leaving{client.(*storeClient), func() {
					if open.Add(-1) == 0 && time.Since(began) > 5*time.Second {
						time.AfterFunc(100*time.Millisecond, func() { c.exit("n2", "exit status 2", panicLog) })
					}
				}}, err
			}
		})
		if crashes := crashesOf(recorded); len(crashes) != 1 {
			t.Errorf("crashes recorded: %v", crashes)
		}
	})
}

// A trial that is interrupted before its logs were searched is not whole.
func TestInterruptedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		defer interrupt()
		s := &store{}
		trial := harness.Trial{
			Target: s.target(), Workload: workloads.Register{}, Nodes: 3, Concurrency: 1, Seed: 1,
			Quiet: time.Second, Duration: time.Second, Recovery: time.Second, Dir: t.TempDir(),
		}
		began := time.Now()
		inner := trial.Target.Open
		trial.Target.Open = func(ctx context.Context, cl cluster.Cluster, node cluster.Node) (harness.Client, error) {
			client, err := inner(ctx, cl, node)
			return leaving{client.(*storeClient), func() {
				if time.Since(began) > 3*time.Second {
					time.AfterFunc(100*time.Millisecond, interrupt)
				}
			}}, err
		}
		_, _, err := harness.Run(ctx, trial)
		if err == nil || !strings.Contains(err.Error(), "interrupted at 3.") {
			t.Errorf("error %v", err)
		}
		recorded, err := history.ReadRun(trial.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if result := trial.Workload.Check(t.Context(), recorded, checker.Options{}); result.Verdict != checker.Unknown {
			t.Errorf("judged again, it is %s", result.Verdict)
		}
	})
}

// A leaving client tells that it is closed.
type leaving struct {
	*storeClient
	closed func()
}

func (l leaving) Close() error {
	l.closed()
	return l.storeClient.Close()
}

// What a node has logged is quoted within bounds, as UTF-8.
func TestCrashQuotesWithinBounds(t *testing.T) {
	for name, c := range map[string]struct {
		stderr, stdout, want string
	}{
		"many lines":     {strings.Repeat("a\n", 20) + "the end\n", "", strings.Repeat("a\n", 9) + "the end"},
		"long lines":     {strings.Repeat("é", 3000) + "\n", "", strings.Repeat("é", 1024)},
		"no UTF-8":       {"a\xffb\n", "", "a�b"},
		"only stdout":    {"--- n2 start 1, 2026 ---\n", "out\n", "out"},
		"an older panic": {"panic: old\n--- n2 start 2, 2026 ---\nnew\n", "", "new"},
		"a long trace":   {"up\npanic: boom\n" + strings.Repeat("trace\n", 40), "", "panic: boom\n" + strings.TrimSpace(strings.Repeat("trace\n", 9))},
		"an open end":    {"--- n2 start 1, 2026 ---\nbad flag--- n2 exited with status 2 0.1 s after start, 2026 ---\n", "", "bad flag"},
		"nothing":        {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				recorded, _ := run(t, &store{}, func(trial *harness.Trial) {
					trial.World = mortalWorld{built: func(built *mortal) {
						built.log("n2", "stdout.log", c.stdout)
						time.AfterFunc(time.Second, func() { built.exit("n2", "exit status 1", c.stderr) })
					}}
				})
				if crashes := crashesOf(recorded); len(crashes) != 1 || crashes[0].Reason != c.want {
					t.Errorf("recorded %+v", crashes)
				}
			})
		})
	}
}

// A node that ends before the cluster serves is why there is no trial. What it said
// first is told, as a usage text may follow, and within bounds.
func TestExitBeforeReady(t *testing.T) {
	const cause = "flag provided but not defined: -bogus"
	for name, c := range map[string]struct{ status, stderr, want string }{
		"a few lines":       {"exit status 1", "reading n3.conf\nno such file\n", "exit status 1: reading n3.conf | no such file"},
		"a usage":           {"exit status 2", cause + "\n" + strings.Repeat("usage\n", 50) + "last", "exit status 2: " + cause + strings.Repeat(" | usage", 4) + " | …" + strings.Repeat(" | usage", 3) + " | last"},
		"a long usage":      {"exit status 2", cause + "\n" + strings.Repeat("usage\n", 50_000) + "last", "exit status 2: " + cause + strings.Repeat(" | usage", 4) + " | …" + strings.Repeat(" | usage", 3) + " | last"},
		"long lines":        {"exit status 2", cause + "\n" + strings.Repeat(strings.Repeat("x", 3000)+"\n", 11), "exit status 2: " + cause + " | " + strings.Repeat("x", 1024-len(cause)-1) + " | … | " + strings.Repeat("x", 1024)},
		"a panic":           {"exit status 2", strings.Repeat("up\n", 20) + "panic: boom\n", "exit status 2: panic: boom"},
		"marks":             {"exit status 2", "--- n3 start 1, 2026 ---\n" + cause + "--- n3 exited with status 2 0.1 s after start, 2026 ---\n", "exit status 2: " + cause},
		"nothing":           {"signal: killed", "", "signal: killed: it has logged nothing"},
		"to the background": {"exit status 0", "", "exit status 0 (a node must stay in the foreground): it has logged nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{}
				target := s.target()
				target.Ready = func(context.Context, cluster.Cluster) error { return errors.New("not yet") }
				target.World = mortalWorld{built: func(built *mortal) {
					time.AfterFunc(time.Second, func() { built.exit("n3", c.status, c.stderr) })
				}}
				began := time.Now()
				_, result, err := harness.Run(t.Context(), harness.Trial{Target: target, Workload: workloads.Register{}, Nodes: 3, Dir: t.TempDir()})
				want := "n3 ended by itself before the cluster served: " + c.want
				if c.stderr != "" {
					want += "; see /"
				}
				if err == nil || !strings.Contains(err.Error(), want) || c.stderr == "" && !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "\n") || result.Verdict != "" {
					t.Errorf("error %v, want one line with %q", err, want)
				}
				if time.Since(began) > 2*time.Second {
					t.Errorf("it took %v", time.Since(began))
				}
			})
		})
	}
}

// serveUntilPanic is a node that serves once, and panics whenever it is started again.
func serveUntilPanic(address, mark string) {
	if _, err := os.Stat(mark); err == nil {
		panic("the log is corrupt")
	}
	serveVanishing(address, "", mark)
}

// A node that panics at every restart is recorded as that, and does not keep the trial
// from its verdict.
func TestNodeThatPanicsAtEveryRestart(t *testing.T) {
	target := vanishingTarget(func(place cluster.Place) []string {
		return []string{"panicking-node", place.Listen, filepath.Join(place.Data, "started")}
	})
	recorded, result, err := harness.Run(t.Context(), harness.Trial{
		Target: target, Workload: workloads.IDs{}, Nemesis: nemesis.Kills("one"), Nodes: 3, Rate: 100, Seed: 1,
		Quiet: 500 * time.Millisecond, Duration: 1500 * time.Millisecond, Recovery: 500 * time.Millisecond,
		Dir: t.TempDir(), Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	crashes := crashesOf(recorded)
	if len(crashes) == 0 || !strings.HasPrefix(crashes[0].Reason, "panic: the log is corrupt\n") {
		t.Errorf("crashes recorded: %+v", crashes)
	}
	if result.AsClaimed == checker.AsClaimed {
		t.Error("it passes")
	}
}
