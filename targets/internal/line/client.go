package line

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/workloads"
)

// maxHops bounds how many nodes a client asks for one operation. One redirect
// finds the primary; the others are for nodes that have just lost theirs.
const maxHops = 4

// A Client asks one node, and those that it is sent to. It is a
// client of the workloads register, set, counter, bank and unique-ids.
type Client struct {
	node      cluster.Node
	addresses map[cluster.Node]string

	mu     sync.Mutex
	closed bool
	conns  map[cluster.Node]*Conn
}

// Open is a harness.Target's Open. It does not connect.
func Open(_ context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
	addresses := map[cluster.Node]string{}
	for _, name := range c.Nodes() {
		addresses[name] = c.Address(name)
	}
	return &Client{node: node, addresses: addresses, conns: map[cluster.Node]*Conn{}}, nil
}

func (c *Client) Read(ctx context.Context, key string) (value int64, found bool, err error) {
	return c.maybe(ctx, "value", "none", "get", key)
}

func (c *Client) Write(ctx context.Context, key string, value int64) error {
	return c.do(ctx, "set", key, strconv.FormatInt(value, 10))
}

func (c *Client) CompareAndSet(ctx context.Context, key string, old, new int64) (swapped bool, err error) {
	reply, err := c.call(ctx, "cas", key, strconv.FormatInt(old, 10), strconv.FormatInt(new, 10))
	switch {
	case err != nil:
		return false, err
	case len(reply) == 1 && reply[0] == "ok":
		return true, nil
	case len(reply) == 2 && reply[0] == "saw" && reply[1] == "none":
		return false, &workloads.Mismatch{}
	case len(reply) == 2 && reply[0] == "saw":
		value, err := strconv.ParseInt(reply[1], 10, 64)
		if err != nil {
			return false, err
		}
		return false, &workloads.Mismatch{Value: value, Found: true}
	}
	return false, unexpected(reply)
}

func (c *Client) Add(ctx context.Context, element int64) error {
	return c.do(ctx, "add", strconv.FormatInt(element, 10))
}

func (c *Client) Elements(ctx context.Context) ([]int64, error) {
	reply, err := c.call(ctx, "elements")
	switch {
	case err != nil:
		return nil, err
	case reply[0] != "elements":
		return nil, unexpected(reply)
	}
	return Numbers(reply[1:])
}

// do calls for an "ok".
func (c *Client) do(ctx context.Context, request ...string) error {
	reply, err := c.call(ctx, request...)
	if err == nil && (len(reply) != 1 || reply[0] != "ok") {
		err = unexpected(reply)
	}
	return err
}

// maybe calls for a number after the word yes, or else for the word no.
func (c *Client) maybe(ctx context.Context, yes, no string, request ...string) (number int64, found bool, err error) {
	reply, err := c.call(ctx, request...)
	switch {
	case err != nil:
		return 0, false, err
	case len(reply) == 1 && reply[0] == no:
		return 0, false, nil
	case len(reply) == 2 && reply[0] == yes:
		number, err = strconv.ParseInt(reply[1], 10, 64)
		return number, err == nil, err
	}
	return 0, false, unexpected(reply)
}

// call follows redirects. Each of them, as each refusal, says that nothing was
// done, so the outcome is that of the last node asked.
func (c *Client) call(ctx context.Context, request ...string) ([]string, error) {
	for _, word := range request {
		if !ValidWord(word) {
			return nil, harness.Definite(fmt.Errorf("key %.200q: want 1 to 128 visible ASCII characters", word))
		}
	}
	node := c.node
	for range maxHops {
		reply, err := c.ask(ctx, node, request)
		switch {
		case err != nil:
			return nil, fmt.Errorf("asking %s: %w", node, err)
		case reply[0] == "refused":
			return nil, harness.Definite(fmt.Errorf("%s: %s", node, strings.Join(reply, " ")))
		case reply[0] == "moved" && len(reply) == 2:
			node = reply[1]
		default:
			return reply, nil
		}
	}
	return nil, harness.Definite(fmt.Errorf("redirected %d times, last to %s: the nodes do not agree on who leads", maxHops, node))
}

func (c *Client) ask(ctx context.Context, node cluster.Node, request []string) ([]string, error) {
	conn, err := c.conn(ctx, node)
	if err != nil {
		return nil, err
	}
	reply, err := conn.Call(ctx, request...)
	if err != nil {
		c.mu.Lock()
		delete(c.conns, node)
		c.mu.Unlock()
		conn.Close()
	}
	return reply, err
}

func (c *Client) conn(ctx context.Context, node cluster.Node) (*Conn, error) {
	c.mu.Lock()
	conn, closed := c.conns[node], c.closed
	c.mu.Unlock()
	if closed {
		return nil, harness.Definite(net.ErrClosed)
	}
	if conn != nil {
		return conn, nil
	}
	address, known := c.addresses[node]
	if !known {
		return nil, harness.Definite(errors.New("no such node"))
	}
	conn, err := Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return nil, harness.Definite(net.ErrClosed)
	}
	c.conns[node] = conn
	return conn, nil
}

// Close makes a call that hangs return.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.conns {
		conn.Close()
	}
	return nil
}

func unexpected(reply []string) error {
	return fmt.Errorf("unexpected reply %.100q", strings.Join(reply, " "))
}
