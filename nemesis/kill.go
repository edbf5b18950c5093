package nemesis

import (
	"context"
	"syscall"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// kill ends nodes at once, and starts them again on the same data.
var kill = Family{
	Family:    history.FamilyKill,
	Doc:       "nodes are killed, and later restarted",
	Needs:     []cluster.Fault{cluster.KillFault},
	Shapes:    Roles(),
	ByProcess: true,
	Inject: func(ctx context.Context, hit Hit) (string, error) {
		return "", each(ctx, hit.Nodes, func(ctx context.Context, node cluster.Node) error {
			if hit.Processes != "" {
				return hit.Cluster.Signal(ctx, node, hit.Processes, syscall.SIGKILL)
			}
			return hit.Cluster.Kill(ctx, node)
		})
	},
	// A node of which a process was killed is restarted as a whole: it may go
	// on without, and nothing else is sure to bring the process back.
	Heal: func(ctx context.Context, hit Hit) error {
		return each(ctx, hit.Nodes, func(ctx context.Context, node cluster.Node) error {
			if hit.Processes != "" {
				if err := hit.Cluster.Kill(ctx, node); err != nil {
					return err
				}
			}
			return runNode(ctx, hit.Cluster, node)
		})
	},
}
