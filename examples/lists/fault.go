package main

import (
	"context"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
)

// compaction has the primary compact its log. There is nothing to heal.
var compaction = nemesis.Family{
	Family: history.Family{Name: "compaction", Did: "compacted its log"},
	Doc:    "the primary compacts its log",
	Shapes: []nemesis.Shape{{
		Name: "primary", Doc: "the primary",
		Choose: func([]cluster.Node) nemesis.Victims { return nemesis.Victims{Nodes: []cluster.Node{primary}} },
	}},
	Inject: func(ctx context.Context, hit nemesis.Hit) (string, error) {
		_, err := once(ctx, hit.Cluster.Address(primary), message{Do: "compact"})
		return "", err
	},
}
