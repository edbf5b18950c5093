package targets

import (
	"context"
	"fmt"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
)

// Serves returns nil if the clients of a built-in target can do what the workload
// needs, else what they lack. It needs no cluster, as these clients do not connect
// before their first call.
func Serves(ctx context.Context, target harness.Target, workload harness.Workload) error {
	client, err := target.Open(ctx, nowhere{}, "n1")
	if err != nil {
		return fmt.Errorf("open a client of %s: %w", target, err)
	}
	defer client.Close()
	if _, err := workload.Bind(client); err != nil {
		return fmt.Errorf("%s cannot serve this workload: %w", target, err)
	}
	return nil
}

// nowhere is a cluster of one node that is not there, good for its addresses only.
type nowhere struct{ cluster.Cluster }

func (nowhere) Nodes() []cluster.Node                   { return cluster.Names(1) }
func (nowhere) Address(cluster.Node) string             { return "127.0.0.1:1" }
func (nowhere) PortAddress(cluster.Node, string) string { return "127.0.0.1:1" }
