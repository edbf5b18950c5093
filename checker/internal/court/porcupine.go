package court

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sync/semaphore"
)

// A Transition is an operation as its model sees it.
type Transition[S comparable] interface {
	// Interval is closed; the end may be never.
	Interval() (call, ret time.Duration)
	// Apply returns the state after the operation, or false if it cannot have
	// answered what it did in that state.
	Apply(S) (S, bool)
}

// A Memory is the budget that all searches of one check share.
type Memory struct {
	*semaphore.Weighted
	bytes int64
}

// NewMemory returns one of so many bytes.
func NewMemory(bytes uint64) *Memory {
	bounded := int64(min(bytes, math.MaxInt64))
	return &Memory{semaphore.NewWeighted(bounded), bounded}
}

// ErrMemory means that a search would have outgrown its memory budget.
var ErrMemory = errors.New("memory budget exhausted")

// configurationBytes is what Porcupine holds for each configuration that it
// has visited, of a history of n operations: a bit for each of them, the state,
// a slot in its cache and one on its stack; doubled, because the garbage
// collector lets the heap grow to twice what lives.
func configurationBytes(n int) int64 { return 2 * (int64(n)/8 + 240) }

// Linearizable asks Porcupine whether an order of the operations, starting from
// the zero state, explains them all. An error means that it could not tell:
// ctx's own, or ErrMemory.
func Linearizable[S comparable, T Transition[S]](ctx context.Context, memory *Memory, operations []T) (bool, error) {
	entries := make([]porcupine.Operation, len(operations))
	for i, o := range operations {
		call, ret := o.Interval()
		entries[i] = porcupine.Operation{Input: o, Call: int64(call), Return: int64(ret)}
	}
	return Ask(ctx, memory, porcupine.Model{
		Init: func() any { var zero S; return zero },
		StepContext: func(_ context.Context, state, input, _ any) (bool, any) {
			after, possible := input.(T).Apply(state.(S))
			return possible, after
		},
		Equal: func(a, b any) bool { return a == b },
	}, entries, func(any) int { return 0 })
}

// Ask asks Porcupine, with a model that has a StepContext and an Equal. The errors
// are those of Linearizable; bytes is what a state holds in memory beside a few
// words.
//
// Porcupine takes neither a context nor a memory limit, but it asks the model at
// every step. A model that refuses every step makes it unwind at once, so it
// can be stopped there, and no goroutine stays behind, as one does after its
// time-out. The model also knows how much Porcupine remembers: a configuration
// for each step that succeeds, unless Equal then finds it in the cache.
func Ask(ctx context.Context, memory *Memory, model porcupine.Model, operations []porcupine.Operation, bytes func(state any) int) (bool, error) {
	size := configurationBytes(len(operations))
	held := size * int64(len(operations)) // the least that a linearizable history needs
	if held > memory.bytes || held < 0 {
		return false, ErrMemory
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
				stopped = ErrMemory
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
