package harness

import (
	"context"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// A gate is the way to change a cluster. While it is frozen, nodes and links stay as
// they are: whatever would change them waits, and does not lose the time that it has.
type gate struct {
	inner cluster.Injector
	// room is what those who pass share, and a freeze has for itself. Unlike a
	// mutex, it may be held for long in a testing/synctest bubble.
	room *semaphore.Weighted
}

const wholeRoom = 1 << 30

func newGate(inner cluster.Injector) *gate { return &gate{inner, semaphore.NewWeighted(wholeRoom)} }

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
	return g.pass(ctx, func(ctx context.Context) error { return g.inner.Start(ctx, node) })
}

func (g *gate) Kill(ctx context.Context, node cluster.Node) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.inner.Kill(ctx, node) })
}

func (g *gate) Pause(ctx context.Context, node cluster.Node) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.inner.Pause(ctx, node) })
}

func (g *gate) Resume(ctx context.Context, node cluster.Node) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.inner.Resume(ctx, node) })
}

func (g *gate) SetLinks(ctx context.Context, links []cluster.Link, condition cluster.Condition) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.inner.SetLinks(ctx, links, condition) })
}

func (g *gate) SetClock(ctx context.Context, node cluster.Node, clock cluster.Clock) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.inner.SetClock(ctx, node, clock) })
}

func (g *gate) Signal(ctx context.Context, node cluster.Node, process string, signal syscall.Signal) error {
	return g.pass(ctx, func(ctx context.Context) error { return g.inner.Signal(ctx, node, process, signal) })
}

// A gated is a cluster that is changed through a gate only.
type gated struct {
	ungated // deeper than the gate, whose methods so take the place of its own
	*gate
}

type ungated struct{ cluster.Cluster }
