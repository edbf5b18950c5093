package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/targets/internal/nodetest"
)

func TestMain(m *testing.M) {
	docker.Main()
	os.Exit(m.Run())
}

func TestParseOptions(t *testing.T) {
	for text, want := range map[string]Options{
		"":                             {},
		"reads=linearizable,lease=2s":  {},
		"reads=serializable":           {SerializableReads: true},
		"fencing=no,lease=3s":          {NoFencing: true, Lease: 3 * time.Second},
		"timeouts=default,fencing=yes": {DefaultTimes: true},
		"image=localhost:5000/etcd:v3": {Image: "localhost:5000/etcd:v3"},
	} {
		got, err := ParseOptions(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", text, err, diff)
		}
		again, err := ParseOptions(got.String())
		if diff := cmp.Diff(want, again); diff != "" || err != nil {
			t.Errorf("%q again: %v %s", got, err, diff)
		}
	}
	for text, want := range map[string]string{
		"reads=stale":               `reads="stale" is not possible: want linearizable or serializable`,
		"lease=1500ms":              `lease="1500ms" is not possible: want 1s to 1h0m0s, in whole seconds`,
		"lease=1s,timeouts=default": `lease="1s" is not possible with timeouts=default: etcd grants 2s at least`,
		"lease=":                    `lease="" is not possible: want 1s to 1h0m0s, in whole seconds`,
		"quorum=no":                 `unknown option "quorum=no" (there are, for example, reads=serializable, fencing=no, timeouts=default, lease=1s, image=quay.io/coreos/etcd:v3.6.0)`,
	} {
		if _, err := ParseOptions(text); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		err      error
		definite bool
	}{
		{rpctypes.ErrNoLeader, true},
		{rpctypes.ErrTooManyRequests, true},
		{errors.New(`rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`), true},
		{rpctypes.ErrNoSpace, false}, // also of a write that was applied
		{rpctypes.ErrTimeoutDueToLeaderFail, false},
		{rpctypes.ErrLeaderChanged, false},
		{rpctypes.ErrTimeout, false},
		{context.DeadlineExceeded, false},
		{errors.New("rpc error: code = Unavailable desc = transport is closing"), false},
		{errors.New("rpc error: code = Unknown desc = context deadline exceeded"), false},
	} {
		if got := harness.IsDefinite(outcome(c.err)); got != c.definite {
			t.Errorf("%v: definite %t, want %t", c.err, got, c.definite)
		}
	}
}

// trio runs a test on three members that are ready, in each world.
func trio(t *testing.T, options Options, test func(*testing.T, *nodetest.Cluster, harness.Target)) {
	t.Parallel()
	nodetest.InWorlds(t, image, []string{"etcd"}, func(t *testing.T, world cluster.World) {
		target := Target(options)
		test(t, nodetest.StartIn(t, world, target, 3, cluster.CutFault, cluster.KillFault), target)
	})
}

func TestConforms(t *testing.T) {
	trio(t, Options{}, func(t *testing.T, c *nodetest.Cluster, target harness.Target) {
		c.Conforms(target)
	})
}

// A member that is cut off answers serializable reads from the past, and no
// others; a new leader is found; what was killed comes back.
func TestMinority(t *testing.T) {
	trio(t, Options{SerializableReads: true}, func(t *testing.T, c *nodetest.Cluster, target harness.Target) {
		open := func(options Options, node cluster.Node) *client {
			opened, err := options.open(t.Context(), c, node)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { opened.Close() })
			return opened.(*client)
		}
		old, err := target.Leader(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := open(Options{}, old).Write(t.Context(), "x", 1); err != nil {
			t.Fatal(err)
		}
		c.Isolate(old)
		var leader cluster.Node
		c.Eventually(20*time.Second, func(ctx context.Context) error {
			if leader, err = target.Leader(ctx, c); err == nil && leader == old {
				err = fmt.Errorf("%s still leads", old)
			}
			return err
		})
		c.Eventually(20*time.Second, func(ctx context.Context) error { return open(Options{}, leader).Write(ctx, "x", 2) })
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, _, err := open(Options{}, old).Read(ctx, "x"); err == nil {
			t.Error("a member that is cut off answered a linearizable read")
		}
		if value, _, err := open(Options{SerializableReads: true}, old).Read(t.Context(), "x"); value != 1 || err != nil {
			t.Errorf("serializable read of %d, %v; want the old 1", value, err)
		}
		c.Eventually(20*time.Second, func(ctx context.Context) error {
			err := open(Options{}, old).Write(ctx, "x", 3)
			if !harness.IsDefinite(err) {
				return fmt.Errorf("a write without a leader: %v, which should be definite", err)
			}
			return nil
		})
		c.Heal()
		if err := c.Kill(t.Context(), leader); err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context(), leader); err != nil {
			t.Fatal(err)
		}
		c.Eventually(30*time.Second, func(ctx context.Context) error { return ready(ctx, c) })
		if value, _, err := open(Options{}, leader).Read(t.Context(), "x"); value != 2 || err != nil {
			t.Errorf("read %d, %v; want 2", value, err)
		}
	})
}

// A severed store loses its leader before each deletion.
type severed struct {
	clientv3.KV
	sever func()
}

func (s severed) Delete(ctx context.Context, key string, options ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	s.sever()
	return s.KV.Delete(ctx, key, options...)
}

// A hold that begins on the key of the last, whose release was refused, has a newer
// token; and who cannot take its key out of the queue again has not failed for sure.
func TestLock(t *testing.T) {
	trio(t, Options{Lease: time.Minute}, func(t *testing.T, c *nodetest.Cluster, target harness.Target) {
		open := func() *client {
			opened, err := target.Open(t.Context(), c, "n1")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { opened.Close() })
			return opened.(*client)
		}
		holder, waiter := open(), open()
		sever := func() {
			c.Isolate("n1")
			c.Eventually(20*time.Second, func(ctx context.Context) error {
				if s := statusOf(ctx, c.Address("n1")); s.err != nil || s.leader != 0 {
					return fmt.Errorf("n1 still names the leader %x: %v", s.leader, s.err)
				}
				return nil
			})
		}
		waiter.KV = severed{waiter.KV, sever}

		first, acquired, err := holder.Acquire(t.Context(), "l")
		if !acquired || err != nil {
			t.Fatalf("acquired %t, %v", acquired, err)
		}
		sever()
		if _, err := holder.Release(t.Context(), "l"); !harness.IsDefinite(err) {
			t.Fatalf("release without a leader: %v, which should be definite", err)
		}
		c.Heal()
		c.Eventually(20*time.Second, func(ctx context.Context) error {
			second, acquired, err := holder.Acquire(ctx, "l")
			if acquired && second <= first {
				t.Errorf("the fencing tokens %d and then %d", first, second)
			}
			if !acquired {
				return fmt.Errorf("not acquired: %v", err)
			}
			return nil
		})

		if _, acquired, err := waiter.Acquire(t.Context(), "l"); acquired || err == nil || harness.IsDefinite(err) {
			t.Errorf("acquired %t, %v, whose outcome should be unknown", acquired, err)
		}
	})
}
