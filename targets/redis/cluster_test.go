package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/targets/internal/nodetest"
	"github.com/rashomon-io/rashomon/workloads"
)

func TestMain(m *testing.M) {
	docker.Main()
	os.Exit(m.Run())
}

// patience bounds how long a test waits for a failover, which takes some two
// seconds, on a machine that may be very busy.
const patience = 30 * time.Second

// A trio is three nodes, with a client at each.
type trio struct {
	*nodetest.Cluster
	*testing.T
	target  harness.Target
	clients map[cluster.Node]*client
}

// withTrio runs the test in each world, on nodes that are ready.
func withTrio(t *testing.T, options Options, test func(trio)) {
	t.Parallel()
	nodetest.InWorlds(t, image, []string{"redis-server", "redis-cli"}, func(t *testing.T, world cluster.World) {
		c := trio{T: t, target: Target(options), clients: map[cluster.Node]*client{}}
		c.Cluster = nodetest.StartIn(t, world, c.target, 3, cluster.CutFault, cluster.KillFault, cluster.PauseFault)
		for _, node := range c.Nodes() {
			opened, err := c.target.Open(t.Context(), c, node)
			if err != nil {
				t.Fatal(err)
			}
			c.clients[node] = opened.(*client)
			t.Cleanup(func() { opened.Close() })
		}
		test(c)
	})
}

// leader waits until it is one of these.
func (c trio) leader(among ...cluster.Node) (leader cluster.Node) {
	c.Helper()
	c.Eventually(patience, func(ctx context.Context) (err error) {
		leader, err = c.target.Leader(ctx, c)
		if err == nil && !slices.Contains(among, leader) {
			err = errors.New(leader + " leads")
		}
		return err
	})
	return leader
}

// others are all nodes but one.
func (c trio) others(than cluster.Node) []cluster.Node {
	return slices.DeleteFunc(c.Nodes(), func(node cluster.Node) bool { return node == than })
}

func (c trio) readyAgain() {
	c.Helper()
	c.Eventually(patience, func(ctx context.Context) error { return c.target.Ready(ctx, c) })
}

// replicated waits until each node has the key, which a link that is up does not
// mean.
func (c trio) replicated(key string) {
	c.Helper()
	for _, node := range c.Nodes() {
		server := goredis.NewClient(connection(c.PortAddress(node, serverPort)))
		defer server.Close()
		c.Eventually(patience, func(ctx context.Context) error { return server.Get(ctx, key).Err() })
	}
}

func (c trio) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// soon is the context of a call that is not to be answered in time.
func (c trio) soon() context.Context {
	ctx, cancel := context.WithTimeout(c.Context(), 300*time.Millisecond)
	c.Cleanup(cancel)
	return ctx
}

func TestEveryNodeServes(t *testing.T) {
	withTrio(t, Options{DefaultTimes: true, Lease: time.Minute}, func(c trio) { c.Conforms(c.target) })
}

func (c trio) equal(node cluster.Node, what string, got, want any, gotErr, wantErr error) {
	c.Helper()
	if diff := cmp.Diff(want, got) + cmp.Diff(wantErr, gotErr); diff != "" {
		c.Errorf("%s: %s: %s", node, what, diff)
	}
}

// A node comes back as what it was last, also if it began as the primary.
func TestNewPrimaryAfterKill(t *testing.T) {
	withTrio(t, Options{AppendFsync: "everysec"}, func(c trio) {
		old := c.leader(c.Nodes()...)
		c.must(c.clients[old].Write(c.Context(), "x", 1))
		c.replicated("x")
		start := time.Now()
		c.must(c.Kill(c.Context(), old))
		if err := c.clients[old].Write(c.Context(), "x", 2); !harness.IsDefinite(err) {
			c.Errorf("a write to a dead node: %v, which should be definite", err)
		}
		c.leader(c.others(old)...)
		for _, node := range c.others(old) {
			client := c.clients[node]
			c.Eventually(patience, func(ctx context.Context) error { return client.Write(ctx, "y", 3) })
		}
		c.Logf("failover took %v", time.Since(start))

		c.must(c.Start(c.Context(), old))
		start = time.Now()
		c.readyAgain()
		c.Logf("%s is back in %v", old, time.Since(start))
		c.must(c.Kill(c.Context(), old))
		c.must(c.Start(c.Context(), old))
		c.Eventually(patience, func(ctx context.Context) error {
			server := goredis.NewClient(connection(c.PortAddress(old, serverPort)))
			defer server.Close()
			info, err := ask(ctx, server, tunedTimes.silence)
			if err == nil && info.isPrimary {
				c.Error("a replica that was restarted is the primary that it was before")
			}
			return err
		})
		c.readyAgain()
		for _, node := range c.Nodes() {
			value, _, err := c.clients[node].Read(c.Context(), "x")
			c.equal(node, "what was replicated", value, int64(1), err, nil)
		}
	})
}

// The planted proof that the target fails as it claims: a primary that is cut off
// goes on acknowledging, two compare-and-sets swap from one value, its reads are
// stale, a lock is held twice, and when the network is whole again what it
// acknowledged is gone.
func TestPartitionLosesAcknowledgedWrites(t *testing.T) {
	withTrio(t, Options{Lease: time.Minute}, func(c trio) {
		c.must(c.clients["n1"].Write(c.Context(), "x", 1))
		c.replicated("x")
		old := c.leader(c.Nodes()...)
		there, here := c.clients[old], c.clients[c.others(old)[0]]
		c.Isolate(old)
		for i := range int64(10) {
			c.must(there.Add(c.Context(), i))
		}
		c.leader(c.others(old)...)
		swapped, err := there.CompareAndSet(c.Context(), "x", 1, 2)
		c.equal(old, "swap on the minority's side", swapped, true, err, nil)
		c.Eventually(patience, func(ctx context.Context) (err error) {
			swapped, err = here.CompareAndSet(ctx, "x", 1, 3)
			if saw := new(workloads.Mismatch); errors.As(err, &saw) && saw.Value == 3 {
				swapped, err = true, nil // by a try whose answer was late
			}
			return err
		})
		c.equal(here.node, "swap on the majority's side", swapped, true, nil, nil)
		value, _, err := there.Read(c.Context(), "x")
		c.equal(old, "stale read", value, int64(2), err, nil)
		for _, client := range []*client{there, here} {
			_, acquired, err := client.Acquire(c.Context(), "lock")
			c.equal(client.node, "acquire", acquired, true, err, nil)
		}

		c.Heal()
		c.readyAgain()
		for _, node := range c.Nodes() {
			value, _, err := c.clients[node].Read(c.Context(), "x")
			c.equal(node, "x", value, int64(3), err, nil)
			elements, err := c.clients[node].Elements(c.Context())
			c.equal(node, "elements", len(elements), 0, err, nil)
		}
		released, err := there.Release(c.Context(), "lock")
		c.equal(old, "release of what another holds", released, false, err, nil)

		// A client is not a way around a partition, and has not sent what it is
		// refused for that reason.
		replica := c.others(c.leader(c.Nodes()...))[0]
		c.Isolate(replica)
		c.Eventually(patience, func(ctx context.Context) error {
			err := c.clients[replica].Write(ctx, "x", 4)
			if err == nil {
				return errors.New("it still gets around")
			}
			// Until the replica knows, a write is sent to the primary, and may time out.
			if want := replica + " does not hear from its primary"; !strings.Contains(err.Error(), want) {
				return fmt.Errorf("%w, want %s", err, want)
			}
			if !harness.IsDefinite(err) {
				c.Errorf("%s is cut off: %v, which should be definite", replica, err)
			}
			return nil
		})
	})
}

// With Redis' own times, nobody replaces n1 while this lasts.
func TestOutcomes(t *testing.T) {
	withTrio(t, Options{MinReplicas: 2, Wait: 2, ReplicaReads: true, DefaultTimes: true, Lease: minLease}, func(c trio) {
		primary := c.clients["n1"]
		c.Eventually(patience, func(ctx context.Context) error { return primary.Write(ctx, "x", 1) })
		value, _, err := c.clients["n3"].Read(c.Context(), "x") // which n3 has acknowledged
		c.equal("n3", "its own copy", value, int64(1), err, nil)

		direct := goredis.NewClient(connection(c.PortAddress("n3", serverPort)))
		defer direct.Close()
		_, err = outcome(direct.Do(c.Context(), "EVAL", CompareAndSet, 1, "x", 1, 2).Result())
		c.definite("a script that writes to a replica", err, true)

		c.Eventually(patience, func(ctx context.Context) error {
			_, acquired, err := primary.Acquire(ctx, "lock")
			if err == nil && !acquired {
				err = errors.New("not acquired")
			}
			return err
		})
		c.Eventually(patience, func(ctx context.Context) error {
			_, acquired, err := c.clients["n2"].Acquire(ctx, "lock")
			if err == nil && !acquired {
				err = errors.New("not expired")
			}
			return err
		})

		// n3 is connected but says nothing, so there are two replicas still, of
		// which one acknowledges.
		c.must(c.Pause(c.Context(), "n3"))
		c.definite("a write that one replica acknowledges", primary.Write(c.soon(), "x", 2), false)
		_, _, err = c.clients["n3"].Read(c.soon(), "x")
		c.definite("a read from a node that is paused", err, false)
		c.definite("a write through a node that is paused", c.clients["n3"].Write(c.soon(), "x", 3), true)

		c.must(c.Kill(c.Context(), "n3"))
		c.Eventually(patience, func(ctx context.Context) error {
			err := primary.Write(ctx, "x", 4)
			if err == nil || !strings.Contains(err.Error(), "NOREPLICAS") {
				return fmt.Errorf("%v, want NOREPLICAS", err)
			}
			c.definite("a write with too few replicas", err, true)
			return nil
		})
		_, err = primary.CompareAndSet(c.Context(), "x", 1, 2)
		c.definite("a script with too few replicas", err, true)
		c.must(c.Start(c.Context(), "n3"))
		c.Eventually(patience, func(ctx context.Context) error { return primary.Write(ctx, "x", 5) })

		// The server answers questions and holds writes back.
		server := goredis.NewClient(connection(c.PortAddress("n1", serverPort)))
		defer server.Close()
		c.must(server.Do(c.Context(), "CLIENT", "PAUSE", "5000", "WRITE").Err())
		c.definite("a write that is not answered in time", primary.Write(c.soon(), "x", 6), false)
	})
}

func (c trio) definite(what string, err error, want bool) {
	c.Helper()
	if err == nil || harness.IsDefinite(err) != want {
		c.Errorf("%s: %v, definite: %t, want %t", what, err, harness.IsDefinite(err), want)
	}
}

func TestOutcome(t *testing.T) {
	refuse := func(text string) error { return goredis.NewCmdResult(nil, serverError(text)).Err() }
	for _, test := range []struct {
		name     string
		err      error
		definite bool
	}{
		{"read only", refuse("READONLY You can't write against a read only replica."), true},
		{"too few replicas", refuse("NOREPLICAS Not enough good replicas to write."), true},
		{"loading", refuse("LOADING Redis is loading the dataset in memory"), true},
		{"no primary", refuse("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."), true},
		{"any other refusal", refuse("ERR user_script:3: something went wrong halfway"), false},
		{"not at the beginning", refuse("ERR it said READONLY "), false},
		{"not connected", &net.OpError{Op: "dial", Err: errors.New("connection refused")}, true},
		{"reset", &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, false},
		{"not written whole", &net.OpError{Op: "write", Err: errors.New("broken pipe")}, false},
		{"end", io.EOF, false},
		{"no time left", context.DeadlineExceeded, false},
	} {
		if _, err := outcome("reply", test.err); err == nil || harness.IsDefinite(err) != test.definite {
			t.Errorf("%s: %v is definite: %t, want %t", test.name, err, harness.IsDefinite(err), test.definite)
		}
	}
	if reply, err := outcome(nil, goredis.Nil); reply != nil || err != nil {
		t.Errorf("nothing there: %v, %v", reply, err)
	}
}

// A serverError is an error reply.
type serverError string

func (e serverError) Error() string { return string(e) }
func (serverError) RedisError()     {}
