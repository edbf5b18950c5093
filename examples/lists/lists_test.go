package main

import (
	"slices"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/reports"
)

// trial is one of the store with some options, of which the primary compacts its log
// while nodes are killed.
func trial(t *testing.T, options string) harness.Trial {
	t.Helper()
	store, err := target(options)
	if err != nil {
		t.Fatal(err)
	}
	faults := nemesis.Combine(nemesis.With(compaction), nemesis.Kills("all"))
	faults.Interval, faults.Overlap = time.Second, true
	return harness.Trial{
		Target: store, Workload: appends, Nemesis: faults, Nodes: 3, Rate: 300, Duration: 8 * time.Second,
		Dir: t.ArtifactDir(), Progress: t.Output(), Report: reports.Write,
	}
}

func TestListsAreLinearizable(t *testing.T) { harness.Check(t, trial(t, "")) }

// Backups lag behind, which the target's claim admits. What was acknowledged is there
// in the end, which the claim does not take back.
func TestOwnReadsAreStale(t *testing.T) {
	result := harness.Check(t, trial(t, "reads=own"))
	if !slices.ContainsFunc(result.Violations, func(v anomaly.Violation) bool { return v.Anomaly == anomaly.Disorder }) {
		t.Error("no stale read was found")
	}
}

// What is appended while the log is compacted is gone after a kill.
func TestHastyCompactionLosesAppends(t *testing.T) {
	run, result, err := harness.Run(t.Context(), trial(t, "compaction=hasty"))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(harness.Summary(run, result))
	if !slices.ContainsFunc(result.Violations, func(v anomaly.Violation) bool { return v.Anomaly == "lost append" }) {
		t.Error("no lost append was found")
	}
}
