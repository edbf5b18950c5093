package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-zookeeper/zk"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/workloads"
)

// A client is each of the clients that it can be:
//
//	Register   a node for each key; compare-and-set by its version
//	Set        a node for each element
//	Counter    a node, set by its version until that succeeds
//	Queue      the recipe: nodes with sequence numbers, of which the lowest is taken
//	Lock       the recipe: ephemeral nodes with sequence numbers
//	IDs        the transaction's number, which no other has
//
// It has two sessions. When a sync hangs, the server answers nothing that comes
// after it in the session, and the library takes that for the session's end; the
// locks must not go with it. So reads have a session of their own.
type client struct {
	options Options
	address string
	held    map[string]string // the locks' nodes

	mu            sync.Mutex
	closed        bool
	reads, writes *session // nil until wanted
}

var (
	_ workloads.RegisterClient = (*client)(nil)
	_ workloads.SetClient      = (*client)(nil)
	_ workloads.CounterClient  = (*client)(nil)
	_ workloads.QueueClient    = (*client)(nil)
	_ workloads.LockClient     = (*client)(nil)
	_ workloads.IDClient       = (*client)(nil)
)

// open is the Target's Open. It does not connect.
func (o Options) open(_ context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
	return &client{options: o, address: c.Address(node), held: map[string]string{}}, nil
}

func (c *client) Read(ctx context.Context, key string) (value int64, found bool, err error) {
	data, _, err := c.get(ctx, registers+"/"+key, c.options.PlainReads)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	}
	value, err = parse(data)
	return value, true, err
}

func (c *client) Write(ctx context.Context, key string, value int64) error {
	path, data := registers+"/"+key, format(value)
	for {
		// What fails for the reason that the node is there, or is not, did nothing.
		err := c.write(ctx, func(conn *zk.Conn) error { _, err := conn.Set(path, data, -1); return err })
		if !errors.Is(err, zk.ErrNoNode) {
			return outcome(err)
		}
		err = c.write(ctx, func(conn *zk.Conn) error { _, err := conn.Create(path, data, 0, open); return err })
		if !errors.Is(err, zk.ErrNodeExists) {
			return outcome(err)
		}
	}
}

func (c *client) CompareAndSet(ctx context.Context, key string, old, new int64) (swapped bool, err error) {
	path := registers + "/" + key
	data, version, err := c.get(ctx, path, false)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return false, &workloads.Mismatch{}
	case err != nil:
		return false, harness.Definite(err) // nothing has been written
	}
	saw, err := parse(data)
	if err != nil {
		return false, harness.Definite(err)
	}
	if saw != old {
		return false, &workloads.Mismatch{Value: saw, Found: true}
	}
	err = c.write(ctx, func(conn *zk.Conn) error { _, err := conn.Set(path, format(new), version); return err })
	if errors.Is(err, zk.ErrBadVersion) {
		if now, read := c.after(ctx, path); read && now != old {
			return false, &workloads.Mismatch{Value: now, Found: true}
		}
	}
	return err == nil, outcome(err)
}

// after reads a node's value, if it can, as it is after what the session has been
// answered. A refusal is a transaction as well, and the server that tells of it has
// carried out all before. So what is read was there when that refusal was due, or
// since, and no sync is needed.
func (c *client) after(ctx context.Context, path string) (value int64, read bool) {
	var data []byte
	if err := c.write(ctx, func(conn *zk.Conn) (err error) { data, _, err = conn.Get(path); return err }); err != nil {
		return 0, false
	}
	value, err := parse(data)
	return value, err == nil
}

func (c *client) Add(ctx context.Context, element int64) error {
	return outcome(c.write(ctx, func(conn *zk.Conn) error {
		_, err := conn.Create(elements+"/"+strconv.FormatInt(element, 10), nil, 0, open)
		return err
	}))
}

func (c *client) Elements(ctx context.Context) ([]int64, error) {
	names, err := c.children(ctx, elements, c.options.PlainReads)
	if err != nil {
		return nil, err
	}
	members := make([]int64, len(names))
	for i, name := range names {
		if members[i], err = parse([]byte(name)); err != nil {
			return nil, err
		}
	}
	return members, nil
}

func (c *client) Increment(ctx context.Context, delta int64) error {
	for {
		data, version, err := c.get(ctx, counter, false)
		if err != nil {
			return harness.Definite(err) // nothing has been written
		}
		sum, err := parse(data)
		if err != nil {
			return harness.Definite(err)
		}
		err = c.write(ctx, func(conn *zk.Conn) error { _, err := conn.Set(counter, format(sum+delta), version); return err })
		if !errors.Is(err, zk.ErrBadVersion) {
			return outcome(err)
		}
	}
}

func (c *client) Value(ctx context.Context) (int64, error) {
	data, _, err := c.get(ctx, counter, c.options.PlainReads)
	if err != nil {
		return 0, err
	}
	return parse(data)
}

// Enqueue puts the element into the name, before the sequence number.
func (c *client) Enqueue(ctx context.Context, queue string, element int64) error {
	return outcome(c.createUnder(ctx, queues+"/"+queue, func(conn *zk.Conn, parent string) error {
		_, err := conn.Create(fmt.Sprintf("%s/%d-", parent, element), nil, zk.FlagSequence, open)
		return err
	}))
}

// createUnder creates a child, and before that its parent if there is none.
func (c *client) createUnder(ctx context.Context, parent string, create func(conn *zk.Conn, parent string) error) error {
	for {
		err := c.write(ctx, func(conn *zk.Conn) error { return create(conn, parent) })
		if !errors.Is(err, zk.ErrNoNode) {
			return err
		}
		err = c.write(ctx, func(conn *zk.Conn) error { _, err := conn.Create(parent, nil, 0, open); return err })
		if err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return harness.Definite(err) // there may be a parent now, but no child
		}
	}
}

// Dequeue deletes the lowest. Elements that come while it looks have higher
// numbers, so the lowest that is still there is the oldest.
func (c *client) Dequeue(ctx context.Context, queue string) (element int64, found bool, err error) {
	for {
		names, err := c.children(ctx, queues+"/"+queue, false)
		if errors.Is(err, zk.ErrNoNode) || err == nil && len(names) == 0 {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, harness.Definite(err) // nothing has been taken
		}
		bySequence(names)
		for _, name := range names {
			err := c.write(ctx, func(conn *zk.Conn) error { return conn.Delete(queues+"/"+queue+"/"+name, -1) })
			if errors.Is(err, zk.ErrNoNode) {
				continue
			}
			if err != nil {
				return 0, false, outcome(err)
			}
			text, _ := cutSequence(name)
			element, err = parse([]byte(text))
			return element, true, err
		}
	}
}

// Acquire relies on that a session sees its own writes, and with them all before:
// no lower number can be missing from the children. That a lock has been released
// it may learn late. It does not look at the session while it holds a lock: that
// it may end unnoticed is what is tried.
func (c *client) Acquire(ctx context.Context, lock string) (token int64, acquired bool, err error) {
	parent := locks + "/" + lock
	var mine string
	err = c.createUnder(ctx, parent, func(conn *zk.Conn, parent string) (err error) {
		mine, err = conn.Create(parent+"/", nil, zk.FlagSequence|zk.FlagEphemeral, open)
		return err
	})
	if err != nil {
		return 0, false, outcome(err)
	}
	var names []string
	if err := c.write(ctx, func(conn *zk.Conn) (err error) { names, _, err = conn.Children(parent); return err }); err != nil {
		return 0, false, unsure(err) // there is a node, which may turn out to be the lowest
	}
	bySequence(names)
	if len(names) == 0 {
		return 0, false, errors.New("the lock's own node has gone")
	}
	if parent+"/"+names[0] != mine {
		return 0, false, unsure(c.write(ctx, func(conn *zk.Conn) error { return conn.Delete(mine, -1) }))
	}
	c.held[lock] = mine
	_, sequence := cutSequence(names[0])
	return sequence + 1, true, nil // 0 would mean none
}

func (c *client) Release(ctx context.Context, lock string) (released bool, err error) {
	mine, held := c.held[lock]
	if !held {
		return false, nil
	}
	delete(c.held, lock)
	err = c.write(ctx, func(conn *zk.Conn) error { return conn.Delete(mine, -1) })
	if errors.Is(err, zk.ErrNoNode) {
		return false, nil
	}
	return err == nil, outcome(err)
}

func (c *client) Generate(ctx context.Context) (int64, error) {
	var stat *zk.Stat
	err := c.write(ctx, func(conn *zk.Conn) (err error) { stat, err = conn.Set(ids, nil, -1); return err })
	if err != nil {
		return 0, outcome(err)
	}
	return stat.Mzxid, nil
}

// get reads a node, after a sync unless plain. What a call that was abandoned may
// yet answer, nobody reads.
func (c *client) get(ctx context.Context, path string, plain bool) ([]byte, int32, error) {
	var data []byte
	var stat *zk.Stat
	err := c.read(ctx, path, plain, func(conn *zk.Conn) (err error) { data, stat, err = conn.Get(path); return err })
	if err != nil {
		return nil, 0, err
	}
	return data, stat.Version, nil
}

func (c *client) children(ctx context.Context, path string, plain bool) ([]string, error) {
	var names []string
	err := c.read(ctx, path, plain, func(conn *zk.Conn) (err error) { names, _, err = conn.Children(path); return err })
	if err != nil {
		return nil, err
	}
	return names, nil
}

func (c *client) read(ctx context.Context, path string, plain bool, call func(*zk.Conn) error) error {
	s, err := c.session(ctx, &c.reads)
	if err != nil {
		return err
	}
	return s.do(ctx, func(conn *zk.Conn) error {
		if !plain {
			if _, err := conn.Sync(path); err != nil {
				return err
			}
		}
		return call(conn)
	})
}

func (c *client) write(ctx context.Context, call func(*zk.Conn) error) error {
	s, err := c.session(ctx, &c.writes)
	if err != nil {
		return err
	}
	return s.do(ctx, call)
}

// session returns the one of the two, which it begins if need be.
func (c *client) session(ctx context.Context, which **session) (*session, error) {
	c.mu.Lock()
	s, closed := *which, c.closed
	c.mu.Unlock()
	if closed {
		return nil, harness.Definite(net.ErrClosed)
	}
	if s != nil {
		return s, nil
	}
	timeout := cmp.Or(c.options.Session, DefaultSession)
	s, err := begin(ctx, c.address, timeout)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	*which, closed = s, c.closed
	c.mu.Unlock()
	if closed {
		s.close()
		return nil, harness.Definite(net.ErrClosed)
	}
	return s, nil
}

// Close ends the sessions, and with them the locks, and makes a call that hangs
// return.
func (c *client) Close() error {
	c.mu.Lock()
	already := c.closed
	c.closed = true
	sessions := []*session{c.reads, c.writes}
	c.mu.Unlock()
	if already {
		return nil
	}
	var ends sync.WaitGroup
	for _, s := range sessions {
		if s != nil {
			ends.Go(s.close)
		}
	}
	ends.Wait()
	return nil
}

// refusals are the servers' answers that something was not done.
var refusals = []error{zk.ErrNoNode, zk.ErrBadVersion, zk.ErrNodeExists, zk.ErrNoServer}

// outcome marks an error as definite if the request was certainly not carried
// out: it was never sent, or refused.
func outcome(err error) error {
	if slices.ContainsFunc(refusals, func(refusal error) bool { return errors.Is(err, refusal) }) {
		return harness.Definite(err)
	}
	return err
}

// unsure makes an error of one step an unknown outcome of the whole.
func unsure(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("after a step that may have taken effect: %s", err)
}

// cutSequence parts a sequential node's name.
func cutSequence(name string) (before string, sequence int64) {
	const digits = 10
	if len(name) < digits {
		return name, 0
	}
	sequence, _ = strconv.ParseInt(name[len(name)-digits:], 10, 64)
	return strings.TrimSuffix(name[:len(name)-digits], "-"), sequence
}

func bySequence(names []string) {
	slices.SortFunc(names, func(a, b string) int {
		_, x := cutSequence(a)
		_, y := cutSequence(b)
		return cmp.Compare(x, y)
	})
}

func format(number int64) []byte { return strconv.AppendInt(nil, number, 10) }

func parse(text []byte) (int64, error) {
	number, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the value %.100q is no number", text)
	}
	return number, nil
}
