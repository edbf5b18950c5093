package reports

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/counts"
)

// A table of a comparison has a system in each row, so that many systems make
// it longer and not wider. A cell may have several lines.
type table struct {
	title  string
	header []string
	rows   [][]string
}

// A column of a table: a head, and a cell for each system.
type column struct {
	head string
	cell func(System) string
}

// The tables: first the trade that CAP is about, then how bad it was, and what it
// cost.
var comparisonTables = []struct {
	title   string
	columns []column
}{
	{"What each refused, and what it got wrong", []column{
		{"claims", func(s System) string {
			claim := "weaker"
			if s.Claim.Linearizable() {
				claim = "linearizable"
			}
			return strings.TrimPrefix(s.Claim.CAP+", "+claim, ", ")
		}},
		{"verdict", verdicts},
		{"as claimed", func(s System) string { return runs(s.AsClaimed) }},
		{"answered on majority side", func(s System) string { return share(s.Majority) }},
		{"answered on minority side", func(s System) string { return share(s.Minority) }},
		{"lost commits, of writes", func(s System) string { return withCount(s.LostCommits) }},
		{"stale reads, of reads", func(s System) string { return withCount(s.StaleReads) }},
	}},
	{"How wrong, and where", []column{
		{"stale by, p50", func(s System) string { return span(s.AgeP50) }},
		{"stale by, p99", func(s System) string { return span(s.AgeP99) }},
		{"at most", func(s System) string { return none(s.AgeP50, duration(s.AgeMax)) }},
		{"versions behind, p50 / p99 / max", func(s System) string {
			return none(s.VersionsP50, fmt.Sprintf("%.3g / %.3g / %s", s.VersionsP50.Mean, s.VersionsP99.Mean, count(s.VersionsMax)))
		}},
		{"on majority side: stale, lost", func(s System) string { return wrong(s, s.Majority, s.MajorityWrong) }},
		{"on minority side: stale, lost", func(s System) string { return wrong(s, s.Minority, s.MinorityWrong) }},
	}},
	{"How available", []column{
		{"answered before faults", func(s System) string { return share(s.Before) }},
		{"during faults", func(s System) string { return share(s.During) }},
		{"after faults", func(s System) string { return share(s.After) }},
		{"new leader", func(s System) string { return ofSeen(s, s.NewLeader, s.LeaderChanges) }},
		{"recovery", func(s System) string { return ofSeen(s, s.Recovery, s.Recovered) }},
	}},
	{"How fast", []column{
		{"ok per s before faults", func(s System) string { return rate(s.PerSecondBefore) }},
		{"ok per s during", func(s System) string { return rate(s.PerSecondDuring) }},
		{"p50 / p99 before", func(s System) string { return latencies(s.P50Before, s.P99Before) }},
		{"p50 / p99 during", func(s System) string { return latencies(s.P50During, s.P99During) }},
	}},
}

func tables(c Comparison) []table {
	var all []table
	for _, of := range comparisonTables {
		t := table{title: of.title, header: []string{""}}
		for _, column := range of.columns {
			t.header = append(t.header, column.head)
		}
		for _, system := range c.Systems {
			row := []string{system.Name}
			for _, column := range of.columns {
				cell := unmeasured
				if len(system.Runs) > 0 {
					cell = column.cell(system)
				}
				row = append(row, cell)
			}
			t.rows = append(t.rows, row)
		}
		all = append(all, t)
	}
	if t := partsTable(c); len(t.header) > 1 {
		all = append(all, t)
	}
	return all
}

// partsTable has a column for each of the named verdicts.
func partsTable(c Comparison) table {
	t := table{title: "What each part of the check says", header: []string{""}}
	for _, system := range c.Systems {
		for _, run := range system.Runs {
			for _, part := range run.Parts {
				if name := part.Name; !slices.Contains(t.header, name) && len(t.header) <= maxParts {
					t.header = append(t.header, name)
				}
			}
		}
	}
	for _, system := range c.Systems {
		row := []string{system.Name}
		for _, name := range t.header[1:] {
			row = append(row, system.partVerdicts(name))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// partVerdicts is what a part says of the system's runs: "2 × invalid, 1 × valid".
func (s System) partVerdicts(name string) string {
	runs := map[string]int{}
	for _, run := range s.Runs {
		for _, part := range run.Parts {
			if part.Name == name {
				runs[string(part.Verdict)]++
			}
		}
	}
	var cells []string
	for _, verdict := range slices.Sorted(maps.Keys(runs)) {
		cells = append(cells, fmt.Sprintf("%d × %s", runs[verdict], verdict))
	}
	return cmp.Or(strings.Join(cells, ", "), unmeasured)
}

// Text writes the comparison for a terminal: tables, the schedules, and each
// system's verdicts with the first violations of one run. An error of w is not
// reported.
func (c Comparison) Text(w io.Writer) {
	for _, t := range tables(c) {
		fmt.Fprintf(w, "%s\n", t.title)
		t.write(w)
	}
	if hint := c.hint(); hint != "" {
		fmt.Fprintln(w, hint)
	}
	for _, lines := range [][]string{c.schedule(), c.untried()} {
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
	}
	for _, system := range c.Systems {
		if len(system.Runs) == 0 {
			continue
		}
		fmt.Fprintln(w)
		for _, line := range system.verdictLines() {
			fmt.Fprintln(w, line)
		}
		for _, note := range notes(system.shown) {
			fmt.Fprintln(w, note)
		}
		if system.shown.Result.Vacuous != "" {
			rows := errorRows(system.shown.Result.Statistics.Errors)
			for _, row := range rows[:min(len(rows), compareErrors)] {
				fmt.Fprintf(w, "%s × %s, %s: %s\n", row[0], row[1], row[2], row[3])
			}
		}
		writeViolations(w, system.shown, compareViolations)
	}
}

// hint says what the lines of a cell are, where there is more than a figure.
func (c Comparison) hint() string {
	if !slices.ContainsFunc(c.Systems, func(s System) bool { return len(s.Runs) > 1 }) {
		return ""
	}
	return "Below a figure: its 95 % confidence interval, with runs as what is independent."
}

func (c Comparison) schedule() []string {
	return lines(c.Schedules, maxSeeds, "… and %s, in "+ComparisonFile+".", "more seed", Schedule.line)
}

func (c Comparison) untried() (all []string) {
	for _, s := range c.Systems {
		untried := lines(s.Untried, maxSeeds, "… and %s that could not be tried.", "more run", func(u Untried) string {
			return fmt.Sprintf("not tried with seed %d: %s", u.Seed, u.Reason)
		})
		for _, line := range untried {
			all = append(all, s.Name+": "+line)
		}
	}
	return all
}

// verdictLines are those of the runs, the seed in front where there are several.
func (s System) verdictLines() []string {
	if len(s.Runs) == 1 {
		return []string{s.Runs[0].line}
	}
	return lines(s.Runs, maxSeeds, "… and %s.", "more run", func(run Judged) string { return fmt.Sprintf("seed %d: %s", run.Seed, run.line) })
}

// write keeps to the width of a terminal.
func (t table) write(w io.Writer) {
	const terminal, names = 118, 18
	cell := (terminal-names)/(len(t.header)-1) - 1 // for a rule
	out := tablewriter.NewTable(w,
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNormal),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithRowMaxWidth(cell),
		tablewriter.WithHeaderMaxWidth(cell),
	)
	out.Header(t.header)
	// Bulk and Render fail only where w does.
	_ = out.Bulk(t.rows)
	_ = out.Render()
}

func verdicts(s System) string {
	tally := map[string]int{}
	for _, run := range s.Runs {
		name, _, _ := strings.Cut(checker.Result{Verdict: run.Verdict, AsClaimed: run.AsClaimed}.Judgement(), ",")
		switch {
		case run.Vacuous && run.Verdict == checker.Valid:
			name = "VACUOUS"
		case run.Vacuous:
			name += ", VACUOUS"
		}
		tally[name]++
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(tally)) {
		if len(s.Runs) > 1 {
			name += fmt.Sprintf(" × %d", tally[name])
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, "\n")
}

func runs(s Share) string {
	return fmt.Sprintf("%d of %d", s.Count, s.Of) + interval95(s.Interval, percent)
}

func share(s Share) string {
	if s.Of == 0 {
		return unmeasured
	}
	return percent(s.value()) + interval95(s.Interval, percent)
}

// withCount shows none as none, and else the share with its count.
func withCount(s Share) string {
	if s.Of == 0 && s.Count == 0 && !s.AtLeast {
		return unmeasured
	}
	least := ""
	if s.AtLeast {
		least = "≥ "
	}
	n := least + count(s.Count)
	if s.Possible > 0 {
		n += "–" + count(s.Possible)
	}
	if s.Of > 0 && s.Possible+s.Count > 0 {
		n = least + percent(s.value()) + "\n" + n
	}
	return n + " of " + count(s.Of) + interval95(s.Interval, percent)
}

func span(m Mean) string {
	return none(m, seconds(m.Mean)+interval95(m.Interval, seconds))
}

func seconds(s float64) string { return duration(time.Duration(s * float64(time.Second))) }

func rate(m Mean) string {
	perSecond := func(n float64) string { return count(int(n + 0.5)) }
	return none(m, perSecond(m.Mean)+interval95(m.Interval, perSecond))
}

func latencies(p50, p99 Mean) string {
	return none(p50, seconds(p50.Mean)+" / "+seconds(p99.Mean))
}

// ofSeen is a mean of what was seen, and how much that is: what was never seen
// took longest. Of a single run, it says so only if that is news.
func ofSeen(s System, m Mean, seen Share) string {
	if seen.Of == 0 {
		return unmeasured
	}
	text := "not seen"
	if m.Runs > 0 {
		text = span(m)
	}
	if len(s.Runs) == 1 && (seen.Of == 1 || seen.Count == seen.Of) {
		return text
	}
	return text + fmt.Sprintf("\n%d of %d seen", seen.Count, seen.Of)
}

func wrong(s System, side Share, wrong counts.Sides) string {
	if side.Of == 0 || !countsSides(s.shown.Result) {
		return unmeasured
	}
	return count(wrong.StaleReads) + ", " + count(wrong.LostCommits)
}

// none is for figures that no run tells.
func none(m Mean, text string) string {
	if m.Runs == 0 {
		return unmeasured
	}
	return text
}

// interval95 is a line of its own, if there is an interval.
func interval95(i *Interval, show func(float64) string) string {
	if i == nil {
		return ""
	}
	low, high := show(i.Low), show(i.High)
	if i.Low == 0 {
		low = "0"
	}
	// One unit is enough.
	if space := strings.LastIndex(low, " "); space >= 0 && strings.HasSuffix(high, low[space:]) {
		low = low[:space]
	}
	return "\n" + low + "–" + high
}
