package court

import (
	"context"
	"sync"
)

// A slice is how much of a search is done at a time, in search's units of
// effort: 1 ms at first, and twice that whenever it did not suffice, up to
// about 100 ms.
const (
	firstSlice = 1 << 14
	lastSlice  = 1 << 21
)

// A Task is work that can be interrupted, such as a search.
type Task interface {
	// Run goes on for about some effort, and reports whether it is over.
	Run(ctx context.Context, effort int) (over bool)
}

// Dovetail runs tasks until all are over, so many at a time. They take turns, so none
// starves for another that is hard, and those that need little are over first. When
// ctx ends, all are. No goroutine outlives the call.
func Dovetail[T Task](ctx context.Context, workers int, tasks []T) {
	type turn struct {
		task   T
		effort int
	}
	turns := make(chan turn, len(tasks))
	var left, running sync.WaitGroup
	left.Add(len(tasks))
	for _, t := range tasks {
		turns <- turn{t, firstSlice}
	}
	for range min(workers, len(tasks)) {
		running.Go(func() {
			for t := range turns {
				if t.task.Run(ctx, t.effort) {
					left.Done()
				} else {
					turns <- turn{t.task, min(2*t.effort, lastSlice)}
				}
			}
		})
	}
	left.Wait()
	close(turns)
	running.Wait()
}
