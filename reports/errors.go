package reports

import "github.com/rashomon-io/rashomon/checker/statistics"

// errorHeader heads errorRows.
var errorHeader = []string{"errors", "kind", "outcome", "example"}

// errorRows are the errors of clients: a row a class, at most statistics.MaxErrors.
func errorRows(classes []statistics.ErrorClass) (rows [][]string) {
	for _, class := range classes[:min(len(classes), statistics.MaxErrors)] {
		kind, became := string(class.Kind), class.Became()
		if class.Kind == "" {
			kind, became = "others", unmeasured
		}
		example := class.Example
		if class.Node != "" {
			example += " (through " + class.Node + ")"
		}
		rows = append(rows, []string{count(class.Count), kind, became, example})
	}
	return rows
}
