package workloads

import (
	"cmp"
	"context"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A CounterClient serves one integer that starts at 0.
type CounterClient interface {
	Increment(ctx context.Context, delta int64) error
	Value(ctx context.Context) (int64, error)
	Close() error
}

// Counter increments one counter by 1 and reads it, and reads it once more through
// every worker in the end. By equal increments the checker decides it exactly, and
// one that is lost, or applied twice, shows in every later read.
type Counter struct {
	// ReadPercent is of all operations; default 30.
	ReadPercent int
}

// Name implements harness.Workload.
func (Counter) Name() string { return checker.Counter.String() }

var (
	read      = history.Operation{Kind: history.Read}
	increment = history.Operation{Kind: history.Increment, Input: history.Ints(1)}
)

// Generators implements harness.Workload.
func (c Counter) Generators(workers []harness.Worker) []harness.Generator {
	return harness.PerWorker(c.generator)(workers)
}

func (c Counter) generator(worker harness.Worker) harness.Generator {
	return withReads(worker, cmp.Or(c.ReadPercent, 30), read, always(increment))
}

// withReads mixes a read into updates.
func withReads(worker harness.Worker, percent int, read history.Operation, updates harness.Generator) harness.Generator {
	return harness.Mix(worker.Rand,
		harness.Weighted{Weight: percent, Generator: always(read)},
		harness.Weighted{Weight: 100 - percent, Generator: updates})
}

func always(operation history.Operation) harness.Generator {
	return harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) { return operation, true })
}

// Final implements harness.Workload.
func (Counter) Final(harness.Worker) harness.Generator {
	return harness.Each([]history.Operation{read})
}

// Bind implements harness.Workload.
func (Counter) Bind(client harness.Client) (harness.Invoke, error) {
	return bind(Counter{}.Name(), client, func(ctx context.Context, counter CounterClient, operation history.Operation) (history.Value, error) {
		switch operation.Kind {
		case history.Increment:
			return history.Value{}, counter.Increment(ctx, operation.Input.At(0))
		case history.Read:
			return one(counter.Value(ctx))
		}
		return history.Value{}, noOperation(operation)
	})
}

// one is an output of one integer, if there is no error.
func one(value int64, err error) (history.Value, error) {
	if err != nil {
		return history.Value{}, err
	}
	return history.Ints(value), nil
}

// Check implements harness.Workload.
func (Counter) Check(ctx context.Context, run *history.Run, options checker.Options) checker.Result {
	return checker.Check(ctx, run, checker.Counter, options)
}
