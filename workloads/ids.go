package workloads

import (
	"context"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

// An IDClient serves integers that nobody else is given.
type IDClient interface {
	Generate(ctx context.Context) (int64, error)
	Close() error
}

// IDs asks for ids, and for nothing else.
type IDs struct{}

var generate = history.Operation{Kind: history.Generate}

// Name implements harness.Workload.
func (IDs) Name() string { return checker.IDs.String() }

// Generators implements harness.Workload.
func (IDs) Generators(workers []harness.Worker) []harness.Generator {
	return harness.PerWorker(func(harness.Worker) harness.Generator { return always(generate) })(workers)
}

// Final implements harness.Workload: one id more through every worker.
func (IDs) Final(harness.Worker) harness.Generator {
	return harness.Each([]history.Operation{generate})
}

// Bind implements harness.Workload.
func (IDs) Bind(client harness.Client) (harness.Invoke, error) {
	return bind(IDs{}.Name(), client, func(ctx context.Context, ids IDClient, operation history.Operation) (history.Value, error) {
		if operation.Kind != history.Generate {
			return history.Value{}, noOperation(operation)
		}
		return one(ids.Generate(ctx))
	})
}

// Check implements harness.Workload.
func (IDs) Check(ctx context.Context, run *history.Run, options checker.Options) checker.Result {
	return checker.Check(ctx, run, checker.IDs, options)
}
