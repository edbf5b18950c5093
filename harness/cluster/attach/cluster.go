//go:build linux || darwin

package attach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// attached is a cluster.Cluster that was there before, and stays.
type attached struct {
	of       Cluster
	names    []cluster.Node
	roles    map[cluster.Node]string
	nodes    map[cluster.Node]*node
	guardian *guardian

	closing  sync.Once
	closeErr error
}

// A node is as far as this trial has brought it.
type node struct {
	Node
	acting sync.Mutex // held throughout an action

	mu    sync.Mutex
	state cluster.State // Down before the first start, which finds it running
	found bool
}

func (n *node) currentState() cluster.State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

func (n *node) become(state cluster.State) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = state
}

func (a *attached) Nodes() []cluster.Node         { return slices.Clone(a.names) }
func (a *attached) Role(name cluster.Node) string { return a.roles[name] }

func (a *attached) Address(name cluster.Node) string {
	if n := a.nodes[name]; n != nil {
		return n.Address
	}
	return ""
}

func (a *attached) PortAddress(name cluster.Node, port string) string {
	if n := a.nodes[name]; n != nil {
		return n.Ports[port]
	}
	return ""
}

func (a *attached) ClientAddress(name cluster.Node, port string) string {
	if port == "" {
		return a.Address(name)
	}
	return a.PortAddress(name, port)
}

func (a *attached) State(name cluster.Node) cluster.State {
	if n := a.nodes[name]; n != nil {
		return n.currentState()
	}
	return cluster.Down
}

// Start finds a node running at first, and starts it later.
func (a *attached) Start(ctx context.Context, name cluster.Node) error {
	return a.act(ctx, start, name, func(n *node) error {
		if state := n.currentState(); state != cluster.Down {
			return fmt.Errorf("it is %s already; kill it first", state)
		}
		what := start
		if !n.found {
			what = find
		}
		if err := a.guardian.carryOut(ctx, what, name); err != nil {
			return err
		}
		n.found = true
		n.become(cluster.Running)
		return nil
	})
}

func (a *attached) Kill(ctx context.Context, name cluster.Node) error {
	return a.act(ctx, kill, name, func(n *node) error {
		if n.currentState() == cluster.Down {
			return nil
		}
		if err := a.guardian.carryOut(ctx, kill, name); err != nil {
			return err
		}
		n.become(cluster.Down)
		return nil
	})
}

func (a *attached) Pause(ctx context.Context, name cluster.Node) error {
	return a.turn(ctx, pause, name, cluster.Running, cluster.Paused)
}

func (a *attached) Resume(ctx context.Context, name cluster.Node) error {
	return a.turn(ctx, resume, name, cluster.Paused, cluster.Running)
}

// turn has a node go from one state to another, if it is not in that already.
func (a *attached) turn(ctx context.Context, do verb, name cluster.Node, from, to cluster.State) error {
	return a.act(ctx, do, name, func(n *node) error {
		switch n.currentState() {
		case to:
			return nil
		case from:
		default:
			return errors.New("it is not running")
		}
		if err := a.guardian.carryOut(ctx, do, name); err != nil {
			return err
		}
		n.become(to)
		return nil
	})
}

func (a *attached) act(ctx context.Context, do verb, name cluster.Node, action func(*node) error) error {
	n := a.nodes[name]
	if n == nil {
		return fmt.Errorf("cannot %s %q: no such node", do, name)
	}
	n.acting.Lock()
	defer n.acting.Unlock()
	err := ctx.Err()
	if err == nil {
		err = action(n)
	}
	if err != nil {
		return fmt.Errorf("cannot %s %s (%s): %w", do, name, n.Name, err)
	}
	return nil
}

func (a *attached) unsupported(fault cluster.Fault) error {
	return fmt.Errorf("%w: %w", world{a.of}.Supports(context.Background(), fault), errors.ErrUnsupported)
}

func (a *attached) SetLinks(_ context.Context, _ []cluster.Link, condition cluster.Condition) error {
	if condition == (cluster.Condition{}) {
		return nil // as they are
	}
	return a.unsupported(cluster.CutFault)
}

func (a *attached) SetClock(_ context.Context, _ cluster.Node, clock cluster.Clock) error {
	if clock == (cluster.Clock{}) {
		return nil
	}
	return a.unsupported(cluster.ClockFault)
}

func (a *attached) Signal(context.Context, cluster.Node, string, syscall.Signal) error {
	return a.unsupported(cluster.SignalFault)
}

// Collect copies nothing.
func (a *attached) Collect(_ context.Context, name cluster.Node, _ string, _ ...string) error {
	return fmt.Errorf("nothing is copied of %s (%s): the data of an attached cluster stays where it is: %w", name, a.nodes[name].Name, errors.ErrUnsupported)
}

func (a *attached) Linked() error              { return nil }
func (a *attached) Means(cluster.Fault) string { return "" }

// Close starts what was killed, and resumes what was paused.
func (a *attached) Close() error {
	a.closing.Do(func() { a.closeErr = a.guardian.dismiss() })
	return a.closeErr
}

// serves returns nil if somebody accepts connections at the address.
func serves(ctx context.Context, address string) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return connection.Close()
}
