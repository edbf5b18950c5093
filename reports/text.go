package reports

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Text writes the summary of one run: the verdict in a line, the figures, the
// violations with their witnesses, and how to repeat the run. An error of w is
// not reported.
func Text(w io.Writer, run *history.Run, result checker.Result) {
	entry := enter(Entry{run, result})
	fmt.Fprintf(w, "%s\n\n", verdictLine(entry))
	writeTable(w, []string{"", entry.name()}, rows(entry))
	fmt.Fprintln(w, decisions(entry.Result))
	for _, note := range notes(entry) {
		fmt.Fprintf(w, "%s\n", note)
	}
	if rows := errorRows(entry.Result.Statistics.Errors); rows != nil {
		writeTable(w, errorHeader, rows)
	}
	writeViolations(w, entry, textViolations)
	fmt.Fprintln(w)
	if command := entry.Run.Manifest.Command; command != "" {
		fmt.Fprintf(w, "repeat with    %s\n", command)
	}
	if dir := entry.Run.Dir; dir != "" {
		fmt.Fprintf(w, "run directory  %s\n", dir)
	}
}

// writeTable writes at most 120 columns.
func writeTable(w io.Writer, header []string, rows [][]string) {
	const cell = 88 // beside short ones
	table := tablewriter.NewTable(w,
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithRowMaxWidth(cell),
		tablewriter.WithHeaderMaxWidth(cell),
	)
	table.Header(header)
	// Bulk and Render fail only where w does.
	_ = table.Bulk(rows)
	_ = table.Render()
}

// writeViolations writes up to limit violations: a sentence, then the
// operations that prove it, which some do not need: a node that ended by itself.
func writeViolations(w io.Writer, entry entry, limit int) {
	violations, all := entry.violations(limit)
	for _, violation := range violations {
		fmt.Fprintf(w, "\n%s: %s\n", violation.Title(), violation.Sentence)
		columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, o := range violation.Witness {
			cells := []string{client(o), call(o, violation.Elements), interval(o), outcome(o)}
			if entry.Run.History.Untimed {
				cells = slices.Delete(cells, 2, 3)
			}
			fmt.Fprintf(columns, "    %s\n", strings.Join(cells, "\t"))
		}
		columns.Flush()
		if more := violation.more(); more != "" {
			fmt.Fprintf(w, "    %s\n", more)
		}
	}
	if more := all - len(violations); more > 0 {
		fmt.Fprintf(w, "\n… and %s, in the HTML report\n", counted(more, "more violation"))
	}
}
