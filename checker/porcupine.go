package checker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sync/semaphore"

	"github.com/rashomon-io/rashomon/checker/internal/search"
)

// never is when an operation of unknown outcome returns.
const never = time.Duration(math.MaxInt64)

// A transition is an operation as its model sees it.
type transition[S comparable] interface {
	// interval is closed; the end may be never.
	interval() (call, ret time.Duration)
	// apply returns the state after the operation, or false if it cannot have
	// answered what it did in that state.
	apply(S) (S, bool)
}

// A memory is the budget that all searches of one check share.
type memory struct {
	*semaphore.Weighted
	bytes int64
}

func newMemory(bytes uint64) *memory {
	bounded := int64(min(bytes, math.MaxInt64))
	return &memory{semaphore.NewWeighted(bounded), bounded}
}

// errMemory means that a search would have outgrown its memory budget.
var errMemory = errors.New("memory budget exhausted")

// configurationBytes is what Porcupine holds for each configuration that it
// has visited, of a history of n operations: a bit for each of them, the state,
// a slot in its cache and one on its stack; doubled, because the garbage
// collector lets the heap grow to twice what lives.
func configurationBytes(n int) int64 { return 2 * (int64(n)/8 + 240) }

// linearizable asks Porcupine whether an order of the operations, starting from
// the zero state, explains them all. An error means that it could not tell:
// ctx's own, or errMemory.
func linearizable[S comparable, T transition[S]](ctx context.Context, memory *memory, operations []T) (bool, error) {
	entries := make([]porcupine.Operation, len(operations))
	for i, o := range operations {
		call, ret := o.interval()
		entries[i] = porcupine.Operation{Input: o, Call: int64(call), Return: int64(ret)}
	}
	return ask(ctx, memory, porcupine.Model{
		Init: func() any { var zero S; return zero },
		StepContext: func(_ context.Context, state, input, _ any) (bool, any) {
			after, possible := input.(T).apply(state.(S))
			return possible, after
		},
		Equal: func(a, b any) bool { return a == b },
	}, entries, func(any) int { return 0 })
}

// ask asks Porcupine, with a model that has a StepContext and an Equal. The errors
// are those of linearizable; bytes is what a state holds in memory beside a few
// words.
//
// Porcupine takes neither a context nor a memory limit, but it asks the model at
// every step. A model that refuses every step makes it unwind at once, so it
// can be stopped there, and no goroutine stays behind, as one does after its
// time-out. The model also knows how much Porcupine remembers: a configuration
// for each step that succeeds, unless Equal then finds it in the cache.
func ask(ctx context.Context, memory *memory, model porcupine.Model, operations []porcupine.Operation, bytes func(state any) int) (bool, error) {
	size := configurationBytes(len(operations))
	held := size * int64(len(operations)) // the least that a linearizable history needs
	if held > memory.bytes || held < 0 {
		return false, errMemory
	}
	if err := memory.Acquire(ctx, held); err != nil {
		return false, err
	}
	defer func() { memory.Release(held) }()

	var used, last int64 // last is of the configuration that was made last
	var stopped error
	bounded := model
	bounded.StepContext = func(_ context.Context, state, input, output any) (bool, any) {
		if stopped == nil {
			stopped = ctx.Err()
		}
		if stopped != nil {
			return false, state
		}
		possible, after := model.StepContext(ctx, state, input, output)
		if !possible {
			return false, state
		}
		last = size + 2*int64(bytes(after))
		if used += last; used > held {
			more := max(last, 1<<20)
			if !memory.TryAcquire(more) {
				stopped = errMemory
				return false, state
			}
			held += more
		}
		return true, after
	}
	bounded.Equal = func(a, b any) bool {
		if !model.Equal(a, b) {
			return false
		}
		used -= last
		return true
	}
	return porcupine.CheckOperations(bounded, operations), stopped
}

// exhausted says in one line why an engine could not tell, and what to do.
func exhausted(err error, what string, operations int, budget Budget) string {
	var reason beyond
	switch {
	case errors.As(err, &reason):
		return fmt.Sprintf("%s: %s", what, reason)
	case errors.Is(err, search.ErrMemory):
		return fmt.Sprintf("%s: the search needs more than the memory budget of %d MiB for %d operations; raise it, or spread the operations over more keys",
			what, budget.MemoryBytes>>20, operations)
	case errors.Is(err, errMemory):
		return fmt.Sprintf("%s: Porcupine needs more than the memory budget of %d MiB for %d operations, at least %d MiB; raise it, or spread the operations over more keys",
			what, budget.MemoryBytes>>20, operations, (configurationBytes(operations)*int64(operations))>>20+1)
	case errors.Is(err, context.Canceled):
		return fmt.Sprintf("%s: the check was cancelled before %d operations were decided; run it again", what, operations)
	default:
		return fmt.Sprintf("%s: %d operations were not decided within their share of the time budget of %s; raise it, or spread the operations over more keys",
			what, operations, budget.Time)
	}
}
