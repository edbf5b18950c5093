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
		"reads=stale":  `reads="stale" is not possible: want linearizable or serializable`,
		"lease=1500ms": `lease="1500ms" is not possible: want 1s to 1h0m0s, in whole seconds`,
		"lease=":       `lease="" is not possible: want 1s to 1h0m0s, in whole seconds`,
		"quorum=no":    `unknown option "quorum=no" (there are, for example, reads=serializable, fencing=no, timeouts=default, lease=1s, image=quay.io/coreos/etcd:v3.6.0)`,
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
