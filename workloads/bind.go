package workloads

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

// An Invoke carries out one operation on a client of the type C, as harness.Invoke does.
type Invoke[C any] func(ctx context.Context, client C, operation history.Operation) (history.Value, error)

// bind has operations carried out on the client, or tells what that lacks.
func bind[C any](workload string, client harness.Client, invoke Invoke[C]) (harness.Invoke, error) {
	c, ok := client.(C)
	if !ok {
		return nil, fmt.Errorf("the %s workload needs %s", workload, wanted(reflect.TypeFor[C](), client))
	}
	return func(ctx context.Context, operation history.Operation) (history.Value, error) {
		return invoke(ctx, c, operation)
	}, nil
}

// wanted says which client is needed: "a client with Add and Elements; *x.client is none
// (see workloads.SetClient)".
func wanted(want reflect.Type, client harness.Client) string {
	if want.Kind() != reflect.Interface {
		return fmt.Sprintf("a client that is a %s, and not a %T", want, client)
	}
	var methods []string
	for i := range want.NumMethod() {
		if name := want.Method(i).Name; name != "Close" {
			methods = append(methods, name)
		}
	}
	list := strings.Join(methods, ", ")
	if last := len(methods) - 1; last > 0 {
		list = strings.Join(methods[:last], ", ") + " and " + methods[last]
	}
	return fmt.Sprintf("a client with %s; %T is none (see %s)", list, client, want)
}

// noOperation is the error of an operation that a workload does not have.
func noOperation(operation history.Operation) error {
	return harness.Definite(fmt.Errorf("the workload has no operation %q", operation.Kind))
}
