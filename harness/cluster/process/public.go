//go:build linux || darwin

package process

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// # Ports that everybody knows by one address
//
// The main port of a node has a proxy for each peer, so who calls is known by
// whose proxy it is. Systems whose nodes tell each other addresses cannot do with
// that: an address must mean the same to all. So a further port has one proxy, and
// for each connection the kernel is asked which process called (caller). Its
// process group tells the node.
//
// A process that left its node's group is taken for a stranger. So are the harness
// and whatever else runs on this machine; strangers are taken for
// clients. A connection that ended before its caller was found out is reset.

// openPorts gives every node its further ports.
func (l *loopback) openPorts(names []string) error {
	if len(names) == 0 {
		return nil
	}
	if err := canIdentify(); err != nil {
		return fmt.Errorf("this target needs further ports: %w", err)
	}
	public := map[cluster.Node]map[string]string{}
	for _, to := range l.names {
		n := l.nodes[to]
		n.place.Ports = map[string]cluster.Port{}
		public[to] = map[string]string{}
		for _, name := range names {
			listen, err := n.reserve()
			if err != nil {
				return fmt.Errorf("%s, port %s: %w", to, name, err)
			}
			address, err := l.network.ConnectBy(l.callerOf(to), listen)
			if err != nil {
				return fmt.Errorf("%s, port %s: %w", to, name, err)
			}
			n.place.Ports[name] = cluster.Port{Listen: listen, Public: address}
			public[to][name] = address
		}
	}
	for _, n := range l.nodes {
		n.place.Public = maps.Clone(public)
	}
	return nil
}

// callerOf finds out, for each connection to the node, who calls.
func (l *loopback) callerOf(to cluster.Node) func(*net.TCPConn) (way cluster.Link, known bool) {
	return func(source *net.TCPConn) (way cluster.Link, known bool) {
		nodes := l.groups()
		group, err := caller(source, slices.Collect(maps.Keys(nodes)))
		if errors.Is(err, errStranger) {
			return cluster.Link{From: cluster.Clients, To: to}, true
		}
		return cluster.Link{From: nodes[group], To: to}, err == nil
	}
}

// groups returns the nodes by their process groups.
func (l *loopback) groups() map[int]cluster.Node {
	nodes := map[int]cluster.Node{}
	for name, n := range l.nodes {
		n.mu.Lock()
		if n.life != nil {
			nodes[n.life.pid] = name
		}
		n.mu.Unlock()
	}
	return nodes
}

// errStranger means that no node's process has the other end of a connection.
var errStranger = errors.New("the caller is no node")
