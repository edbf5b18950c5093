// Package proxy has connections of TCP obey directed links that can be cut, slow and
// late. Worlds use it where the kernel offers nothing better.
//
// Each direction of a connection obeys the link that its bytes travel; package process
// describes what that does to them. When this process ends, so do all connections, and
// nothing is left.
package proxy

import (
	"errors"
	"fmt"
	"net"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// ErrNoLoss is why a link cannot have a condition.
var ErrNoLoss = errors.New("a TCP proxy carries streams, in which no packet can be lost; cuts, delay and rate are what it can do")

// A Network is links, and the proxies that lead over them. All of it is connected before
// anything else is done.
type Network struct {
	links   map[cluster.Link]*link
	proxies []*proxy
}

// NewNetwork returns one without links.
func NewNetwork() *Network { return &Network{links: map[cluster.Link]*link{}} }

// Connect returns a new address on loopback, at which link.From, and nobody else, is to
// reach the destination. Answers come back over the opposite link.
func (n *Network) Connect(way cluster.Link, destination string) (address string, err error) {
	there, back := n.link(way), n.link(way.Opposite())
	return n.open(destination, func(*net.TCPConn) (*link, *link, bool) { return there, back, true })
}

// ConnectBy is Connect for who is told apart by the connection: caller returns the link
// that it crosses. If there is no such link, it crosses none. False means that nobody can
// tell, and that the connection must not be.
func (n *Network) ConnectBy(caller func(source *net.TCPConn) (way cluster.Link, known bool), destination string) (address string, err error) {
	return n.open(destination, func(source *net.TCPConn) (*link, *link, bool) {
		way, known := caller(source)
		there, back := n.links[way], n.links[way.Opposite()]
		if there == nil || back == nil {
			there, back = newLink(), newLink()
		}
		return there, back, known
	})
}

// Front connects Clients to every port of every node, whose main port has no name. It
// returns the addresses, by node and port.
func (n *Network) Front(nodes []cluster.Node, ports []string, destination func(node cluster.Node, port string) string) (map[cluster.Node]map[string]string, error) {
	front := map[cluster.Node]map[string]string{}
	for _, node := range nodes {
		front[node] = map[string]string{}
		for _, port := range append([]string{""}, ports...) {
			address, err := n.Connect(cluster.Link{From: cluster.Clients, To: node}, destination(node, port))
			if err != nil {
				return nil, fmt.Errorf("clients of %s: %w", node, err)
			}
			front[node][port] = address
		}
	}
	return front, nil
}

func (n *Network) open(destination string, route route) (address string, err error) {
	p, err := newProxy(destination, route)
	if err != nil {
		return "", err
	}
	n.proxies = append(n.proxies, p)
	return p.address(), nil
}

// link returns the link, which it makes if there is none.
func (n *Network) link(way cluster.Link) *link {
	if n.links[way] == nil {
		n.links[way] = newLink()
	}
	return n.links[way]
}

// Has returns whether there is such a link.
func (n *Network) Has(way cluster.Link) bool { return n.links[way] != nil }

// Used returns whether a connection has come to the link.
func (n *Network) Used(way cluster.Link) bool { return n.links[way].used.Load() }

// Condition returns what Set has given to the link.
func (n *Network) Condition(way cluster.Link) cluster.Condition {
	return n.links[way].current.Load().Condition
}

// Set gives each of the links, which there are, that condition: see
// cluster.Injector.SetLinks. An error means that none was changed.
func (n *Network) Set(links []cluster.Link, condition cluster.Condition) error {
	if err := condition.Validate(); err != nil {
		return err
	}
	if condition.Loss != 0 || condition.Reorder != 0 || condition.Duplicate != 0 || condition.Corrupt != 0 {
		return fmt.Errorf("%w: %w", ErrNoLoss, errors.ErrUnsupported)
	}
	for _, which := range links {
		n.links[which].set(condition)
	}
	for _, p := range n.proxies {
		p.reset((*connection).isReset)
	}
	return nil
}

// Close resets all connections, and returns when no trace of them is left.
func (n *Network) Close() {
	for _, p := range n.proxies {
		p.stop()
	}
	for _, p := range n.proxies {
		p.wait()
	}
}
