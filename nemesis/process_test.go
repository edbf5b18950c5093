//go:build linux || darwin

package nemesis_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
)

// Real processes are killed, paused and cut off, and all come back.
func TestProcesses(t *testing.T) {
	const nodes = 3
	logs := t.TempDir()
	world := process.World()
	processes, err := world.Build(t.Context(), cluster.Spec{
		Nodes: cluster.Names(nodes), Logs: logs,
		Program: func(cluster.Place) cluster.Program { return cluster.Program{Path: "sleep", Args: []string{"60"}} },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer processes.Close()
	for _, node := range processes.Nodes() {
		if err := processes.Start(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	states := map[string]cluster.State{"kill": cluster.Down, "pause": cluster.Paused, "partition": cluster.Running}
	seen := map[string]int{}
	kills := map[string]int{}
	var recording sync.Mutex
	stage := harness.Stage{
		Cluster: processes, World: world, Duration: 900 * time.Millisecond, Rand: rand.New(rand.NewPCG(1, 1)),
		Leader: func(context.Context) (cluster.Node, error) { return "n2", nil },
		Record: func(e history.Event) {
			recording.Lock()
			defer recording.Unlock()
			switch e.Type {
			case history.Inject:
				seen[e.Family]++
				for _, node := range e.Nodes {
					if state := processes.State(node); state != states[e.Family] {
						t.Errorf("during %s %s, %s is %s", e.Family, e.Shape, node, state)
					}
					if e.Family == "kill" {
						kills[node]++
					}
				}
			case history.Trouble, history.Skip:
				t.Errorf("%+v", e)
			}
		},
	}
	faults := nemesis.Combine(nemesis.Partitions("leader"), nemesis.Kills("all", "leader"), nemesis.Pauses("leader"))
	faults.Interval = 150 * time.Millisecond
	if err := faults.Play(t.Context(), stage); err != nil {
		t.Fatal(err)
	}
	for family := range states {
		if seen[family] != 2 {
			t.Errorf("%d of %s", seen[family], family)
		}
	}
	for _, node := range processes.Nodes() {
		if state := processes.State(node); state != cluster.Running {
			t.Errorf("%s is %s at the end", node, state)
		}
		text, err := os.ReadFile(filepath.Join(logs, node, "stderr.log"))
		if err != nil {
			t.Fatal(err)
		}
		if starts := strings.Count(string(text), " start "); starts != 1+kills[node] {
			t.Errorf("%s was started %d times and killed %d times:\n%s", node, starts, kills[node], text)
		}
	}
}
