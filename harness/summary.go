package harness

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
)

// The most lines of each sort in a Summary.
const (
	summaryErrors     = 3
	summarySkipped    = 3
	summaryTroubles   = 3
	summaryWarnings   = 5
	summaryViolations = 5

	reasonBytes = 300 // of a reason to skip faults
)

// Summary tells a result in a few lines: what it is worth and why, what it rests
// on, what went wrong with operations and faults, and sentences for the first
// violations.
func Summary(run *history.Run, result checker.Result) string {
	var b strings.Builder
	b.WriteString(heading(run.Manifest, result))
	s := result.Statistics
	fmt.Fprintf(&b, "\n%d operations: %d answered, %d failed, %d unknown; ", s.Operations, s.OK, s.Failed, s.Unknown)
	if tellsWrong(result) {
		fmt.Fprintf(&b, "%s stale reads, %s lost commits; ", result.StaleReads, result.LostCommits)
	}
	fmt.Fprintf(&b, "%s; seed %d", landed(s.Faults), run.Manifest.Seed)

	var errors []string
	for _, class := range s.Errors {
		errors = append(errors, "errors: "+class.String())
	}
	var troubles, warnings, violations []string
	for _, trouble := range s.Troubles {
		troubles = append(troubles, "trouble: "+trouble)
	}
	for _, warning := range result.Warnings {
		warnings = append(warnings, "warning: "+warning)
	}
	for _, violation := range result.Foremost(run.Manifest.Claim) {
		violations = append(violations, fmt.Sprintf("%s: %s", violation.Title(), violation.Sentence))
	}
	list(&b, errors, summaryErrors)
	list(&b, skipped(s.Skipped), summarySkipped)
	list(&b, troubles, summaryTroubles)
	list(&b, warnings, summaryWarnings)
	list(&b, violations, summaryViolations)
	return strings.Map(printable, b.String())
}

// tellsWrong: what is only possible says nothing in a run that one order explains. Not
// all models count them.
func tellsWrong(r checker.Result) bool {
	certain, possible := r.StaleReads.Certain+r.LostCommits.Certain, r.StaleReads.Possible+r.LostCommits.Possible
	return certain > 0 || possible > 0 && r.Verdict != checker.Valid
}

func heading(manifest history.Manifest, result checker.Result) string {
	line := strings.TrimSpace(manifest.Target+" "+manifest.Options) + ": " + result.Judgement()
	if expect := manifest.Claim.Expect; len(expect) > 0 {
		line += fmt.Sprintf(" (expect: %s)", strings.Join(expect, ", "))
	}
	if claimed := manifest.Claim.Guarantees; len(claimed) > 0 {
		line += fmt.Sprintf(" (claims: %s)", strings.Join(claimed, ", "))
	}
	if why := result.Why(); why != "" {
		line += ": " + why
	}
	return line
}

// landed is "faults: kill 3, partition 4", ordered by name.
func landed(faults map[string]int) string {
	var families []string
	for _, family := range slices.Sorted(maps.Keys(faults)) {
		families = append(families, fmt.Sprintf("%s %d", family, faults[family]))
	}
	if len(families) == 0 {
		return "no faults"
	}
	return "faults: " + strings.Join(families, ", ")
}

// skipped says why faults did not land, the most frequent reason first.
func skipped(reasons map[string]int) (lines []string) {
	for _, reason := range slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(reasons[b], reasons[a]), cmp.Compare(a, b))
	}) {
		faults := "faults"
		if reasons[reason] == 1 {
			faults = "fault"
		}
		lines = append(lines, fmt.Sprintf("%d %s skipped: %s", reasons[reason], faults, clip(strings.Join(strings.Fields(reason), " "), reasonBytes)))
	}
	return lines
}

// list writes at most so many lines. Of too many, the last tells how many more
// there are.
func list(b *strings.Builder, lines []string, most int) {
	if more := len(lines) - most; more > 0 {
		lines = append(lines[:most-1:most-1], fmt.Sprintf("… and %d more", more+1))
	}
	for _, line := range lines {
		b.WriteString("\n" + line)
	}
}

// printable leaves nothing for a terminal to obey: servers word the errors.
func printable(r rune) rune {
	if r == '\n' || unicode.IsPrint(r) {
		return r
	}
	return '?'
}
