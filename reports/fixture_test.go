package reports

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

// staleRaft is a run of 20 s in which a partition makes the old leader, n1,
// answer a stale read, and a pause does it again.
func staleRaft() Entry {
	run := &history.Run{
		Dir: "runs/raft-register-20250102T030405",
		Manifest: history.Manifest{
			Version: 1, Target: "raft", Options: "reads=local", Workload: "register", Nemesis: "partitions,kills,pauses", World: "process",
			Claim: history.Claim{CAP: "CP", Expect: []string{"stale read", "lost commit"}}, Nodes: []string{"n1", "n2", "n3", "n4", "n5"},
			Concurrency: 15, Seed: 42, Command: "rashomon run raft reads=local --seed 42",
			Started: time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC),
		},
		Events: []history.Event{
			{Time: 0, Type: history.PhaseBegins, Phase: history.Quiet},
			{Time: 2 * s, Type: history.PhaseBegins, Phase: history.Faults},
			{Time: 3 * s, Type: history.Inject, Fault: 1, Family: "partition", Shape: "majority-minority", Nodes: []string{"n1", "n2"}, Links: []string{"n1>n3", "n3>n1"}, Mode: "silent", Took: 2 * ms},
			{Time: 6 * s, Type: history.Heal, Fault: 1, Family: "partition", Took: ms},
			{Time: 7 * s, Type: history.Inject, Fault: 2, Family: "kill", Shape: "leader", Nodes: []string{"n4"}, Took: 3 * ms},
			{Time: 8500 * ms, Type: history.Inject, Fault: 3, Family: "pause", Shape: "one", Nodes: []string{"n3"}},
			{Time: 9500 * ms, Type: history.Heal, Fault: 2, Family: "kill", Took: 80 * ms},
			{Time: 11 * s, Type: history.Heal, Fault: 3, Family: "pause"},
			{Time: 12 * s, Type: history.Skip, Fault: 4, Family: "kill", Shape: "leader", Reason: "no leader was found"},
			{Time: 15 * s, Type: history.PhaseBegins, Phase: history.Recovery},
			{Time: 18500 * ms, Type: history.PhaseBegins, Phase: history.Final},
			{Time: 19 * s, Type: history.PhaseBegins, Phase: history.Done},
		},
	}
	result := checker.Result{
		Version: 1, Verdict: checker.Invalid, AsClaimed: checker.AsClaimed, Model: "register", Decisions: []checker.Decision{{Engine: "porcupine", Why: "a fixture", Keys: []string{"k1"}}},
		Took: 1200 * ms, Keys: 3, KeysInvalid: 1, StaleReads: counts.Bounds{Certain: 12, Possible: 14}, LostCommits: counts.Bounds{Certain: 1, Possible: 1}, FirstViolation: 3420 * ms,
		Staleness: &counts.Staleness{
			Reads: 12, AgeP50: 212 * ms, AgeP99: 1900 * ms, AgeMax: 1900 * ms, Ages: []int{0, 0, 1, 0, 0, 0, 0, 1, 6, 2, 1, 1},
			VersionsP50: 3, VersionsP99: 71, VersionsMax: 71, Versions: []int{4, 5, 1, 0, 1, 0, 1},
		},
		Lost: []counts.Loss{{Key: "k1", Value: 1200, Process: 9, Node: "n5", At: 9310 * ms, Certain: true}},
		Violations: []anomaly.Violation{{
			Anomaly: anomaly.StaleRead, Key: "k1",
			Sentence: "p0 read k1 = 1007 through n1 at 3.415 s, 0.212 s after the swap of k1 from 1007 to 1008 had been acknowledged to p7 through n3; n1 had been cut off from n3 n4 n5 since 3.000 s",
			Witness: []history.Operation{
				{Process: 3, Node: "n4", Kind: history.Write, Key: "k1", Input: history.Ints(1007), Invoke: 2900 * ms, Complete: 2904 * ms, Outcome: history.OK},
				{Process: 7, Node: "n3", Kind: history.CompareAndSet, Key: "k1", Input: history.Ints(1007, 1008), Invoke: 3150 * ms, Complete: 3203 * ms, Outcome: history.OK},
				{Process: 0, Node: "n1", Kind: history.Read, Key: "k1", Output: history.Ints(1007), Invoke: 3415 * ms, Complete: 3420 * ms, Outcome: history.OK},
			},
		}, {
			Anomaly: anomaly.LostCommit, Key: "k1",
			Sentence: "k1 = 1200 had been acknowledged to p9 through n5 at 9.310 s, yet p15 read k1 = 1190 through n1 at 15.500 s: a commit is lost; n4 had been killed at 7.000 s",
			Witness: []history.Operation{
				{Process: 2, Node: "n3", Kind: history.Write, Key: "k1", Input: history.Ints(1190), Invoke: 9200 * ms, Complete: 9200*ms + 800_000, Outcome: history.Info, Error: "time-out: no answer within 250 ms"},
				{Process: 9, Node: "n5", Kind: history.Write, Key: "k1", Input: history.Ints(1200), Invoke: 9305 * ms, Complete: 9310 * ms, Outcome: history.OK},
				{Process: 15, Node: "n1", Kind: history.Read, Key: "k1", Output: history.Ints(1190), Invoke: 15500 * ms, Complete: 15501 * ms, Outcome: history.OK},
			},
		}},
	}
	load(run, &result, 20*s, 3000)
	result.Statistics.Recovery = 430 * ms
	result.Statistics.Faults = map[string]int{"partition": 1, "kill": 1, "pause": 1}
	result.Statistics.Skipped = map[string]int{"no leader was found": 1}
	return Entry{run, result}
}

// load makes up operations over a run of that length, and what a checker would
// count of them.
func load(run *history.Run, result *checker.Result, length time.Duration, operations int) {
	seats := make([]int, 15) // the process in each
	for i := range seats {
		seats[i] = i
	}
	random := rand.New(rand.NewPCG(1, 2))
	measured := &result.Statistics
	measured.SeriesStep = 200 * ms
	for start := time.Duration(0); start < length; start += measured.SeriesStep {
		measured.Series = append(measured.Series, statistics.Slice{Start: start})
	}
	for i := range operations {
		at := length / time.Duration(operations) * time.Duration(i)
		took := time.Duration(float64(2*ms) * math.Exp(random.NormFloat64()/2))
		o := history.Operation{
			Process: seats[i%15], Node: run.Manifest.Nodes[i%5], Kind: history.Read, Key: []string{"k1", "k2", "k3"}[random.IntN(3)],
			Output: history.Ints(int64(i)), Invoke: at, Complete: at + took, Outcome: history.OK,
		}
		slice := &measured.Series[at/measured.SeriesStep]
		switch faulty := at > 3*s && at < 11*s; {
		case faulty && i%5 == 0:
			o.Outcome, o.Complete, o.Error, o.Output = history.Info, at+99*ms, "time-out", history.Value{}
			seats[i%15] += 15
			measured.Unknown++
			slice.Unknown++
		case faulty && i%7 == 0:
			o.Outcome, o.Error, o.Output = history.Fail, "no leader", history.Value{}
			measured.Failed++
			slice.Failed++
		default:
			measured.OK++
			slice.OK++
			slice.P50, slice.P99, slice.Max = 2*ms, max(slice.P99, took-ms/2), max(slice.Max, took)
		}
		run.History.Operations = append(run.History.Operations, o)
	}
	measured.Operations = operations
	measured.Before = statistics.Service{Operations: 450, OK: 450, PerSecond: 150, P50: 2 * ms, P99: 7100 * time.Microsecond}
	measured.During = statistics.Service{Operations: 1800, OK: 1403, PerSecond: 116.9, P50: 2100 * time.Microsecond, P99: 187 * ms}
	measured.After = statistics.Service{Operations: 525, OK: 524, PerSecond: 149.7, P50: 2 * ms, P99: 8 * ms}
	measured.Majority = statistics.Service{Operations: 270, OK: 251}
	measured.Minority = statistics.Service{Operations: 180, OK: 34}
	measured.Kinds = map[history.Kind]statistics.Service{history.Read: measured.During, history.Write: measured.After}
	measured.Errors = []statistics.ErrorClass{
		{Kind: history.Read, Outcome: history.Info, Count: measured.Unknown, Example: "time-out", Node: "n1"},
		{Kind: history.Read, Outcome: history.Fail, Count: measured.Failed, Example: "no leader", Node: "n3"},
	}
	measured.Nodes = map[string]statistics.Service{"n1": measured.During, "n2": measured.Minority}
}

// others are three more systems: one sound, one vacuous, one undecided.
func others() []Entry {
	sound := staleRaft()
	sound.Run.Manifest.Options, sound.Run.Manifest.Claim.Expect, sound.Run.Dir = "", nil, "runs/raft-register-20250102T030505"
	sound.Result.Verdict, sound.Result.Violations, sound.Result.StaleReads, sound.Result.LostCommits = checker.Valid, nil, counts.Bounds{}, counts.Bounds{}
	sound.Result.KeysInvalid, sound.Result.FirstViolation, sound.Result.Staleness, sound.Result.Lost = 0, 0, nil, nil

	vacuous := staleRaft()
	vacuous.Run.Manifest.Target, vacuous.Run.Manifest.Options = "lww", ""
	vacuous.Run.Manifest.Claim = history.Claim{CAP: "AP", Expect: []string{"stale read", "lost commit"}}
	vacuous.Result.Verdict, vacuous.Result.AsClaimed, vacuous.Result.Vacuous = checker.Valid, checker.Undecided, "None of 0 operations succeeded."
	vacuous.Result.Violations, vacuous.Result.StaleReads, vacuous.Result.LostCommits = nil, counts.Bounds{}, counts.Bounds{}
	vacuous.Result.FirstViolation, vacuous.Result.Staleness, vacuous.Result.Lost = 0, nil, nil
	vacuous.Result.Statistics = statistics.Statistics{Recovery: -1}

	undecided := staleRaft()
	undecided.Run.Manifest.Target, undecided.Run.Manifest.Options, undecided.Run.Manifest.Claim = "async", "", history.Claim{CAP: "AP"}
	undecided.Run.Manifest.Workload = "set"
	undecided.Result.Verdict, undecided.Result.AsClaimed, undecided.Result.Reason = checker.Unknown, checker.Undecided, "1 of 3 keys needs more than the budget of 60 s"
	undecided.Result.KeysUnknown, undecided.Result.Torn = 1, "the last line was cut off after 17 bytes"
	undecided.Result.Violations = undecided.Result.Violations[:1]
	undecided.Result.Warnings = []string{"Nobody else led after a fault at the leader: faults of 1.5 s are too short; try --interval 10s."}
	undecided.Result.Statistics.Troubles = []string{"at 7.000 s: kill leader n4: the engine did not answer"}
	undecided.Result.Set = &counts.Set{OK: 1400, Lost: 3, Stale: 12, Recovered: 4, NeverRead: 1}
	return []Entry{sound, vacuous, undecided}
}
