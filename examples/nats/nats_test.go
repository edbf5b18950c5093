// Package nats_test is a trial of a cluster of three that is not built in: NATS
// JetStream. The trials are here, the target is in server_test.go, its client in
// client_test.go.
package nats_test

import (
	"slices"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/workloads"
)

// Any replica of a bucket answers reads from its own copy: a follower that is cut
// off does not learn of new values, and goes on answering.
func TestBucketHasStaleReads(t *testing.T) {
	target := target(t)
	target.Claim = history.Claim{CAP: "CP", Expect: []string{string(anomaly.StaleRead)}}
	partitions := nemesis.Partitions("follower:reset")
	partitions.Interval = 4 * time.Second
	result := harness.Check(t, harness.Trial{
		Target: target, Workload: workloads.Register{ReadPercent: 90}, Nemesis: partitions,
		Nodes: 3, Concurrency: 24, Rate: 300, Duration: 12 * time.Second, Timeout: time.Second,
	})
	if result.StaleReads.Certain == 0 {
		t.Error("no stale read was found")
	}
}

// The stream that was created last is gone for good, with all that it had
// acknowledged, if all servers are killed within its first minute. Version 2.10.23
// keeps it. (https://github.com/nats-io/nats-server/issues/6888)
func TestStreamIsLost(t *testing.T) {
	kills := nemesis.Kills("all")
	kills.Interval = 3 * time.Second
	run, result, err := harness.Run(t.Context(), harness.Trial{
		Target: target(t), Workload: workloads.Set{}, Nemesis: kills,
		Nodes: 3, Concurrency: 6, Rate: 200, Quiet: time.Second, Duration: 3 * time.Second, Timeout: time.Second,
		Dir: t.ArtifactDir(), Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(harness.Summary(run, result))
	lost := func(v anomaly.Violation) bool { return v.Anomaly == anomaly.NoRecovery }
	if result.AsClaimed != checker.NotAsClaimed || !slices.ContainsFunc(result.Violations, lost) {
		t.Errorf("the stream is lost, and the trial is %s, %s", result.Verdict, result.AsClaimed)
	}
}
