package raft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/workloads"
)

// maxHops bounds how many nodes one call asks.
const maxHops = 3

var (
	_ workloads.RegisterClient = (*client)(nil)
	_ workloads.SetClient      = (*client)(nil)
)

// A client asks its node, and whom that node redirects it to.
type client struct {
	cluster cluster.Cluster
	node    cluster.Node

	mu     sync.Mutex
	links  map[cluster.Node]*link // kept for the next call
	closed bool
}

func newClient(c cluster.Cluster, node cluster.Node) *client {
	return &client{cluster: c, node: node, links: map[cluster.Node]*link{}}
}

func (c *client) Read(ctx context.Context, key string) (int64, bool, error) {
	a, err := c.call(ctx, request{verb: "read", key: key}, "ok", "none")
	if err != nil || a.verb == "none" {
		return 0, false, err
	}
	value, err := a.one()
	return value, err == nil, err
}

func (c *client) Write(ctx context.Context, key string, value int64) error {
	_, err := c.call(ctx, request{verb: "write", key: key, value: value}, "ok")
	return err
}

func (c *client) CompareAndSet(ctx context.Context, key string, old, new int64) (bool, error) {
	a, err := c.call(ctx, request{verb: "cas", key: key, old: old, value: new}, "ok", "mismatch")
	switch {
	case err != nil:
		return false, err
	case a.verb == "ok":
		return true, nil
	case a.rest == "":
		return false, &workloads.Mismatch{}
	}
	value, err := a.one()
	if err != nil {
		return false, err
	}
	return false, &workloads.Mismatch{Value: value, Found: true}
}

func (c *client) Add(ctx context.Context, element int64) error {
	_, err := c.call(ctx, request{verb: "add", value: element}, "ok")
	return err
}

func (c *client) Elements(ctx context.Context) ([]int64, error) {
	a, err := c.call(ctx, request{verb: "elements"}, "ok")
	if err != nil {
		return nil, err
	}
	return a.values()
}

// one reads the number of an answer that has one.
func (a answer) one() (int64, error) {
	values, err := a.values()
	if err != nil || len(values) != 1 {
		return 0, fmt.Errorf("answer %.40q has %d numbers, want 1", a, len(values))
	}
	return values[0], nil
}

// Close ends all connections, and with them a call that waits for an answer.
func (c *client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, link := range c.links {
		link.close()
	}
	clear(c.links)
	return nil
}

// call returns an answer that is one of those wanted. Its error is definite
// where the protocol says so, and where no node was sent anything but what it
// then redirected.
func (c *client) call(ctx context.Context, r request, want ...string) (answer, error) {
	if _, err := parseRequest(r.String()); err != nil { // such as a key with a space
		return answer{}, harness.Definite(err)
	}
	node := c.node
	for range maxHops {
		a, err := c.ask(ctx, node, r)
		switch {
		case err != nil:
			return answer{}, err
		case slices.Contains(want, a.verb):
			return a, nil
		case a.verb == "redirect" && slices.Contains(c.cluster.Nodes(), a.rest):
			node = a.rest
		case a.verb == "redirect", a.verb == "fail", a.verb == "error":
			return answer{}, harness.Definite(fmt.Errorf("%s: %s", node, a))
		default:
			return answer{}, fmt.Errorf("%s: %s", node, a)
		}
	}
	return answer{}, harness.Definite(fmt.Errorf("redirected %d times, at last to %s", maxHops, node))
}

// ask sends the request to node and waits for the answer.
func (c *client) ask(ctx context.Context, node cluster.Node, r request) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, harness.Definite(err)
	}
	link, err := c.link(ctx, node)
	if err != nil {
		return answer{}, harness.Definite(err)
	}
	if _, err := fmt.Fprintln(link.conn, r); err != nil {
		// The line has not left whole, and what is not whole does not count.
		c.drop(node, link)
		return answer{}, harness.Definite(fmt.Errorf("%s: %w", node, err))
	}
	err = errors.New("connection ended before the answer")
	select {
	case line, open := <-link.answers:
		if open {
			return parseAnswer(line), nil
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	// An answer that comes late must not be taken for that of another request.
	c.drop(node, link)
	return answer{}, fmt.Errorf("%s: %w", node, err)
}

// link returns a connection to node on which nothing is under way.
func (c *client) link(ctx context.Context, node cluster.Node) (*link, error) {
	c.mu.Lock()
	kept := c.links[node]
	c.mu.Unlock()
	if kept != nil && kept.alive() {
		return kept, nil
	}
	if kept != nil {
		c.drop(node, kept)
	}
	fresh, err := dial(ctx, c.cluster.Address(node))
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		fresh.close()
		return nil, net.ErrClosed
	}
	c.links[node] = fresh
	return fresh, nil
}

func (c *client) drop(node cluster.Node, l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.links[node] == l {
		delete(c.links, node)
		l.close()
	}
}

// A link is a connection with a goroutine that reads answers, so that its end
// is known before the next request is sent: nothing was sent then, and the
// outcome is certain.
type link struct {
	conn    net.Conn
	answers chan string // closed when the connection ends
}

func dial(ctx context.Context, address string) (*link, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	l := &link{conn, make(chan string, 1)}
	go l.read()
	return l, nil
}

func (l *link) read() {
	defer close(l.answers)
	defer l.conn.Close()
	scanner := lines(l.conn, maxAnswer)
	for scanner.Scan() {
		select {
		case l.answers <- scanner.Text():
		default:
			return // more answers than requests
		}
	}
}

// alive reports that the connection has not ended, and that no answer waits
// that nobody asked for.
func (l *link) alive() bool {
	select {
	case <-l.answers:
		return false
	default:
		return true
	}
}

// close returns when the reading goroutine has ended.
func (l *link) close() {
	l.conn.Close()
	for range l.answers {
	}
}
