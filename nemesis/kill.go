package nemesis

import (
	"context"
	"syscall"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// kill ends nodes at once, and starts them again on the same data.
var kill = family{
	name:   "kill",
	says:   "nodes are killed, and later restarted",
	on:     onNodes,
	needs:  []cluster.Fault{cluster.KillFault},
	shapes: roles,
	inject: func(ctx context.Context, p *player, f fault) error {
		return each(ctx, f.hit.nodes, func(ctx context.Context, node cluster.Node) error {
			if f.processes != "" {
				return p.stage.Cluster.Signal(ctx, node, f.processes, syscall.SIGKILL)
			}
			return p.stage.Cluster.Kill(ctx, node)
		})
	},
	// A node of which a process was killed is restarted as a whole: it may go
	// on without, and nothing else is sure to bring the process back.
	heal: func(ctx context.Context, p *player, f fault) error {
		return each(ctx, f.hit.nodes, func(ctx context.Context, node cluster.Node) error {
			if f.processes != "" {
				if err := p.stage.Cluster.Kill(ctx, node); err != nil {
					return err
				}
			}
			return p.run(ctx, node)
		})
	},
}
