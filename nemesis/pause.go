package nemesis

import (
	"context"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// pause stops the execution of nodes. They do not notice, but for a clock that
// has jumped when they go on.
var pause = family{
	name:   "pause",
	says:   "nodes are stopped, and later go on where they were",
	needs:  cluster.PauseFault,
	shapes: roles,
	inject: func(ctx context.Context, p *player, f fault) error {
		return each(ctx, f.hit.nodes, p.stage.Cluster.Pause)
	},
	heal: func(ctx context.Context, p *player, f fault) error {
		return each(ctx, f.hit.nodes, func(ctx context.Context, node cluster.Node) error {
			if p.stage.Cluster.State(node) != cluster.Paused {
				return nil // it died meanwhile, and stays so until the end
			}
			return p.stage.Cluster.Resume(ctx, node)
		})
	},
}
