package harness_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/workloads"
)

// A closing world tells whether its clusters were closed, and starts nodes by asking
// for their programs.
type closingWorld struct {
	memoryWorld
	closed *bool
}

func (w closingWorld) Build(ctx context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	c, err := w.memoryWorld.Build(ctx, spec)
	return closing{c.(memoryCluster), spec, w.closed}, err
}

type closing struct {
	memoryCluster
	spec   cluster.Spec
	closed *bool
}

func (c closing) Start(ctx context.Context, node cluster.Node) error {
	program := c.spec.Program(cluster.Place{Node: node})
	if program.Path != "" {
		return errors.New("there is no " + program.Path)
	}
	return ctx.Err()
}

func (c closing) Close() error {
	*c.closed = true
	return nil
}

// Wherever the target's or the workload's code panics, the trial ends with an error that
// says where, and the cluster is closed.
func TestPanics(t *testing.T) {
	for name, c := range map[string]struct {
		plant func(*store, *harness.Trial)
		want  string
	}{
		"Program": {func(_ *store, trial *harness.Trial) {
			trial.Target.Program = func(cluster.Place) cluster.Program { panic("boom") }
		}, "the target's Program panicked: boom"},
		"Ready": {func(_ *store, trial *harness.Trial) {
			trial.Target.Ready = func(context.Context, cluster.Cluster) error { panic("boom") }
		}, "the target's Ready panicked: boom"},
		"Prepare": {func(_ *store, trial *harness.Trial) {
			trial.Target.Prepare = func(context.Context, cluster.Cluster) error { panic("boom") }
		}, "the target's Prepare panicked: boom"},
		"Open": {func(_ *store, trial *harness.Trial) {
			trial.Target.Open = func(context.Context, cluster.Cluster, cluster.Node) (harness.Client, error) { panic("boom") }
		}, "the target's Open panicked: boom"},
		"a later Open": {func(_ *store, trial *harness.Trial) {
			open, opened := trial.Target.Open, atomic.Int32{}
			trial.Target.Open = func(ctx context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
				if opened.Add(1) == 4 {
					panic("boom")
				}
				return open(ctx, c, node)
			}
			trial.Concurrency = 3
		}, "the target's Open panicked: boom"},
		"Leader": {func(_ *store, trial *harness.Trial) {
			trial.Target.Leader = func(context.Context, cluster.Cluster) (cluster.Node, error) { panic("boom") }
			trial.Nemesis = asker{}
		}, "the target's Leader panicked: boom"},
		"nemesis": {func(_ *store, trial *harness.Trial) { trial.Nemesis = panicker{} }, "the nemesis panicked: boom"},
		"a call": {func(s *store, _ *harness.Trial) {
			s.around = func(_ context.Context, _, kind string, do func()) error {
				if kind == "write" {
					var none *store
					none.values["x"] = 1
				}
				do()
				return nil
			}
		}, "invalid memory address"},
		"a generator": {func(_ *store, trial *harness.Trial) { trial.Workload = panickingWorkload{} }, "the workload's generator panicked: boom"},
		"Generators": {func(_ *store, trial *harness.Trial) {
			trial.Workload = planned{plan: func([]harness.Worker) []harness.Generator { panic("boom") }}
		}, "the workload's Generators panicked: boom"},
		"Check": {func(_ *store, trial *harness.Trial) { trial.Workload = panickingCheck{} }, "the workload's Check panicked: boom"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, closed := &store{}, false
				trial := harness.Trial{
					Target: s.target(), World: closingWorld{closed: &closed}, Workload: workloads.Register{},
					Nodes: 3, Duration: 5 * time.Second, Dir: t.TempDir(),
				}
				c.plant(s, &trial)
				_, result, err := harness.Run(t.Context(), trial)
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "_test.go:") ||
					strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "interrupted") || result.Verdict != "" {
					t.Errorf("error %v, want one line with %q and the place", err, c.want)
				}
				if !closed {
					t.Error("the cluster is not closed")
				}
			})
		})
	}
}

type panickingWorkload struct{ workloads.Register }

func (panickingWorkload) Generators(workers []harness.Worker) []harness.Generator {
	return harness.PerWorker(func(harness.Worker) harness.Generator {
		return harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) { panic("boom") })
	})(workers)
}

type panickingCheck struct{ workloads.Register }

func (panickingCheck) Check(context.Context, *history.Run, checker.Options) checker.Result {
	panic("boom")
}

// What is too long to be recorded never makes a history that cannot be read: an answer
// becomes unknown, and an input is the generator's error.
func TestLongValues(t *testing.T) {
	long := history.Ints(make([]int64, 2<<20+1)...)
	for name, c := range map[string]struct {
		workload harness.Workload
		err      string
	}{
		"an answer": {longAnswers{answer: long}, ""},
		"an input":  {longInputs{input: long}, "a value of 2097153 integers is too long to be recorded (at most 2097152)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, closed := &store{}, false
				run, _, err := harness.Run(t.Context(), harness.Trial{
					Target: s.target(), World: closingWorld{closed: &closed}, Workload: c.workload,
					Nodes: 3, Duration: time.Second, Rate: 5, Dir: t.TempDir(),
				})
				if c.err != "" {
					if err == nil || !strings.Contains(err.Error(), c.err) {
						t.Errorf("error %v, want %q", err, c.err)
					}
					return
				}
				if again, err := history.ReadRun(run.Dir); err != nil || len(again.History.Operations) == 0 {
					t.Fatalf("the run cannot be read: %v", err)
				}
				for _, o := range run.History.Operations {
					if o.Outcome != history.Info || !o.Output.IsNone() || !strings.Contains(o.Error, "too long to be recorded") {
						t.Fatalf("%v", o)
					}
				}
			})
		})
	}
}

type longAnswers struct {
	workloads.Register
	answer history.Value
}

func (w longAnswers) Bind(harness.Client) (harness.Invoke, error) {
	return func(context.Context, history.Operation) (history.Value, error) { return w.answer, nil }, nil
}

type longInputs struct {
	workloads.Register
	input history.Value
}

func (w longInputs) Generators(workers []harness.Worker) []harness.Generator {
	return harness.PerWorker(func(harness.Worker) harness.Generator {
		return harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) {
			return history.Operation{Kind: history.Write, Input: w.input}, true
		})
	})(workers)
}

// An idle nemesis has no faults.
type idle struct{}

func (idle) Name() string                                                  { return "idle" }
func (idle) Needs() []cluster.Fault                                        { return nil }
func (idle) Possible(context.Context, cluster.World, []cluster.Node) error { return nil }
func (idle) Play(ctx context.Context, _ harness.Stage) error               { <-ctx.Done(); return nil }

type panicker struct{ idle }

func (panicker) Play(context.Context, harness.Stage) error { panic("boom") }

// An asker asks who leads, again and again.
type asker struct{ idle }

func (asker) Play(ctx context.Context, stage harness.Stage) error {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		_, _ = stage.Leader(ctx)
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Calls that ignore their context hold the trial up no longer than their budget, and
// are told of.
func TestCallsThatIgnoreTheirContext(t *testing.T) {
	for name, c := range map[string]struct {
		plant  func(trial *harness.Trial, hang func())
		want   string // the error; empty for none
		within time.Duration
	}{
		"Ready": {func(trial *harness.Trial, hang func()) {
			trial.Target.Ready = func(context.Context, cluster.Cluster) error { hang(); return nil }
		}, "not ready 1m0s after its start; last: the target's Ready ignores its context", 61 * time.Second},
		"Prepare": {func(trial *harness.Trial, hang func()) {
			trial.Target.Prepare = func(context.Context, cluster.Cluster) error { hang(); return nil }
		}, "prepare memory: the target's Prepare ignores its context and has not returned: not ready 1m0s", 61 * time.Second},
		"Leader": {func(trial *harness.Trial, hang func()) {
			trial.Target.Leader = func(context.Context, cluster.Cluster) (cluster.Node, error) { hang(); return "n1", nil }
			trial.Nemesis = asker{}
		}, "", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := make(chan struct{})
				defer close(end)
				var progress bytes.Buffer
				began := time.Now()
				trial := harness.Trial{
					Target: (&store{}).target(), Workload: workloads.Register{}, Nodes: 3, Duration: 3 * time.Second,
					Dir: t.TempDir(), Progress: &progress,
				}
				c.plant(&trial, func() { <-end })
				_, _, err := harness.Run(t.Context(), trial)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				if took := time.Since(began); took > c.within {
					t.Errorf("it took %v", took)
				}
				if told := strings.Count(progress.String(), name+" ignores its context"); told != 1 {
					t.Errorf("told %d times:\n%s", told, progress.String())
				}
			})
		})
	}
}

// Prepare is called once, when the cluster serves, before any client that operates is
// opened. A first one, before the nodes run, tells whether clients fit the workload.
func TestPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		run(t, &store{}, func(trial *harness.Trial) {
			open := trial.Target.Open
			trial.Target.Ready = func(context.Context, cluster.Cluster) error {
				if calls = append(calls, "ready"); len(calls) < 3 {
					return errors.New("not yet")
				}
				return nil
			}
			trial.Target.Prepare = func(context.Context, cluster.Cluster) error { calls = append(calls, "prepare"); return nil }
			trial.Target.Open = func(ctx context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
				if len(calls) < 5 {
					calls = append(calls, "open")
				}
				return open(ctx, c, node)
			}
			trial.Concurrency = 1
		})
		if got := strings.Join(calls, " "); got != "open ready ready prepare open" {
			t.Errorf("called %s", got)
		}
	})
	target := (&store{}).target()
	target.Prepare = func(context.Context, cluster.Cluster) error { return errors.New("no bucket") }
	_, _, err := harness.Run(t.Context(), harness.Trial{Target: target, Workload: workloads.Register{}, Dir: t.TempDir()})
	if err == nil || err.Error() != "prepare memory: no bucket" {
		t.Errorf("error %v", err)
	}
}

// What cannot be tried is refused before there is a directory or a cluster.
func TestRefusedBeforeAnythingStarts(t *testing.T) {
	t.Chdir(t.TempDir())
	good := (&store{}).target()
	for want, change := range map[string]func(*harness.Trial){
		"-3 nodes":       func(trial *harness.Trial) { trial.Nodes = -3 },
		"a rate of NaN":  func(trial *harness.Trial) { trial.Rate = math.NaN() },
		"a rate of +Inf": func(trial *harness.Trial) { trial.Rate = math.Inf(1) },
		`expects "stale reads", which is no anomaly (want some of ["stale read" "lost commit"`: func(trial *harness.Trial) {
			trial.Target.Claim.Expect = []string{"lost commit", "stale reads"}
		},
		`no guarantee "monotone reads" (there are: linearizable, `: func(trial *harness.Trial) {
			trial.Target.Claim.Guarantees = []string{"sequential", "monotone reads"}
		},
		"memory cannot inject clock": func(trial *harness.Trial) { trial.Nemesis = nemesis.Clocks() },
	} {
		trial := harness.Trial{Target: good, Workload: workloads.Register{}}
		change(&trial)
		_, _, err := harness.Run(t.Context(), trial)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v (error %v)", entries, err)
	}
}

// A system that needs longer for its first answer than the quiet phase takes is waited
// for; the faults come later.
func TestFirstAnswerIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		around := func(_ context.Context, _, _ string, do func()) error {
			if time.Since(began) < 5*time.Second {
				return harness.Definite(errReset)
			}
			do()
			return nil
		}
		recorded, result := run(t, &store{around: around}, func(trial *harness.Trial) { trial.Duration = 5 * time.Second })
		faults := slices.IndexFunc(recorded.Events, func(e history.Event) bool { return e.Phase == history.Faults })
		if result.Verdict != checker.Valid || recorded.Events[faults].Time < 5*time.Second {
			t.Errorf("%s, faults from %v on: %s", result.Verdict, recorded.Events[faults].Time, result.Why())
		}
	})
}

// Clients that cannot serve the workload are found out before a node runs.
func TestRefusedBeforeNodesRun(t *testing.T) {
	var progress bytes.Buffer
	target := (&store{}).target()
	target.Ready = func(context.Context, cluster.Cluster) error { t.Error("the nodes were started"); return nil }
	_, _, err := harness.Run(t.Context(), harness.Trial{Target: target, Workload: workloads.Set{}, Dir: t.TempDir(), Progress: &progress})
	if err == nil || !strings.Contains(err.Error(), "memory cannot serve this workload: the set workload needs a client with Add and Elements") {
		t.Errorf("error %v", err)
	}
}

// A program that is not there is told once, with what to do, and how many nodes lack it.
func TestProgramThatIsNotThere(t *testing.T) {
	target := (&store{}).target()
	target.World = process.World()
	target.Program = func(cluster.Place) cluster.Program { return cluster.Program{Path: "no-such-program"} }
	for nodes, want := range map[int]string{1: "", 2: " (and 1 more node)", 3: " (and 2 more nodes)"} {
		_, _, err := harness.Run(t.Context(), harness.Trial{Target: target, Workload: workloads.Register{}, Nodes: nodes, Dir: t.TempDir()})
		if err == nil || !strings.HasSuffix(err.Error(), "or set Program.Path to its file"+want) {
			t.Errorf("error %v, want the end %q", err, want)
		}
	}
}

func TestOpenReturnsNothing(t *testing.T) {
	target := (&store{}).target()
	target.Open = func(context.Context, cluster.Cluster, cluster.Node) (harness.Client, error) { return nil, nil }
	_, _, err := harness.Run(t.Context(), harness.Trial{Target: target, Workload: workloads.Register{}, Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "Open returned no client and no error") {
		t.Errorf("error %v", err)
	}
}

// At a violation that the target does not admit, in any workload, the nodes' data are
// kept; else not.
func TestEvidence(t *testing.T) {
	for _, c := range []struct {
		expect []string
		kept   bool
	}{
		{nil, true},
		{[]string{"stale read", "lost commit", "double swap", "value resurrected", "disorder"}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			cl := &noted{}
			s := &store{around: func(_ context.Context, node, kind string, do func()) error {
				if node == "n2" && kind == "write" {
					return nil // acknowledged, and forgotten
				}
				do()
				return nil
			}}
			recorded, result := run(t, s, func(trial *harness.Trial) {
				trial.World, trial.Target.Claim.Expect = notedWorld{cluster: cl}, c.expect
			})
			if result.Verdict != checker.Invalid {
				t.Errorf("%s, want invalid", result.Verdict)
			}
			_, err := os.Stat(filepath.Join(recorded.Dir, history.DataDir, "n1"))
			if kept := err == nil; kept != c.kept {
				t.Errorf("data kept: %v, want %v; the cluster was treated so: %v", kept, c.kept, cl.did)
			}
			if c.kept && !strings.Contains(strings.Join(cl.did, ", "), "pause n") {
				t.Errorf("the cluster was treated so: %v", cl.did)
			}
		})
	}
}
