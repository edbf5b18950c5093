package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// start brings up every node, waits until the target serves, and prepares it.
func (t *Trial) start(ctx context.Context, cl cluster.Cluster, watch *watch) error {
	began := time.Now()
	t.tell("starting %d nodes (world %s, seed %d) …", t.Nodes, t.World.Name(), t.Seed)
	starting, cancel := context.WithTimeoutCause(ctx, startBudget, fmt.Errorf("not ready %v after its start", startBudget))
	defer cancel()
	if err := t.fits(ctx, cl); err != nil { // as far as Open needs no node
		return err
	}
	if err := t.startNodes(starting, cl); err != nil {
		return err
	}
	if t.Target.Ready != nil {
		if err := t.awaitReady(starting, cl, watch); err != nil {
			if !t.loggedNothing() {
				err = fmt.Errorf("%w; see %s", err, filepath.Join(t.Dir, history.LogsDir))
			}
			return fmt.Errorf("start %s: %w", t.Target, err)
		}
	}
	if err := watch.begin(); err != nil {
		return fmt.Errorf("start %s: %w", t.Target, err)
	}
	t.tell("ready after %.1f s", time.Since(began).Seconds())
	if t.Target.Prepare != nil {
		_, err := within(starting, t, "the target's Prepare", func(ctx context.Context) (struct{}, error) {
			return struct{}{}, t.Target.Prepare(ctx, cl)
		})
		if err != nil {
			return fmt.Errorf("prepare %s: %w", t.Target, err)
		}
	}
	return t.fits(ctx, cl)
}

// startNodes starts all nodes at once.
func (t *Trial) startNodes(ctx context.Context, cl cluster.Cluster) error {
	errs := make(chan error, t.Nodes)
	for _, node := range cl.Nodes() {
		go func() { errs <- cl.Start(ctx, node) }()
	}
	var first error // the others' are mostly the same
	failed := 0
	for range cl.Nodes() {
		if err := <-errs; err != nil {
			first = cmp.Or(first, err)
			failed++
		}
	}
	switch failed {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("start %s: %w", t.Target, first)
	case 2:
		return fmt.Errorf("start %s: %w (and 1 more node)", t.Target, first)
	}
	return fmt.Errorf("start %s: %w (and %d more nodes)", t.Target, first, failed-1)
}

// awaitReady returns nil when the target serves.
func (t *Trial) awaitReady(ctx context.Context, cl cluster.Cluster, watch *watch) error {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		_, err := within(ctx, t, "the target's Ready", func(ctx context.Context) (struct{}, error) {
			attempt, cancel := context.WithTimeout(ctx, readyAttempt)
			defer cancel()
			return struct{}{}, t.Target.Ready(attempt, cl)
		})
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		}
		select {
		case exit := <-watch.early:
			return exit
		case <-retry.C:
		case <-progress.C:
			t.tell("waiting for the cluster: %v", err)
		case <-ctx.Done():
		}
	}
}

// fits returns an error if the workload needs what the target's clients cannot do:
// else every operation would fail, each after the other.
func (t *Trial) fits(ctx context.Context, cl cluster.Cluster) error {
	lack, err := t.binds(ctx, cl)
	switch {
	case lack != nil:
		return lack
	case errors.Is(err, errNoClient), errors.As(err, new(*panicked)):
		return fmt.Errorf("open a client of %s: %w", t.Target, err)
	}
	return nil // else it may be possible later, and is tried for each operation
}

// binds returns what a client lacks that the workload needs, or why none can be opened.
func (t *Trial) binds(ctx context.Context, cl cluster.Cluster) (lack, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	return within(ctx, t, "the target's Open", func(ctx context.Context) (lack error, err error) {
		client, err := t.open(ctx, cl, cl.Nodes()[0])
		if err != nil {
			return nil, err
		}
		if _, err := t.Workload.Bind(client); err != nil {
			lack = fmt.Errorf("%s cannot serve this workload: %w", t.Target, err)
		}
		return lack, t.shut(client)
	})
}
