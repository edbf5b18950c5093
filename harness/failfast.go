package harness

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A Streamer is a Workload whose violations can be found during the trial, as
// Trial.FailFast needs it.
type Streamer interface {
	Workload
	// Stream returns a fresh stream for the operations of one trial.
	Stream() *checker.Stream
}

// CanFailFast returns why the workload's violations are not found during a trial; nil
// if they are.
func CanFailFast(workload Workload) error {
	if _, streams := workload.(Streamer); !streams {
		return fmt.Errorf("fail-fast is not available for the workload %s, whose violations only show afterwards", workload.Name())
	}
	return nil
}

// A lookout watches the history of a trial, and stops the load at the first
// violation, which is then the cause why its context has ended.
type lookout struct {
	*checker.Stream
	stop context.CancelCauseFunc
}

// A violated is why a load was stopped.
type violated struct{ *checker.Alarm }

func (v violated) Error() string { return "first violation: " + v.Alarm.String() }

// Complete implements history.Observer.
func (l lookout) Complete(op *history.Operation) {
	l.Stream.Complete(op)
	if alarm := l.Alarm(); alarm != nil {
		l.stop(violated{alarm})
	}
}

// freeze keeps copies of all nodes' data, of one moment: those that run are
// paused meanwhile. What cannot be had is recorded as trouble.
func (t *Trial) freeze(ctx context.Context, cl *gate, recorder *history.Recorder) {
	cl.freeze()
	defer cl.thaw()
	ctx = context.WithoutCancel(ctx)
	failed := func(node cluster.Node, err error) {
		recorder.Event(history.Event{Type: history.Trouble, Nodes: []string{node}, Reason: err.Error()})
	}
	paused := t.copyData(ctx, cl.Cluster, failed)
	t.onEach(ctx, paused, cl.Cluster.Resume, failed)
}

// A gate is a cluster whose nodes and links stay as they are while it is frozen:
// whatever would change them waits, and does not lose the time that it has.
type gate struct {
	cluster.Cluster
	// room is what those who pass share, and a freeze has for itself. Unlike a
	// mutex, it may be held for long in a testing/synctest bubble.
	room *semaphore.Weighted
}

const wholeRoom = 1 << 30

func newGate(cl cluster.Cluster) *gate { return &gate{cl, semaphore.NewWeighted(wholeRoom)} }

// Without a context that ends, there is always room some time.
func (g *gate) freeze() { _ = g.room.Acquire(context.Background(), wholeRoom) }
func (g *gate) thaw()   { g.room.Release(wholeRoom) }

func (g *gate) pass(ctx context.Context, act func(context.Context) error) error {
	arrived := time.Now()
	_ = g.room.Acquire(context.Background(), 1)
	defer g.room.Release(1)
	if deadline, bounded := ctx.Deadline(); bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(context.WithoutCancel(ctx), deadline.Add(time.Since(arrived)))
		defer cancel()
	}
	return act(ctx)
}

func (g *gate) Start(ctx context.Context, node cluster.Node) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.Cluster.Start(ctx, node) })
}

func (g *gate) Kill(ctx context.Context, node cluster.Node) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.Cluster.Kill(ctx, node) })
}

func (g *gate) Pause(ctx context.Context, node cluster.Node) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.Cluster.Pause(ctx, node) })
}

func (g *gate) Resume(ctx context.Context, node cluster.Node) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.Cluster.Resume(ctx, node) })
}

func (g *gate) SetLinks(ctx context.Context, links []cluster.Link, condition cluster.Condition) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.Cluster.SetLinks(ctx, links, condition) })
}

func (g *gate) SetClock(ctx context.Context, node cluster.Node, clock cluster.Clock) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.Cluster.SetClock(ctx, node, clock) })
}

func (g *gate) Signal(ctx context.Context, node cluster.Node, process string, signal syscall.Signal) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.Cluster.Signal(ctx, node, process, signal) })
}
