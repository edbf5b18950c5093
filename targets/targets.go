// Package targets lists the built-in systems, one folder a system.
package targets

import (
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/targets/async"
	"github.com/rashomon-io/rashomon/targets/etcd"
	"github.com/rashomon-io/rashomon/targets/lww"
	"github.com/rashomon-io/rashomon/targets/raft"
	"github.com/rashomon-io/rashomon/targets/raftredis"
	"github.com/rashomon-io/rashomon/targets/redis"
	"github.com/rashomon-io/rashomon/targets/zookeeper"
)

// All are the built-in systems, in the order of lists and comparisons.
var All = []harness.System{
	{
		Name: "raft", About: "key-value store on hashicorp/raft, with log and snapshots on disk",
		ComparedIn: []string{"process", "docker"},
		Options:    raft.Choices,
		Target:     parsed(raft.ParseOptions, raft.Target),
		Node:       raft.Node,
	},
	{
		Name: "async", About: "primary, asynchronous replicas, failover by monitors, as Redis with Sentinel",
		ComparedIn: []string{"process"},
		Target:     without(async.Target), Node: async.Node,
	},
	{
		Name: "lww", About: "leaderless, every node accepts, last writer wins, anti-entropy",
		ComparedIn: []string{"process"},
		Target:     without(lww.Target), Node: lww.Node,
	},
	{
		Name: "redis", About: "Redis 7 with a Sentinel on each node",
		Options: redis.Choices, Needs: "the image redis:7 (rashomon images), or redis-server and redis-cli in PATH",
		ComparedIn: []string{"docker"},
		Target:     parsed(redis.ParseOptions, redis.Target),
	},
	{
		Name: "raft-redis", About: "Redis' protocol over hashicorp/raft and an LSM tree",
		Options: raftredis.Choices,
		Target:  parsed(raftredis.ParseOptions, raftredis.Target),
		Node:    raftredis.Node,
	},
	{
		Name: "etcd", About: "key-value store on Raft, by its official client",
		Options: etcd.Choices, Needs: "the image quay.io/coreos/etcd:v3.5.21 (rashomon images), or etcd in PATH",
		ComparedIn: []string{"docker"},
		Target:     parsed(etcd.ParseOptions, etcd.Target),
	},
	{
		Name: "zookeeper", About: "Apache ZooKeeper",
		Options: zookeeper.Choices, Needs: "the image zookeeper:3.8 (rashomon images), or a Java runtime and Debian's libzookeeper-java",
		ComparedIn: []string{"docker"},
		Target:     parsed(zookeeper.ParseOptions, zookeeper.Target),
	},
}

// parsed has a target made of the options that a text says.
func parsed[O any](parse func(string) (O, error), target func(O) harness.Target) func(string) (harness.Target, error) {
	return func(text string) (harness.Target, error) {
		options, err := parse(text)
		return target(options), err
	}
}

func without(target func() harness.Target) func(string) (harness.Target, error) {
	return func(string) (harness.Target, error) { return target(), nil }
}

// Parse returns the built-in target that NAME or NAME:OPTIONS means, such as
// "raft:reads=local", in the process world.
func Parse(text string) (harness.Target, error) {
	target, err := harness.ParseTarget(All, text)
	target.World = process.World()
	return target, err
}

// Main runs a built-in node, or what a world needs beside it, and exits, if the
// command line asks for that: worlds start this very binary again. Call it first
// thing in TestMain of tests that try built-in targets.
func Main() {
	docker.Main()
	harness.NodeMain(All)
}
