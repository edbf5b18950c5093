//go:build linux || darwin

// Package process is the world of operating-system processes on loopback. It
// needs no privileges and nothing installed.
//
// # Nodes
//
// A node is a process in a process group of its own, with a data directory on
// the real file system. It must stay in the foreground: once it ends, whatever
// is left of its group is killed. Its working directory is its data directory,
// so that core dumps and the like go when that goes. Its stdin is a pipe that
// the harness never writes to; it ends when the harness does. Its stdout and
// stderr are the log files themselves, which therefore outlive a killed
// harness.
//
// # Links
//
// For every ordered pair of nodes the harness listens on a port of its own, and
// tells only the first node of it, as the address of the second. What arrives
// there is passed on to the second node, and each direction of each connection
// obeys the directed link that it travels: a connection from n1 to n2 carries
// bytes over n1>n2 and answers over n2>n1. A link does to bytes what a network
// does to packets, as far as an application on TCP can tell:
//
//   - A silent cut holds bytes, and the news of a closed connection, until it
//     is lifted; TCP would retransmit them. New connections need both directions
//     and are held as well. The kernel has accepted them already, so connect
//     succeeds and then nothing happens. One that its source gives up while it
//     is held never reaches the destination, as a lost SYN would not.
//   - A reset cut resets the connections that use the link, either way, and any
//     new one at once.
//   - Delay and rate apply to bytes and to closing. The handshake is not delayed.
//   - A node that is down refuses; whoever comes over a link sees a reset, others the
//     refusal.
//
// Bytes that the proxy has written to the destination's kernel have arrived.
//
// Clients connect to nodes directly, past all links, unless the trial may hit their
// links too. Then there are proxies for all clients together, which nobody else knows.
//
// # Ports
//
// A node has the same port for life, and while it is down nobody listens there:
// a client must be refused, which is a definite failure. Nobody else may take
// the port meanwhile. The harness therefore holds it in a way that does not
// listen, beside the node's own listener (see reserve), from Build to Close, so
// that there is no moment at which the port is up for grabs. On Linux, the node
// must listen with SO_REUSEADDR, as servers do who want to be restarted. Nodes'
// ports lie below the ephemeral range where possible; inside it, a client that
// dials a port where nobody listens can end up connected to itself.
//
// # Leaving nothing behind
//
// Close ends the nodes and removes their data. If the harness is killed, the
// guardian does it; and if that was killed too, the next Build on this machine.
package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/internal/proxy"
)

// closeTimeout bounds how long Close waits for a killed node to be gone. Only
// a process stuck in the kernel takes longer than milliseconds.
const closeTimeout = 30 * time.Second

// errNode: a binary that runs all its tests as a node, with clusters of their own,
// would never come to an end.
var errNode = errors.New("this process was started as a node of a cluster: its program is to hand its arguments to targets.Main, or to harness.NodeMain for systems of its own, first thing in main, or in a test's func TestMain(m *testing.M) { targets.Main(); os.Exit(m.Run()) }")

// worldName is what --world takes.
const worldName = "process"

// World returns the world of processes. Supports tells which faults it injects.
func World() cluster.World { return world{} }

type world struct{}

func (world) Name() string { return worldName }

func (world) Supports(_ context.Context, fault cluster.Fault) error {
	switch fault {
	case cluster.CutFault, cluster.DelayFault, cluster.RateFault, cluster.ClientFault, cluster.KillFault, cluster.PauseFault:
		return nil
	case cluster.SignalFault:
		return errors.New("kill and pause reach the processes of a node all together; the docker world can hit them by name")
	case cluster.LossFault:
		return proxy.ErrNoLoss
	case cluster.ClockFault:
		return errors.New("processes share the machine's clock, which is never touched")
	case cluster.DiskFault:
		return errors.New("a killed process leaves its writes in the kernel's cache, synced or not; that takes a file system of the node's own")
	}
	return fmt.Errorf("processes on loopback know no fault %q", fault)
}

func (world) Build(ctx context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	if err := spec.Validate(); err != nil {
		return nil, fmt.Errorf("cannot build a cluster of processes: %w", err)
	}
	l := &loopback{names: slices.Clone(spec.Nodes), roles: maps.Clone(spec.Roles), nodes: map[cluster.Node]*node{}, network: proxy.NewNetwork()}
	if err := l.build(ctx, spec); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot build a cluster of processes: %w", err), l.Close())
	}
	return l, nil
}

// loopback is a cluster.Cluster of processes on 127.0.0.1.
type loopback struct {
	names    []cluster.Node
	roles    map[cluster.Node]string
	nodes    map[cluster.Node]*node
	network  *proxy.Network
	front    map[cluster.Node]map[string]string // where clients reach ports; nil if they go past all links
	data     string                             // parent of the nodes' data directories
	lock     *os.File                           // on data
	guardian *guardian
	telling  sync.WaitGroup                 // calls of Spec.Exited
	bypass   atomic.Pointer[cluster.Bypass] // the first that was seen

	closing  sync.Once
	closeErr error
}

func (l *loopback) build(ctx context.Context, spec cluster.Spec) error {
	if os.Getenv(clusterVariable) != "" {
		return errNode
	}
	err := sweep()
	if err != nil {
		return err
	}
	// The guardian is told of the directory before it exists, so that there is
	// no moment at which a killed harness would leave it.
	data := filepath.Join(os.TempDir(), strings.Replace(dataPattern, "*", rand.Text(), 1))
	if l.guardian, err = newGuardian(data); err != nil {
		return err
	}
	if l.lock, err = claim(data); err != nil {
		return err
	}
	l.data = data
	logs, err := filepath.Abs(spec.Logs)
	if err != nil {
		return err
	}
	for _, name := range l.names {
		n := &node{spec: spec, telling: &l.telling, logs: filepath.Join(logs, name), guardian: l.guardian, state: cluster.Down}
		n.place = cluster.Place{World: worldName, Node: name, Data: filepath.Join(data, name), Peers: map[cluster.Node]string{}, Roles: maps.Clone(spec.Roles)}
		if n.place.Listen, err = n.reserve(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		l.nodes[name] = n
		n.place.Peers[name] = n.place.Listen
		if err := errors.Join(os.Mkdir(n.place.Data, 0o700), os.MkdirAll(n.logs, 0o777)); err != nil {
			return err
		}
	}
	for from, to := range pairs(l.names) {
		if err := ctx.Err(); err != nil {
			return err
		}
		link := cluster.Link{From: from, To: to}
		if l.nodes[from].place.Peers[to], err = l.network.Connect(link, l.nodes[to].place.Listen); err != nil {
			return fmt.Errorf("link %s: %w", link, err)
		}
	}
	if err := l.openPorts(spec.Ports); err != nil {
		return err
	}
	if slices.Contains(spec.Faults, cluster.ClientFault) {
		if l.front, err = l.network.Front(l.names, spec.Ports, l.listens); err != nil {
			return err
		}
	}
	for _, name := range l.names {
		if _, err := l.nodes[name].program(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// pairs yields every ordered pair of different nodes.
func pairs(nodes []cluster.Node) func(yield func(from, to cluster.Node) bool) {
	return func(yield func(from, to cluster.Node) bool) {
		for _, from := range nodes {
			for _, to := range nodes {
				if from != to && !yield(from, to) {
					return
				}
			}
		}
	}
}

func (l *loopback) Nodes() []cluster.Node { return slices.Clone(l.names) }

func (l *loopback) Role(name cluster.Node) string { return l.roles[name] }

func (l *loopback) Address(name cluster.Node) string { return l.listens(name, "") }

func (l *loopback) PortAddress(name cluster.Node, port string) string {
	return l.listens(name, port)
}

func (l *loopback) ClientAddress(name cluster.Node, port string) string {
	if l.front == nil {
		return l.listens(name, port)
	}
	return l.front[name][port]
}

// listens returns where the node serves a port, or the main one, which has no name.
func (l *loopback) listens(name cluster.Node, port string) string {
	n := l.nodes[name]
	switch {
	case n == nil:
		return ""
	case port == "":
		return n.place.Listen
	}
	return n.place.Ports[port].Listen
}

func (l *loopback) State(name cluster.Node) cluster.State {
	if n := l.nodes[name]; n != nil {
		return n.currentState()
	}
	return cluster.Down
}

func (l *loopback) Start(ctx context.Context, name cluster.Node) error {
	return l.act(ctx, "start", name, (*node).start)
}

func (l *loopback) Kill(ctx context.Context, name cluster.Node) error {
	return l.act(ctx, "kill", name, (*node).kill)
}

func (l *loopback) Pause(ctx context.Context, name cluster.Node) error {
	return l.act(ctx, "pause", name, (*node).pause)
}

func (l *loopback) Resume(ctx context.Context, name cluster.Node) error {
	return l.act(ctx, "resume", name, (*node).resume)
}

func (l *loopback) act(ctx context.Context, verb string, name cluster.Node, action func(*node, context.Context) error) error {
	n := l.nodes[name]
	if n == nil {
		return fmt.Errorf("cannot %s %q: no such node", verb, name)
	}
	if err := action(n, ctx); err != nil {
		return fmt.Errorf("cannot %s %s: %w", verb, name, err)
	}
	return nil
}

func (l *loopback) SetLinks(_ context.Context, links []cluster.Link, condition cluster.Condition) error {
	lifts := false
	for _, link := range links {
		if !l.network.Has(link) {
			return fmt.Errorf("cannot set link %s: no such link", link)
		}
		lifts = lifts || condition.Cut == cluster.Whole && l.network.Condition(link).Cut != cluster.Whole
	}
	if lifts {
		l.lookForBypass()
	}
	return l.network.Set(links, condition)
}

func (l *loopback) Close() error {
	l.closing.Do(func() { l.closeErr = l.close() })
	return l.closeErr
}

func (l *loopback) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	// Nodes first, all at once, so that none lives to see another's links break.
	failures := make(chan error, len(l.nodes))
	for _, n := range l.nodes {
		go func() { failures <- n.close(ctx) }()
	}
	var errs []error
	for range l.nodes {
		errs = append(errs, <-failures)
	}
	l.telling.Wait()
	l.network.Close()
	if l.data != "" {
		errs = append(errs, os.RemoveAll(l.data), l.lock.Close())
	}
	if l.guardian != nil {
		errs = append(errs, l.guardian.dismiss())
	}
	return errors.Join(errs...)
}

func (l *loopback) SetClock(ctx context.Context, _ cluster.Node, _ cluster.Clock) error {
	return World().Supports(ctx, cluster.ClockFault)
}

func (l *loopback) Signal(ctx context.Context, node cluster.Node, process string, _ syscall.Signal) error {
	return fmt.Errorf("%s: cannot signal %s alone: %w: %w", node, process, World().Supports(ctx, cluster.SignalFault), errors.ErrUnsupported)
}

func (l *loopback) Means(cluster.Fault) string { return "" }
