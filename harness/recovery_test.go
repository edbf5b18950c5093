package harness_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/workloads"
)

// What does not serve again within the budget is recorded: nodes, and kinds of
// operations.
func TestUnserved(t *testing.T) {
	lost := harness.Definite(errors.New("stream not found"))
	for _, c := range []struct {
		name         string
		refuses      func(node, kind string) bool // from 2 s on
		until        time.Duration                // 0 means for ever
		nodes        []string
		detail       string
		none         bool
		longerThan   time.Duration
		atMostLonger time.Duration
	}{
		{name: "all is well", refuses: func(string, string) bool { return false }, none: true, atMostLonger: time.Second},
		{name: "a node", refuses: func(node, _ string) bool { return node == "n2" }, nodes: []string{"n2"}, longerThan: 13 * time.Second, atMostLonger: 20 * time.Second},
		{name: "updates", refuses: func(_, kind string) bool { return kind != "read" }, detail: "no update was acknowledged", longerThan: 13 * time.Second, atMostLonger: 20 * time.Second},
		{name: "reads", refuses: func(_, kind string) bool { return kind == "read" }, detail: "no read was acknowledged", longerThan: 13 * time.Second, atMostLonger: 24 * time.Second},
		{name: "everything", refuses: func(string, string) bool { return true }, nodes: []string{"n1", "n2", "n3"}, detail: "no update and no read was acknowledged", longerThan: 13 * time.Second, atMostLonger: 24 * time.Second},
		{name: "updates come late", refuses: func(_, kind string) bool { return kind != "read" }, until: 10 * time.Second, none: true, longerThan: 4 * time.Second, atMostLonger: 6 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, began := &store{}, time.Now()
				s.around = func(_ context.Context, node, kind string, do func()) error {
					at := time.Since(began)
					if at > 2*time.Second && (c.until == 0 || at < c.until) && c.refuses(node, kind) {
						return lost
					}
					do()
					return nil
				}
				recorded, _ := run(t, s, nil)
				var found []history.Event
				for _, e := range recorded.Events {
					if e.Type == history.Unserved {
						found = append(found, e)
					}
				}
				if longer := time.Since(began) - 5*time.Second; longer < c.longerThan || longer > c.atMostLonger {
					t.Errorf("the trial of 5 s took %v longer", longer)
				}
				if c.none {
					if len(found) > 0 {
						t.Errorf("recorded %+v", found)
					}
					return
				}
				if len(found) != 1 || !slices.Equal(found[0].Nodes, c.nodes) || found[0].Detail != c.detail || found[0].Reason != "" || found[0].Took < 15*time.Second {
					t.Errorf("recorded %+v, want nodes %v, %q", found, c.nodes, c.detail)
				}
			})
		})
	}
}

// A node that served after the healing and died then has not recovered.
func TestUnservedNodeThatServedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *mortal
		s := &store{}
		dead(s, func() *mortal { return c })
		recorded, _ := run(t, s, func(trial *harness.Trial) {
			trial.World = mortalWorld{built: func(built *mortal) {
				c = built
				time.AfterFunc(4300*time.Millisecond, func() { c.exit("n2", "exit status 2", panicLog) })
			}}
		})
		i := slices.IndexFunc(recorded.Events, func(e history.Event) bool { return e.Type == history.Unserved })
		if i < 0 || !slices.Equal(recorded.Events[i].Nodes, []string{"n2"}) || recorded.Events[i].Reason != "n2 is exited" {
			t.Errorf("events %+v", recorded.Events)
		}
	})
}

// What was hardly asked is not blamed: slow clients prove nothing.
func TestUnservedUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorded, _ := run(t, &store{}, func(trial *harness.Trial) { trial.Rate, trial.Concurrency = 0.01, 3 })
		for _, e := range recorded.Events {
			if e.Type == history.Unserved {
				t.Errorf("recorded %+v", e)
			}
		}
	})
}

// A node whose calls hang for longer than the budget has not served either.
func TestUnservedNodeThatHangsForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, began := &store{}, time.Now()
		s.around = func(ctx context.Context, node, _ string, do func()) error {
			if node == "n2" && time.Since(began) > 2*time.Second {
				<-ctx.Done()
				return ctx.Err()
			}
			do()
			return nil
		}
		recorded, result := run(t, s, func(trial *harness.Trial) { trial.Timeout = 10 * time.Second })
		i := slices.IndexFunc(recorded.Events, func(e history.Event) bool { return e.Type == history.Unserved })
		if i < 0 || !slices.Equal(recorded.Events[i].Nodes, []string{"n2"}) {
			t.Errorf("events %+v", recorded.Events)
		}
		if result.AsClaimed != checker.Undecided {
			t.Errorf("%s: %s", result.AsClaimed, result.Reason)
		}
	})
}

// A miser grants every lock at first, and none later.
type miser struct{ grants func() bool }

func (m miser) Acquire(context.Context, string) (int64, bool, error) {
	time.Sleep(latency)
	return 0, m.grants(), nil
}
func (miser) Release(context.Context, string) (bool, error) { return true, nil }
func (miser) Close() error                                  { return nil }

// A system that grants no lock any more has not recovered, though it answers.
func TestLocksThatAreRefusedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, result := run(t, &store{}, func(trial *harness.Trial) {
			trial.Workload = &workloads.Lock{Locks: 10_000}
			trial.Target.Open = func(context.Context, cluster.Cluster, cluster.Node) (harness.Client, error) {
				return miser{func() bool { return time.Since(began) < 2*time.Second }}, nil
			}
		})
		if result.AsClaimed != checker.Undecided || !strings.Contains(result.Reason, "No update was acknowledged in the 15.") {
			t.Errorf("%s %s", result.AsClaimed, result.Reason)
		}
	})
}

// Whichever node is down or hangs for good, every key is read after the healing, soon.
func TestFinalOperationsLeaveADeadNode(t *testing.T) {
	for _, c := range []struct {
		name        string
		concurrency int
		fails       error // nil means that it hangs
		bound       time.Duration
	}{
		{"refuses, one worker", 1, harness.Definite(errors.New("connection refused")), 26 * time.Second},
		{"refuses", 12, harness.Definite(errors.New("connection refused")), 26 * time.Second},
		{"hangs", 12, nil, 26 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, began := &store{}, time.Now()
				s.around = func(ctx context.Context, node, kind string, do func()) error {
					if node == "n1" && time.Since(began) > 1500*time.Millisecond {
						if c.fails == nil {
							<-ctx.Done()
							return ctx.Err()
						}
						return c.fails
					}
					do()
					return nil
				}
				recorded, _ := run(t, s, func(trial *harness.Trial) { trial.Concurrency = c.concurrency })
				if took := time.Since(began); took > c.bound {
					t.Errorf("the trial took %v", took)
				}
				covered(t, recorded)
			})
		})
	}
}

// covered fails the test unless each key that was written was read in the end.
func covered(t *testing.T, run *history.Run) {
	t.Helper()
	final := time.Duration(math.MaxInt64)
	for _, e := range run.Events {
		if e.Phase == history.Final {
			final = e.Time
		}
	}
	written, read := map[string]bool{}, map[string]bool{}
	for _, o := range run.History.Operations {
		if o.Kind == history.Write && o.Outcome == history.OK {
			written[o.Key] = true
		}
		if o.Kind == history.Read && o.Outcome == history.OK && o.Invoke >= final {
			read[o.Key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(written)) {
		if !read[key] {
			t.Errorf("%s was written and not read in the end", key)
		}
	}
	if len(written) == 0 {
		t.Error("nothing was written")
	}
}

// A trial in which a node is killed for good is hardly longer than one without, in
// any workload with final operations.
func TestANodeDownCostsNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *mortal
		s, began := &store{}, time.Now()
		dead(s, func() *mortal { return c })
		recorded, _ := run(t, s, func(trial *harness.Trial) {
			trial.Nodes, trial.Concurrency, trial.Duration = 5, 20, 9*time.Second
			trial.World = mortalWorld{built: func(built *mortal) {
				c = built
				time.AfterFunc(3*time.Second, func() { c.exit("n2", "signal: killed", "") })
			}}
		})
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("the trial of 11 s took %v", took)
		}
		covered(t, recorded)
	})
}

// A refused precondition counts as answered, in progress as in the summary.
func TestProgressCountsRefusedPreconditionsAsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var progress strings.Builder
		run(t, &store{}, func(trial *harness.Trial) {
			trial.Workload, trial.Progress = workloads.Register{ReadPercent: 1, CompareAndSetPercent: 90}, &progress
		})
		if told := strings.Count(progress.String(), " failed,"); told == 0 || told != strings.Count(progress.String(), " 0 failed,") {
			t.Errorf("progress says\n%s", progress.String())
		}
	})
}
