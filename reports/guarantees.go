package reports

import (
	"strings"

	"github.com/rashomon-io/rashomon/checker/guarantees"
)

// promised is what a claim promises in place of linearizability alone, or admits: "claims
// monotonic reads, expects stale reads". Empty if that is nothing.
func promised(e Entry) string {
	var parts []string
	if names := admission(e).Guarantees; len(names) > 0 {
		parts = append(parts, "claims "+Clean(strings.Join(names, ", "), 300))
	}
	if text := expected(e); text != "" {
		parts = append(parts, "expects "+text)
	}
	return strings.Join(parts, ", ")
}

// guaranteeRows has a line for each guarantee that is claimed.
func guaranteeRows(results []guarantees.Result) (rows [][]string) {
	for _, g := range results {
		verdict := string(g.Verdict)
		if g.Reason != "" {
			verdict += ": " + Clean(g.Reason, 200)
		}
		rows = append(rows, []string{Clean(g.Guarantee, 60), verdict})
	}
	return rows
}
