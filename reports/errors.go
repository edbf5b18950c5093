package reports

import "github.com/rashomon-io/rashomon/checker/statistics"

// errorHeader heads errorRows.
var errorHeader = []string{"errors", "kind", "outcome", "example"}

// errorRows are the errors of clients: a row a class, at most statistics.MaxErrors.
func errorRows(classes []statistics.ErrorClass) (rows [][]string) {
	for _, class := range classes[:min(len(classes), statistics.MaxErrors)] {
		kind, became := Clean(string(class.Kind), 20), class.Became()
		if class.Kind == "" {
			kind, became = "others", unmeasured
		}
		example := Clean(class.Example, 300)
		if class.Node != "" {
			example += " (through " + Clean(class.Node, 20) + ")"
		}
		rows = append(rows, []string{count(class.Count), kind, became, example})
	}
	return rows
}
