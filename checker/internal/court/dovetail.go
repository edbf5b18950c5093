package court

import (
	"context"
	"runtime"
	"sync"

	"github.com/rashomon-io/rashomon/checker/internal/search"
)

// A slice is how much of a search is done at a time, in search's units of
// effort: 1 ms at first, and twice that whenever it did not suffice, up to
// about 100 ms.
const (
	firstSlice = 1 << 14
	lastSlice  = 1 << 21
)

// Dovetail runs searches until all are over, as many at a time as there are
// processors. They take turns, so none starves for another that is hard, and
// those that need little are over first. When ctx ends, all are. No goroutine
// outlives the call.
func Dovetail(ctx context.Context, searches []*search.Search) {
	type turn struct {
		search *search.Search
		effort int
	}
	turns := make(chan turn, len(searches))
	var left, workers sync.WaitGroup
	left.Add(len(searches))
	for _, s := range searches {
		turns <- turn{s, firstSlice}
	}
	for range min(runtime.GOMAXPROCS(0), len(searches)) {
		workers.Go(func() {
			for t := range turns {
				if t.search.Run(ctx, t.effort) {
					left.Done()
				} else {
					turns <- turn{t.search, min(2*t.effort, lastSlice)}
				}
			}
		})
	}
	left.Wait()
	close(turns)
	workers.Wait()
}
