package consensus

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

const (
	// rpcTimeout bounds each message to a peer, and so how long it takes to
	// notice that a silently cut link is whole again.
	rpcTimeout = 500 * time.Millisecond
	retryAfter = 50 * time.Millisecond
)

// A transport is hashicorp/raft's own, with two differences.
type transport struct {
	*hraft.NetworkTransport
	// raft is set once it exists, which is after its transport does.
	raft atomic.Pointer[hraft.Raft]
}

func newTransport(peers *door, place cluster.Place, logger hclog.Logger) *transport {
	return &transport{NetworkTransport: hraft.NewNetworkTransportWithConfig(&hraft.NetworkTransportConfig{
		ServerAddressProvider: addresses(place),
		Logger:                logger.Named("transport"),
		Stream:                stream{peers, place.Node},
		MaxPool:               4,
		Timeout:               rpcTimeout,
	})}
}

// SetHeartbeatHandler does nothing, so that heartbeats wait their turn in
// raft's main loop like all other messages, as with hashicorp/raft's in-memory
// transport. Its shortcut for them changes term and state beside the main loop,
// which then may append entries to the log in a term that it did not win
// (github.com/hashicorp/raft, issue 695). The price is that heartbeats wait for
// a follower's disk.
func (t *transport) SetHeartbeatHandler(func(hraft.RPC)) {}

// AppendEntries keeps trying as long as this node leads. hashicorp/raft would
// wait twice as long after each failure, up to ten seconds, and so leave a
// follower behind long after its partition has healed.
func (t *transport) AppendEntries(id hraft.ServerID, address hraft.ServerAddress, request *hraft.AppendEntriesRequest, response *hraft.AppendEntriesResponse) error {
	for {
		err := t.NetworkTransport.AppendEntries(id, address, request, response)
		if err == nil || !leads(t.raft.Load(), request.Term) {
			return err
		}
		time.Sleep(retryAfter)
	}
}

// leads reports whether the node leads in that term. Term and state change in
// raft's main loop alone, the term first when an election begins and last when
// leadership ends. So a node that is the leader while the term stays the same
// has won that term's election.
func leads(r *hraft.Raft, term uint64) bool {
	return r != nil && r.CurrentTerm() == term && r.State() == hraft.Leader && r.CurrentTerm() == term
}

// addresses maps nodes to TCP addresses. It maps the node itself to its bare
// name: in raft's eyes the name is the address, whoever looks.
type addresses cluster.Place

func (a addresses) ServerAddr(id hraft.ServerID) (hraft.ServerAddress, error) {
	if string(id) == a.Node {
		return hraft.ServerAddress(id), nil
	}
	address, known := a.Peers[string(id)]
	if !known {
		return "", fmt.Errorf("no address for node %s", id)
	}
	return hraft.ServerAddress(address), nil
}

// A stream is how raft reaches peers and is reached by them. It implements
// hraft.StreamLayer.
type stream struct {
	*door
	name string
}

func (s stream) Dial(address hraft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(address), timeout)
}

// Addr is the node's name: see addresses.
func (s stream) Addr() net.Addr { return nameAddr(s.name) }

type nameAddr string

func (nameAddr) Network() string  { return "raft" }
func (n nameAddr) String() string { return string(n) }
