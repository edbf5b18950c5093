package targets_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/targets"
	"github.com/rashomon-io/rashomon/workloads"
)

// A moat is a nemesis that cuts clients off from n1, all the time.
type moat struct{}

func (moat) Name() string           { return "moat" }
func (moat) Needs() []cluster.Fault { return []cluster.Fault{cluster.ClientFault} }
func (moat) Possible(context.Context, cluster.World, []cluster.Node) error {
	return nil
}

func (moat) Play(ctx context.Context, stage harness.Stage) error {
	links := []cluster.Link{{From: cluster.Clients, To: "n1"}, {From: "n1", To: cluster.Clients}}
	if err := stage.Cluster.SetLinks(ctx, links, cluster.Condition{Cut: cluster.Silent}); err != nil {
		return err
	}
	event := history.Event{Type: history.Inject, Fault: 1, Family: "partition", Shape: "moat", Nodes: []string{"n1"}}
	for _, link := range links {
		event.Links = append(event.Links, link.String())
	}
	stage.Record(event)
	<-ctx.Done()
	event.Type = history.Heal
	stage.Record(event)
	return stage.Cluster.SetLinks(context.WithoutCancel(ctx), links, cluster.Condition{})
}

// Clients that are cut off from a node get no answer through it, and only they; the
// nodes go on, and it serves again once the cut is healed.
func TestClientsCutOff(t *testing.T) {
	target, err := targets.Parse("lww")
	if err != nil {
		t.Fatal(err)
	}
	run, result, err := harness.Run(t.Context(), harness.Trial{
		Target: target, World: process.World(), Workload: workloads.Register{}, Nemesis: moat{}, Nodes: 3, Seed: 1,
		Quiet: time.Second, Duration: 3 * time.Second, Recovery: time.Second, Dir: filepath.Join(t.ArtifactDir(), "run"), Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	var cut, healed time.Duration
	for _, e := range run.Events {
		switch e.Type {
		case history.Inject:
			cut = e.Time
		case history.Heal:
			healed = e.Time
		case history.Unserved, history.Trouble, history.Skip:
			t.Errorf("%+v", e)
		}
	}
	answered, asked := map[string]int{}, map[string]int{}
	for _, operation := range run.History.Operations {
		if operation.Invoke > cut && operation.Invoke < healed-run.Manifest.Timeout {
			asked[operation.Node]++
			if operation.Answered() {
				answered[operation.Node]++
			}
		}
	}
	if asked["n1"] == 0 || answered["n1"] > 0 {
		t.Errorf("of %d operations through n1, %d were answered", asked["n1"], answered["n1"])
	}
	for _, node := range []string{"n2", "n3"} {
		if answered[node] < asked[node]*9/10 {
			t.Errorf("of %d operations through %s, %d were answered", asked[node], node, answered[node])
		}
	}
	if parted := result.Statistics.Minority.Operations; parted > 0 {
		t.Errorf("%d operations are told to be of a minority", parted)
	}
}
