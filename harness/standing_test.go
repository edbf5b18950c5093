package harness_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/workloads"
)

// standing is a world whose cluster is there already.
type standing struct{ memoryWorld }

func (standing) Size() int         { return 3 }
func (standing) KeyPrefix() string { return "test/" }

// What a trial writes to a cluster that others use begins with the prefix, and what the
// trial before has written is not found.
func TestKeysInAStandingClusterHaveAPrefix(t *testing.T) {
	var s store
	target := s.target()
	target.Program = nil // there is nothing to run
	prefixes := map[string]bool{}
	for range 2 {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			run, result, err := harness.Run(t.Context(), harness.Trial{
				Target: target, World: standing{}, Workload: workloads.Register{}, Quiet: time.Second, Duration: time.Second, Recovery: time.Second, Dir: dir, Seed: 1,
			})
			if err != nil || result.Verdict != checker.Valid || len(run.Manifest.Nodes) != 3 {
				t.Fatalf("%s, %v, %v", result.Verdict, err, run.Manifest.Nodes)
			}
			prefixes[run.Manifest.KeyPrefix] = true
			for _, o := range run.History.Operations {
				if strings.HasPrefix(o.Key, "test/") {
					t.Fatalf("the history has the key %s", o.Key)
				}
			}
		})
	}
	if len(prefixes) != 2 {
		t.Errorf("two trials have the prefixes %v", prefixes)
	}
	for key := range s.values {
		if begin, _, _ := strings.Cut(key, "."); !strings.HasPrefix(key, "test/") || !prefixes[begin+"."] {
			t.Errorf("the key %s was written", key)
		}
	}
}

// A listClient serves a set, under no key.
type listClient struct{ *storeClient }

func (c listClient) Add(ctx context.Context, element int64) error {
	return c.Write(ctx, "elements", element)
}
func (listClient) Elements(context.Context) ([]int64, error) { return nil, nil }

// A workload that has no keys is refused before it has done anything.
func TestOperationsWithoutKeyAreRefusedInAStandingCluster(t *testing.T) {
	var s store
	target := s.target()
	target.Open = func(_ context.Context, _ cluster.Cluster, node cluster.Node) (harness.Client, error) {
		return listClient{&storeClient{&s, node}}, nil
	}
	trial := harness.Trial{Target: target, World: standing{}, Workload: workloads.Set{}, Dir: t.TempDir(), Seed: 1}
	synctest.Test(t, func(t *testing.T) {
		_, _, err := harness.Run(t.Context(), trial)
		if err == nil || !strings.Contains(err.Error(), "ended at 0.0 s: the workload set has an operation without a key, ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v", err)
		}
	})
	if len(s.values) > 0 {
		t.Errorf("written: %v", s.values)
	}
}

// The data of a cluster that others use is not copied, and nobody is paused for it.
func TestNoDataIsCopiedOfAStandingCluster(t *testing.T) {
	var s store
	target, dir, writes := s.target(), t.TempDir(), 0
	s.around = func(_ context.Context, _, kind string, do func()) error {
		if kind == "write" {
			if writes++; writes%10 == 0 {
				return nil // it is lost
			}
		}
		do()
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		_, result, err := harness.Run(t.Context(), harness.Trial{
			Target: target, World: standing{}, Workload: workloads.Register{}, Concurrency: 1, Quiet: time.Second, Duration: time.Second, Recovery: time.Second, Dir: dir, Seed: 1,
		})
		if err != nil || result.AsClaimed != checker.NotAsClaimed {
			t.Fatalf("%s, %v", result.AsClaimed, err)
		}
	})
	if _, err := os.Stat(filepath.Join(dir, history.DataDir)); err == nil {
		t.Error("data was copied")
	}
}
