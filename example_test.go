package rashomon_test

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/rashomon-io/rashomon"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
)

// The main.go of somebody's own command, and the target that it tries: servers that are
// called mystore, which take the address to serve and those of all of them.
func ExampleCommand() {
	rashomon.Command{
		Targets: []harness.System{{Name: "mystore", About: "my own store", Options: []string{"reads=stale"}, Target: target}},
	}.Main()
}

func target(options string) (harness.Target, error) {
	if options != "" && options != "reads=stale" {
		return harness.Target{}, fmt.Errorf("%q is not reads=stale", options)
	}
	return harness.Target{
		Name: "mystore", Options: options,
		Program: func(p cluster.Place) cluster.Program {
			args := []string{"--listen", p.Listen, "--data", p.Data}
			for _, node := range []cluster.Node{"n1", "n2", "n3"} { // in the same order each time
				args = append(args, "--peer", node+"="+p.Peers[node])
			}
			return cluster.Program{Path: "mystore", Args: args}
		},
		Ready: func(ctx context.Context, c cluster.Cluster) error {
			return dial(c, c.Nodes()[0]).Write(ctx, "ready", 1)
		},
		Open: func(_ context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
			return dial(c, node), nil
		},
	}, nil
}

// A client is a workloads.RegisterClient, once it speaks mystore's protocol.
type client struct{ address string }

func dial(c cluster.Cluster, node cluster.Node) client { return client{c.Address(node)} }

func (c client) Read(ctx context.Context, key string) (value int64, found bool, err error) {
	return 0, false, c.send(ctx, "read", key)
}

func (c client) Write(ctx context.Context, key string, value int64) error {
	return c.send(ctx, "write", key, value)
}

func (c client) CompareAndSet(ctx context.Context, key string, old, new int64) (bool, error) {
	return false, c.send(ctx, "cas", key, old, new)
}

func (client) Close() error { return nil }

func (c client) send(ctx context.Context, words ...any) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return harness.Definite(err) // nothing was sent
	}
	defer connection.Close()
	if _, err := fmt.Fprintln(connection, words...); err != nil {
		return err
	}
	return errors.New("the answer is still to be read") // nobody knows, until then
}
