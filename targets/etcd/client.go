package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/workloads"
)

// A client is each of the clients that it can be:
//
//	Register   get, put, and a transaction that compares the value
//	Set        a key for each element
//	Counter    a transaction that compares the revision, until one succeeds
//	Queue      a key for each element; the oldest is the one created first
//	Lock       a key for each that wants it, as package concurrency's mutex has them
//	Bank       a transaction that compares both accounts' revisions
//	IDs        the revision of a write, which no other has
//
// It takes part in nothing that happens behind the scenes, such as sync or
// watches; only a lock's lease is kept alive by the library.
type client struct {
	*clientv3.Client
	options Options
	// reads are the options of reads that may be as old as the target's options
	// allow.
	reads   []clientv3.OpOption
	session *concurrency.Session // nil until a lock is wanted
	held    map[string]string    // the locks' keys
}

var (
	_ workloads.RegisterClient = (*client)(nil)
	_ workloads.SetClient      = (*client)(nil)
	_ workloads.CounterClient  = (*client)(nil)
	_ workloads.QueueClient    = (*client)(nil)
	_ workloads.LockClient     = (*client)(nil)
	_ workloads.BankClient     = (*client)(nil)
	_ workloads.IDClient       = (*client)(nil)
)

// open is the Target's Open. It does not connect.
func (o Options) open(_ context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
	member, err := dial(c.Address(node))
	if err != nil {
		return nil, err
	}
	opened := &client{Client: member, options: o, held: map[string]string{}}
	if o.SerializableReads {
		opened.reads = []clientv3.OpOption{clientv3.WithSerializable()}
	}
	return opened, nil
}

// configuration is how to reach one member: again soon after it was away. The
// library repeats reads, and of writes only those that were not sent.
func configuration(address string) clientv3.Config {
	return clientv3.Config{
		Endpoints: []string{"http://" + address},
		Logger:    zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 200 * time.Millisecond},
			MinConnectTimeout: time.Second,
		})},
	}
}

// Prefixes of the workloads' keys.
const (
	registers = "register/"
	elements  = "set/"
	counter   = "counter"
	queues    = "queue/"
	locks     = "lock/"
	accounts  = "account/"
	ids       = "id"
)

func (c *client) Read(ctx context.Context, key string) (value int64, found bool, err error) {
	return c.number(ctx, registers+key)
}

// number reads a key as old as the options allow.
func (c *client) number(ctx context.Context, key string) (value int64, found bool, err error) {
	got, err := c.Get(ctx, key, c.reads...)
	if err != nil || len(got.Kvs) == 0 {
		return 0, false, outcome(err)
	}
	value, err = parse(got.Kvs[0].Value)
	return value, true, err
}

func (c *client) Write(ctx context.Context, key string, value int64) error {
	_, err := c.Put(leading(ctx), registers+key, format(value))
	return outcome(err)
}

func (c *client) CompareAndSet(ctx context.Context, key string, old, new int64) (swapped bool, err error) {
	key = registers + key
	answer, err := c.Txn(leading(ctx)).
		If(clientv3.Compare(clientv3.Value(key), "=", format(old))).
		Then(clientv3.OpPut(key, format(new))).
		Else(clientv3.OpGet(key)).
		Commit()
	if err != nil || answer.Succeeded {
		return err == nil, outcome(err)
	}
	saw := answer.Responses[0].GetResponseRange().Kvs
	if len(saw) == 0 {
		return false, &workloads.Mismatch{}
	}
	value, err := parse(saw[0].Value)
	if err != nil {
		return false, err
	}
	return false, &workloads.Mismatch{Value: value, Found: true}
}

func (c *client) Add(ctx context.Context, element int64) error {
	_, err := c.Put(leading(ctx), elements+format(element), "")
	return outcome(err)
}

func (c *client) Elements(ctx context.Context) ([]int64, error) {
	got, err := c.Get(ctx, elements, slices.Concat(c.reads, []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithKeysOnly()})...)
	if err != nil {
		return nil, outcome(err)
	}
	members := make([]int64, len(got.Kvs))
	for i, kv := range got.Kvs {
		if members[i], err = parse(kv.Key[len(elements):]); err != nil {
			return nil, err
		}
	}
	return members, nil
}

func (c *client) Increment(ctx context.Context, delta int64) error {
	for {
		got, err := c.Get(ctx, counter)
		if err != nil {
			return harness.Definite(err) // nothing has been written
		}
		var sum, revision int64 // revision 0 means that there is no such key
		if len(got.Kvs) > 0 {
			if sum, err = parse(got.Kvs[0].Value); err != nil {
				return harness.Definite(err)
			}
			revision = got.Kvs[0].ModRevision
		}
		answer, err := c.Txn(leading(ctx)).
			If(clientv3.Compare(clientv3.ModRevision(counter), "=", revision)).
			Then(clientv3.OpPut(counter, format(sum+delta))).
			Commit()
		if err != nil || answer.Succeeded {
			return outcome(err)
		}
	}
}

func (c *client) Value(ctx context.Context) (int64, error) {
	value, _, err := c.number(ctx, counter)
	return value, err
}

// Enqueue relies on elements that are enqueued once.
func (c *client) Enqueue(ctx context.Context, queue string, element int64) error {
	_, err := c.Put(leading(ctx), queues+queue+"/"+format(element), "")
	return outcome(err)
}

// Dequeue deletes the key that was created first. Keys that are created while it
// looks are younger, so that key stays the oldest for as long as it is there.
func (c *client) Dequeue(ctx context.Context, queue string) (element int64, found bool, err error) {
	prefix := queues + queue + "/"
	for {
		got, err := c.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend), clientv3.WithLimit(1))
		if err != nil {
			return 0, false, harness.Definite(err) // nothing has been taken
		}
		if len(got.Kvs) == 0 {
			return 0, false, nil
		}
		key := string(got.Kvs[0].Key)
		answer, err := c.Txn(leading(ctx)).
			If(clientv3.Compare(clientv3.CreateRevision(key), "=", got.Kvs[0].CreateRevision)).
			Then(clientv3.OpDelete(key)).
			Commit()
		if err != nil {
			return 0, false, outcome(err)
		}
		if answer.Succeeded {
			element, err = parse([]byte(strings.TrimPrefix(key, prefix)))
			return element, true, err
		}
	}
}

// Acquire carries out the two requests of the mutex's TryLock, to tell their errors
// apart. It puts its key even if that is there, from a release that was refused, for
// another hold needs another token. It does not look at the session while it holds a
// lock: that it may end unnoticed is what is tried.
func (c *client) Acquire(ctx context.Context, lock string) (token int64, acquired bool, err error) {
	session, err := c.lease(ctx)
	if err != nil {
		return 0, false, harness.Definite(err)
	}
	prefix := locks + lock + "/"
	mine := fmt.Sprintf("%s%x", prefix, session.Lease())
	answer, err := c.Txn(leading(ctx)).
		Then(clientv3.OpPut(mine, "", clientv3.WithLease(session.Lease())), clientv3.OpGet(prefix, clientv3.WithFirstCreate()...)).
		Commit()
	if err != nil {
		return 0, false, outcome(err)
	}
	if first := answer.Responses[1].GetResponseRange().Kvs[0]; string(first.Key) != mine {
		if _, err := c.Delete(leading(ctx), mine); err != nil {
			return 0, false, fmt.Errorf("its key stays in the lock's queue: %s", err) // however definite err is
		}
		return 0, false, nil
	}
	c.held[lock] = mine
	if c.options.NoFencing {
		return 0, true, nil
	}
	return answer.Header.Revision, true, nil
}

// lease returns a session that was alive a moment ago.
func (c *client) lease(ctx context.Context) (*concurrency.Session, error) {
	if c.session != nil {
		select {
		case <-c.session.Done():
		default:
			return c.session, nil
		}
	}
	length := DefaultLease
	if c.options.Lease != 0 {
		length = c.options.Lease
	}
	granted, err := c.Grant(leading(ctx), int64(length/time.Second))
	if err != nil {
		return nil, err
	}
	c.session, err = concurrency.NewSession(c.Client, concurrency.WithLease(granted.ID))
	return c.session, err
}

// Release deletes the lock's key, as the mutex's Unlock does, and looks whether
// it was there.
func (c *client) Release(ctx context.Context, lock string) (released bool, err error) {
	mine, held := c.held[lock]
	if !held {
		return false, nil
	}
	delete(c.held, lock)
	deleted, err := c.Delete(leading(ctx), mine)
	if err != nil {
		return false, outcome(err)
	}
	return deleted.Deleted > 0, nil
}

func account(number int) string { return fmt.Sprintf("%s%06d", accounts, number) }

func (c *client) Transfer(ctx context.Context, from, to int, amount int64) (transferred bool, err error) {
	if from == to {
		return true, nil
	}
	for {
		got, err := c.Txn(ctx).Then(clientv3.OpGet(account(from)), clientv3.OpGet(account(to))).Commit()
		if err != nil {
			return false, harness.Definite(err) // nothing has been written
		}
		balances, revisions := [2]int64{workloads.BankBalance, workloads.BankBalance}, [2]int64{}
		for i := range balances {
			if kvs := got.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
				if balances[i], err = parse(kvs[0].Value); err != nil {
					return false, harness.Definite(err)
				}
				revisions[i] = kvs[0].ModRevision
			}
		}
		if balances[0] < amount {
			return false, nil
		}
		answer, err := c.Txn(leading(ctx)).
			If(
				clientv3.Compare(clientv3.ModRevision(account(from)), "=", revisions[0]),
				clientv3.Compare(clientv3.ModRevision(account(to)), "=", revisions[1]),
			).
			Then(clientv3.OpPut(account(from), format(balances[0]-amount)), clientv3.OpPut(account(to), format(balances[1]+amount))).
			Commit()
		if err != nil || answer.Succeeded {
			return err == nil, outcome(err)
		}
	}
}

func (c *client) Balances(ctx context.Context, count int) ([]int64, error) {
	got, err := c.Get(ctx, accounts, slices.Concat(c.reads, []clientv3.OpOption{clientv3.WithPrefix()})...)
	if err != nil {
		return nil, outcome(err)
	}
	balances := slices.Repeat([]int64{workloads.BankBalance}, count)
	for _, kv := range got.Kvs {
		number, err := strconv.Atoi(string(kv.Key[len(accounts):]))
		if err != nil || number >= count {
			return nil, fmt.Errorf("%q is no account", kv.Key)
		}
		if balances[number], err = parse(kv.Value); err != nil {
			return nil, err
		}
	}
	return balances, nil
}

func (c *client) Generate(ctx context.Context) (int64, error) {
	answer, err := c.Put(leading(ctx), ids, "")
	if err != nil {
		return 0, outcome(err)
	}
	return answer.Header.Revision, nil
}

// leading has a member that knows no leader refuse a request at once.
func leading(ctx context.Context) context.Context { return clientv3.WithRequireLeader(ctx) }

// outcome marks an error as definite if the request was certainly not carried
// out: it was never sent, or refused before it was proposed.
func outcome(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrNoLeader), // asked for by leading, before anything else
		errors.Is(err, rpctypes.ErrTooManyRequests),
		errors.Is(err, rpctypes.ErrRequestTooLarge),
		strings.Contains(err.Error(), "Error while dialing"): // gRPC's words for a connection that there never was
		return harness.Definite(err)
	}
	return err
}

func format(number int64) string { return strconv.FormatInt(number, 10) }

func parse(text []byte) (int64, error) {
	number, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the value %.100q is no number", text)
	}
	return number, nil
}
