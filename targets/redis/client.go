package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/workloads"
)

// maxHops bounds how many servers are asked who is the primary: the node's own,
// the primary, and one for a primary that has just become a replica.
const maxHops = 3

// Servers speak Redis' protocol, and one of them is the primary. Redis' own are
// not the only ones: see target raft-redis.
type Servers struct {
	// Address is where clients reach a node's server.
	Address func(cluster.Cluster, cluster.Node) string
	// NodeAt returns the node whose server others know by an address.
	NodeAt func(host, port string) (cluster.Node, error)
	// Silence is for how many seconds a working link to the primary may bring
	// nothing, not even the primary's ping.
	Silence int
	// These are as in Options.
	ReplicaReads bool
	Wait         int
	Lease        time.Duration
}

// A client goes where its node leads it. Before each operation it asks its node's
// server; if that is a replica, it goes on to the primary that the replica names,
// provided that the replica hears from it. It reaches all nodes past all
// partitions, and is not to be a way around them: where the node's link is down,
// the operation fails, before it was sent.
//
// For a replica that is cut off it takes a while to know: up to Servers.Silence,
// and a second of rounding. For so long its clients still reach the primary, as
// clients on a third machine would. What they are told there is true.
//
// A client is each of the clients that it can be:
//
//	Register   GET, SET, and a script that compares and sets
//	Set        SADD, SMEMBERS
//	Counter    INCRBY, GET
//	Queue      RPUSH, LPOP
//	Lock       SET NX PX with a token of one's own, and a script that deletes
//	           what has this token: the recipe of Redis' documentation of SET
type client struct {
	Servers
	cluster cluster.Cluster
	node    cluster.Node
	tokens  map[string]string // of the locks that were acquired

	mu      sync.Mutex
	closed  bool
	servers map[cluster.Node]*goredis.Client
}

var (
	_ workloads.RegisterClient = (*client)(nil)
	_ workloads.SetClient      = (*client)(nil)
	_ workloads.CounterClient  = (*client)(nil)
	_ workloads.QueueClient    = (*client)(nil)
	_ workloads.LockClient     = (*client)(nil)
)

// Open is a harness.Target's Open. It does not connect.
func (s Servers) Open(_ context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
	return &client{Servers: s, cluster: c, node: node, tokens: map[string]string{}, servers: map[cluster.Node]*goredis.Client{}}, nil
}

// Keys of what there is only one of.
const (
	setKey     = "the-set"
	counterKey = "the-counter"
)

func (c *client) Read(ctx context.Context, key string) (value int64, found bool, err error) {
	reply, err := c.read(ctx, "GET", key)
	if err != nil || reply == nil {
		return 0, false, err
	}
	value, err = number(reply)
	return value, true, err
}

func (c *client) Write(ctx context.Context, key string, value int64) error {
	_, err := c.write(ctx, "SET", key, value)
	return err
}

// The clients' scripts. Their first line has a server refuse them if it may not
// write, before they read.
const (
	// CompareAndSet returns "swapped", or an array of what was there instead.
	CompareAndSet = `#!lua
local saw = redis.call('GET', KEYS[1])
if saw ~= ARGV[1] then return {saw} end
redis.call('SET', KEYS[1], ARGV[2])
return 'swapped'`

	// DeleteIfMine returns how many keys it has deleted.
	DeleteIfMine = `#!lua
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`
)

func (c *client) CompareAndSet(ctx context.Context, key string, old, new int64) (swapped bool, err error) {
	reply, err := c.write(ctx, "EVAL", CompareAndSet, 1, key, old, new)
	if err != nil || reply == "swapped" {
		return err == nil, err
	}
	saw, ok := reply.([]any)
	switch {
	case !ok || len(saw) > 1:
		return false, unexpected(reply)
	case len(saw) == 0 || saw[0] == nil:
		return false, &workloads.Mismatch{}
	}
	value, err := number(saw[0])
	if err != nil {
		return false, err
	}
	return false, &workloads.Mismatch{Value: value, Found: true}
}

func (c *client) Add(ctx context.Context, element int64) error {
	_, err := c.write(ctx, "SADD", setKey, element)
	return err
}

func (c *client) Elements(ctx context.Context) ([]int64, error) {
	reply, err := c.read(ctx, "SMEMBERS", setKey)
	if err != nil {
		return nil, err
	}
	members, ok := reply.([]any)
	if !ok {
		return nil, unexpected(reply)
	}
	elements := make([]int64, len(members))
	for i, member := range members {
		if elements[i], err = number(member); err != nil {
			return nil, err
		}
	}
	return elements, nil
}

func (c *client) Increment(ctx context.Context, delta int64) error {
	_, err := c.write(ctx, "INCRBY", counterKey, delta)
	return err
}

func (c *client) Value(ctx context.Context) (int64, error) {
	value, _, err := c.Read(ctx, counterKey)
	return value, err
}

func (c *client) Enqueue(ctx context.Context, queue string, element int64) error {
	_, err := c.write(ctx, "RPUSH", queue, element)
	return err
}

func (c *client) Dequeue(ctx context.Context, queue string) (element int64, found bool, err error) {
	reply, err := c.write(ctx, "LPOP", queue)
	if err != nil || reply == nil {
		return 0, false, err
	}
	element, err = number(reply)
	return element, true, err
}

func (c *client) Acquire(ctx context.Context, lock string) (token int64, acquired bool, err error) {
	lease := cmp.Or(c.Lease, DefaultLease)
	mine := rand.Text()
	reply, err := c.write(ctx, "SET", lock, mine, "NX", "PX", lease.Milliseconds())
	if err != nil || reply == nil {
		return 0, false, err
	}
	c.tokens[lock] = mine
	return 0, true, nil
}

func (c *client) Release(ctx context.Context, lock string) (released bool, err error) {
	mine, held := c.tokens[lock]
	if !held {
		return false, nil
	}
	reply, err := c.write(ctx, "EVAL", DeleteIfMine, 1, lock, mine)
	if err != nil {
		return false, err
	}
	delete(c.tokens, lock)
	deleted, err := number(reply)
	return deleted == 1, err
}

// read carries out a command on the server that answers reads.
func (c *client) read(ctx context.Context, command ...any) (any, error) {
	if !c.ReplicaReads {
		server, err := c.primary(ctx)
		if err != nil {
			return nil, err
		}
		return outcome(server.Do(ctx, command...).Result())
	}
	server, err := c.server(c.node)
	if err != nil {
		return nil, err
	}
	reply, err := outcome(server.Do(ctx, command...).Result())
	if err != nil {
		c.forget(c.node)
	}
	return reply, err
}

// write carries out a command on the primary, and waits for as many replicas as
// the options say, for half of the time that is left.
func (c *client) write(ctx context.Context, command ...any) (any, error) {
	server, err := c.primary(ctx)
	if err != nil {
		return nil, err
	}
	if c.Wait == 0 {
		return outcome(server.Do(ctx, command...).Result())
	}
	patience := 100 * time.Millisecond
	if deadline, ok := ctx.Deadline(); ok {
		patience = max(time.Millisecond, time.Until(deadline)/2)
	}
	// One connection: WAIT is for the writes of its own.
	pipeline := server.Pipeline()
	written := pipeline.Do(ctx, command...)
	waited := pipeline.Do(ctx, "WAIT", c.Wait, patience.Milliseconds())
	_, _ = pipeline.Exec(ctx) // each has its own error
	reply, err := outcome(written.Result())
	if err != nil {
		return nil, err
	}
	replicas, err := waited.Int()
	if err != nil {
		return nil, fmt.Errorf("acknowledged, but the replicas did not answer: %v", err)
	}
	if replicas < c.Wait {
		return nil, fmt.Errorf("acknowledged by %d replicas within %v, want %d", replicas, patience, c.Wait)
	}
	return reply, nil
}

// primary returns the server that the client's node leads to. Nothing has been
// written if it fails, so its errors are definite.
func (c *client) primary(ctx context.Context) (*goredis.Client, error) {
	node := c.node
	for range maxHops {
		server, err := c.server(node)
		if err != nil {
			return nil, err
		}
		told, err := ask(ctx, server, c.Silence)
		if err != nil {
			c.forget(node)
			return nil, harness.Definite(fmt.Errorf("asking %s who is the primary: %w", node, err))
		}
		if told.isPrimary {
			return server, nil
		}
		if !told.linked {
			return nil, harness.Definite(fmt.Errorf("%s does not hear from its primary", node))
		}
		next, err := c.NodeAt(told.host, told.port)
		if err != nil {
			return nil, harness.Definite(fmt.Errorf("%s names its primary: %w", node, err))
		}
		node = next
	}
	return nil, harness.Definite(fmt.Errorf("led to %s by %d nodes, and it is not the primary", node, maxHops))
}

// server returns a node's server, to which it need not be connected.
func (c *client) server(node cluster.Node) (*goredis.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, harness.Definite(net.ErrClosed)
	}
	if c.servers[node] == nil {
		c.servers[node] = Connect(c.Address(c.cluster, node))
	}
	return c.servers[node], nil
}

// forget has the next call connect anew.
func (c *client) forget(node cluster.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if server := c.servers[node]; server != nil {
		server.Close()
		delete(c.servers, node)
	}
}

// Close makes a call that hangs return.
func (c *client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var err error
	for _, server := range c.servers {
		err = errors.Join(err, server.Close())
	}
	c.servers = nil
	return err
}

// Nodes that do not answer are a trial's daily bread, and clients return each
// error that go-redis would also print.
func init() { logging.Disable() }

// Connect returns a server, to which it need not be connected yet.
func Connect(address string) *goredis.Client { return goredis.NewClient(connection(address)) }

// connection is how to reach a server: over one connection, where a command is
// sent once and nothing else is, and for no longer than its context lasts.
func connection(address string) *goredis.Options {
	return &goredis.Options{
		Addr:                     address,
		Protocol:                 2,
		MaxRetries:               -1,
		DialerRetries:            1,
		DialTimeout:              time.Second,
		PoolSize:                 2, // one is used; after as many failures to connect it would not try again for a second
		PipelinePoolSize:         -1,
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// rejections begin the replies by which a server refuses a command that it has
// not begun to carry out.
var rejections = []string{
	"READONLY ",   // it is a replica
	"NOREPLICAS ", // min-replicas-to-write
	"MASTERDOWN ", // a replica that must not serve stale data
	"LOADING ",    // it reads its data from the disk
	"MISCONF ",    // it cannot write to the disk
	"OOM ",        // it has no memory left
	"BUSY ",       // with a script
}

// outcome takes the result of a command: no value is a nil reply, not an error,
// and an error is definite if the command was certainly not carried out.
func outcome(reply any, err error) (any, error) {
	var refused goredis.Error
	var network *net.OpError
	switch {
	case errors.Is(err, goredis.Nil):
		return nil, nil
	case errors.As(err, &refused):
		for _, rejection := range rejections {
			if strings.HasPrefix(refused.Error(), rejection) {
				return nil, harness.Definite(err)
			}
		}
	case errors.As(err, &network) && network.Op == "dial":
		return nil, harness.Definite(err)
	}
	return reply, err
}

func number(reply any) (int64, error) {
	switch reply := reply.(type) {
	case int64:
		return reply, nil
	case string:
		return strconv.ParseInt(reply, 10, 64)
	}
	return 0, unexpected(reply)
}

func unexpected(reply any) error { return fmt.Errorf("unexpected reply %.100v", reply) }
