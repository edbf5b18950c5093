package raft

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
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

func newTransport(l *listener, peers addresses, logger hclog.Logger) *transport {
	return &transport{NetworkTransport: hraft.NewNetworkTransportWithConfig(&hraft.NetworkTransportConfig{
		ServerAddressProvider: peers,
		Logger:                logger.Named("transport"),
		Stream:                l,
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
type addresses map[string]string

func (a addresses) ServerAddr(id hraft.ServerID) (hraft.ServerAddress, error) {
	address, known := a[string(id)]
	if !known {
		return "", fmt.Errorf("no address for node %s", id)
	}
	return hraft.ServerAddress(address), nil
}

// A listener serves peers and clients on one address. A connection whose first
// byte is a control character comes from a peer, since raft's messages begin
// with their type, a small number; all others are clients'.
//
// It implements hraft.StreamLayer, whose Accept returns the peers'.
type listener struct {
	name string
	tcp  net.Listener

	peers chan net.Conn
	done  chan struct{} // closed by Close

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil after Close
	wg    sync.WaitGroup
}

// firstByteTimeout bounds how long a connection may say nothing at first.
const firstByteTimeout = 10 * time.Second

func listen(name, address string) (*listener, error) {
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &listener{
		name:  name,
		tcp:   tcp,
		peers: make(chan net.Conn),
		done:  make(chan struct{}),
		conns: map[net.Conn]struct{}{},
	}, nil
}

// serve hands clients to handle, each in a goroutine of its own, until Close.
func (l *listener) serve(handle func(net.Conn)) error {
	for {
		conn, err := l.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept on %s: %w", l.tcp.Addr(), err)
		}
		l.mu.Lock()
		if l.conns == nil {
			conn.Close()
		} else {
			l.conns[conn] = struct{}{}
			l.wg.Go(func() { l.sort(conn, handle) })
		}
		l.mu.Unlock()
	}
}

// sort finds out who is calling.
func (l *listener) sort(conn net.Conn, handle func(net.Conn)) {
	peeked := peekedConn{conn, bufio.NewReader(conn), l}
	conn.SetReadDeadline(time.Now().Add(firstByteTimeout))
	first, err := peeked.reader.Peek(1)
	if err != nil {
		peeked.Close()
		return
	}
	conn.SetReadDeadline(time.Time{})
	if first[0] >= ' ' {
		defer peeked.Close()
		handle(peeked)
		return
	}
	select {
	case l.peers <- peeked:
	case <-l.done:
		peeked.Close()
	}
}

// A peekedConn has not lost the byte that told who is calling.
type peekedConn struct {
	net.Conn
	reader   *bufio.Reader
	listener *listener
}

func (c peekedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

func (c peekedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c.Conn)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.peers:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Dial(address hraft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(address), timeout)
}

// Addr is the node's name: see addresses.
func (l *listener) Addr() net.Addr { return nameAddr(l.name) }

type nameAddr string

func (nameAddr) Network() string  { return "raft" }
func (n nameAddr) String() string { return string(n) }

// Close ends all connections and returns when their goroutines have ended.
func (l *listener) Close() error {
	l.mu.Lock()
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	if conns == nil {
		return nil
	}
	close(l.done)
	err := l.tcp.Close()
	for conn := range conns {
		conn.Close()
	}
	l.wg.Wait()
	return err
}
