package harness_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// memoryWorld runs nodes that are nothing but names: enough for trials whose
// clients misbehave by themselves, also in virtual time.
type memoryWorld struct{}

func (memoryWorld) Name() string { return "memory" }
func (memoryWorld) Supports(_ context.Context, f cluster.Fault) error {
	return fmt.Errorf("memory cannot inject %s", f)
}
func (memoryWorld) Build(_ context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	return memoryCluster{spec}, nil
}

type memoryCluster struct{ spec cluster.Spec }

func (c memoryCluster) Nodes() []cluster.Node                         { return c.spec.Nodes }
func (c memoryCluster) Role(n cluster.Node) string                    { return c.spec.Roles[n] }
func (c memoryCluster) PortAddress(cluster.Node, string) string       { return "" }
func (c memoryCluster) Address(n cluster.Node) string                 { return n }
func (c memoryCluster) ClientAddress(n cluster.Node, _ string) string { return n }
func (memoryCluster) Start(context.Context, cluster.Node) error       { return nil }
func (memoryCluster) Kill(context.Context, cluster.Node) error        { return nil }
func (memoryCluster) Pause(context.Context, cluster.Node) error       { return nil }
func (memoryCluster) Resume(context.Context, cluster.Node) error      { return nil }
func (memoryCluster) State(cluster.Node) cluster.State                { return cluster.Running }
func (memoryCluster) Close() error                                    { return nil }
func (memoryCluster) SetLinks(context.Context, []cluster.Link, cluster.Condition) error {
	return nil
}

// A store is one register a key, shared by all clients.
type store struct {
	mu     sync.Mutex
	values map[string]int64
	opened int
	// around, if set, is called for each operation and may refuse, delay or
	// falsify it.
	around func(ctx context.Context, node, kind string, do func()) error
}

func (s *store) target() harness.Target {
	s.values = map[string]int64{}
	return harness.Target{
		Name:    "memory",
		Claim:   history.Claim{CAP: "CP"},
		World:   memoryWorld{},
		Program: func(cluster.Place) cluster.Program { return cluster.Program{} },
		Open: func(_ context.Context, _ cluster.Cluster, node cluster.Node) (harness.Client, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.opened++
			return &storeClient{s, node}, nil
		},
	}
}

type storeClient struct {
	store *store
	node  string
}

const latency = time.Millisecond

func (c *storeClient) do(ctx context.Context, kind string, f func()) error {
	time.Sleep(latency) // the network's
	locked := func() {
		c.store.mu.Lock()
		defer c.store.mu.Unlock()
		f()
	}
	if c.store.around != nil {
		return c.store.around(ctx, c.node, kind, locked)
	}
	locked()
	return nil
}

func (c *storeClient) Read(ctx context.Context, key string) (value int64, found bool, err error) {
	err = c.do(ctx, "read", func() { value, found = c.store.values[key] })
	return value, found, err
}

func (c *storeClient) Write(ctx context.Context, key string, value int64) error {
	return c.do(ctx, "write", func() { c.store.values[key] = value })
}

func (c *storeClient) CompareAndSet(ctx context.Context, key string, old, new int64) (swapped bool, err error) {
	err = c.do(ctx, "cas", func() {
		if swapped = c.store.values[key] == old; swapped {
			c.store.values[key] = new
		}
	})
	return swapped, err
}

func (c *storeClient) Close() error { return nil }

var errReset = errors.New("connection reset by peer")

func (memoryCluster) SetClock(context.Context, cluster.Node, cluster.Clock) error { return nil }
func (memoryCluster) Collect(_ context.Context, _ cluster.Node, dir string, _ ...string) error {
	return os.MkdirAll(dir, 0o777)
}
func (memoryCluster) Linked() error              { return nil }
func (memoryCluster) Means(cluster.Fault) string { return "" }
func (memoryCluster) Signal(context.Context, cluster.Node, string, syscall.Signal) error {
	return nil
}
