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
	entry := Entry{run, result}
	fmt.Fprintf(w, "%s\n\n", verdictLine(entry))
	writeTable(w, []Entry{entry})
	fmt.Fprintln(w, decisions(result))
	for _, note := range notes(entry) {
		fmt.Fprintf(w, "%s\n", note)
	}
	writeViolations(w, result, textViolations)
	fmt.Fprintln(w)
	if run.Manifest.Command != "" {
		fmt.Fprintf(w, "repeat with    %s\n", clean(run.Manifest.Command, 1000))
	}
	if run.Dir != "" {
		fmt.Fprintf(w, "run directory  %s\n", clean(run.Dir, 1000))
	}
}

// Compare writes the figures of several runs side by side, then each system's
// verdict and first violations. An error of w is not reported.
func Compare(w io.Writer, entries []Entry) {
	const columns = 4 // of systems that fit into a terminal
	for some := range slices.Chunk(entries, columns) {
		writeTable(w, some)
	}
	for _, entry := range entries {
		fmt.Fprintf(w, "\n%s\n", verdictLine(entry))
		for _, note := range notes(entry) {
			fmt.Fprintf(w, "%s\n", note)
		}
		writeViolations(w, entry.Result, compareViolations)
	}
}

// writeTable writes at most 120 columns, for up to four entries.
func writeTable(w io.Writer, entries []Entry) {
	const terminal, names, rules = 118, 27, 3
	cell := (terminal-names)/len(entries) - rules
	table := tablewriter.NewTable(w,
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithRowMaxWidth(cell),
		tablewriter.WithHeaderMaxWidth(cell),
	)
	header := []string{""}
	for _, entry := range entries {
		header = append(header, entry.name())
	}
	table.Header(header)
	// Bulk and Render fail only where w does.
	_ = table.Bulk(rows(entries))
	_ = table.Render()
}

// writeViolations writes up to limit violations: a sentence, then the
// operations that prove it.
func writeViolations(w io.Writer, result checker.Result, limit int) {
	for i, violation := range result.Violations {
		if i == limit {
			fmt.Fprintf(w, "\n… and %s, in the HTML report\n", counted(len(result.Violations)-limit, "more violation"))
			return
		}
		fmt.Fprintf(w, "\n%s: %s\n", clean(string(violation.Anomaly), 30), clean(violation.Sentence, 1000))
		columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, o := range violation.Witness[:min(len(violation.Witness), maxWitness)] {
			fmt.Fprintf(columns, "    %s\n", strings.Join([]string{client(o), call(o), interval(o), outcome(o)}, "\t"))
		}
		columns.Flush()
	}
}
