package targets_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/targets"
	"github.com/rashomon-io/rashomon/workloads"
)

func TestMain(m *testing.M) {
	targets.Main()
	os.Exit(m.Run())
}

// try runs one trial of about fifteen seconds, among processes.
func try(t *testing.T, target, faults string, workload harness.Workload, seed uint64) (*history.Run, checker.Result) {
	t.Helper()
	return tryIn(t, process.World(), target, faults, workload, seed)
}

func tryIn(t *testing.T, world cluster.World, target, faults string, workload harness.Workload, seed uint64) (*history.Run, checker.Result) {
	t.Helper()
	return tryEvery(t, nemesis.DefaultInterval, world, target, faults, workload, seed)
}

// tryEvery has a fault in each interval.
func tryEvery(t *testing.T, interval time.Duration, world cluster.World, target, faults string, workload harness.Workload, seed uint64) (*history.Run, checker.Result) {
	t.Helper()
	system, err := targets.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	attack, err := nemesis.Parse(faults, interval)
	if err != nil {
		t.Fatal(err)
	}
	run, result, err := harness.Run(t.Context(), harness.Trial{
		Target: system, World: world, Workload: workload, Nemesis: attack, Quiet: time.Second, Duration: 10 * time.Second, Recovery: 2 * time.Second,
		Seed: seed, Dir: filepath.Join(t.ArtifactDir(), fmt.Sprint("seed-", seed)), Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return run, result
}

// Who names an image gets no other, neither the usual one nor a program in PATH.
func TestImage(t *testing.T) {
	for _, name := range []string{"redis", "etcd", "zookeeper"} {
		for image, options := range map[string]string{"": "", "elsewhere/it:2": ":image=elsewhere/it:2", "redis:7": ":image=redis:7"} {
			target, err := targets.Parse(name + options)
			if err != nil {
				t.Fatal(err)
			}
			container := target.Program(cluster.Place{Node: "n1", Public: map[cluster.Node]map[string]string{"n1": {}}}).Container
			if container.Only != (image != "") || image != "" && (container.Image != image || container.Equivalent != "") {
				t.Errorf("%s runs %q, only that: %t", target, container.Image, container.Only)
			}
		}
	}
}

// Each row is a system that must be caught, by the design's weakness or by a
// planted bug, under the faults that make it visible. A trial is a matter of
// chance, so each has several. What takes more luck, such as raft-redis:reads=local,
// whose leader answers for less than a millisecond after a pause, is caught by its
// own package.
func TestCaught(t *testing.T) {
	const trials = 4
	for _, c := range []struct {
		target, faults string
		workload       harness.Workload
		anomalies      []anomaly.Name // any of these
	}{
		{"raft:reads=any", "partition,kill,pause", workloads.Register{}, []anomaly.Name{anomaly.StaleRead}},
		{"raft:reads=local", "partition,kill,pause", workloads.Register{}, []anomaly.Name{anomaly.StaleRead}},
		{"async", "partition,kill,pause", workloads.Set{}, []anomaly.Name{anomaly.LostCommit}},
		{"async", "partition,kill,pause", workloads.Queue{}, []anomaly.Name{anomaly.LostCommit, anomaly.DequeuedTwice}},
		{"async", "partition:leader", &workloads.Lock{}, []anomaly.Name{anomaly.HeldTwice}},
		{"lww", "partition,kill,pause", workloads.Register{}, []anomaly.Name{anomaly.StaleRead, anomaly.LostCommit, anomaly.DoubleSwap}},
		{"async", "partition:leader,kill:leader", workloads.Counter{}, []anomaly.Name{anomaly.LostCommit}},
		{"async", "partition:leader,pause:leader", workloads.Bank{}, []anomaly.Name{anomaly.StaleRead}},
		{"async", "partition:leader,pause:leader", workloads.IDs{}, []anomaly.Name{anomaly.DuplicateID}},
		{"lww", "none", workloads.Counter{}, []anomaly.Name{anomaly.LostCommit}},
		{"lww", "none", workloads.Bank{}, []anomaly.Name{anomaly.WrongCount}},
		{"lww", "none", workloads.IDs{}, []anomaly.Name{anomaly.DuplicateID}},

		{"raft:bug=ack-before-commit", "partition:leader,kill:leader", workloads.Set{}, []anomaly.Name{anomaly.LostCommit}},
		{"raft:bug=no-fsync", "kill:all", workloads.Set{}, []anomaly.Name{anomaly.LostCommit}},
		{"raft:bug=stale-follower", "partition", workloads.Register{}, []anomaly.Name{anomaly.StaleRead}},
		{"raft:bug=blind-cas", "none", workloads.Register{}, nil},
		{"raft:bug=short-snapshot", "kill:all", workloads.Set{}, []anomaly.Name{anomaly.LostCommit}},
		{"raft:bug=double-apply", "latency", workloads.Register{}, nil},
		{"raft:bug=double-apply", "latency", workloads.Queue{}, []anomaly.Name{anomaly.LostCommit, anomaly.OutOfOrder}},
		{"raft:bug=double-apply", "latency", workloads.Counter{}, []anomaly.Name{anomaly.WrongCount}},
	} {
		t.Run(c.target+" "+c.workload.Name(), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(trials) {
				workload := c.workload
				if seed > 0 { // a lock's serves one trial
					workload, _ = workloads.ByName(workload.Name())
				}
				_, result := try(t, c.target, c.faults, workload, seed+1)
				if result.Verdict != checker.Invalid {
					t.Logf("seed %d: %s %s", seed+1, result.Verdict, result.Vacuous)
					continue
				}
				for _, violation := range result.Violations {
					if c.anomalies == nil || slices.Contains(c.anomalies, violation.Anomaly) {
						t.Logf("seed %d: %s: %s", seed+1, violation.Anomaly, violation.Sentence)
						return
					}
				}
				t.Logf("seed %d: other anomalies: %v", seed+1, result.Violations[0].Sentence)
			}
			t.Errorf("not caught in %d trials", trials)
		})
	}
}

// The same faults find nothing where nothing is wrong.
func TestNoFalseAlarm(t *testing.T) {
	for _, c := range []struct {
		target, faults string
		workload       harness.Workload
	}{
		{"raft", "partition,kill,pause", workloads.Register{}},
		{"raft", "partition,kill:all,pause", workloads.Set{}},
		{"raft", "latency,slow,partition,overlap", workloads.Register{}},
		{"raft", "partition,kill,pause", workloads.Queue{}},
		{"raft", "partition,kill,pause", &workloads.Lock{}},
		{"raft", "partition,kill,pause", workloads.Counter{}},
		{"raft", "partition,kill,pause", workloads.Bank{}},
		{"raft", "partition,kill,pause", workloads.IDs{}},
		{"raft-redis", "partition,kill,pause", workloads.Queue{}},
		{"raft:reads=lease", "partition,kill,pause", workloads.Register{}}, // clocks alone can break it
	} {
		t.Run(fmt.Sprintf("%s %s %s", c.target, c.workload.Name(), c.faults), func(t *testing.T) {
			t.Parallel()
			_, result := try(t, c.target, c.faults, c.workload, 1)
			if result.AsClaimed != checker.AsClaimed {
				t.Errorf("%s (%s %s): %v", result.Verdict, result.Reason, result.Vacuous, result.Violations)
			}
		})
	}
}
