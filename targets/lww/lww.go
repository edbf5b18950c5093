// Package lww is a built-in target: leaderless, every node answers reads and
// writes from its own table at once, and the last writer wins.
//
// # Design
//
// A write is stamped with its node's wall clock and name, put into that node's
// table, acknowledged, and then broadcast to all others (spread.go). A table keeps
// of every key the entry with the newest stamp, so tables that have seen the same
// entries are equal, in whatever order and however often they came (table.go).
// What a broadcast failed to bring, because a link was cut or a node down,
// anti-entropy does: now and then each node compares digests with a random other,
// and both take what they lack. Cassandra at consistency level ONE works so.
//
// A compare-and-set compares with the node's own table, and is then a write as any
// other. The set only grows; an element is an entry that is the same for whoever
// adds it, so merging tables is the union of their sets (the G-Set of Shapiro et
// al., "A comprehensive study of convergent and commutative replicated data
// types", INRIA RR-7506, 2011).
//
// # Weakness
//
// Every node serves as long as it runs, whatever the network does, and nobody is
// asked before an answer. So reads are stale by the delay of the broadcast, or by
// the length of a partition; two nodes swap from one value; of two concurrent
// writes one disappears though both were acknowledged, and between nodes whose
// clocks differ it may be the later one. No value is made up, so phantom reads
// are not among its anomalies; nor does the set lose elements.
//
// # Durability
//
// An entry reaches the append-only file before it is acknowledged, and the disk
// within 100 ms. A killed node loses nothing.
package lww

import (
	"context"
	"errors"
	"fmt"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/targets/internal/line"
	"github.com/rashomon-io/rashomon/targets/internal/node"
)

const name = "lww"

// Target returns the system. It brings no world, and has no leader.
func Target() harness.Target {
	return harness.Target{
		Name: name,
		Claim: history.Claim{CAP: "AP", Expect: []string{
			string(anomaly.StaleRead), string(anomaly.LostCommit), string(anomaly.DoubleSwap),
			string(anomaly.Resurrected), string(anomaly.Disorder),
			string(anomaly.WrongCount), string(anomaly.DuplicateID),
		}, Guarantees: []string{
			// A client stays with its node, whose entries are on disk, and are replaced by
			// newer ones alone.
			history.MonotonicReads, history.ReadYourWrites, history.Converges + " within 2s",
		}},
		Program: func(place cluster.Place) cluster.Program {
			return cluster.Program{Args: node.Args(name, place)}
		},
		Ready: ready,
		Open:  line.Open,
	}
}

// Node runs one node, with the flags that Target's Program gives it, until
// standard input ends.
func Node(args []string) error {
	place, err := node.Parse(name, args)
	if err != nil {
		return err
	}
	ctx, listener, err := node.Listen(place)
	if err != nil {
		return err
	}
	s, err := open(place)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return s.run(ctx, listener)
}

// ready returns nil once every node answers.
func ready(ctx context.Context, c cluster.Cluster) error {
	for _, node := range c.Nodes() {
		if err := ping(ctx, c.Address(node)); err != nil {
			return fmt.Errorf("%s: %w", node, err)
		}
	}
	return nil
}

func ping(ctx context.Context, address string) error {
	conn, err := line.Dial(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Call(ctx, "ping")
	return err
}
