package harness_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/workloads"
)

// A noted cluster notes what is done to it. Copying takes a second, and fails
// for n3.
type noted struct {
	memoryCluster
	mu    sync.Mutex
	did   []string
	state map[cluster.Node]cluster.State
}

type notedWorld struct {
	memoryWorld
	cluster *noted
}

func (w notedWorld) Build(_ context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	*w.cluster = noted{memoryCluster: memoryCluster{spec}, state: map[cluster.Node]cluster.State{}}
	for _, node := range spec.Nodes {
		w.cluster.state[node] = cluster.Running
	}
	return w.cluster, nil
}

func (c *noted) note(did string, node cluster.Node, state cluster.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.did = append(c.did, did+" "+node)
	if state != "" {
		c.state[node] = state
	}
}

func (c *noted) State(node cluster.Node) cluster.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state[node]
}

func (c *noted) Pause(_ context.Context, node cluster.Node) error {
	c.note("pause", node, cluster.Paused)
	return nil
}

func (c *noted) Resume(_ context.Context, node cluster.Node) error {
	c.note("resume", node, cluster.Running)
	return nil
}

func (c *noted) Kill(_ context.Context, node cluster.Node) error {
	c.note("kill", node, cluster.Down)
	return nil
}

func (c *noted) Start(ctx context.Context, node cluster.Node) error {
	c.note("start", node, cluster.Running)
	return ctx.Err()
}

func (c *noted) Collect(ctx context.Context, node cluster.Node, dir string, patterns ...string) error {
	time.Sleep(time.Second)
	c.note("copy", node, "")
	if node == "n3" {
		return errors.New("the copy is cut")
	}
	return c.memoryCluster.Collect(ctx, node, dir, patterns...)
}

// killer kills n2 at the beginning and starts it again once it sees that n1 is
// paused, that is, during the freeze; within less time than that takes.
type killer struct{}

func (killer) Name() string                                                  { return "killer" }
func (killer) Needs() []cluster.Fault                                        { return nil }
func (killer) Possible(context.Context, cluster.World, []cluster.Node) error { return nil }
func (killer) Play(ctx context.Context, stage harness.Stage) error {
	err := stage.Cluster.Kill(ctx, "n2")
	stage.Record(history.Event{Type: history.Inject, Fault: 1, Family: "kill", Nodes: []string{"n2"}})
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for stage.Cluster.State("n1") != cluster.Paused && ctx.Err() == nil {
		<-poll.C
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 100*time.Millisecond)
	defer cancel()
	err = errors.Join(err, stage.Cluster.Start(ctx, "n2"))
	stage.Record(history.Event{Type: history.Heal, Fault: 1, Family: "kill", Nodes: []string{"n2"}})
	return err
}

// A trial that fails fast stops soon after the first violation, keeps the nodes'
// data of one moment, which the nemesis cannot disturb, and goes on to its end
// without writing a value twice.
func TestFailFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, began := &store{}, time.Time{}
		s.around = func(_ context.Context, node, kind string, do func()) error {
			if began.IsZero() {
				began = time.Now()
			}
			if node == "n1" && kind == "write" && time.Since(began) > 1400*time.Millisecond {
				return nil // acknowledged, and forgotten
			}
			do()
			return nil
		}
		c := &noted{}
		recorded, result := run(t, s, func(trial *harness.Trial) {
			trial.FailFast, trial.World, trial.Nemesis, trial.Duration = true, notedWorld{cluster: c}, killer{}, time.Minute
		})
		if result.Verdict != checker.Invalid {
			t.Fatalf("%s (%s), want invalid", result.Verdict, result.Reason)
		}
		var stop *history.Event
		var story []string
		for i, e := range recorded.Events {
			story = append(story, strings.TrimSpace(fmt.Sprint(e.Type, " ", e.Phase)))
			if e.Type == history.Stop {
				stop = &recorded.Events[i]
			}
		}
		want := []string{"phase quiet", "phase faults", "inject", "stop", "error", "heal", "phase recovery", "phase final", "phase done"}
		if !slices.Equal(story, want) {
			t.Fatalf("events %q, want %q", story, want)
		}
		if late := stop.Time - result.FirstViolation; late > 200*time.Millisecond || !strings.Contains(stop.Reason, "first violation: ") {
			t.Errorf("stopped %v after the first violation, with the reason %q", late, stop.Reason)
		}
		slices.Sort(c.did[:3])
		slices.Sort(c.did[4:6])
		slices.Sort(c.did[6:9])
		slices.Sort(c.did[9:11])
		did := strings.Join(c.did, ", ")
		if want := "start n1, start n2, start n3, kill n2, pause n1, pause n3, copy n1, copy n2, copy n3, resume n1, resume n3, start n2"; did != want {
			t.Errorf("the cluster was treated so: %s\nwant %s", did, want)
		}
		if _, err := os.Stat(filepath.Join(recorded.Dir, history.DataDir, "n1")); err != nil {
			t.Error(err)
		}
		values, frozen := map[string]bool{}, 0
		for _, o := range recorded.History.Operations {
			if o.Invoke > stop.Time+time.Millisecond && o.Invoke < stop.Time+time.Second {
				frozen++
			}
			if o.Input.Len() > 0 {
				value := fmt.Sprint(o.Key, o.Input.At(o.Input.Len()-1))
				if values[value] {
					t.Fatalf("%s is written twice", value)
				}
				values[value] = true
			}
		}
		if frozen > 0 {
			t.Errorf("%d operations were invoked while the cluster was frozen", frozen)
		}
	})
}

func TestFailFastWithoutViolationRunsToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorded, result := run(t, &store{}, func(trial *harness.Trial) { trial.FailFast = true })
		if result.Verdict != checker.Valid || slices.ContainsFunc(recorded.Events, func(e history.Event) bool { return e.Type == history.Stop }) {
			t.Errorf("%s, events %v", result.Verdict, recorded.Events)
		}
	})
}

func TestFailFastNeedsAStream(t *testing.T) {
	s := &store{}
	_, _, err := harness.Run(t.Context(), harness.Trial{Target: s.target(), Workload: workloads.Set{}, FailFast: true, Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "not available for the workload set") {
		t.Errorf("error %v", err)
	}
}
