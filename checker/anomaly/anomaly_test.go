package anomaly

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// Every anomaly that has a name here can be admitted.
func TestAnomaliesAreAll(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "anomaly.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, isSpec := n.(*ast.ValueSpec)
		if !isSpec || len(spec.Values) != 1 {
			return true
		}
		if name, isName := spec.Type.(*ast.Ident); !isName || name.Name != "Name" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if found++; !slices.Contains(All, Name(text)) {
			t.Errorf("%q is missing", text)
		}
		return true
	})
	if found != len(All) {
		t.Errorf("%d anomalies have names, %d are listed", found, len(All))
	}
}
