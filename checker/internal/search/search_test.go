package search

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// muddle is a search that takes far longer than any test: enqueues that overlap,
// and are dequeued in an order that shows at the very end that there is none.
func muddle(memory *Memory) *Search {
	const n = 24
	var calls []call
	var operations []Operation
	for i := range n {
		calls = append(calls, call{name: "enqueue", input: i, Operation: Operation{0, 100}})
	}
	for i := range n {
		at := int64(200 + 10*i)
		calls = append(calls, call{name: "dequeue", output: i % (n - 1), Operation: Operation{at, at + 1}})
	}
	for _, c := range calls {
		operations = append(operations, c.Operation)
	}
	model := Comparable("", func(state string, i int) (string, bool) { return queue(state, calls[i]) })
	model.Bytes = func(s string) int { return len(s) }
	return NewGeneric(model, operations, memory)
}

func TestTime(t *testing.T) {
	const budget = 200 * time.Millisecond
	best := time.Hour // of ten, as the machine may be busy
	for try := 0; try < 10 && best > budget*11/10; try++ {
		ctx, cancel := context.WithTimeout(t.Context(), budget)
		began := time.Now()
		answer := muddle(NewMemory(1 << 30)).run(ctx)
		best = min(best, time.Since(began))
		cancel()
		if answer.Verdict != Unknown || !errors.Is(answer.Err, context.DeadlineExceeded) {
			t.Fatal(answer)
		}
	}
	if best > budget*11/10 {
		t.Errorf("took %s, of %s", best, budget)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range []*Search{muddle(NewMemory(1 << 30)), NewRegister(traffic{operations: 100, clients: 5, values: 5}.draw(1), NewMemory(1<<30))} {
		if answer := s.run(ctx); answer.Verdict != Unknown || !errors.Is(answer.Err, context.Canceled) {
			t.Error(answer)
		}
	}
}

func TestMemory(t *testing.T) {
	const budget = 4 << 20
	memory := NewMemory(budget)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	search := muddle(memory)
	most := uint64(0)
	for !search.Run(t.Context(), 100_000) {
		runtime.GC()
		runtime.ReadMemStats(&after)
		most = max(most, after.HeapAlloc-min(after.HeapAlloc, before.HeapAlloc))
	}
	if answer := search.Answer(); answer.Verdict != Unknown || !errors.Is(answer.Err, ErrMemory) {
		t.Error(answer)
	}
	t.Logf("%d KiB of %d at most", most>>10, budget>>10)
	if most > budget*11/10 {
		t.Errorf("%d KiB were in use, of %d", most>>10, budget>>10)
	}
	if left := memory.left.Load(); left != budget {
		t.Errorf("%d bytes are left of %d", left, budget)
	}
}

// What a search says that it holds must not be far from what it does hold.
func TestBytes(t *testing.T) {
	steps := traffic{operations: 100_000, clients: 20, values: 5, unknown: 0.01}.draw(1)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	search := NewRegister(steps, NewMemory(1<<30))
	search.Run(t.Context(), 100_000)
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := int(after.HeapAlloc - before.HeapAlloc)
	t.Logf("%d KiB are held, %d in use", search.held>>10, held>>10)
	if held > search.held*11/10 || held < search.held/2 {
		t.Errorf("%d bytes are in use, and %d said to be", held, search.held)
	}
	runtime.KeepAlive(search)
}

// A search that is interrupted all the time comes to the same answer.
func TestSlices(t *testing.T) {
	for seed := range uint64(300) {
		steps := universe{16, 3}.draw(rand.New(rand.NewPCG(seed, 3)))
		want := Register(t.Context(), steps, NewMemory(1<<30))
		search := NewRegister(steps, NewMemory(1<<30))
		for !search.Run(t.Context(), 1) {
		}
		if got := search.Answer(); got != want {
			t.Fatalf("seed %d: %s, but at once %s", seed, got, want)
		}
	}
}
