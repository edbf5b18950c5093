// Package nodetest runs the built-in targets' tests on real processes.
package nodetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/targets/internal/line"
)

// Main is a TestMain's: the test binary, re-executed by the process world, is a
// node.
func Main(m *testing.M, node func(args []string) error) {
	if len(os.Args) > 2 && os.Args[1] == "node" {
		if err := node(os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A Cluster is a target's that serves.
type Cluster struct {
	cluster.Cluster
	t    *testing.T
	logs string
}

// Start runs a target among processes and waits until it is ready. If the test
// fails, its logs are the nodes' too.
func Start(t *testing.T, target harness.Target, nodes int) *Cluster {
	t.Helper()
	return StartIn(t, process.World(), target, nodes)
}

// StartIn does the same in any world, which is to inject the faults.
func StartIn(t *testing.T, world cluster.World, target harness.Target, nodes int, faults ...cluster.Fault) *Cluster {
	t.Helper()
	logs := t.TempDir()
	built, err := world.Build(t.Context(), cluster.Spec{
		Nodes: cluster.Names(nodes), Ports: target.Ports, Program: target.Program, Faults: faults, Logs: logs,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{built, t, logs}
	t.Cleanup(c.end)
	for _, node := range c.Nodes() {
		if err := c.Start(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	c.Eventually(60*time.Second, func(ctx context.Context) error { return target.Ready(ctx, c) })
	return c
}

func (c *Cluster) end() {
	if err := c.Close(); err != nil {
		c.t.Error(err)
	}
	if !c.t.Failed() {
		return
	}
	for _, node := range c.Nodes() {
		text, _ := os.ReadFile(filepath.Join(c.logs, node, "stderr.log"))
		c.t.Logf("log of %s:\n%s", node, text)
	}
}

// Client returns a client pinned to the node, until the test ends.
func (c *Cluster) Client(node cluster.Node) *line.Client {
	c.t.Helper()
	client, err := line.Open(c.t.Context(), c, node)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { client.Close() })
	if coordinates, ok := client.(*line.CoordinationClient); ok {
		return coordinates.Client
	}
	return client.(*line.Client)
}

// Isolate cuts, silently, every link between the nodes and all others; Heal
// undoes it.
func (c *Cluster) Isolate(nodes ...cluster.Node) {
	c.t.Helper()
	c.set(cluster.Condition{Cut: cluster.Silent}, func(link cluster.Link) bool {
		return slices.Contains(nodes, link.From) != slices.Contains(nodes, link.To)
	})
}

func (c *Cluster) Heal() {
	c.t.Helper()
	c.set(cluster.Condition{}, func(cluster.Link) bool { return true })
}

func (c *Cluster) set(condition cluster.Condition, which func(cluster.Link) bool) {
	c.t.Helper()
	var links []cluster.Link
	for _, from := range c.Nodes() {
		for _, to := range c.Nodes() {
			if link := (cluster.Link{From: from, To: to}); from != to && which(link) {
				links = append(links, link)
			}
		}
	}
	if err := c.SetLinks(c.t.Context(), links, condition); err != nil {
		c.t.Fatal(err)
	}
}

// Eventually tries until it returns nil, and fails the test if it does not within
// the time. Each try has a context of 250 ms.
func (c *Cluster) Eventually(within time.Duration, try func(context.Context) error) {
	c.t.Helper()
	start := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(c.t.Context(), 250*time.Millisecond)
		err := try(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Since(start) > within {
			c.t.Fatalf("not within %v: %v", within, err)
		}
		<-tick.C
	}
}
