// Package court asks Porcupine, the court of appeal, within budgets, and lets
// searches take turns.
package court

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rashomon-io/rashomon/checker/internal/search"
)

// A Reason is an error that is told as it is: why something cannot be decided, and
// what to do.
type Reason string

func (r Reason) Error() string { return string(r) }

const (
	// ErrDisagree means that Porcupine explains what a checker took for a violation:
	// one of them is wrong, so there is no verdict.
	ErrDisagree = Reason("an engine found a contradiction, and Porcupine does not agree; one of the two is wrong, please report it")
	// ErrUnconfirmed means that a search found a contradiction, and Porcupine did not
	// say the same within the budget.
	ErrUnconfirmed = Reason("the search finds no order, and Porcupine could not confirm that within the budget; raise it")
)

// A Budget bounds a check.
type Budget struct {
	Time        time.Duration
	MemoryBytes uint64
}

// Exhausted says in one line why an engine could not tell, and what to do.
func Exhausted(err error, what string, operations int, budget Budget) string {
	var reason Reason
	switch {
	case errors.As(err, &reason):
		return fmt.Sprintf("%s: %s", what, reason)
	case errors.Is(err, search.ErrMemory):
		return fmt.Sprintf("%s: the search needs more than the memory budget of %d MiB for %d operations; raise it, or spread the operations over more keys",
			what, budget.MemoryBytes>>20, operations)
	case errors.Is(err, ErrMemory):
		return fmt.Sprintf("%s: Porcupine needs more than the memory budget of %d MiB for %d operations, at least %d MiB; raise it, or spread the operations over more keys",
			what, budget.MemoryBytes>>20, operations, (configurationBytes(operations)*int64(operations))>>20+1)
	case errors.Is(err, context.Canceled):
		return fmt.Sprintf("%s: the check was cancelled before %d operations were decided; run it again", what, operations)
	default:
		return fmt.Sprintf("%s: %d operations were not decided within their share of the time budget of %s; raise it, or spread the operations over more keys",
			what, operations, budget.Time)
	}
}

// Share gives an nth part of the time that is left.
func Share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
}

// Workers is how many goroutines share n pieces of work.
func Workers(n int) int { return min(runtime.GOMAXPROCS(0), n) }

// Parallel works on 0 to n-1, begun in this order.
func Parallel(n int, work func(i int)) { ParallelBy(Workers(n), n, work) }

// ParallelBy is Parallel with so many goroutines.
func ParallelBy(workers, n int, work func(i int)) {
	var begun atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for i := begun.Add(1) - 1; i < int64(n); i = begun.Add(1) - 1 {
				work(int(i))
			}
		})
	}
	wg.Wait()
}
