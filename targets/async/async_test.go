package async

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/nodetest"
	"github.com/rashomon-io/rashomon/workloads"
)

func TestMain(m *testing.M) { nodetest.Main(m, Node) }

// patience bounds how long a test waits for a failover, which takes less than a
// second, on a machine that may be very busy.
const patience = 10 * time.Second

func leaderOf(t *testing.T, c *nodetest.Cluster) cluster.Node {
	t.Helper()
	var node cluster.Node
	c.Eventually(patience, func(ctx context.Context) (err error) {
		node, err = leader(ctx, c)
		return err
	})
	return node
}

func TestEveryNodeServes(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, Target(), 3)
	for i, node := range c.Nodes() {
		key, client := "key-"+node, c.Client(node)
		if _, found, err := client.Read(t.Context(), key); found || err != nil {
			t.Errorf("%s: first read: %v %v", node, found, err)
		}
		if _, err := client.CompareAndSet(t.Context(), key, 1, 2); !cmp.Equal(err, error(&workloads.Mismatch{})) {
			t.Errorf("%s: swap of nothing: %v", node, err)
		}
		if err := client.Write(t.Context(), key, 1); err != nil {
			t.Errorf("%s: %v", node, err)
		}
		if swapped, err := client.CompareAndSet(t.Context(), key, 1, 2); !swapped || err != nil {
			t.Errorf("%s: swap: %t %v", node, swapped, err)
		}
		if _, err := client.CompareAndSet(t.Context(), key, 1, 3); !cmp.Equal(err, error(&workloads.Mismatch{Value: 2, Found: true})) {
			t.Errorf("%s: swap of an old value: %v", node, err)
		}
		if err := client.Add(t.Context(), int64(i)); err != nil {
			t.Errorf("%s: %v", node, err)
		}
	}
	for _, node := range c.Nodes() {
		elements, err := c.Client(node).Elements(t.Context())
		slices.Sort(elements)
		if diff := cmp.Diff([]int64{0, 1, 2}, elements); diff != "" || err != nil {
			t.Errorf("%s: %s %v", node, diff, err)
		}
	}
}

func TestNewPrimaryAfterKill(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, Target(), 3)
	old := leaderOf(t, c)
	if err := c.Client(old).Write(t.Context(), "x", 1); err != nil {
		t.Fatal(err)
	}
	caughtUp(t, c)
	start := time.Now()
	if err := c.Kill(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if err := c.Client(old).Write(t.Context(), "x", 2); !harness.IsDefinite(err) {
		t.Errorf("a write to a dead node: %v, which should be definite", err)
	}
	for _, node := range c.Nodes() {
		if node == old {
			continue
		}
		client := c.Client(node)
		c.Eventually(patience, func(ctx context.Context) error { return client.Write(ctx, "y", 3) })
		if value, _, err := client.Read(t.Context(), "x"); value != 1 || err != nil {
			t.Errorf("%s: x is %d, %v: what was replicated is gone", node, value, err)
		}
	}
	t.Logf("failover took %v", time.Since(start))
	if err := c.Start(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	c.Eventually(patience, func(ctx context.Context) error { return ready(ctx, c) })
	if leaderOf(t, c) == old {
		t.Error("the old primary is back in office")
	}
}

// The planted proof that the target fails as it claims: a primary that is cut off
// goes on acknowledging, two compare-and-sets swap from one value, its reads are
// stale, and when the network is whole again what it acknowledged is gone.
func TestPartitionLosesAcknowledgedWrites(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, Target(), 3)
	old := leaderOf(t, c)
	there := c.Client(old)
	if err := there.Write(t.Context(), "x", 1); err != nil {
		t.Fatal(err)
	}
	caughtUp(t, c)

	c.Isolate(old)
	start := time.Now()
	for i := range int64(10) {
		if err := there.Add(t.Context(), i); err != nil {
			t.Errorf("the old primary declines: %v", err)
		}
	}
	if swapped, err := there.CompareAndSet(t.Context(), "x", 1, 2); !swapped || err != nil {
		t.Errorf("swap on the minority's side: %t %v", swapped, err)
	}
	here := c.Client(another(c, old))
	c.Eventually(patience, func(ctx context.Context) error {
		if node, err := leader(ctx, c); node == old || err != nil {
			return fmt.Errorf("%s leads, %v", node, err)
		}
		return nil
	})
	t.Logf("failover took %v", time.Since(start))
	var swapped bool
	c.Eventually(patience, func(ctx context.Context) (err error) {
		swapped, err = here.CompareAndSet(ctx, "x", 1, 3)
		return err
	})
	if !swapped {
		t.Error("no swap on the majority's side")
	}
	if value, _, err := there.Read(t.Context(), "x"); value != 2 || err != nil {
		t.Errorf("the old primary reads %d, %v", value, err)
	}

	c.Heal()
	start = time.Now()
	c.Eventually(patience, func(ctx context.Context) error { return ready(ctx, c) })
	t.Logf("recovery took %v", time.Since(start))
	for _, node := range c.Nodes() {
		client := c.Client(node)
		if value, _, err := client.Read(t.Context(), "x"); value != 3 || err != nil {
			t.Errorf("%s: x is %d, %v", node, value, err)
		}
		if elements, err := client.Elements(t.Context()); len(elements) != 0 || err != nil {
			t.Errorf("%s: %v survived, %v", node, elements, err)
		}
	}
	caughtUp(t, c)
}

func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, Target(), 3)
	client := c.Client("n1")
	for i := range int64(100) {
		if err := errors.Join(client.Write(t.Context(), "x", i), client.Add(t.Context(), i)); err != nil {
			t.Fatal(err)
		}
	}
	caughtUp(t, c)
	for _, node := range c.Nodes() {
		if err := c.Kill(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range c.Nodes() {
		if err := c.Start(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	c.Eventually(patience, func(ctx context.Context) error { return ready(ctx, c) })
	client = c.Client("n2")
	if value, _, err := client.Read(t.Context(), "x"); value != 99 || err != nil {
		t.Errorf("x is %d, %v", value, err)
	}
	if elements, err := client.Elements(t.Context()); len(elements) != 100 || err != nil {
		t.Errorf("%d elements, %v", len(elements), err)
	}
}

// caughtUp waits until all nodes have the same history.
func caughtUp(t *testing.T, c *nodetest.Cluster) {
	t.Helper()
	c.Eventually(patience, func(ctx context.Context) error {
		statuses, err := ask(ctx, c)
		first := statuses[c.Nodes()[0]]
		for node, s := range statuses {
			if s.branch != first.branch || s.offset != first.offset {
				err = errors.Join(err, fmt.Errorf("%s is at %d of epoch %d, %s at %d of epoch %d",
					c.Nodes()[0], first.offset, first.branch, node, s.offset, s.branch))
			}
		}
		return err
	})
}

func another(c *nodetest.Cluster, than cluster.Node) cluster.Node {
	return slices.DeleteFunc(c.Nodes(), func(node cluster.Node) bool { return node == than })[0]
}
