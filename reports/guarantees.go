package reports

import (
	"strings"

	"github.com/rashomon-io/rashomon/checker/guarantees"
)

// promised is what a claim admits, or promises in place of linearizability alone: "expects
// stale reads", "claims monotonic reads". Empty if that is nothing.
func promised(e entry) []string {
	var parts []string
	if text := expected(e); text != "" {
		parts = append(parts, "expects "+text)
	}
	if names := e.Run.Manifest.Claim.Guarantees; len(names) > 0 {
		parts = append(parts, "claims "+strings.Join(names, ", "))
	}
	return parts
}

// guaranteeRows has a line for each guarantee that is claimed.
func guaranteeRows(results []guarantees.Result) (rows [][]string) {
	for _, g := range results {
		verdict := string(g.Verdict)
		if g.Reason != "" {
			verdict += ": " + g.Reason
		}
		rows = append(rows, []string{g.Guarantee, verdict})
	}
	return rows
}
