package reports

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A figure is one line of every summary, in text and in HTML.
type figure struct {
	name  string
	value func(entry) string
}

var figures = []figure{
	{"claims", claim},
	{"verdict", func(e entry) string { return e.Result.Judgement() }},
	{"stale reads", func(e entry) string {
		if !countsStaleReads(e.Result) {
			return unmeasured
		}
		return atLeast(e.Result, e.Result.StaleReads)
	}},
	{"lost commits", func(e entry) string {
		if !countsLostCommits(e.Result) {
			return unmeasured
		}
		return atLeast(e.Result, e.Result.LostCommits)
	}},
	{"stale by p50/p99/max", timed(staleness(func(s *counts.Staleness) []string {
		return []string{duration(s.AgeP50), duration(s.AgeP99), duration(s.AgeMax)}
	}))},
	{"… in versions", staleness(func(s *counts.Staleness) []string {
		return []string{count(s.VersionsP50), count(s.VersionsP99), count(s.VersionsMax)}
	})},
	{"first violation at", timed(func(e entry) string {
		if e.Result.FirstViolation == 0 {
			return unmeasured
		}
		return duration(e.Result.FirstViolation)
	})},
	{"available before faults", func(e entry) string { return availability(e.Result.Statistics.Before) }},
	{"available during faults", func(e entry) string { return availability(e.Result.Statistics.During) }},
	{"available after faults", func(e entry) string { return availability(e.Result.Statistics.After) }},
	{"… on a majority side", func(e entry) string { return availability(e.Result.Statistics.Majority) }},
	{"… on a minority side", func(e entry) string { return availability(e.Result.Statistics.Minority) }},
	{"wrong on a majority side", func(e entry) string { return sideFigure(e.Result, e.Result.Statistics.Majority, e.Result.Majority) }},
	{"wrong on a minority side", func(e entry) string { return sideFigure(e.Result, e.Result.Statistics.Minority, e.Result.Minority) }},
	{"new leader after", func(e entry) string { return newLeader(e.Result.Statistics.LeaderChanges) }},
	{"recovery took", func(e entry) string {
		switch s := e.Result.Statistics; {
		case len(s.Faults) == 0:
			return unmeasured
		case s.Recovery < 0:
			return "not seen"
		default:
			return duration(s.Recovery)
		}
	}},
	{"p50 / p99 before faults", func(e entry) string { return latency(e.Result.Statistics.Before) }},
	{"p50 / p99 during faults", func(e entry) string { return latency(e.Result.Statistics.During) }},
	{"operations", func(e entry) string { return count(e.Result.Statistics.Operations) }},
	{"answered / failed / unknown", func(e entry) string {
		s := e.Result.Statistics
		return count(s.OK) + " / " + count(s.Failed) + " / " + count(s.Unknown)
	}},
	{"faults landed", func(e entry) string { return tally(e.Result.Statistics.Faults) }},
	{"checked", func(e entry) string {
		return fmt.Sprintf("%s by %s in %s", counted(e.Result.Keys, "key"), engines(e.Result), duration(e.Result.Took))
	}},
}

// newLeader names all times, or sums them up if they are many.
func newLeader(changes []statistics.LeaderChange) string {
	if len(changes) == 0 {
		return unmeasured
	}
	times := seen(changes)
	var parts []string
	for _, took := range times {
		parts = append(parts, duration(took))
	}
	if n := len(times); n > 8 {
		parts = []string{fmt.Sprintf("%s: median %s, longest %s", counted(n, "time"), duration(times[n/2]), duration(times[n-1]))}
	}
	if unseen := len(changes) - len(times); unseen > 0 {
		parts = append(parts, "not seen "+counted(unseen, "time"))
	}
	return strings.Join(parts, ", ")
}

// countsStaleReads says whether the checker counts them in the result's model. What
// it does not count is 0 in a result, and unmeasured in a report.
func countsStaleReads(result checker.Result) bool {
	return isOf(result, checker.Register, checker.VersionedRegister, checker.Set, checker.Counter, checker.Bank(0, 0))
}

// countsLostCommits is the same of lost commits: balances, say, do not tell them.
func countsLostCommits(result checker.Result) bool {
	return isOf(result, checker.Register, checker.Set, checker.Counter, checker.Queue)
}

// countsSides is the same of both on either side of a partition.
func countsSides(result checker.Result) bool { return isOf(result, checker.Register, checker.Set) }

func isOf(result checker.Result, models ...checker.Model) bool {
	return slices.ContainsFunc(models, func(m checker.Model) bool { return m.String() == result.Model })
}

func sideFigure(result checker.Result, side statistics.Service, wrong counts.Sides) string {
	if side.Operations == 0 || !countsSides(result) {
		return unmeasured
	}
	return counted(wrong.StaleReads, "stale read") + ", " + counted(wrong.LostCommits, "lost commit")
}

// timed figures are not to be had of a history without times.
func timed(figure func(entry) string) func(entry) string {
	return func(e entry) string {
		if e.Run.History.Untimed {
			return unmeasured
		}
		return figure(e)
	}
}

func staleness(pick func(*counts.Staleness) []string) func(entry) string {
	return func(e entry) string {
		if e.Result.Staleness == nil {
			return unmeasured
		}
		return strings.Join(pick(e.Result.Staleness), " / ")
	}
}

// rows is the whole summary of a run: a row a figure, its name first.
func rows(e entry) [][]string {
	var table [][]string
	for _, figure := range figures {
		table = append(table, []string{figure.name, figure.value(e)})
	}
	table = append(table, countRows(e.Result)...)
	for _, part := range e.Result.Parts[:min(len(e.Result.Parts), maxParts)] {
		verdict := string(part.Verdict)
		if reason := part.Reason; reason != "" {
			verdict += ": " + reason
		}
		table = append(table, []string{"judged: " + part.Name, verdict})
	}
	return append(table, guaranteeRows(e.Result.Guarantees)...)
}

// claim is what the system promises: "CP, linearizable". A history alone tells
// no side of CAP.
func claim(e entry) string {
	promise := strings.Join(promised(e), ", ")
	if promise == "" {
		promise = "linearizable"
	}
	if side := e.Run.Manifest.Claim.CAP; side != "" {
		return side + ", " + promise
	}
	return promise
}

// countable are the names of anomalies that have a plural.
var countable = regexp.MustCompile(` (read|commit|swap|count|id)$`)

// admission is the target's claim without anomalies that the trial's model cannot
// show, such as what becomes of locks in a trial of registers.
func admission(e entry) history.Claim {
	claim := e.Run.Manifest.Claim
	claim.Expect = slices.DeleteFunc(slices.Clone(claim.Expect), func(name string) bool {
		model := anomaly.Name(name).Of()
		return model != "" && model != e.Result.Model
	})
	return claim
}

func expected(e entry) string {
	var anomalies []string
	for _, anomaly := range admission(e).Expect {
		if countable.MatchString(anomaly) {
			anomaly += "s"
		}
		anomalies = append(anomalies, anomaly)
	}
	return strings.Join(anomalies, ", ")
}

// verdictLine is the judgement in one line, with its reasons.
func verdictLine(e entry) string {
	line := e.name() + ": " + e.Result.Judgement()
	promises := promised(e)
	if len(admission(e).Expect) > 0 && e.Result.Verdict == checker.Valid {
		promises[0] += ", and showed none"
	}
	switch {
	case e.Result.AsClaimed != checker.AsClaimed && e.Result.AsClaimed != checker.NotAsClaimed:
	case len(promises) > 0:
		line += " (" + strings.Join(promises, ", ") + ")"
	case e.Result.Verdict == checker.Invalid:
		line += " (claims linearizability)"
	}
	if why := Clean(e.Result.Why(), 900); why != "" {
		line += ": " + why
	}
	return line
}

// atLeast marks a count as a lower bound where keys were left undecided. Else it
// shows both bounds where they differ: "7–9".
func atLeast(result checker.Result, n counts.Bounds) string {
	switch {
	case result.Verdict == checker.Unknown || result.KeysUnknown > 0:
		return "≥ " + count(n.Certain)
	case n.Certain < n.Possible:
		return count(n.Certain) + "–" + count(n.Possible)
	}
	return count(n.Certain)
}

// tally is "kill 3, partition 4", ordered by name.
func tally(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if len(parts) == 8 {
			parts = append(parts, "…")
			break
		}
		if counts[name] > 0 {
			parts = append(parts, name+" "+count(counts[name]))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// notes are what a reader must know before believing the figures.
func notes(e entry) []string {
	var notes []string
	for _, event := range e.Run.Events {
		if event.Type == history.Stop {
			notes = append(notes, fmt.Sprintf("Stopped at %s: %s", duration(event.Time), event.Reason))
		}
	}
	if e.Result.KeysUnknown > 0 {
		notes = append(notes, fmt.Sprintf("Undecided, wholly or in part: %s of %s.", counted(e.Result.KeysUnknown, "key"), count(e.Result.Keys)))
	}
	s := e.Result.Statistics
	return slices.Concat(notes,
		lines(e.Result.Warnings, maxNotes, "… and %s.", "more warning", func(warning string) string { return "Warning: " + warning }),
		lines(s.Troubles, maxNotes, "… and %s.", "more trouble", func(trouble string) string { return "Trouble: " + trouble }),
		lines(slices.Sorted(maps.Keys(s.Skipped)), maxReasons, "… and faults skipped for %s.", "more reason", func(reason string) string {
			return fmt.Sprintf("%s skipped: %s", counted(s.Skipped[reason], "fault"), reason)
		}))
}

// decisions says which engine decided how many keys, and why that one.
func decisions(result checker.Result) string {
	const limit = 3 // two lines of a terminal
	var parts []string
	for i, decision := range result.Decisions {
		if i == limit {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, fmt.Sprintf("%s by %s (%s)", counted(len(decision.Keys), "key"), decision.Engine, decision.Why))
	}
	if len(parts) == 0 {
		return "Decided: nothing."
	}
	return "Decided: " + strings.Join(parts, ", ") + "."
}

// engines names those that decided a key.
func engines(result checker.Result) string {
	var names []string
	for _, decision := range result.Decisions {
		if name := string(decision.Engine); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
