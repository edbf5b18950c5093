package reports

import (
	"cmp"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// ComparisonFile is a comparison's data, in its directory.
const ComparisonFile = "comparison.json"

const comparisonVersion = 1

// Tried is one system of a comparison: its runs, each under another seed. The
// histories are not looked at and may be dropped; pages read them again.
type Tried struct {
	// Name is the system's, as the user gave it; runs have better ones.
	Name    string
	Runs    []Entry
	Untried []Untried
}

// Untried is a run that could not be carried out, or was interrupted.
type Untried struct {
	Seed   uint64 `json:"seed"`
	Reason string `json:"reason"`
}

// A Comparison is several systems under the same schedules of faults: plain
// data, and the whole of comparison.json.
type Comparison struct {
	// Version is of this form.
	Version int    `json:"version"`
	Command string `json:"command,omitempty"`
	// Systems are ordered by what they refuse: first who answers least on the
	// minority side of partitions, or, where there were none, during the faults.
	Systems   []System   `json:"systems"`
	Schedules []Schedule `json:"schedules"`
}

// A System is what all runs of one showed. Shares are of all runs together;
// means are of the runs that tell, each of which counts the same.
type System struct {
	Name string `json:"name"`
	// Claim is without what trials of this workload cannot show.
	Claim   history.Claim `json:"claim"`
	Runs    []Judged      `json:"runs"`
	Untried []Untried     `json:"untried,omitempty"`

	// AsClaimed is a share of runs, its interval plain Wilson.
	AsClaimed Share `json:"as_claimed"`

	// Shares of operations that were answered, as in statistics.Statistics.
	Before   Share `json:"available_before"`
	During   Share `json:"available_during"`
	After    Share `json:"available_after"`
	Majority Share `json:"available_majority"`
	Minority Share `json:"available_minority"`

	// Of nothing if the model does not count them.
	LostCommits Share `json:"lost_commits"` // of acknowledged writes
	StaleReads  Share `json:"stale_reads"`  // of reads
	// Those of both that were invoked on either side of a partition; only registers
	// and sets count them.
	MajorityWrong counts.Sides `json:"majority"`
	MinorityWrong counts.Sides `json:"minority"`

	// How stale the stale reads of a run were: means of its percentiles, and the
	// greatest of all runs.
	AgeP50      Mean          `json:"stale_seconds_p50"`
	AgeP99      Mean          `json:"stale_seconds_p99"`
	AgeMax      time.Duration `json:"stale_max_ns"`
	VersionsP50 Mean          `json:"stale_versions_p50"`
	VersionsP99 Mean          `json:"stale_versions_p99"`
	VersionsMax int           `json:"stale_versions_max"`

	// NewLeader is the mean of the runs' median leader changes, of those that
	// were seen; LeaderChanges says how many those are.
	NewLeader     Mean  `json:"new_leader_seconds"`
	LeaderChanges Share `json:"leader_changes_seen"`
	// Recovery is the mean of the recoveries that were seen; Recovered says of how
	// many of the runs with faults.
	Recovery  Mean  `json:"recovery_seconds"`
	Recovered Share `json:"recoveries_seen"`

	PerSecondBefore Mean `json:"ok_per_second_before"`
	PerSecondDuring Mean `json:"ok_per_second_during"`
	P50Before       Mean `json:"latency_seconds_p50_before"`
	P99Before       Mean `json:"latency_seconds_p99_before"`
	P50During       Mean `json:"latency_seconds_p50_during"`
	P99During       Mean `json:"latency_seconds_p99_during"`

	shown entry // the run that a page shows: the first invalid one, else the first
}

// Judged is one run in a comparison.
type Judged struct {
	Seed      uint64              `json:"seed"`
	Dir       string              `json:"dir"`
	Verdict   checker.Verdict     `json:"verdict"`
	Vacuous   bool                `json:"vacuous,omitempty"`
	AsClaimed checker.Conformance `json:"as_claimed"`
	Parts     []checker.Part      `json:"parts,omitempty"`
	line      string              // verdictLine
}

// A Share is Count of Of, summed over runs.
type Share struct {
	Count int `json:"count"`
	// Possible is the upper bound of Count where a history leaves it open.
	Possible int `json:"possible,omitempty"`
	Of       int `json:"of"`
	// AtLeast says that some keys were left undecided: there is no upper bound then,
	// and so neither Possible nor an interval.
	AtLeast bool `json:"at_least,omitempty"`
	*Interval
}

// A Mean is of one figure a run.
type Mean struct {
	Mean float64 `json:"mean"`
	Runs int     `json:"runs"` // that tell the figure
	*Interval
}

// An Interval is a confidence interval of 95 %; one run has none.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// NewComparison sums up what each system showed.
func NewComparison(command string, all []Tried) Comparison {
	runs := make([][]entry, len(all))
	for i, tried := range all {
		for _, e := range tried.Runs {
			runs[i] = append(runs[i], enter(e))
		}
	}
	c := Comparison{Version: comparisonVersion, Command: Clean(command, 1000), Schedules: schedules(runs)}
	order := make([]int, len(all))
	for i, tried := range all {
		c.Systems = append(c.Systems, newSystemOf(tried, runs[i]))
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		one, other := &c.Systems[a], &c.Systems[b]
		return cmp.Or(
			cmp.Compare(min(other.served().Of, 1), min(one.served().Of, 1)), // those that do not tell last
			cmp.Compare(one.served().value(), other.served().value()))
	})
	c.Systems = permuted(c.Systems, order)
	for _, schedule := range c.Schedules {
		for i := range schedule.Faults {
			schedule.Faults[i].Became = permuted(schedule.Faults[i].Became, order)
		}
	}
	return c
}

func permuted[T any](all []T, order []int) []T {
	var ordered []T
	for _, i := range order {
		ordered = append(ordered, all[i])
	}
	return ordered
}

// served is what Systems are ordered by.
func (s *System) served() Share {
	if s.Minority.Of > 0 {
		return s.Minority
	}
	return s.During
}

// value is 0 of nothing.
func (s Share) value() float64 {
	if s.Of <= 0 {
		return 0
	}
	return min(float64(s.Count)/float64(s.Of), 1)
}

func newSystemOf(tried Tried, runs []entry) System {
	s := System{Name: clean(tried.Name), Untried: clean(tried.Untried)}
	if len(runs) == 0 {
		return s
	}
	s.Name, s.Claim, s.shown = runs[0].name(), admission(runs[0]), runs[0]
	var results []checker.Result
	for _, entry := range runs {
		r := entry.Result
		results = append(results, r)
		s.Runs = append(s.Runs, Judged{
			Seed: entry.Run.Manifest.Seed, Dir: entry.unclean.Run.Dir, Verdict: r.Verdict, Vacuous: r.Vacuous != "", AsClaimed: r.AsClaimed, Parts: r.Parts, line: verdictLine(entry),
		})
		if r.Verdict == checker.Invalid && s.shown.Result.Verdict != checker.Invalid {
			s.shown = entry
		}
		s.AsClaimed.Of++
		if r.AsClaimed == checker.AsClaimed {
			s.AsClaimed.Count++
		}
		if r.Staleness != nil {
			s.AgeMax, s.VersionsMax = max(s.AgeMax, r.Staleness.AgeMax), max(s.VersionsMax, r.Staleness.VersionsMax)
		}
		s.MajorityWrong = plus(s.MajorityWrong, r.Majority)
		s.MinorityWrong = plus(s.MinorityWrong, r.Minority)
	}
	if n := float64(s.AsClaimed.Of); n > 1 {
		low, high := wilson(float64(s.AsClaimed.Count)/n, n, normal)
		s.AsClaimed.Interval = &Interval{low, high}
	}
	s.measureAnswers(results)
	s.measureRecovery(results)
	s.measureSpeed(results)
	return s
}

// measureAnswers sets what was answered, and what of it was wrong.
func (s *System) measureAnswers(results []checker.Result) {
	available := func(of func(statistics.Statistics) statistics.Service) Share {
		return shareOf(results, func(r checker.Result) part {
			return part{of(r.Statistics).OK, of(r.Statistics).Operations}
		})
	}
	s.Before = available(func(s statistics.Statistics) statistics.Service { return s.Before })
	s.During = available(func(s statistics.Statistics) statistics.Service { return s.During })
	s.After = available(func(s statistics.Statistics) statistics.Service { return s.After })
	s.Majority = available(func(s statistics.Statistics) statistics.Service { return s.Majority })
	s.Minority = available(func(s statistics.Statistics) statistics.Service { return s.Minority })
	s.LostCommits = anomalies(results, countsLostCommits, func(r checker.Result) (counts.Bounds, int) { return r.LostCommits, r.Statistics.Writes })
	s.StaleReads = anomalies(results, countsStaleReads, func(r checker.Result) (counts.Bounds, int) { return r.StaleReads, r.Statistics.Reads })

	stale := func(of func(*counts.Staleness) float64) Mean {
		return meanOf(results, func(r checker.Result) (float64, bool) {
			if r.Staleness == nil {
				return 0, false
			}
			return of(r.Staleness), true
		})
	}
	s.AgeP50 = stale(func(s *counts.Staleness) float64 { return s.AgeP50.Seconds() })
	s.AgeP99 = stale(func(s *counts.Staleness) float64 { return s.AgeP99.Seconds() })
	s.VersionsP50 = stale(func(s *counts.Staleness) float64 { return float64(s.VersionsP50) })
	s.VersionsP99 = stale(func(s *counts.Staleness) float64 { return float64(s.VersionsP99) })
}

// measureRecovery sets how long other leaders and recoveries took.
func (s *System) measureRecovery(results []checker.Result) {
	s.LeaderChanges = shareOf(results, func(r checker.Result) part {
		return part{len(seen(r.Statistics.LeaderChanges)), len(r.Statistics.LeaderChanges)}
	})
	s.NewLeader = meanOf(results, func(r checker.Result) (float64, bool) {
		times := seen(r.Statistics.LeaderChanges)
		if len(times) == 0 {
			return 0, false
		}
		return times[len(times)/2].Seconds(), true
	})
	recovered := func(r checker.Result) part {
		switch {
		case len(r.Statistics.Faults) == 0:
			return part{0, 0}
		case r.Statistics.Recovery < 0:
			return part{0, 1}
		}
		return part{1, 1}
	}
	s.Recovered = shareOf(results, recovered)
	s.Recovery = meanOf(results, func(r checker.Result) (float64, bool) {
		return r.Statistics.Recovery.Seconds(), recovered(r).count > 0
	})

}

// measureSpeed sets throughput and latencies.
func (s *System) measureSpeed(results []checker.Result) {
	service := func(phase func(statistics.Statistics) statistics.Service, of func(statistics.Service) (float64, bool)) Mean {
		return meanOf(results, func(r checker.Result) (float64, bool) { return of(phase(r.Statistics)) })
	}
	before := func(s statistics.Statistics) statistics.Service { return s.Before }
	during := func(s statistics.Statistics) statistics.Service { return s.During }
	// None answered is a rate, and no latency.
	perSecond := func(s statistics.Service) (float64, bool) { return s.PerSecond, s.Operations > 0 }
	p50 := func(s statistics.Service) (float64, bool) { return s.P50.Seconds(), s.OK > 0 }
	p99 := func(s statistics.Service) (float64, bool) { return s.P99.Seconds(), s.OK > 0 }
	s.PerSecondBefore, s.PerSecondDuring = service(before, perSecond), service(during, perSecond)
	s.P50Before, s.P99Before = service(before, p50), service(before, p99)
	s.P50During, s.P99During = service(during, p50), service(during, p99)
}

// seen are the times of the leader changes that were seen, in order.
func seen(changes []statistics.LeaderChange) (times []time.Duration) {
	for _, change := range changes {
		if change.Took >= 0 {
			times = append(times, change.Took)
		}
	}
	slices.Sort(times)
	return times
}

func plus(a, b counts.Sides) counts.Sides {
	return counts.Sides{StaleReads: a.StaleReads + b.StaleReads, LostCommits: a.LostCommits + b.LostCommits}
}

func shareOf(results []checker.Result, of func(checker.Result) part) Share {
	var share Share
	var parts []part
	for _, r := range results {
		p := of(r)
		parts = append(parts, p)
		share.Count, share.Of = share.Count+p.count, share.Of+p.of
	}
	if low, high, ok := shareInterval(parts); ok {
		share.Interval = &Interval{low, high}
	}
	return share
}

// anomalies is a share with bounds: its interval begins with that of the one and
// ends with that of the other. Undecided keys are in Of alone, and may raise both, so
// with any of them there is none.
func anomalies(results []checker.Result, counts func(checker.Result) bool, of func(checker.Result) (counts.Bounds, int)) Share {
	results = slices.DeleteFunc(slices.Clone(results), func(r checker.Result) bool { return !counts(r) })
	// Sets can lose what was shown and never acknowledged.
	atMost := func(n, total int) part { return part{min(n, total), total} }
	share := shareOf(results, func(r checker.Result) part {
		bounds, total := of(r)
		return atMost(bounds.Certain, total)
	})
	possible := shareOf(results, func(r checker.Result) part {
		bounds, total := of(r)
		return atMost(max(bounds.Certain, bounds.Possible), total)
	})
	if share.Interval != nil && possible.Interval != nil {
		share.Interval.High = max(share.Interval.High, possible.Interval.High)
	}
	share.Count = 0
	for _, r := range results {
		bounds, _ := of(r)
		share.Count += bounds.Certain
		share.Possible += max(bounds.Certain, bounds.Possible)
		share.AtLeast = share.AtLeast || r.Verdict == checker.Unknown || r.KeysUnknown > 0
	}
	if share.AtLeast {
		share.Interval = nil
	}
	if share.AtLeast || share.Possible == share.Count {
		share.Possible = 0
	}
	return share
}

func meanOf(results []checker.Result, of func(checker.Result) (float64, bool)) Mean {
	var values []float64
	for _, r := range results {
		if value, ok := of(r); ok {
			values = append(values, value)
		}
	}
	if len(values) == 0 {
		return Mean{}
	}
	mean := Mean{Mean: average(values), Runs: len(values)}
	if low, high, ok := meanInterval(values); ok {
		mean.Interval = &Interval{low, high}
	}
	return mean
}
