// Package reports tells people what a run showed: as text for a terminal, and
// as one self-contained HTML page.
//
// # Design
//
// Reports are pure functions of a history.Run and its checker.Result, and
// decide nothing: what they show was counted by the checker. One list of
// figures (figures.go) feeds the text table and the HTML table, and one file
// (format.go) turns numbers into words, so that both faces always agree.
//
// A run may come from anywhere, so every text in it is hostile until shown
// otherwise. A run and its result come in by one door (clean.go), where every text
// passes through Clean, which leaves no control character for a terminal, no direction
// override for a reader, and no more than fits; HTML passes through html/template on
// top of that. The only template.HTML in the package is the charts' SVG, whose words
// are ours, names of systems and of families, escaped. The page runs no script, and its
// Content-Security-Policy forbids scripts and requests.
//
// Every list on a page is bounded by a constant below, and says how many it
// leaves out, so that a run of a million operations is a page of less than
// 3 MB. The figures themselves always count everything.
package reports

import (
	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
)

// An Entry is one system in a comparison.
type Entry struct {
	Run    *history.Run
	Result checker.Result
}

// The bounds of a report.
const (
	textViolations    = 5   // of one run, in Text
	compareViolations = 3   // of one system, in a comparison
	compareErrors     = 3   // classes of one system, in a comparison
	maxWitness        = 8   // operations of a witness; the checker makes two to four
	maxNeighbours     = 60  // operations around a violation, on its page
	maxFaults         = 400 // faults drawn
	maxEvents         = 400 // events listed
	maxServices       = 64  // rows of a table by kind or node
	maxPoints         = 600 // slices along a chart's time axis
	maxSeeds          = 10  // runs of a system, or schedules, that are listed
	maxLinks          = 100 // to the reports of a system's runs
	maxNotes          = 5   // of each sort, on a run
	maxReasons        = 8   // to skip faults
	maxParts          = 20  // named verdicts of a run
	maxBars           = 40  // systems in a chart
)

// name is the system's, with its options: "raft reads=local".
func (e entry) name() string {
	manifest := e.Run.Manifest
	if manifest.Options == "" {
		return manifest.Target
	}
	return manifest.Target + " " + manifest.Options
}
