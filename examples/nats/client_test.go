package nats_test

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/workloads"
)

// A client is a register client, with the bucket, and a set client, with the
// stream.
type client struct {
	conn      *nats.Conn
	js        jetstream.JetStream
	registers jetstream.KeyValue
}

var (
	_ workloads.RegisterClient = (*client)(nil)
	_ workloads.SetClient      = (*client)(nil)
)

func open(ctx context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
	conn, js, err := connect(ctx, c, node)
	if err != nil {
		return nil, err
	}
	registers, err := js.KeyValue(ctx, bucket)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &client{conn, js, registers}, nil
}

// connect speaks to one server alone, and once: when the connection is lost, an
// operation's outcome is unknown, and the harness opens another client.
func connect(ctx context.Context, c cluster.Cluster, node cluster.Node) (*nats.Conn, jetstream.JetStream, error) {
	deadline, _ := ctx.Deadline()
	conn, err := nats.Connect("nats://"+c.Address(node),
		nats.NoReconnect(), nats.IgnoreDiscoveredServers(), nats.Timeout(time.Until(deadline)))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn)
	return conn, js, err
}

func (c *client) Close() error { c.conn.Close(); return nil }

// outcome marks the errors after which certainly nothing was done: nobody was there
// to take the message.
func outcome(err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		return harness.Definite(err)
	}
	return err
}

func (c *client) Read(ctx context.Context, key string) (value int64, found bool, err error) {
	value, _, err = c.get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, false, nil
	}
	return value, err == nil, outcome(err)
}

func (c *client) get(ctx context.Context, key string) (value int64, revision uint64, err error) {
	entry, err := c.registers.Get(ctx, key)
	if err != nil {
		return 0, 0, err
	}
	value, err = strconv.ParseInt(string(entry.Value()), 10, 64)
	return value, entry.Revision(), err
}

func (c *client) Write(ctx context.Context, key string, value int64) error {
	_, err := c.registers.Put(ctx, key, strconv.AppendInt(nil, value, 10))
	return outcome(err)
}

// CompareAndSet replaces the revision that it has read. If the leader refuses, it
// has stored a newer one: another value, because none is written twice.
func (c *client) CompareAndSet(ctx context.Context, key string, old, new int64) (swapped bool, err error) {
	value, revision, err := c.get(ctx, key)
	if err != nil {
		return false, harness.Definite(err) // it was only read
	}
	if value != old {
		return false, &workloads.Mismatch{Value: value, Found: true}
	}
	_, err = c.registers.Update(ctx, key, strconv.AppendInt(nil, new, 10), revision)
	var refused *jetstream.APIError
	if errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return false, nil
	}
	return err == nil, outcome(err)
}

func (c *client) Add(ctx context.Context, element int64) error {
	_, err := c.js.Publish(ctx, stream, strconv.AppendInt(nil, element, 10))
	return outcome(err)
}

// Elements gets one message after the other. A consumer would be faster; but then
// the stream is not the last that was created, and is not lost.
func (c *client) Elements(ctx context.Context) ([]int64, error) {
	messages, err := c.js.Stream(ctx, stream)
	if err != nil {
		return nil, outcome(err)
	}
	var elements []int64
	for last := range messages.CachedInfo().State.LastSeq {
		message, err := messages.GetMsg(ctx, last+1)
		if err != nil {
			return nil, outcome(err)
		}
		element, err := strconv.ParseInt(string(message.Data), 10, 64)
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
	}
	return elements, nil
}
