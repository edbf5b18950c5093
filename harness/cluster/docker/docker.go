// Package docker is the world of containers: any image, every fault, and no
// trace. It needs a Docker engine with Linux containers.
//
// # Nodes
//
// A node is up to three containers. Its *holder* owns the network interface with
// the node's address, the host name, the published port and the PID namespace,
// and does nothing but reap zombies. Its *target* is the system under test, any
// image, and joins the holder's namespaces, as the containers of a Kubernetes pod
// join each other's; so does its *agent*, which injects faults from beside the
// target and is there only if the trial has faults.
//
// The target can then be killed and started as often as one likes, and keeps its
// address, its name, the rules of the firewall and the agent. Were it alone, the
// engine would give it a new network each time. Nor is it PID 1, which the kernel
// shields from signals of its own namespace. Its container is the same over all
// its lives, with whatever it wrote; the volume at Place.Data is its own too.
//
// # Networks
//
// Nodes meet in a network of the cluster's own, by the holders' addresses, where
// all of them serve the same port. A holder never restarts, so the address that
// the engine chose for it stays. The harness comes through a port that is
// published on loopback, so that an engine in a virtual machine works too, and
// past all faults of links. Nodes are never told that port: peers that met there
// would meet behind a partition's back.
//
// Whoever connects to a published port is accepted by the engine, also if the
// node is down. Such a connection ends at once, with a reset or an EOF. If the trial
// may hit links of clients, these reach the published port through a proxy in the
// harness, as nodes reach each other in the world of processes.
//
// # Faults
//
// Kill and pause are the engine's. It sends SIGKILL to all of the target's
// processes, and freezes their cgroup: unlike after SIGSTOP, no process, neither
// parent nor sibling, can see that another stands still, nor wake it. Everything
// else the agent injects; see package agent. A link's condition is put where its
// packets arrive.
//
// If clocks are to be wrong, a target starts through a gate, rashomon itself,
// that waits for the agent, so that the first instruction sees the wrong time
// already. The gate is mounted into the target's container.
//
// # The image
//
// Holder, agent, gate and the built-in targets are one binary: rashomon, in an
// image that contains nothing else. See Main for how it is found.
//
// # Leaving nothing behind
//
// Containers, networks and volumes are labelled with their session. Close removes
// the session; if the harness dies, however that may be, its reaper does; and if
// that died too, the next Build on this machine does. The image alone stays, named
// by the hash of its content.
//
// A request to the engine, once made, is waited for even if its context has
// ended. Otherwise the engine might carry it out after Close.
package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/client"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/docker/agent"
	"github.com/rashomon-io/rashomon/harness/cluster/internal/proxy"
)

// closeTimeout bounds how long Close tries to remove everything.
const closeTimeout = time.Minute

// worldName is what --world takes.
const worldName = "docker"

// World returns the world of containers.
func World() cluster.World { return &world{lacks: map[cluster.Fault]error{}} }

type world struct {
	mu    sync.Mutex
	lacks map[cluster.Fault]error // what is known of faults, by asking agents
}

func (*world) Name() string { return worldName }

// Supports may build a cluster of one node to find out.
func (w *world) Supports(ctx context.Context, fault cluster.Fault) error {
	if fault == cluster.DiskFault {
		return errors.New("containers write to the engine's own disk; that takes a file system of the node's own")
	}
	if !slices.Contains(cluster.Faults, fault) {
		return fmt.Errorf("containers know no fault %q", fault)
	}
	w.mu.Lock()
	lack, known := w.lacks[fault]
	w.mu.Unlock()
	if known {
		return lack
	}
	err := w.explore(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(err, errSilent) { // who asks about all faults is not to wait each time
		for _, fault := range cluster.Faults {
			w.lacks[fault] = err
		}
	}
	return cmp.Or(err, w.lacks[fault])
}

// explore learns of all faults.
func (w *world) explore(ctx context.Context) error {
	logs, err := os.MkdirTemp("", "rashomon-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(logs)
	builtIn := func(cluster.Place) cluster.Program { return cluster.Program{} }
	c, err := w.Build(ctx, cluster.Spec{Nodes: cluster.Names(1), Program: builtIn, Faults: cluster.Faults, Logs: logs})
	if err != nil {
		return err
	}
	return c.Close()
}

func (w *world) Build(ctx context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	if err := spec.Validate(); err != nil {
		return nil, fmt.Errorf("cannot build a cluster of containers: %w", err)
	}
	c := &containers{spec: spec, session: newSession(), nodes: map[cluster.Node]*node{}, clients: proxy.NewNetwork()}
	if err := c.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot build a cluster of containers: %w", err), c.Close())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fault := range spec.Faults {
		w.lacks[fault] = nil
		if why := c.hello().Lacks[fault]; why != "" {
			w.lacks[fault] = errors.New(why)
		}
	}
	return c, nil
}

// containers is a cluster.Cluster.
type containers struct {
	spec    cluster.Spec
	session session
	engine  *engine
	reaper  *reaper
	image   string // of rashomon
	network string // the name
	gated   bool   // targets start through the gate
	nodes   map[cluster.Node]*node
	telling sync.WaitGroup                     // calls of Spec.Exited
	clients *proxy.Network                     // their links
	front   map[cluster.Node]map[string]string // where clients reach ports; nil if they go past all links

	closing  sync.Once
	closeErr error
}

// build makes everything that Start then only has to start.
func (c *containers) build(ctx context.Context) error {
	if !serves {
		return errNoMain
	}
	var err error
	if c.engine, err = connect(ctx); err != nil {
		return err
	}
	if c.image, err = c.engine.image(ctx, c.spec.Progress); err != nil {
		return err
	}
	// From here on there is something to be left behind.
	for _, step := range []func(context.Context) error{
		c.keepClean, c.createShared, c.createHolders, c.openFront, c.createTargets,
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *containers) keepClean(ctx context.Context) error {
	return together(
		func() (err error) {
			c.reaper, err = startReaper(ctx, c.engine, c.session, c.spec.Progress)
			return err
		},
		func() error {
			ctx, cancel := uninterrupted(ctx)
			defer cancel()
			if err := c.engine.sweep(ctx); err != nil {
				return fmt.Errorf("remove what dead trials have left: %w", err)
			}
			return nil
		},
	)
}

func (c *containers) createShared(ctx context.Context) error {
	ctx, cancel := uninterrupted(ctx)
	defer cancel()
	return together(
		func() error {
			c.network = c.session.name("network")
			_, err := c.engine.api.NetworkCreate(ctx, c.network, client.NetworkCreateOptions{Driver: "bridge", Labels: c.session.labels()})
			return err
		},
		func() error {
			c.gated = slices.Contains(c.spec.Faults, cluster.ClockFault)
			if !c.gated {
				return nil
			}
			return c.fillGate(ctx)
		},
	)
}

func (c *containers) createHolders(ctx context.Context) error {
	for _, name := range c.spec.Nodes {
		c.nodes[name] = &node{containers: c, name: name, logs: filepath.Join(c.spec.Logs, name), state: cluster.Down}
	}
	if err := c.each(ctx, "create", (*node).createHolder); err != nil {
		return err
	}
	peers := map[cluster.Node]string{}
	public := map[cluster.Node]map[string]string{}
	for name, n := range c.nodes {
		peers[name] = netip.AddrPortFrom(n.ip, port).String()
		public[name] = map[string]string{}
		for i, further := range c.spec.Ports {
			public[name][further] = netip.AddrPortFrom(n.ip, uint16(port+1+i)).String()
		}
	}
	for name, n := range c.nodes {
		n.place = cluster.Place{World: worldName, Node: name, Listen: peers[name], Peers: maps.Clone(peers), Ports: map[string]cluster.Port{}, Public: maps.Clone(public), Roles: maps.Clone(c.spec.Roles), Data: data}
		for further, address := range public[name] {
			n.place.Ports[further] = cluster.Port{Listen: address, Public: address}
		}
	}
	return nil
}

// openFront makes the links of clients, if they are to be hit.
func (c *containers) openFront(context.Context) (err error) {
	if slices.Contains(c.spec.Faults, cluster.ClientFault) {
		c.front, err = c.clients.Front(c.spec.Nodes, c.spec.Ports, c.published)
	}
	return err
}

func (c *containers) createTargets(ctx context.Context) error {
	programs := map[cluster.Node]cluster.Program{}
	for name, n := range c.nodes {
		var err error
		if programs[name], err = c.spec.ProgramAt(n.place); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	// A pull takes its time, and leaves nothing of ours when interrupted.
	pulled := map[string]bool{"": true}
	for _, program := range programs {
		wanted := program.Container.Image
		if pulled[wanted] {
			continue
		}
		image, err := c.engine.imageOf(ctx, program.Container, c.spec.Progress)
		if err != nil {
			return err
		}
		if image != wanted && c.spec.Progress != nil { // versions may differ
			c.spec.Progress(fmt.Sprintf("the image %s is not here; %s takes its place", wanted, image))
		}
		pulled[wanted] = true
	}
	return c.each(ctx, "create", func(n *node, ctx context.Context) error {
		return n.createTarget(ctx, programs[n.name])
	})
}

// each acts on all nodes at once.
func (c *containers) each(ctx context.Context, verb string, action func(*node, context.Context) error) error {
	var actions []func() error
	for _, name := range c.spec.Nodes {
		actions = append(actions, func() error { return c.act(ctx, verb, name, action) })
	}
	return together(actions...)
}

// act lets the engine act on a node.
func (c *containers) act(ctx context.Context, verb string, name cluster.Node, action func(*node, context.Context) error) error {
	n := c.nodes[name]
	if n == nil {
		return fmt.Errorf("cannot %s %q: no such node", verb, name)
	}
	err := ctx.Err()
	if err == nil {
		ctx, cancel := uninterrupted(ctx)
		defer cancel()
		err = action(n, ctx)
	}
	if err != nil {
		return fmt.Errorf("cannot %s %s: %w", verb, name, err)
	}
	return nil
}

// uninterrupted is the context of requests to the engine that are waited for.
func uninterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), engineTimeout)
}

func (c *containers) Nodes() []cluster.Node { return slices.Clone(c.spec.Nodes) }

func (c *containers) Role(name cluster.Node) string { return c.spec.Roles[name] }

func (c *containers) Address(name cluster.Node) string { return c.published(name, "") }

func (c *containers) PortAddress(name cluster.Node, port string) string {
	return c.published(name, port)
}

func (c *containers) ClientAddress(name cluster.Node, port string) string {
	if c.front == nil {
		return c.published(name, port)
	}
	return c.front[name][port]
}

// published returns where this machine reaches a port of a node, or the main one, which
// has no name.
func (c *containers) published(name cluster.Node, port string) string {
	n, i := c.nodes[name], slices.Index(c.spec.Ports, port)
	switch {
	case n == nil || i < 0 && port != "":
		return ""
	case port == "":
		return n.addresses[0]
	}
	return n.addresses[1+i]
}

func (c *containers) State(name cluster.Node) cluster.State {
	if n := c.nodes[name]; n != nil {
		return n.currentState()
	}
	return cluster.Down
}

func (c *containers) Start(ctx context.Context, name cluster.Node) error {
	return c.act(ctx, "start", name, (*node).start)
}

func (c *containers) Kill(ctx context.Context, name cluster.Node) error {
	return c.act(ctx, "kill", name, (*node).kill)
}

func (c *containers) Pause(ctx context.Context, name cluster.Node) error {
	return c.act(ctx, "pause", name, (*node).pause)
}

func (c *containers) Resume(ctx context.Context, name cluster.Node) error {
	return c.act(ctx, "resume", name, (*node).resume)
}

func (c *containers) SetLinks(ctx context.Context, links []cluster.Link, condition cluster.Condition) error {
	sources := map[cluster.Node][]netip.Addr{} // by destination
	var clients []cluster.Link
	for _, link := range links {
		if c.clients.Has(link) {
			clients = append(clients, link)
			continue
		}
		from, to := c.nodes[link.From], c.nodes[link.To]
		if from == nil || to == nil || from == to {
			return fmt.Errorf("cannot set link %s: no such link", link)
		}
		sources[link.To] = append(sources[link.To], from.ip)
	}
	if len(clients) > 0 {
		if err := c.clients.Set(clients, condition); err != nil {
			return fmt.Errorf("cannot set links of clients: %w", err)
		}
	}
	if condition == (cluster.Condition{}) && !slices.Contains(capabilities(c.spec.Faults), "NET_ADMIN") {
		return nil // whole they are: nobody here could have changed them
	}
	var requests []func() error
	for name, peers := range sources {
		requests = append(requests, func() error {
			_, err := c.nodes[name].ask(ctx, agent.Request{Links: &agent.LinksRequest{Peers: peers, Condition: condition}})
			return err
		})
	}
	if err := together(requests...); err != nil {
		return fmt.Errorf("cannot set links: %w", err)
	}
	return nil
}

func (c *containers) SetClock(ctx context.Context, name cluster.Node, clock cluster.Clock) error {
	n := c.nodes[name]
	if n == nil {
		return fmt.Errorf("cannot set the clock of %q: no such node", name)
	}
	if _, err := n.ask(ctx, agent.Request{Clock: &agent.ClockRequest{Clock: clock}}); err != nil {
		return fmt.Errorf("cannot set the clock of %w", err)
	}
	return nil
}

func (c *containers) Signal(ctx context.Context, name cluster.Node, process string, signal syscall.Signal) error {
	n := c.nodes[name]
	if n == nil {
		return fmt.Errorf("cannot signal processes of %q: no such node", name)
	}
	if err := n.signal(ctx, process, signal); err != nil {
		return fmt.Errorf("cannot signal processes of %w", err)
	}
	return nil
}

// Linked is nil because every address of a container lies behind its links.
func (c *containers) Linked() error { return nil }

func (c *containers) Means(fault cluster.Fault) string {
	switch fault {
	case cluster.KillFault:
		return "docker kill"
	case cluster.PauseFault:
		return "docker pause"
	case cluster.SignalFault:
		return "signal"
	case cluster.ClientFault:
		return "proxy"
	}
	return c.hello().Means[fault]
}

// hello is what an agent can do. All of them have the same kernel.
func (c *containers) hello() agent.Response { return c.nodes[c.spec.Nodes[0]].hello }

func (c *containers) Close() error {
	c.closing.Do(func() { c.closeErr = c.close() })
	return c.closeErr
}

func (c *containers) close() error {
	if c.engine == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	for _, n := range c.nodes {
		n.retire()
	}
	err := c.engine.remove(ctx, c.session, time.Time{})
	for _, n := range c.nodes {
		n.close()
	}
	c.telling.Wait()
	c.clients.Close()
	if c.reaper != nil {
		if err == nil {
			err = c.reaper.dismiss()
		} else {
			c.reaper.pipe.Close() // it goes on where we gave up
		}
	}
	c.engine.close()
	return err
}
