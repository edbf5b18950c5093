package harness

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// copyBudget bounds each step that is taken with all nodes at once: pause, copy,
// resume.
const copyBudget = 30 * time.Second

// keepData keeps copies of all nodes' data for who wants to know why the target broke
// its claim, unless the trial has stopped at the violation and has them already. The
// cluster is not to be used any more.
func (r *run) keepData(ctx context.Context) {
	dir := filepath.Join(r.Dir, history.DataDir)
	if _, err := os.Stat(dir); err == nil || ctx.Err() != nil || r.isShared() {
		return
	}
	r.tell("not as claimed: copying the nodes' data to %s …", dir)
	r.copyData(ctx, nil)
}

// isShared returns whether the cluster is not the trial's own.
func (t *Trial) isShared() bool { return t.keyPrefix != "" }

// copyData pauses the nodes that run, which it returns, and copies the data of all. It
// leaves a shared cluster alone.
func (r *run) copyData(ctx context.Context, failed func(cluster.Node, error)) (paused []cluster.Node) {
	if r.isShared() {
		return nil
	}
	for _, node := range r.cluster.Nodes() {
		if r.cluster.State(node) == cluster.Running {
			paused = append(paused, node)
		}
	}
	r.onEach(ctx, paused, r.cluster.Pause, failed)
	r.onEach(ctx, r.cluster.Nodes(), func(ctx context.Context, node cluster.Node) error {
		return r.cluster.Collect(ctx, node, filepath.Join(r.Dir, history.DataDir, node))
	}, failed)
	return paused
}

// onEach acts on all the nodes at once, and tells what fails, also to failed if that
// is not nil.
func (r *run) onEach(ctx context.Context, nodes []cluster.Node, act func(context.Context, cluster.Node) error, failed func(cluster.Node, error)) {
	ctx, cancel := context.WithTimeout(ctx, copyBudget)
	defer cancel()
	var all sync.WaitGroup
	for _, node := range nodes {
		all.Go(func() {
			err := act(ctx, node)
			if err == nil {
				return
			}
			r.tell("%v", err)
			if failed != nil {
				failed(node, err)
			}
		})
	}
	all.Wait()
}
