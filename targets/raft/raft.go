// Package raft is the built-in target raft: a key-value store, a set, queues and
// locks on hashicorp/raft, with a log on disk, snapshots and log compaction.
//
// # How a node is built
//
//	connection ─ package consensus ─┬─▶ hashicorp/raft ─▶ store
//	                                └─▶ server: one line in, one line out
//
// One grammar, package line's, serves three purposes: what a client sends is
// the command in the log, the log's commands carried out in order are the
// state, and a snapshot is a list of commands that makes that state.
//
// A follower sends clients on to the leader. A write is acknowledged when it is
// committed and applied. How a leader may answer a read without writing to the
// log, and why that is linearizable, is argued in package consensus' read.go and,
// for leases, in lease.go; what its transport.go changes about hashicorp/raft is
// part of that argument.
//
// # Times
//
// They suit trials of seconds: see package consensus. A cluster of five has its first leader
// within about half a second, and a new one about as long after it lost the old.
package raft

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/targets/internal/consensus"
	"github.com/rashomon-io/rashomon/targets/internal/line"
	"github.com/rashomon-io/rashomon/targets/internal/node"
	"github.com/rashomon-io/rashomon/targets/options"
)

// Options are what a user can choose. The zero Options is a correct system.
type Options struct {
	Reads Reads
	// Bug plants a bug. It is for Rashomon's own tests, and for who wants to
	// see one caught.
	Bug Bug
}

// Reads is how reads are answered.
type Reads string

const (
	// Linearizable reads confirm with a majority that the leader still leads.
	Linearizable Reads = "linearizable"
	// Lease reads confirm it once for many reads, and trust the wall clock to
	// say for how long.
	Lease Reads = "lease"
	// Local reads are of the leader's own state, whether it still leads or not.
	Local Reads = "local"
	// Any lets each node answer from its own state.
	Any Reads = "any"
)

// Choices are examples of what ParseOptions reads, for lists.
var Choices = []string{"reads=local", "reads=any", "reads=lease", "reads=linearizable"}

// ParseOptions reads "key=value,key=value", such as "reads=local"; empty means
// the defaults.
func ParseOptions(text string) (Options, error) {
	return options.Parse(text, (*Options).list, Choices)
}

// String is what ParseOptions reads, without the defaults.
func (o Options) String() string { return o.list().String() }

func (o *Options) list() options.List {
	return options.List{
		options.Word("reads", &o.Reads, Linearizable, Linearizable, Lease, Local, Any),
		options.Word("bug", &o.Bug, "", Bugs...),
	}
}

// Target returns the target. Its World is nil.
func Target(options Options) harness.Target {
	claim := history.Claim{CAP: "CP"}
	if options.Reads == Local || options.Reads == Any {
		// Writes and compare-and-sets go through the log whatever reads do, and
		// each state that a node can have is a committed prefix of the log. So
		// what a read returns has been committed, nothing committed goes away,
		// and a read can be old but no worse.
		claim.Expect = []string{string(anomaly.StaleRead)}
		claim.Guarantees = []string{history.LinearizableWrites}
	}
	return harness.Target{
		Name:    "raft",
		Options: options.String(),
		Claim:   claim,
		Program: func(place cluster.Place) cluster.Program {
			return cluster.Program{Args: slices.Insert(node.Args("raft", place), 2, options.String())}
		},
		Ready:  ready,
		Open:   line.OpenCoordination,
		Leader: leader,
	}
}

// ready is Target.Ready: all nodes name the same leader, and it can commit.
func ready(ctx context.Context, c cluster.Cluster) error {
	leader, err := consensus.Agreed(ctx, c, askLeader)
	if err != nil {
		return err
	}
	if reply, err := ask(ctx, c, leader, "barrier"); err != nil || reply[0] != "ok" {
		return fmt.Errorf("leader %s commits nothing: %v %w", leader, reply, err)
	}
	return nil
}

// leader is Target.Leader.
func leader(ctx context.Context, c cluster.Cluster) (cluster.Node, error) {
	return consensus.Leader(ctx, c, askLeader)
}

// askLeader returns whom a node believes to be the leader, in which term.
func askLeader(ctx context.Context, c cluster.Cluster, name cluster.Node) (cluster.Node, int64, error) {
	reply, err := ask(ctx, c, name, "leader")
	if err != nil {
		return "", 0, err
	}
	if len(reply) != 3 || reply[0] != "leader" || !slices.Contains(c.Nodes(), reply[1]) {
		return "", 0, fmt.Errorf("reply %.100q names no leader", strings.Join(reply, " "))
	}
	term, err := strconv.ParseInt(reply[2], 10, 64)
	return reply[1], term, err
}

func ask(ctx context.Context, c cluster.Cluster, name cluster.Node, request string) ([]string, error) {
	conn, err := line.Dial(ctx, c.Address(name))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.Call(ctx, request)
}
