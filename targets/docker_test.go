package targets_test

import (
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/targets/internal/nodetest"
	"github.com/rashomon-io/rashomon/workloads"
)

// inContainers skips the test, with the reason, where the docker world cannot
// inject these faults.
func inContainers(t *testing.T, faults ...cluster.Fault) cluster.World {
	t.Helper()
	world := docker.World()
	for _, fault := range append(faults, cluster.KillFault) {
		if err := world.Supports(t.Context(), fault); err != nil {
			t.Skipf("world docker, fault %s: %v", fault, err)
		}
	}
	return world
}

// Reads under a lease are sound as long as clocks are. That clock faults find
// them, and nothing else does, is the proof that clock faults work.
func TestOnlyWrongClocksCatchTheLease(t *testing.T) {
	world := inContainers(t, cluster.ClockFault, cluster.LossFault)
	const trials = 5
	t.Run("wrong clocks", func(t *testing.T) {
		t.Parallel()
		for seed := range uint64(trials) {
			_, result := tryIn(t, world, "raft:reads=lease", "clock:leader,partition:leader,overlap", workloads.Register{}, seed+1)
			if result.Verdict == checker.Invalid {
				t.Logf("seed %d: %s", seed+1, result.Violations[0].Sentence)
				return
			}
		}
		t.Errorf("not caught in %d trials", trials)
	})
	t.Run("everything else", func(t *testing.T) {
		t.Parallel()
		_, result := tryIn(t, world, "raft:reads=lease", "partition,kill,pause,latency,loss,flaky,slow,overlap", workloads.Register{}, 1)
		if result.AsClaimed != checker.AsClaimed {
			t.Errorf("%s (%s %s): %v", result.Verdict, result.Reason, result.Vacuous, result.Violations)
		}
	})
}

// What is caught among processes is caught in containers, and raft is sound
// under everything at once.
func TestInContainers(t *testing.T) {
	world := inContainers(t, cluster.ClockFault, cluster.LossFault)
	for _, c := range []struct {
		target, faults string
		verdict        checker.Verdict
	}{
		{"raft", "all,overlap", checker.Valid},
		{"raft:reads=local", "pause:leader", checker.Invalid},
		{"async", "partition,kill,pause", checker.Invalid},
		{"lww", "partition,kill,pause", checker.Invalid},
	} {
		t.Run(c.target, func(t *testing.T) {
			t.Parallel()
			const trials = 6
			for seed := range uint64(trials) {
				_, result := tryIn(t, world, c.target, c.faults, workloads.Register{}, seed+1)
				if result.Verdict == c.verdict && result.AsClaimed == checker.AsClaimed {
					return
				}
				if c.verdict == checker.Valid {
					t.Fatalf("%s (%s %s): %v", result.Verdict, result.Reason, result.Vacuous, result.Violations)
				}
			}
			t.Errorf("not caught in %d trials", trials)
		})
	}
}

// Redis acknowledges before it replicates, and loses what it acknowledged.
func TestRedisLosesCommits(t *testing.T) {
	nodetest.InWorlds(t, "redis:7", []string{"redis-server", "redis-cli"}, func(t *testing.T, world cluster.World) {
		const trials = 3
		for seed := range uint64(trials) {
			_, result := tryIn(t, world, "redis", "partition:leader", workloads.Set{}, seed+1)
			if result.LostCommits.Certain > 0 && result.AsClaimed == checker.AsClaimed {
				t.Logf("seed %d: %s", seed+1, result.Violations[0].Sentence)
				return
			}
		}
		t.Errorf("not caught in %d trials", trials)
	})
}

// What etcd and ZooKeeper say of themselves: a follower's own state is old, and a
// lock outlives its holder's lease, or session, nowhere but in the holder's mind.
func TestFollowersAreBehind(t *testing.T) {
	programs := map[string][]string{"etcd": {"etcd"}, "zookeeper": {"java", "/usr/share/java/zookeeper.jar"}}
	for _, c := range []struct {
		name, options string
		workload      string
		anomaly       anomaly.Name
	}{
		{"etcd", "reads=serializable", "register", anomaly.StaleRead},
		{"zookeeper", "reads=plain", "register", anomaly.StaleRead},
		{"etcd", "lease=1s", "lock", anomaly.HeldTwice},
		{"zookeeper", "session=1s", "lock", anomaly.HeldTwice},
	} {
		t.Run(c.name+" "+c.options, func(t *testing.T) {
			t.Parallel()
			nodetest.Installed(t, programs[c.name])
			const trials = 4
			for seed := range uint64(trials) {
				workload, err := workloads.ByName(c.workload)
				if err != nil {
					t.Fatal(err)
				}
				_, result := tryEvery(t, 3*time.Second, process.World(), c.name+":"+c.options, "partition:follower", workload, seed+1)
				if lock := result.Lock; lock != nil && lock.Corrupted > 0 {
					t.Errorf("%d uses that no fence kept apart", lock.Corrupted)
				}
				if len(result.Violations) > 0 && result.Violations[0].Anomaly == c.anomaly && result.AsClaimed == checker.AsClaimed {
					t.Logf("seed %d: %s", seed+1, result.Violations[0].Sentence)
					return
				}
			}
			t.Errorf("not caught in %d trials", trials)
		})
	}
}
