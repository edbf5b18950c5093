package nats_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/workloads"
)

// Names of what the clients use.
const (
	routes = "routes" // the port at which servers reach each other
	bucket = "registers"
	stream = "elements"
)

// Any replica answers a bucket's reads from its own copy, unless the bucket says
// otherwise: one that is cut off is out of date.
func TestBucketHasStaleReads(t *testing.T) {
	target := server(t)
	target.Claim = history.Claim{CAP: "CP", Expect: []string{string(checker.StaleRead)}}
	target.Prepare = prepare(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket, Replicas: 3})
		return err
	})
	target = prepared(target)
	target.Open = func(ctx context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
		conn, js, err := connect(ctx, c, node)
		if err != nil {
			return nil, err
		}
		registers, err := js.KeyValue(ctx, bucket)
		if err != nil {
			conn.Close()
			return nil, err
		}
		return &registerClient{conn, registers}, nil
	}
	partitions := nemesis.Partitions("one")
	partitions.Interval = 4 * time.Second
	result := harness.Check(t, harness.Trial{
		Target: target, Workload: workloads.Register{}, Nemesis: partitions,
		Nodes: 3, Concurrency: 12, Duration: 8 * time.Second, Timeout: time.Second,
	})
	if result.StaleReads.Certain == 0 {
		t.Error("no stale read was found")
	}
}

// A stream that was created less than a minute before all servers are killed is
// gone for good, with all that was acknowledged:
// https://github.com/nats-io/nats-server/pull/5946, mended in 2.10.23.
func TestStreamIsLost(t *testing.T) {
	target := server(t)
	target.Prepare = prepare(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: stream, Replicas: 3})
		return err
	})
	target = prepared(target)
	target.Open = func(ctx context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
		conn, js, err := connect(ctx, c, node)
		if err != nil {
			return nil, err
		}
		return &setClient{conn, js}, nil
	}
	kills := nemesis.Kills("all")
	kills.Interval = 3 * time.Second
	run, result, err := harness.Run(t.Context(), harness.Trial{
		Target: target, Workload: workloads.Set{}, Nemesis: kills,
		Nodes: 3, Concurrency: 6, Rate: 200, Quiet: time.Second, Duration: 3 * time.Second, Timeout: time.Second,
		Dir: t.ArtifactDir(), Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if summary := harness.Summary(run, result); result.AsClaimed != checker.NotAsClaimed {
		t.Errorf("the stream is gone, and the trial says:\n%s", summary)
	} else {
		t.Log(summary)
	}
}

// server is NATS without clients: a cluster of servers that keep streams on disk.
func server(t *testing.T) harness.Target {
	t.Helper()
	path, err := exec.Command("go", "tool", "-n", "nats-server").Output() // builds it
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Skipf("nats-server cannot be built: %v", err)
	}
	return harness.Target{
		Name:  "nats",
		World: process.World(),
		Ports: []string{routes},
		Program: func(p cluster.Place) cluster.Program {
			var others []string
			for node, ports := range p.Public {
				if node != p.Node {
					others = append(others, "nats://"+ports[routes])
				}
			}
			slices.Sort(others)
			host, port, _ := strings.Cut(p.Listen, ":")
			return cluster.Program{Path: strings.TrimSpace(string(path)), Args: []string{
				"--name", p.Node, "--addr", host, "--port", port, "--jetstream", "--store_dir", p.Data,
				"--cluster_name", "trial", "--cluster", "nats://" + p.Ports[routes].Listen,
				"--cluster_advertise", p.Ports[routes].Public, "--no_advertise", "--routes", strings.Join(others, ","),
			}}
		},
		Ready: ready,
	}
}

// ready wants an answer of JetStream through every server, and all of them known
// to the one that places streams.
func ready(ctx context.Context, c cluster.Cluster) error {
	for _, node := range c.Nodes() {
		conn, js, err := connect(ctx, c, node)
		if err != nil {
			return fmt.Errorf("%s: %w", node, err)
		}
		_, err = js.AccountInfo(ctx)
		conn.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", node, err)
		}
	}
	return nil
}

func prepare(create func(context.Context, jetstream.JetStream) error) func(context.Context, cluster.Cluster) error {
	return func(ctx context.Context, c cluster.Cluster) error {
		conn, js, err := connect(ctx, c, c.Nodes()[0])
		if err != nil {
			return err
		}
		defer conn.Close()
		return create(ctx, js)
	}
}

// connect speaks to one server alone, and once: a client whose connection is lost
// has an operation of unknown outcome, and then the harness opens another.
func connect(ctx context.Context, c cluster.Cluster, node cluster.Node) (*nats.Conn, jetstream.JetStream, error) {
	deadline, _ := ctx.Deadline()
	conn, err := nats.Connect("nats://"+c.Address(node), nats.NoReconnect(), nats.IgnoreDiscoveredServers(), nats.Timeout(time.Until(deadline)))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn)
	return conn, js, err
}

// outcome marks the errors after which nothing was certainly done.
func outcome(err error) error {
	var refused *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse), // nobody took it
		errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		return harness.Definite(err)
	}
	return err
}

type registerClient struct {
	conn      *nats.Conn
	registers jetstream.KeyValue
}

func (c *registerClient) Read(ctx context.Context, key string) (value int64, found bool, err error) {
	value, _, err = c.get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, false, nil
	}
	return value, err == nil, outcome(err)
}

func (c *registerClient) get(ctx context.Context, key string) (value int64, revision uint64, err error) {
	entry, err := c.registers.Get(ctx, key)
	if err != nil {
		return 0, 0, err
	}
	value, err = strconv.ParseInt(string(entry.Value()), 10, 64)
	return value, entry.Revision(), err
}

func (c *registerClient) Write(ctx context.Context, key string, value int64) error {
	_, err := c.registers.Put(ctx, key, strconv.AppendInt(nil, value, 10))
	return outcome(err)
}

// CompareAndSet replaces the revision that it has read. If that is refused, nobody
// knows the value: the revision that was in its way may never be committed. So the
// answer is an error, and not false.
func (c *registerClient) CompareAndSet(ctx context.Context, key string, old, new int64) (swapped bool, err error) {
	value, revision, err := c.get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return false, &workloads.Mismatch{}
	case err != nil:
		return false, harness.Definite(err) // only read so far
	case value != old:
		return false, &workloads.Mismatch{Value: value, Found: true}
	}
	_, err = c.registers.Update(ctx, key, strconv.AppendInt(nil, new, 10), revision)
	return err == nil, outcome(err)
}

func (c *registerClient) Close() error { c.conn.Close(); return nil }

type setClient struct {
	conn *nats.Conn
	js   jetstream.JetStream
}

func (c *setClient) Add(ctx context.Context, element int64) error {
	_, err := c.js.Publish(ctx, stream, strconv.AppendInt(nil, element, 10))
	return outcome(err)
}

// Elements gets one message after the other. (A consumer would be faster, and an
// entry in the log of streams, behind the stream's own, which then is not lost.)
func (c *setClient) Elements(ctx context.Context) ([]int64, error) {
	elements, err := c.js.Stream(ctx, stream)
	if err != nil {
		return nil, outcome(err)
	}
	var all []int64
	for sequence := range elements.CachedInfo().State.LastSeq {
		message, err := elements.GetMsg(ctx, sequence+1)
		if err != nil {
			return nil, err
		}
		element, err := strconv.ParseInt(string(message.Data), 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, element)
	}
	return all, nil
}

func (c *setClient) Close() error { c.conn.Close(); return nil }

func prepared(target harness.Target) harness.Target {
	prepare := target.Prepare
	target.Prepare = nil
	target.Ready = func(ctx context.Context, c cluster.Cluster) error {
		if err := ready(ctx, c); err != nil {
			return err
		}
		return prepare(ctx, c)
	}
	return target
}
