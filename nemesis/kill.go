package nemesis

import (
	"context"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// kill ends nodes at once, and starts them again on the same data.
var kill = family{
	name:   "kill",
	says:   "nodes are killed, and later restarted",
	needs:  cluster.KillFault,
	shapes: roles,
	inject: func(ctx context.Context, p *player, f fault) error {
		return each(ctx, f.hit.nodes, p.stage.Cluster.Kill)
	},
	heal: func(ctx context.Context, p *player, f fault) error {
		return each(ctx, f.hit.nodes, p.run)
	},
}
