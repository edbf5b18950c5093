package harness_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

func TestSummary(t *testing.T) {
	claimed := history.Manifest{Target: "store", Options: "mode=fast", Seed: 7, Claim: history.Claim{Expect: []string{"stale read"}}}
	for _, test := range []struct {
		name     string
		manifest history.Manifest
		result   checker.Result
		want     string
	}{
		{
			"sound", claimed,
			checker.Result{Verdict: checker.Valid, AsClaimed: checker.AsClaimed, Statistics: statistics.Statistics{
				Operations: 12, OK: 10, Failed: 2, Faults: map[string]int{"partition": 4, "kill": 3},
			}},
			`store mode=fast: valid, as claimed (expect: stale read)
12 operations: 10 answered, 2 failed, 0 unknown; faults: kill 3, partition 4; seed 7`,
		},
		{
			"what is only possible is no news of a pass", claimed,
			checker.Result{Verdict: checker.Valid, AsClaimed: checker.AsClaimed, StaleReads: counts.Bounds{Possible: 151}, LostCommits: counts.Bounds{Possible: 162}},
			`store mode=fast: valid, as claimed (expect: stale read)
0 operations: 0 answered, 0 failed, 0 unknown; no faults; seed 7`,
		},
		{
			"what is possible is news of a failure", claimed,
			checker.Result{Verdict: checker.Invalid, AsClaimed: checker.NotAsClaimed, StaleReads: counts.Bounds{Possible: 151}, LostCommits: counts.Bounds{Possible: 162}},
			`store mode=fast: INVALID, not as claimed (expect: stale read)
0 operations: 0 answered, 0 failed, 0 unknown; 0–151 stale reads, 0–162 lost commits; no faults; seed 7`,
		},
		{
			"what is certain is told", claimed,
			checker.Result{Verdict: checker.Valid, AsClaimed: checker.AsClaimed, StaleReads: counts.Bounds{Certain: 1, Possible: 2}},
			`store mode=fast: valid, as claimed (expect: stale read)
0 operations: 0 answered, 0 failed, 0 unknown; 1–2 stale reads, 0 lost commits; no faults; seed 7`,
		},
		{
			"nothing succeeded", history.Manifest{Target: "store"},
			checker.Result{
				Verdict: checker.Valid, Vacuous: "None of 8973 operations succeeded.", AsClaimed: checker.Undecided,
				Warnings: []string{"the faults were too short"},
				Statistics: statistics.Statistics{
					Skipped:    map[string]int{"no leader:\n\"node-7\" is not in the cluster": 2, "n2 is down": 1},
					Operations: 8973, Unknown: 8973, Troubles: []string{"at 3.210 s: kill leader n1: the engine is gone"},
					Errors: []statistics.ErrorClass{
						{Kind: history.Write, Outcome: history.Info, Count: 8911, Example: "context\x1b[31m\ndeadline exceeded", Node: "n2"},
						{Kind: history.Read, Outcome: history.Fail, Count: 60, Example: "connection refused"},
						{Count: 2, Example: "i/o timeout"},
					},
				},
			},
			`store: VACUOUS, no pass: None of 8973 operations succeeded
8973 operations: 0 answered, 0 failed, 8973 unknown; no faults; seed 0
errors: 8911 × write, unknown: context?[31m deadline exceeded (through n2)
errors: 60 × read, failed: connection refused
errors: 2 × others, such as: i/o timeout
2 faults skipped: no leader: "node-7" is not in the cluster
1 fault skipped: n2 is down
trouble: at 3.210 s: kill leader n1: the engine is gone
warning: the faults were too short`,
		},
		{
			"what is admitted hides nothing", claimed,
			checker.Result{Verdict: checker.Invalid, AsClaimed: checker.NotAsClaimed, Violations: []anomaly.Violation{
				{Anomaly: anomaly.StaleRead, Sentence: "1"}, {Anomaly: anomaly.StaleRead, Sentence: "2"}, {Anomaly: anomaly.StaleRead, Sentence: "3"},
				{Anomaly: anomaly.StaleRead, Sentence: "4"}, {Anomaly: anomaly.StaleRead, Sentence: "5"}, {Anomaly: anomaly.LostCommit, Sentence: "6"},
			}},
			`store mode=fast: INVALID, not as claimed (expect: stale read)
0 operations: 0 answered, 0 failed, 0 unknown; no faults; seed 7
lost commit: 6
stale read: 1
stale read: 2
stale read: 3
… and 2 more`,
		},
		{
			"cut off", history.Manifest{Target: "store"},
			checker.Result{Verdict: checker.Unknown, AsClaimed: checker.Undecided, Reason: "the run was interrupted", Torn: "the last line was cut off"},
			`store: unknown: the run was interrupted; the last line was cut off
0 operations: 0 answered, 0 failed, 0 unknown; no faults; seed 0`,
		},
		{
			"never served again", history.Manifest{Target: "store"},
			checker.Result{Verdict: checker.Invalid, AsClaimed: checker.NotAsClaimed, Violations: []anomaly.Violation{
				{Anomaly: anomaly.NoRecovery, Sentence: "no read was answered for 15 s"},
			}},
			`store: INVALID, not as claimed
0 operations: 0 answered, 0 failed, 0 unknown; no faults; seed 0
no recovery: no read was answered for 15 s`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := harness.Summary(&history.Run{Manifest: test.manifest}, test.result)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A summary stays short, and says what it leaves out.
func TestSummaryIsBounded(t *testing.T) {
	result := checker.Result{Statistics: statistics.Statistics{Skipped: map[string]int{}}}
	for i := range 40 {
		result.Statistics.Skipped[strings.Repeat("é", 200+i)]++
		result.Warnings = append(result.Warnings, "short")
		result.Violations = append(result.Violations, anomaly.Violation{Anomaly: anomaly.StaleRead})
		result.Statistics.Troubles = append(result.Statistics.Troubles, "gone")
		result.Statistics.Errors = append(result.Statistics.Errors, statistics.ErrorClass{Kind: history.Read, Count: 1})
	}
	lines := strings.Split(harness.Summary(&history.Run{}, result), "\n")
	if got := strings.Join(lines, "\n"); len(lines) != 2+3+3+3+5+5 || len(got) > 3000 || strings.Count(got, "… and 38 more") != 3 || strings.Count(got, "… and 36 more") != 2 {
		t.Errorf("%d lines:\n%s", len(lines), got)
	}
}

// Swaps whose precondition does not hold are answers, for progress as for the
// summary.
func TestProgressAndSummaryCountAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var progress strings.Builder
		_, result := run(t, &store{}, func(trial *harness.Trial) { trial.Progress = &progress })
		if result.Statistics.Kinds[history.CompareAndSet].OK == 0 || result.Statistics.Failed > 0 {
			t.Fatalf("the store refused something: %+v", result.Statistics)
		}
		told := strings.Count(progress.String(), " failed, ")
		if told == 0 || strings.Count(progress.String(), " 0 failed, 0 unknown") != told {
			t.Errorf("nothing failed, and the progress was:\n%s", &progress)
		}
	})
}
