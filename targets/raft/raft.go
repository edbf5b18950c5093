// Package raft is the built-in target raft: a key-value store and a set on
// hashicorp/raft, with a log on disk, snapshots and log compaction.
//
// # How a node is built
//
//	connection ─ first byte ─┬─ < ' ' ─▶ listener ─▶ transport ─▶ hashicorp/raft ─▶ store
//	                         └─ letter ▶ server (one line, one answer) ─▶ propose or read
//
// One grammar serves four purposes (protocol.go): the line that a client sends
// is the command in the log, the log's commands applied in order are the state,
// and a snapshot is the shortest list of commands that makes the same state.
//
// A follower redirects to the leader. A write is acknowledged when it is
// committed and applied. How a leader may answer a read without writing to the
// log, and why that is linearizable, is argued in read.go; what transport.go
// changes about hashicorp/raft is part of that argument.
//
// # Times
//
// They suit trials of seconds: a cluster of five has its first leader within
// about a second, and a new one about as long after it lost the old.
package raft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
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
	// Local reads are of the leader's own state, whether it still leads or not.
	Local Reads = "local"
	// Any lets each node answer from its own state.
	Any Reads = "any"
)

// ParseOptions reads "key=value,key=value", such as "reads=local"; empty means
// the defaults.
func ParseOptions(text string) (Options, error) {
	var options Options
	if text == "" {
		return options, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "reads":
			options.Reads = Reads(value)
			if !slices.Contains([]Reads{Linearizable, Local, Any}, options.Reads) {
				return Options{}, fmt.Errorf("raft: reads=%q is not possible (want reads=linearizable, reads=local or reads=any)", value)
			}
		case "bug":
			options.Bug = Bug(value)
			if !slices.Contains(Bugs, options.Bug) {
				return Options{}, fmt.Errorf("raft: no bug %q is planted (want one of %q)", value, Bugs)
			}
		default:
			return Options{}, fmt.Errorf("raft: unknown option %q (want reads=linearizable, reads=local or reads=any)", part)
		}
	}
	return options, nil
}

// String is what ParseOptions reads, without the defaults.
func (o Options) String() string {
	var parts []string
	if o.Reads != "" && o.Reads != Linearizable {
		parts = append(parts, "reads="+string(o.Reads))
	}
	if o.Bug != "" {
		parts = append(parts, "bug="+string(o.Bug))
	}
	return strings.Join(parts, ",")
}

// Target returns the target. Its World is nil.
func Target(options Options) harness.Target {
	claim := history.Claim{CAP: "CP"}
	if options.Reads == Local || options.Reads == Any {
		// Writes and compare-and-sets go through the log whatever reads do, and
		// each state that a node can have is a committed prefix of that log. So
		// a read can be old, and nothing else: what it returns has been
		// committed, and nothing committed goes away.
		claim.Expect = []string{string(checker.StaleRead)}
	}
	return harness.Target{
		Name:    "raft",
		Options: options.String(),
		Claim:   claim,
		Program: func(place cluster.Place) cluster.Program {
			return cluster.Program{Args: nodeArguments(place, options)}
		},
		Ready: ready,
		Open: func(_ context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
			return newClient(c, node), nil
		},
		Leader: leader,
	}
}

func nodeArguments(place cluster.Place, options Options) []string {
	var peers []string
	for _, node := range slices.Sorted(maps.Keys(place.Peers)) {
		peers = append(peers, node+"="+place.Peers[node])
	}
	return []string{
		"node", "raft",
		"--id=" + place.Node,
		"--listen=" + place.Listen,
		"--data=" + place.Data,
		"--peers=" + strings.Join(peers, ","),
		"--reads=" + string(cmp.Or(options.Reads, Linearizable)),
		"--bug=" + string(options.Bug),
	}
}

// ready is Target.Ready: all nodes name the same leader, and it can commit.
func ready(ctx context.Context, c cluster.Cluster) error {
	var leader cluster.Node
	for _, node := range c.Nodes() {
		named, _, err := askLeader(ctx, c, node)
		if err != nil {
			return fmt.Errorf("ask %s for the leader: %w", node, err)
		}
		if leader != "" && named != leader {
			return fmt.Errorf("%s names %s as the leader, others %s", node, named, leader)
		}
		leader = named
	}
	client := newClient(c, leader)
	defer client.Close()
	if _, err := client.call(ctx, request{verb: "barrier"}, "ok"); err != nil {
		return fmt.Errorf("leader %s: %w", leader, err)
	}
	return nil
}

// leader is Target.Leader. A leader that is cut off may believe in itself for
// another while, so the highest term decides.
func leader(ctx context.Context, c cluster.Cluster) (cluster.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()

	type claim struct {
		node cluster.Node
		term uint64
	}
	nodes := c.Nodes()
	claims := make(chan claim)
	for _, node := range nodes {
		go func() {
			named, term, err := askLeader(ctx, c, node)
			if err != nil || named != node {
				term = 0
			}
			claims <- claim{node, term}
		}()
	}
	var best claim
	for range nodes {
		if claim := <-claims; claim.term > best.term {
			best = claim
		}
	}
	if best.term == 0 {
		return "", errors.New("no node says that it leads")
	}
	return best.node, nil
}

// askLeader returns whom node believes to be the leader, in which term.
func askLeader(ctx context.Context, c cluster.Cluster, node cluster.Node) (cluster.Node, uint64, error) {
	client := newClient(c, node)
	defer client.Close()
	answer, err := client.call(ctx, request{verb: "leader"}, "leader")
	if err != nil {
		return "", 0, err
	}
	named, number, _ := strings.Cut(answer.rest, " ")
	term, err := strconv.ParseUint(number, 10, 64)
	if err != nil || !slices.Contains(c.Nodes(), named) {
		return "", 0, fmt.Errorf("%s answers %q, which names no leader and term", node, answer.rest)
	}
	return named, term, nil
}
