// Package raftredis is the built-in target raft-redis: a store that speaks Redis'
// protocol, on hashicorp/raft, with its state in an LSM tree.
//
// The very client that tries Redis (targets/redis) tries this store, with the
// same workloads, so the two differ in nothing but how they replicate.
//
// # How a node is built
//
//	connection ─ package consensus ─┬─▶ hashicorp/raft ─▶ machine ─▶ pebble
//	                                └─▶ server: a request in, a reply out
//
// One grammar serves two purposes: the request that a client sends is, with the
// leader's time before it, the entry in the log, and what an entry does is the
// reply (command.go). The state lives in pebble (state.go), whose keys and values
// are the snapshot, too (machine.go).
//
// A follower answers as a Redis replica does, which sends the client on: it names
// its primary, which is the leader, and whether it hears from it. Writes go through
// the log. Reads are confirmed by a majority that is asked after they arrived, as
// package consensus' read.go argues, and do not go through the log.
//
// # Keys that expire
//
// Replicas agree on when a key expires because they do not look at their clocks:
// each entry carries the time of the leader that proposed it, and that decides
// which keys have expired when the entry is applied. A read of a key that may
// expire goes through the log for the same reason. Such keys exist as long as
// leaders' clocks say, so a lease may be shorter or longer than it was to be where
// these are wrong; but at any place in the log all replicas agree on who has it.
package raftredis

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/targets/internal/consensus"
	"github.com/rashomon-io/rashomon/targets/internal/node"
	"github.com/rashomon-io/rashomon/targets/options"
	"github.com/rashomon-io/rashomon/targets/redis"
)

const name = "raft-redis"

// Options are what a user can choose. The zero Options are linearizable.
type Options struct {
	// LocalReads are of the leader's own state, whether it still leads or not.
	LocalReads bool
}

// Choices are what ParseOptions reads.
var Choices = []string{"reads=linearizable", "reads=local"}

// ParseOptions reads one of Choices; empty means the defaults.
func ParseOptions(text string) (Options, error) {
	return options.Parse(text, (*Options).list, Choices)
}

// String is what ParseOptions reads, without the defaults.
func (o Options) String() string { return o.list().String() }

func (o *Options) list() options.List {
	return options.List{
		options.Switch("reads", &o.LocalReads, "linearizable", "local"),
	}
}

// Target returns the target. Its World is nil.
func Target(options Options) harness.Target {
	// A lock on a lease may always have two holders, whatever else holds.
	expect := []string{string(anomaly.HeldTwice)}
	if options.LocalReads {
		// Each state that a node can have is a committed prefix of the log, so a
		// read can be old but no worse.
		expect = append(expect, string(anomaly.StaleRead))
	}
	return harness.Target{
		Name:    name,
		Options: options.String(),
		Claim:   history.Claim{CAP: "CP", Expect: expect},
		Program: func(place cluster.Place) cluster.Program {
			return cluster.Program{Args: slices.Insert(node.Args(name, place), 2, options.String())}
		},
		Ready: ready,
		Open: func(ctx context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
			return servers(c).Open(ctx, c, node)
		},
		Leader: leader,
	}
}

// servers know each other by name. A follower that has not heard from its leader
// for consensus.HeartbeatTimeout no longer names one, so no silence is too long.
func servers(c cluster.Cluster) redis.Servers {
	return redis.Servers{
		Address: cluster.Cluster.Address,
		NodeAt: func(host, _ string) (cluster.Node, error) {
			if !slices.Contains(c.Nodes(), host) {
				return "", fmt.Errorf("%.100q is no node", host)
			}
			return host, nil
		},
		Silence: 1,
	}
}

// ready is Target.Ready: all nodes name the same leader, and it can commit.
func ready(ctx context.Context, c cluster.Cluster) error {
	leader, err := consensus.Agreed(ctx, c, askLeader)
	if err != nil {
		return err
	}
	server := redis.Connect(c.Address(leader))
	defer server.Close()
	if err := server.IncrBy(ctx, "ready", 0).Err(); err != nil {
		return fmt.Errorf("leader %s commits nothing: %w", leader, err)
	}
	return nil
}

// leader is Target.Leader.
func leader(ctx context.Context, c cluster.Cluster) (cluster.Node, error) {
	return consensus.Leader(ctx, c, askLeader)
}

// askLeader is a consensus.Ask.
func askLeader(ctx context.Context, c cluster.Cluster, node cluster.Node) (cluster.Node, int64, error) {
	server := redis.Connect(c.Address(node))
	defer server.Close()
	info := server.InfoMap(ctx, "replication")
	if err := info.Err(); err != nil {
		return "", 0, err
	}
	leader := node
	if info.Item("Replication", "role") != "master" {
		leader = info.Item("Replication", "master_host")
	}
	if !slices.Contains(c.Nodes(), leader) {
		return "", 0, fmt.Errorf("%s names no leader", node)
	}
	term, err := strconv.ParseInt(info.Item("Replication", "term"), 10, 64)
	return leader, term, err
}
