package workloads

import (
	"context"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A SetClient serves one set that only grows.
type SetClient interface {
	Add(ctx context.Context, element int64) error
	// Elements returns all elements, in any order.
	Elements(ctx context.Context) ([]int64, error)
	Close() error
}

// Set adds elements, each once, reads the whole set now and then, and once
// more through every worker in the end. It tells exactly which acknowledged
// elements were lost, because nothing ever overwrites one.
type Set struct {
	// ReadPercent is of all operations; default 4. Reads return everything, so
	// they dominate the history's size.
	ReadPercent int
}

// Name implements harness.Workload.
func (Set) Name() string { return checker.Set.String() }

var readAll = history.Operation{Kind: history.ReadAll}

// Generators implements harness.Workload.
func (s Set) Generators(workers []harness.Worker) []harness.Generator {
	return harness.PerWorker(s.generator)(workers)
}

func (s Set) generator(worker harness.Worker) harness.Generator {
	if s.ReadPercent == 0 {
		s.ReadPercent = 4
	}
	next := int64(worker.Index) // unique: a worker adds its own residue class
	return harness.Mix(worker.Rand,
		harness.Weighted{Weight: s.ReadPercent, Generator: harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) {
			return readAll, true
		})},
		harness.Weighted{Weight: 100 - s.ReadPercent, Generator: harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) {
			next += int64(worker.Of)
			return history.Operation{Kind: history.Add, Input: history.Ints(next)}, true
		})})
}

// Final implements harness.Workload.
func (Set) Final(harness.Worker) harness.Generator {
	return harness.Each([]history.Operation{readAll})
}

// Bind implements harness.Workload.
func (Set) Bind(client harness.Client) (harness.Invoke, error) {
	return bind(Set{}.Name(), client, func(ctx context.Context, set SetClient, operation history.Operation) (history.Value, error) {
		switch operation.Kind {
		case history.Add:
			return history.Value{}, set.Add(ctx, operation.Input.At(0))
		case history.ReadAll:
			elements, err := set.Elements(ctx)
			return history.Ints(elements...), err
		}
		return history.Value{}, noOperation(operation)
	})
}

// Check implements harness.Workload.
func (Set) Check(ctx context.Context, run *history.Run, options checker.Options) checker.Result {
	return checker.Check(ctx, run, checker.Set, options)
}
