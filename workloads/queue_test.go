package workloads_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/workloads"
)

// The final phase dequeues from every queue ever used, through several workers,
// until each worker has found it empty, and no longer.
func TestQueueIsDrained(t *testing.T) {
	const elements = 7 // in every queue
	dequeues, drainers := map[string]int{}, map[string]int{}
	for index := range 5 {
		final := workloads.Queue{}.Final(worker(index))
		got := map[string]int{}
		turn := harness.Turn{Now: 5 * time.Second, Previous: &history.Operation{Kind: history.Dequeue, Outcome: history.OK}}
		for {
			o, ok := final.Next(&turn)
			if !ok {
				break
			}
			got[o.Key]++
			o.Outcome = history.OK
			switch n := got[o.Key]; {
			case n == 3: // nobody knows, so it is asked again
				o.Outcome = history.Info
			case n <= elements:
				o.Output = history.Ints(int64(n))
			}
			turn.Previous = &o
		}
		for key, n := range got {
			dequeues[key] += n
			drainers[key]++
		}
	}
	if len(dequeues) != 9 {
		t.Errorf("%d queues are drained, want 3 generations of 3", len(dequeues))
	}
	for key, n := range dequeues {
		if drainers[key] != 5 || n != 5*(elements+1) {
			t.Errorf("%s: %d dequeues by %d workers, want %d by 5", key, n, drainers[key], 5*(elements+1))
		}
	}
}

// A queue that never says that it is empty does not keep the final phase busy
// for ever.
func TestDrainIsBounded(t *testing.T) {
	final := workloads.Queue{}.Final(worker(0))
	turn := harness.Turn{}
	for n := 0; ; n++ {
		o, ok := final.Next(&turn)
		if !ok {
			break
		}
		o.Outcome, o.Output = history.OK, history.Ints(1)
		turn.Previous = &o
		if n > 3000 {
			t.Fatal("it does not end")
		}
	}
}

type scriptedQueue struct {
	element int64
	found   bool
	err     error
}

func (s scriptedQueue) Enqueue(context.Context, string, int64) error { return s.err }
func (s scriptedQueue) Dequeue(context.Context, string) (int64, bool, error) {
	return s.element, s.found, s.err
}
func (s scriptedQueue) Close() error { return nil }

func TestDequeueSaysWhatItFound(t *testing.T) {
	reset := errors.New("reset")
	for _, c := range []struct {
		client scriptedQueue
		output history.Value
	}{
		{scriptedQueue{element: 7, found: true}, history.Ints(7)},
		{scriptedQueue{}, history.Value{}},
		{scriptedQueue{element: 7, found: true, err: reset}, history.Value{}},
	} {
		invoke, err := workloads.Queue{}.Bind(c.client)
		if err != nil {
			t.Fatal(err)
		}
		output, err := invoke(t.Context(), history.Operation{Kind: history.Dequeue})
		if diff := cmp.Diff(c.output, output); diff != "" || !errors.Is(err, c.client.err) {
			t.Errorf("%+v: %v %v", c.client, output, err)
		}
	}
}
