package harness_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// run runs a trial of the store in virtual time.
func run(t *testing.T, s *store, change func(*harness.Trial)) (*history.Run, checker.Result) {
	t.Helper()
	trial := harness.Trial{
		Target: s.target(), Workload: workloads.Register{}, Nodes: 3, Concurrency: 6, Rate: 300,
		Quiet: time.Second, Duration: 3 * time.Second, Recovery: time.Second, Seed: 1,
		Dir: t.TempDir(),
	}
	if change != nil {
		change(&trial)
	}
	recorded, result, err := harness.Run(t.Context(), trial)
	if err != nil {
		t.Fatal(err)
	}
	return recorded, result
}

func TestATrialRunsInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		recorded, result := run(t, &store{}, nil)
		if result.Verdict != checker.Valid || result.AsClaimed != checker.AsClaimed {
			t.Errorf("%s, %s (%s %s), want valid, as claimed", result.Verdict, result.AsClaimed, result.Reason, result.Vacuous)
		}
		if took := time.Since(began); took < 5*time.Second || took > 10*time.Second {
			t.Errorf("the run took %v of virtual time, want 5 s and the final reads", took)
		}
		var phases []history.Phase
		for _, event := range recorded.Events {
			phases = append(phases, event.Phase)
		}
		if want := []history.Phase{history.Quiet, history.Faults, history.Recovery, history.Final, history.Done}; !slices.Equal(phases, want) {
			t.Errorf("phases %v, want %v", phases, want)
		}
		if n := len(recorded.History.Operations); n < 1000 || n > 2000 {
			t.Errorf("%d operations in 5 s at 300/s and final reads", n)
		}
	})
}

// A planted stale read: node n2 shows a reader what it has already answered once.
func TestAStaleNodeIsCaught(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		s.around = func(_ context.Context, node, kind string, do func()) error {
			if node == "n2" && kind == "write" {
				return nil // acknowledged, and forgotten
			}
			do()
			return nil
		}
		_, result := run(t, s, nil)
		if result.Verdict != checker.Invalid || result.AsClaimed != checker.NotAsClaimed || len(result.Violations) == 0 {
			t.Errorf("%s with %d violations, want invalid", result.Verdict, len(result.Violations))
		}
	})
}

func TestTheSameSeedRepeatsEachWorkersOperations(t *testing.T) {
	inputs := func(seed uint64) (stream []string) {
		synctest.Test(t, func(t *testing.T) {
			recorded, _ := run(t, &store{}, func(trial *harness.Trial) { trial.Seed = seed; trial.Concurrency = 1 })
			for _, operation := range recorded.History.Operations {
				stream = append(stream, fmt.Sprint(operation.Kind, operation.Key, operation.Input))
			}
		})
		return stream
	}
	first := inputs(7)
	if !slices.Equal(first, inputs(7)) {
		t.Error("seed 7 gave two different streams")
	}
	if slices.Equal(first, inputs(8)) {
		t.Error("seeds 7 and 8 gave the same stream")
	}
}

// Each case makes every tenth write end in one way, and says what is recorded.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name    string
		end     func(ctx context.Context) error
		outcome history.Outcome
		text    string
		within  time.Duration
		retires bool
	}{
		{"refused", func(context.Context) error { return harness.Definite(errReset) }, history.Fail, "reset", 5 * time.Millisecond, false},
		{"wrapped refusal", func(context.Context) error { return fmt.Errorf("n1: %w", harness.Definite(errReset)) }, history.Fail, "n1: connection reset", 5 * time.Millisecond, false},
		{"reset", func(context.Context) error { return errReset }, history.Info, "reset", 5 * time.Millisecond, true},
		{"times out", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, history.Info, "deadline exceeded", 250 * time.Millisecond, true},
		{"ignores its deadline", func(context.Context) error { time.Sleep(time.Second); return nil }, history.Info, "abandoned", 351 * time.Millisecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, writes := &store{}, 0
				s.around = func(ctx context.Context, _, kind string, do func()) error {
					s.mu.Lock()
					ends := kind == "write" && writes%10 == 9
					if kind == "write" {
						writes++
					}
					s.mu.Unlock()
					if ends {
						return c.end(ctx)
					}
					do()
					return nil
				}
				recorded, result := run(t, s, nil)
				seen, last := 0, map[int]history.Operation{}
				for _, operation := range recorded.History.Operations {
					if before, ok := last[operation.Process]; ok && before.Outcome == history.Info {
						t.Fatalf("process %d calls again after an info", operation.Process)
					}
					last[operation.Process] = operation
					if operation.Kind != history.Write || operation.Outcome == history.OK {
						continue
					}
					seen++
					if operation.Outcome != c.outcome || !strings.Contains(operation.Error, c.text) {
						t.Fatalf("recorded %s %q, want %s %q", operation.Outcome, operation.Error, c.outcome, c.text)
					}
					if took := operation.Complete - operation.Invoke; took > c.within {
						t.Fatalf("took %v, want at most %v", took, c.within)
					}
				}
				if seen < 20 {
					t.Errorf("only %d writes ended so", seen)
				}
				wantProcesses := 6
				if c.retires {
					wantProcesses += seen
				}
				if diff := len(last) - wantProcesses; diff < -6 || diff > 0 { // the last of a seat may not have called again
					t.Errorf("%d processes for %d such writes, want %d", len(last), seen, wantProcesses)
				}
				if result.Verdict != checker.Valid {
					t.Errorf("%s: %v", result.Verdict, result.Violations)
				}
			})
		})
	}
}

func TestAFailedOpenSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorded, result := run(t, &store{}, func(trial *harness.Trial) {
			open := trial.Target.Open
			trial.Target.Open = func(ctx context.Context, c cluster.Cluster, node string) (harness.Client, error) {
				if node == "n3" {
					return nil, errors.New("connection refused")
				}
				return open(ctx, c, node)
			}
			trial.Recovery = time.Second
		})
		for _, operation := range recorded.History.Operations {
			if operation.Node == "n3" && operation.Outcome != history.Fail {
				t.Fatalf("%v through a node that refuses, want fail", operation.Outcome)
			}
		}
		if availability := result.Statistics.Nodes["n3"].Availability(); availability != 0 {
			t.Errorf("availability of the node that refuses is %v", availability)
		}
		if result.Statistics.Recovery >= 0 {
			t.Errorf("recovery %v although n3 never served", result.Statistics.Recovery)
		}
	})
}

func TestATrialEndsAfterSoManyOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorded, _ := run(t, &store{}, func(trial *harness.Trial) {
			trial.Operations, trial.Duration = 200, time.Hour
		})
		if recorded.Events[2].Time > 10*time.Second {
			t.Errorf("the recovery phase began at %v", recorded.Events[2].Time)
		}
	})
}

// A goroutine that is left for good would keep the bubble from ending.
func TestCtrlCKeepsTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		dir := t.TempDir()
		_, _, err := harness.Run(ctx, harness.Trial{Target: s.target(), Workload: workloads.Register{}, Rate: 300, Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "interrupted at 2.0 s") || !strings.Contains(err.Error(), dir) {
			t.Errorf("error %v, want one that says when it was interrupted and where the history is", err)
		}
		recorded, err := history.ReadRun(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(recorded.History.Operations) < 400 {
			t.Errorf("%d operations kept of about 600", len(recorded.History.Operations))
		}
	})
}

func TestUnusableTrials(t *testing.T) {
	good := (&store{}).target()
	for _, c := range []struct {
		trial harness.Trial
		want  string
	}{
		{harness.Trial{}, "Program and Open"},
		{harness.Trial{Target: good}, "no workload"},
		{harness.Trial{Target: good, Workload: &workloads.Lock{}, Dir: t.TempDir()}, "cannot serve this workload: the lock workload needs a client with Acquire"},
		{harness.Trial{Target: good, Workload: workloads.Register{}, Nemesis: nemesis.Clocks(), Dir: t.TempDir()}, `the nemesis "clock" would inject nothing: memory cannot inject clock`},
		{harness.Trial{Target: good, Workload: workloads.Register{}, Nodes: 65}, "65 nodes"},
		{harness.Trial{Target: good, Workload: workloads.Register{}, Concurrency: -1}, "-1 clients"},
		{harness.Trial{Target: good, Workload: workloads.Register{}, Quiet: -1}, "negative"},
	} {
		_, _, err := harness.Run(t.Context(), c.trial)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, c.want)
		}
	}
}

// An Open that hangs holds nothing up but the operations that wait for it.
func TestOpenHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const healed = 4 * time.Second
		began := time.Now()
		recorded, result := run(t, &store{}, func(trial *harness.Trial) {
			open := trial.Target.Open
			trial.Target.Open = func(ctx context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
				if node == "n2" && time.Since(began) < healed {
					time.Sleep(2 * time.Second)
				}
				return open(ctx, c, node)
			}
		})
		abandoned := 0
		for _, o := range recorded.History.Operations {
			if o.Node != "n2" || o.Invoke > healed {
				continue
			}
			if o.Outcome != history.Info || !strings.Contains(o.Error, "abandoned") || o.Complete-o.Invoke > 351*time.Millisecond {
				t.Fatalf("%s %q after %v", o.Outcome, o.Error, o.Complete-o.Invoke)
			}
			abandoned++
		}
		if abandoned < 20 || result.Verdict != checker.Valid {
			t.Errorf("%d operations abandoned, verdict %s: %s", abandoned, result.Verdict, result.Reason)
		}
	})
}

// A littering world's clusters cannot be removed.
type littering struct{ memoryWorld }

func (w littering) Build(ctx context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	c, err := w.memoryWorld.Build(ctx, spec)
	return litter{c.(memoryCluster)}, err
}

type litter struct{ memoryCluster }

func (litter) Close() error { return errors.New("a network is left") }

// What cannot be removed is told, and the verdict as well.
func TestJudgedThoughNotRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trial := harness.Trial{
			Target: (&store{}).target(), World: littering{}, Workload: workloads.Register{}, Nodes: 3, Rate: 300,
			Duration: time.Second, Dir: t.TempDir(),
		}
		_, result, err := harness.Run(t.Context(), trial)
		if result.Verdict != checker.Valid || err == nil || !strings.Contains(err.Error(), "a network is left") {
			t.Errorf("%s, error %v", result.Verdict, err)
		}

		// A run's directory is not another's.
		trial.Seed = 7
		before, _ := history.ReadRun(trial.Dir)
		_, _, err = harness.Run(t.Context(), trial)
		after, _ := history.ReadRun(trial.Dir)
		if err == nil || !strings.Contains(err.Error(), "is a run's already") || after.Manifest.Seed != before.Manifest.Seed {
			t.Errorf("seed %d became %d, error %v", before.Manifest.Seed, after.Manifest.Seed, err)
		}
	})
}

// A recorder of what Check tells the test.
type fakeTB struct {
	testing.TB
	failed string
}

func (f *fakeTB) Errorf(format string, arguments ...any) {
	f.failed += fmt.Sprintf(format, arguments...)
}
func (f *fakeTB) Fatalf(format string, arguments ...any) { f.Errorf(format, arguments...) }

func TestCheckFailsTheTestUnlessItIsAsClaimed(t *testing.T) {
	t.Chdir(t.TempDir()) // where run directories of failed trials stay
	forget := func(_ context.Context, node, kind string, do func()) error {
		if node == "n2" && kind == "write" {
			return nil
		}
		do()
		return nil
	}
	refuse := func(context.Context, string, string, func()) error { return harness.Definite(errReset) }
	for _, c := range []struct {
		name   string
		around func(context.Context, string, string, func()) error
		expect []string
		want   string // in the failure; empty for none
	}{
		{"sound", nil, nil, ""},
		{"loses writes", forget, nil, "memory: INVALID, not as claimed"},
		{"admits to it", forget, []string{"stale read", "lost commit", "double swap", "value resurrected", "disorder"}, ""},
		{"refuses everything", refuse, nil, "operations was answered, before any fault: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{around: c.around}
				target := s.target()
				target.Claim.Expect = c.expect
				tb := &fakeTB{TB: t}
				harness.Check(tb, harness.Trial{Target: target, Workload: workloads.Register{}, Nodes: 3, Duration: 3 * time.Second})
				if c.want == "" && tb.failed != "" || !strings.Contains(tb.failed, c.want) {
					t.Errorf("the test failed with %q, want %q", tb.failed, c.want)
				}
			})
		})
	}
}
