// Package targets lists the built-in systems, one folder a system.
package targets

import (
	"errors"
	"fmt"
	"os"
	"strings"

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

// A System is a built-in target, before its options are chosen.
type System struct {
	Name string
	// About is one line, Options what may follow the name and a colon.
	About   string
	Options []string
	// Needs is what Rashomon does not bring along; empty if nothing.
	Needs string
	// ComparedIn names the worlds in which a comparison of no systems in
	// particular tries this one.
	ComparedIn []string

	target func(options string) (harness.Target, error)
	node   func(args []string) error // nil if its nodes are other programs
}

// All are the built-in systems, in the order of lists and comparisons.
var All = []System{
	{
		Name: "raft", About: "key-value store on hashicorp/raft, with log and snapshots on disk",
		ComparedIn: []string{"process", "docker"},
		Options:    raft.Choices,
		target: func(text string) (harness.Target, error) {
			options, err := raft.ParseOptions(text)
			return raft.Target(options), err
		},
		node: raft.Node,
	},
	{
		Name: "async", About: "primary, asynchronous replicas, failover by monitors, as Redis with Sentinel",
		ComparedIn: []string{"process"},
		target:     withoutOptions(async.Target), node: async.Node,
	},
	{
		Name: "lww", About: "leaderless, every node accepts, last writer wins, anti-entropy",
		ComparedIn: []string{"process"},
		target:     withoutOptions(lww.Target), node: lww.Node,
	},
	{
		Name: "redis", About: "Redis 7 with a Sentinel on each node",
		Options: redis.Choices, Needs: "the image redis:7 (rashomon images), or redis-server and redis-cli in PATH",
		ComparedIn: []string{"docker"},
		target: func(text string) (harness.Target, error) {
			options, err := redis.ParseOptions(text)
			return redis.Target(options), err
		},
	},
	{
		Name: "raft-redis", About: "Redis' protocol over hashicorp/raft and an LSM tree",
		Options: raftredis.Choices,
		target: func(text string) (harness.Target, error) {
			options, err := raftredis.ParseOptions(text)
			return raftredis.Target(options), err
		},
		node: raftredis.Node,
	},
	{
		Name: "etcd", About: "key-value store on Raft, by its official client",
		Options: etcd.Choices, Needs: "the image quay.io/coreos/etcd:v3.5.21 (rashomon images), or etcd in PATH",
		ComparedIn: []string{"docker"},
		target: func(text string) (harness.Target, error) {
			options, err := etcd.ParseOptions(text)
			return etcd.Target(options), err
		},
	},
	{
		Name: "zookeeper", About: "Apache ZooKeeper",
		Options: zookeeper.Choices, Needs: "the image zookeeper:3.8 (rashomon images), or a Java runtime and Debian's libzookeeper-java",
		ComparedIn: []string{"docker"},
		target: func(text string) (harness.Target, error) {
			options, err := zookeeper.ParseOptions(text)
			return zookeeper.Target(options), err
		},
	},
}

func withoutOptions(target func() harness.Target) func(string) (harness.Target, error) {
	return func(options string) (harness.Target, error) {
		if options != "" {
			return harness.Target{}, fmt.Errorf("it has no options, and %q is one", options)
		}
		return target(), nil
	}
}

// Parse returns the target that NAME or NAME:OPTIONS means, such as
// "raft:reads=local", in the process world.
func Parse(text string) (harness.Target, error) {
	name, options, _ := strings.Cut(text, ":")
	system, err := byName(name)
	if err != nil {
		return harness.Target{}, err
	}
	target, err := system.target(options)
	if err != nil {
		return harness.Target{}, fmt.Errorf("target %s: %w", name, err)
	}
	target.World = process.World()
	return target, nil
}

func byName(name string) (System, error) {
	var names []string
	for _, system := range All {
		if system.Name == name {
			return system, nil
		}
		names = append(names, system.Name)
	}
	return System{}, fmt.Errorf("no target %q (there are: %s)", name, strings.Join(names, ", "))
}

// Main runs a built-in node, or what a world needs beside it, and exits, if the
// command line asks for that: worlds start this very binary again. Call it first
// thing in main, and in TestMain of tests that try built-in targets.
func Main() {
	docker.Main()
	if len(os.Args) < 3 || os.Args[1] != "node" {
		return
	}
	system, err := byName(os.Args[2])
	switch {
	case err != nil:
	case system.node == nil:
		err = errors.New("its nodes are not of this program")
	default:
		err = system.node(os.Args[3:])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "node %s: %v\n", os.Args[2], err)
		os.Exit(1)
	}
	os.Exit(0)
}
