package harness_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/reports"
	"github.com/rashomon-io/rashomon/workloads"
)

// A test of a store of your own, whose server is in PATH: its program, how to
// open a client, and, as it says nothing else, a claim to be linearizable.
func ExampleCheck() {
	_ = func(t *testing.T) { // TestLinearizable
		harness.Check(t, harness.Trial{
			Target: harness.Target{
				Name:  "mystore",
				World: process.World(),
				Program: func(p cluster.Place) cluster.Program {
					var peers []string
					for node, address := range p.Peers {
						peers = append(peers, node+"="+address)
					}
					slices.Sort(peers) // a node that starts again gets the same arguments
					return cluster.Program{Path: "mystored", Args: []string{
						"--name", p.Node, "--listen", p.Listen, "--data", p.Data, "--peers", strings.Join(peers, ","),
					}}
				},
				Open: func(ctx context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
					conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.Address(node))
					return &myClient{conn}, err
				},
			},
			Workload: workloads.Register{},
			Nemesis:  nemesis.Partitions(),
			Duration: 30 * time.Second,
			Report:   reports.Write,
		})
	}
}

// myClient is a workloads.RegisterClient.
type myClient struct{ net.Conn }

func (*myClient) Read(context.Context, string) (int64, bool, error) { return 0, false, nil }
func (*myClient) Write(context.Context, string, int64) error        { return nil }
func (*myClient) CompareAndSet(context.Context, string, int64, int64) (bool, error) {
	return false, nil
}

var _ workloads.RegisterClient = (*myClient)(nil)
