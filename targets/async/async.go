// Package async is a built-in target: a primary with asynchronous replicas and
// automatic failover by monitors, as Redis with Sentinel does it.
//
// # Design
//
// The primary carries out a write, appends it to its file, and acknowledges it.
// Replicas hear of it later, over a stream of commands (replicate.go). In every
// node, beside the store, lives a monitor (monitor.go). Monitors ping all nodes.
// When a majority has not heard from the primary for downAfter, one of them is
// elected by majority for a new epoch, and promotes the replica that has the
// longest history. News of a higher epoch reaches every node with the pings, and
// makes a former primary a replica: it drops what its successor never heard of
// and takes a full copy (lineage.go).
//
// All nodes but the primary send clients, readers too, to whom they believe is
// the primary.
//
// # Weakness
//
// The election is sound: an epoch has one primary. But the primary asks nobody
// before it answers. One that is cut off or paused goes on answering until it is
// told, and what it acknowledged meanwhile, or had not yet streamed, is lost.
// Until then there are two primaries, with stale reads, and compare-and-sets that
// succeed on both; elements of queues that both give away, and locks that both
// grant. No value is made up, so phantom reads are not among its
// anomalies.
//
// # Durability
//
// A write reaches the append-only file before it is acknowledged, and the disk
// within 100 ms: "appendfsync everysec", somewhat faster. A killed node loses
// nothing. Epochs and votes are synced before they are announced.
package async

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/targets/internal/line"
	"github.com/rashomon-io/rashomon/targets/internal/node"
)

const name = "async"

// Target returns the system. It brings no world.
func Target() harness.Target {
	return harness.Target{
		Name: name,
		Claim: history.Claim{CAP: "AP", Expect: []string{
			string(anomaly.StaleRead), string(anomaly.LostCommit), string(anomaly.DoubleSwap),
			string(anomaly.Resurrected), string(anomaly.Disorder),
			string(anomaly.OutOfOrder), string(anomaly.DequeuedTwice), string(anomaly.HeldTwice),
			string(anomaly.DuplicateID),
		}},
		Program: func(place cluster.Place) cluster.Program {
			return cluster.Program{Args: node.Args(name, place)}
		},
		Ready:  ready,
		Open:   line.OpenCoordination,
		Leader: leader,
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

// ready returns nil once every node follows the same primary, in its history too.
func ready(ctx context.Context, c cluster.Cluster) error {
	statuses, err := ask(ctx, c)
	if err != nil {
		return err
	}
	first := statuses[c.Nodes()[0]]
	for node, s := range statuses {
		switch {
		case s.primary == "":
			return fmt.Errorf("%s has no primary yet", node)
		case s.primary != first.primary || s.epoch != first.epoch:
			return fmt.Errorf("%s follows %s, and %s follows %s", c.Nodes()[0], first.primary, node, s.primary)
		case s.branch != s.epoch:
			return fmt.Errorf("%s has not yet caught up with %s", node, s.primary)
		}
	}
	return nil
}

// leader returns the node that believes in itself, with the highest epoch.
func leader(ctx context.Context, c cluster.Cluster) (cluster.Node, error) {
	statuses, err := ask(ctx, c)
	var primaries []cluster.Node
	for node, s := range statuses {
		if s.primary == node {
			primaries = append(primaries, node)
		}
	}
	if len(primaries) == 0 {
		return "", fmt.Errorf("none of the %d nodes that answered is the primary (%v)", len(statuses), err)
	}
	return slices.MaxFunc(primaries, func(a, b cluster.Node) int {
		return cmp.Compare(statuses[a].epoch, statuses[b].epoch)
	}), nil
}

// ask returns the statuses of the nodes that answer, and why the others do not.
func ask(ctx context.Context, c cluster.Cluster) (map[cluster.Node]status, error) {
	var (
		mu       sync.Mutex
		statuses = map[cluster.Node]status{}
		failures []string
		asking   sync.WaitGroup
	)
	for _, node := range c.Nodes() {
		asking.Go(func() {
			s, err := askOne(ctx, c.Address(node))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, node+": "+err.Error())
				return
			}
			statuses[node] = s
		})
	}
	asking.Wait()
	if len(failures) > 0 {
		return statuses, errors.New(strings.Join(failures, "; "))
	}
	return statuses, nil
}

func askOne(ctx context.Context, address string) (status, error) {
	conn, err := line.Dial(ctx, address)
	if err != nil {
		return status{}, err
	}
	defer conn.Close()
	reply, err := conn.Call(ctx, "ping", "0", "-")
	if err != nil {
		return status{}, err
	}
	return parseStatus(reply)
}
