// Package inner holds tests that harness's own tests run with `go test`.
package inner

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/workloads"
)

// A client is of a register in the test's memory; the nodes only run.
type client struct{ forgets bool }

var (
	mu     sync.Mutex
	values = map[string]int64{}
)

func (*client) Read(_ context.Context, key string) (int64, bool, error) {
	mu.Lock()
	defer mu.Unlock()
	value, found := values[key]
	return value, found, nil
}

func (c *client) Write(_ context.Context, key string, value int64) error {
	mu.Lock()
	defer mu.Unlock()
	if !c.forgets {
		values[key] = value
	}
	return nil
}

func (*client) CompareAndSet(_ context.Context, key string, old, new int64) (bool, error) {
	mu.Lock()
	defer mu.Unlock()
	if values[key] != old {
		return false, nil
	}
	values[key] = new
	return true, nil
}

func (*client) Close() error { return nil }

func trial(forgets bool) harness.Trial {
	return harness.Trial{
		Target: harness.Target{
			Name: "inner", World: process.World(),
			Program: func(cluster.Place) cluster.Program { return cluster.Program{Path: os.Getenv("INNER_SERVER")} },
			Open: func(context.Context, cluster.Cluster, cluster.Node) (harness.Client, error) {
				return &client{forgets: forgets}, nil
			},
		},
		Workload: workloads.Register{}, Nodes: 2, Rate: 1000,
		Quiet: 200 * time.Millisecond, Duration: 200 * time.Millisecond, Recovery: 100 * time.Millisecond,
	}
}

func TestPasses(t *testing.T) { harness.Check(t, trial(false)) }

func TestFails(t *testing.T) { harness.Check(t, trial(true)) }

func TestNeverServes(t *testing.T) {
	never := trial(false)
	never.Target.Ready = func(context.Context, cluster.Cluster) error { return errors.New("not yet") }
	harness.Check(t, never)
}

func TestWithoutTrial(*testing.T) {}

func TestLong(t *testing.T) {
	long := trial(false)
	long.Duration = time.Minute
	harness.Check(t, long)
}
