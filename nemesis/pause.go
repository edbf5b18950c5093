package nemesis

import (
	"context"
	"syscall"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// pause stops the execution of nodes. They do not notice, but for a clock that
// has jumped when they go on.
var pause = Family{
	Family:    history.FamilyPause,
	Doc:       "nodes are stopped, and later go on where they were",
	Needs:     []cluster.Fault{cluster.PauseFault},
	Shapes:    Roles(),
	ByProcess: true,
	Inject: func(ctx context.Context, hit Hit) (string, error) {
		return "", each(ctx, hit.Nodes, func(ctx context.Context, node cluster.Node) error {
			if hit.Processes != "" {
				return hit.Cluster.Signal(ctx, node, hit.Processes, syscall.SIGSTOP)
			}
			return hit.Cluster.Pause(ctx, node)
		})
	},
	// A node that died meanwhile stays so until the end.
	Heal: func(ctx context.Context, hit Hit) error {
		return each(ctx, hit.Nodes, func(ctx context.Context, node cluster.Node) error {
			switch state := hit.Cluster.State(node); {
			case hit.Processes != "" && (state == cluster.Running || state == cluster.Paused):
				return hit.Cluster.Signal(ctx, node, hit.Processes, syscall.SIGCONT)
			case hit.Processes == "" && state == cluster.Paused:
				return hit.Cluster.Resume(ctx, node)
			}
			return nil
		})
	},
}
