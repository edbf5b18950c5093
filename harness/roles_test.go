package harness_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/workloads"
)

// A diary is a cluster that tells in which order its nodes were started, and what else
// was noted.
type diary struct {
	memoryCluster
	mu      sync.Mutex
	entries []string
}

func (d *diary) note(entry string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, entry)
}

func (d *diary) Start(_ context.Context, node cluster.Node) error {
	d.note(node)
	return nil
}

type diaryWorld struct {
	memoryWorld
	*diary
}

func (w diaryWorld) Build(_ context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	w.spec = spec
	return w.diary, nil
}

func exactly(n int) func(int) int { return func(int) int { return n } }

// Roles decide which nodes are started before which, and who has clients.
func TestRoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		asked := 0
		recorded, _ := run(t, &store{}, func(trial *harness.Trial) {
			trial.Nodes, trial.Concurrency, trial.World = 6, 0, diaryWorld{diary: d}
			trial.Target.Roles = []harness.Role{
				{Name: "controller", Count: exactly(2), Ready: func(_ context.Context, c cluster.Cluster) error {
					if asked++; asked < 3 {
						return errors.New("no quorum yet")
					}
					d.note("controllers are ready: " + c.Role("n1") + " " + c.Role("n6"))
					return nil
				}},
				{Name: "store", Serves: true},
				{Name: "router", Count: func(nodes int) int { return nodes / 5 }, Serves: true},
			}
			trial.Target.Ready = func(context.Context, cluster.Cluster) error { d.note("all are ready"); return nil }
		})
		slices.Sort(d.entries[:2])
		slices.Sort(d.entries[3:6])
		if got, want := strings.Join(d.entries, ", "), "n1, n2, controllers are ready: controller router, n3, n4, n5, n6, all are ready"; got != want {
			t.Errorf("it went %s, want %s", got, want)
		}
		if got := recorded.Manifest.Roles; len(got) != 6 || got["n2"] != "controller" || got["n3"] != "store" {
			t.Errorf("the manifest has %v", got)
		}
		if recorded.Manifest.Concurrency != 16 {
			t.Errorf("%d clients, want 4 for each of 4 nodes", recorded.Manifest.Concurrency)
		}
		through := map[string]int{}
		for _, operation := range recorded.History.Operations {
			through[operation.Node]++
		}
		for _, node := range cluster.Names(6) {
			if serves := node > "n2"; (through[node] > 0) != serves {
				t.Errorf("%d operations went through %s", through[node], node)
			}
		}
	})
}

// Without a word of who serves, all nodes do.
func TestRolesThatAllServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorded, _ := run(t, &store{}, func(trial *harness.Trial) {
			trial.Target.Roles = []harness.Role{{Name: "first", Count: exactly(1)}, {Name: "other"}}
		})
		through := map[string]bool{}
		for _, operation := range recorded.History.Operations {
			through[operation.Node] = true
		}
		if len(through) != 3 {
			t.Errorf("operations went through %v only", through)
		}
	})
}

// A role whose nodes never become ready is why there is no trial; the next one's are not
// started.
func TestRoleThatIsNeverReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		target := (&store{}).target()
		target.Roles = []harness.Role{
			{Name: "controller", Count: exactly(1), Ready: func(context.Context, cluster.Cluster) error { return errors.New("no quorum") }},
			{Name: "store"},
		}
		began := time.Now()
		_, _, err := harness.Run(t.Context(), harness.Trial{Target: target, World: diaryWorld{diary: d}, Workload: workloads.Register{}, Dir: t.TempDir()})
		if want := "start memory: not ready 1m0s after its start; last: the role controller: no quorum"; err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if len(d.entries) != 1 || time.Since(began) > 2*time.Minute {
			t.Errorf("%v were started, in %v", d.entries, time.Since(began))
		}
	})
}

func TestRolesThatDoNotFit(t *testing.T) {
	for want, roles := range map[string][]harness.Role{
		"memory has 3 controller, 1 router, and the trial 5 nodes":  {{Name: "controller", Count: exactly(3)}, {Name: "router", Count: exactly(1)}},
		"memory has 6 controller, 0 store, and the trial 5 nodes":   {{Name: "controller", Count: exactly(6)}, {Name: "store"}},
		"a and b of memory both have no Count":                      {{Name: "a"}, {Name: "b"}},
		"-1 nodes of memory have the role a":                        {{Name: "a", Count: exactly(-1)}, {Name: "b"}},
		"of 5 nodes of memory, none has a role that serves clients": {{Name: "a"}, {Name: "b", Count: exactly(0), Serves: true}},
		`two roles of memory are named "a"`:                         {{Name: "a"}, {Name: "a", Count: exactly(1)}},
	} {
		target := (&store{}).target()
		target.Roles = roles
		_, _, err := harness.Run(t.Context(), harness.Trial{Target: target, Workload: workloads.Register{}, Dir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
