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
func (r *run) start(ctx context.Context) error {
	began := time.Now()
	r.tell("starting %d nodes (world %s, seed %d) …", r.Nodes, r.World.Name(), r.Seed)
	starting, cancel := context.WithTimeoutCause(ctx, startBudget, fmt.Errorf("not ready %v after its start", startBudget))
	defer cancel()
	if err := r.fits(ctx); err != nil { // as far as Open needs no node
		return err
	}
	for _, stage := range r.layout.stages {
		if err := r.startNodes(starting, stage.nodes); err != nil {
			return err
		}
		if err := r.awaitReady(starting, stage); err != nil {
			if !r.loggedNothing() {
				err = fmt.Errorf("%w; see %s", err, filepath.Join(r.Dir, history.LogsDir))
			}
			return fmt.Errorf("start %s: %w", r.Target, err)
		}
	}
	if err := r.watch.begin(); err != nil {
		return fmt.Errorf("start %s: %w", r.Target, err)
	}
	r.tell("ready after %.1f s", time.Since(began).Seconds())
	if r.Target.Prepare != nil {
		_, err := within(starting, r, "the target's Prepare", func(ctx context.Context) (struct{}, error) {
			return struct{}{}, r.Target.Prepare(ctx, r.cluster)
		})
		if err != nil {
			return fmt.Errorf("prepare %s: %w", r.Target, err)
		}
	}
	return r.fits(ctx)
}

// startNodes starts those nodes at once.
func (r *run) startNodes(ctx context.Context, nodes []cluster.Node) error {
	errs := make(chan error, len(nodes))
	for _, node := range nodes {
		go func() { errs <- r.cluster.Start(ctx, node) }()
	}
	var first error // the others' are mostly the same
	failed := 0
	for range nodes {
		if err := <-errs; err != nil {
			first = cmp.Or(first, err)
			failed++
		}
	}
	switch failed {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("start %s: %w", r.Target, first)
	case 2:
		return fmt.Errorf("start %s: %w (and 1 more node)", r.Target, first)
	}
	return fmt.Errorf("start %s: %w (and %d more nodes)", r.Target, first, failed-1)
}

// awaitReady returns nil when the stage is ready.
func (r *run) awaitReady(ctx context.Context, stage stage) error {
	if stage.ready == nil {
		return nil
	}
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		_, err := within(ctx, r, stage.what, func(ctx context.Context) (struct{}, error) {
			attempt, cancel := context.WithTimeout(ctx, readyAttempt)
			defer cancel()
			return struct{}{}, stage.ready(attempt, r.cluster)
		})
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		}
		select {
		case exit := <-r.watch.early:
			return exit
		case <-retry.C:
		case <-progress.C:
			r.tell("waiting for the cluster: %v", err)
		case <-ctx.Done():
		}
	}
}

// fits returns an error if the workload needs what the target's clients cannot do:
// else every operation would fail, each after the other.
func (r *run) fits(ctx context.Context) error {
	lack, err := r.binds(ctx)
	switch {
	case lack != nil:
		return lack
	case errors.Is(err, errNoClient), errors.As(err, new(*panicked)):
		return fmt.Errorf("open a client of %s: %w", r.Target, err)
	}
	return nil // else it may be possible later, and is tried for each operation
}

// binds returns what a client lacks that the workload needs, or why none can be opened.
func (r *run) binds(ctx context.Context) (lack, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	return within(ctx, r, "the target's Open", func(ctx context.Context) (lack error, err error) {
		client, err := r.open(ctx, r.layout.serving[0])
		if err != nil {
			return nil, err
		}
		if _, err := r.Workload.Bind(client); err != nil {
			lack = fmt.Errorf("%s cannot serve this workload: %w", r.Target, err)
		}
		return lack, r.shut(client)
	})
}
