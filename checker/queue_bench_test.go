package checker

import (
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

func BenchmarkQueue(b *testing.B) {
	run := sequentialQueue(b, 100_000)
	for b.Loop() {
		if r := Check(b.Context(), run, Queue, Options{}); r.Verdict != Valid {
			b.Fatal(r.Reason)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(run.History.Operations)), "ns/operation")
}

// BenchmarkQueuePorcupine is the peer: without concurrency, its best case.
func BenchmarkQueuePorcupine(b *testing.B) {
	run := sequentialQueue(b, 2_000)
	for b.Loop() {
		if !plainPorcupineQueue(run.History.Operations) {
			b.Fatal("invalid")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(run.History.Operations)), "ns/operation")
}

// sequentialQueue is so many operations, one after the other, of a queue that
// holds about ten elements.
func sequentialQueue(b *testing.B, count int) *history.Run {
	b.Helper()
	run, dequeued := &history.Run{}, 0
	for i := range count {
		o := history.Operation{Process: 1, Key: "q", Outcome: history.OK, Invoke: time.Duration(2 * i), Complete: time.Duration(2*i + 1)}
		if i < 10 || i%2 == 0 {
			o.Kind, o.Input = history.Enqueue, history.Ints(int64(i))
		} else {
			o.Kind, o.Output = history.Dequeue, history.Ints(int64(dequeued))
			if dequeued++; dequeued > 10 {
				dequeued++ // odd ones were enqueued in the beginning only
			}
		}
		run.History.Operations = append(run.History.Operations, o)
	}
	return run
}
