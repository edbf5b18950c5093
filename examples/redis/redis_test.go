// Package redis_test is a whole trial of a system that is not built in, as small
// as it can be: one Redis server, as it comes, which is killed.
package redis_test

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/reports"
	"github.com/rashomon-io/rashomon/workloads"
)

// The server keeps its data in memory, so a kill loses what it had acknowledged.
// The claim admits that; without it, the test fails.
func TestKilledRedisLosesCommits(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip(err)
	}
	logging.Disable() // the client's, of refused connections
	result := harness.Check(t, harness.Trial{
		Target: harness.Target{
			Name:  "redis",
			Claim: history.Claim{CAP: "CP", Expect: []string{"lost commit", "stale read"}},
			World: process.World(),
			Program: func(p cluster.Place) cluster.Program {
				host, port, _ := net.SplitHostPort(p.Listen)
				return cluster.Program{Path: "redis-server", Args: []string{"--bind", host, "--port", port, "--dir", p.Data}}
			},
			Ready: func(ctx context.Context, c cluster.Cluster) error {
				client := dial(c, c.Nodes()[0])
				defer client.Close()
				return client.Ping(ctx).Err()
			},
			Open: func(_ context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
				return dial(c, node), nil
			},
		},
		Workload: workloads.Set{},
		Nemesis:  nemesis.Kills(),
		Nodes:    1,
		Duration: 4 * time.Second,
		Report:   reports.Write,
	})
	if result.LostCommits.Certain == 0 {
		t.Error("no lost commit was found")
	}
}

// A client is a workloads.SetClient. It neither retries nor outlasts its context.
type client struct{ *redis.Client }

func dial(c cluster.Cluster, node cluster.Node) client {
	return client{redis.NewClient(&redis.Options{
		Addr: c.Address(node), MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
	})}
}

func (c client) Add(ctx context.Context, element int64) error {
	return outcome(c.SAdd(ctx, "set", element).Err())
}

func (c client) Elements(ctx context.Context) ([]int64, error) {
	members, err := c.SMembers(ctx, "set").Result()
	if err != nil {
		return nil, outcome(err)
	}
	elements := make([]int64, len(members))
	for i, member := range members {
		if elements[i], err = strconv.ParseInt(member, 10, 64); err != nil {
			return nil, err
		}
	}
	return elements, nil
}

// outcome marks what certainly did not happen: no server was there.
func outcome(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return harness.Definite(err)
	}
	return err
}
