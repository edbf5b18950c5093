package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// Ask returns whom a node believes to be the leader, and in which term.
type Ask func(context.Context, cluster.Cluster, cluster.Node) (leader cluster.Node, term int64, err error)

// Agreed returns the leader that all nodes name.
func Agreed(ctx context.Context, c cluster.Cluster, ask Ask) (leader cluster.Node, err error) {
	for _, node := range c.Nodes() {
		named, _, err := ask(ctx, c, node)
		switch {
		case err != nil:
			return "", fmt.Errorf("ask %s who leads: %w", node, err)
		case leader != "" && named != leader:
			return "", fmt.Errorf("%s names %s as the leader, others %s", node, named, leader)
		}
		leader = named
	}
	return leader, nil
}

// Leader returns the node that says that it leads, within some 200 ms. A leader
// that is cut off may believe in itself for another while, so the highest term
// decides.
func Leader(ctx context.Context, c cluster.Cluster, ask Ask) (cluster.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()

	type claim struct {
		node cluster.Node
		term int64
	}
	nodes := c.Nodes()
	claims := make(chan claim)
	for _, node := range nodes {
		go func() {
			named, term, err := ask(ctx, c, node)
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
