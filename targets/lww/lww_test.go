package lww

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/targets/internal/nodetest"
	"github.com/rashomon-io/rashomon/workloads"
)

func TestMain(m *testing.M) { nodetest.Main(m, Node) }

// patience bounds how long a test waits for the nodes to agree, which takes less
// than a second, on a machine that may be very busy.
const patience = 10 * time.Second

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
	agree(t, c, "key-n1", 2, 0, 1, 2)
}

// The planted proof that the target fails as it claims: during a partition both
// sides serve, two compare-and-sets swap from one value, reads are stale, and one
// of the acknowledged writes is gone afterwards. The set keeps both sides'.
func TestPartition(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, Target(), 3)
	here, there := c.Client("n1"), c.Client("n3")
	if err := here.Write(t.Context(), "x", 1); err != nil {
		t.Fatal(err)
	}
	agree(t, c, "x", 1)

	c.Isolate("n3")
	if swapped, err := here.CompareAndSet(t.Context(), "x", 1, 2); !swapped || err != nil {
		t.Errorf("swap on one side: %t %v", swapped, err)
	}
	if value, _, err := there.Read(t.Context(), "x"); value != 1 || err != nil {
		t.Errorf("the other side reads %d, %v", value, err)
	}
	if swapped, err := there.CompareAndSet(t.Context(), "x", 1, 3); !swapped || err != nil {
		t.Errorf("swap on the other side: %t %v", swapped, err)
	}
	// More than a queue for broadcasts holds, so that anti-entropy has work.
	var elements []int64
	for i := range int64(maxQueue + 100) {
		if err := errors.Join(here.Add(t.Context(), i), there.Add(t.Context(), -i)); err != nil {
			t.Fatal(err)
		}
		elements = append(elements, i)
		if i > 0 {
			elements = append(elements, -i)
		}
	}

	c.Heal()
	start := time.Now()
	agree(t, c, "x", 3, elements...) // n3 wrote last
	t.Logf("convergence took %v", time.Since(start))
}

func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, Target(), 1)
	client := c.Client("n1")
	if err := errors.Join(client.Write(t.Context(), "x", 7), client.Add(t.Context(), 8)); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Client("n1").Write(t.Context(), "x", 9); !harness.IsDefinite(err) {
		t.Errorf("a write to a dead node: %v, which should be definite", err)
	}
	if err := c.Start(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	c.Eventually(patience, func(ctx context.Context) error { return ready(ctx, c) })
	agree(t, c, "x", 7, 8)
}

// A node that was down is told by anti-entropy what it missed.
func TestRestartCatchesUp(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, Target(), 3)
	if err := c.Kill(t.Context(), "n2"); err != nil {
		t.Fatal(err)
	}
	if err := c.Client("n1").Write(t.Context(), "x", 5); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), "n2"); err != nil {
		t.Fatal(err)
	}
	agree(t, c, "x", 5)
}

// agree waits until every node reads this value and these elements.
func agree(t *testing.T, c *nodetest.Cluster, key string, value int64, elements ...int64) {
	t.Helper()
	slices.Sort(elements)
	for _, node := range c.Nodes() {
		client := c.Client(node)
		c.Eventually(patience, func(ctx context.Context) error {
			got, _, err := client.Read(ctx, key)
			if got != value || err != nil {
				return fmt.Errorf("%s: %s is %d, %v", node, key, got, err)
			}
			all, err := client.Elements(ctx)
			slices.Sort(all)
			if !slices.Equal(all, elements) || err != nil {
				return fmt.Errorf("%s: %d elements, not %d, %v", node, len(all), len(elements), err)
			}
			return nil
		})
	}
}
