package nemesis

import (
	"context"
	"syscall"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// pause stops the execution of nodes. They do not notice, but for a clock that
// has jumped when they go on.
var pause = family{
	name:   "pause",
	says:   "nodes are stopped, and later go on where they were",
	on:     onNodes,
	needs:  []cluster.Fault{cluster.PauseFault},
	shapes: roles,
	inject: func(ctx context.Context, p *player, f fault) error {
		return each(ctx, f.hit.nodes, func(ctx context.Context, node cluster.Node) error {
			if f.processes != "" {
				return p.stage.Cluster.Signal(ctx, node, f.processes, syscall.SIGSTOP)
			}
			return p.stage.Cluster.Pause(ctx, node)
		})
	},
	// A node that died meanwhile stays so until the end.
	heal: func(ctx context.Context, p *player, f fault) error {
		return each(ctx, f.hit.nodes, func(ctx context.Context, node cluster.Node) error {
			switch state := p.stage.Cluster.State(node); {
			case f.processes != "" && (state == cluster.Running || state == cluster.Paused):
				return p.stage.Cluster.Signal(ctx, node, f.processes, syscall.SIGCONT)
			case f.processes == "" && state == cluster.Paused:
				return p.stage.Cluster.Resume(ctx, node)
			}
			return nil
		})
	},
}
