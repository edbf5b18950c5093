package workloads

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A QueueClient serves FIFO queues.
type QueueClient interface {
	Enqueue(ctx context.Context, queue string, element int64) error
	// Dequeue takes the oldest element; false means that the queue was empty.
	Dequeue(ctx context.Context, queue string) (element int64, found bool, err error)
	Close() error
}

// Queue enqueues elements, each once, and dequeues them almost as often, so that
// queues are short and now and then empty. In the end they are drained, which
// tells what was lost.
//
// Queues rotate: a new generation of them is used every QueueLife. So each one's
// history has few operations of unknown outcome, which might excuse a loss.
type Queue struct {
	Queues    int           // used at the same time; default 3
	QueueLife time.Duration // default 2 s
	// EnqueuePercent is of all operations; the rest are dequeues. Default 52.
	EnqueuePercent int
}

const (
	finalDrainers = 5    // workers, and so nodes, through which each queue is drained
	finalDequeues = 1000 // of one worker from one queue, at most
)

func (q Queue) defaults() Queue {
	q.Queues = cmp.Or(q.Queues, 3)
	q.QueueLife = cmp.Or(q.QueueLife, 2*time.Second)
	q.EnqueuePercent = cmp.Or(q.EnqueuePercent, 52)
	return q
}

// Name implements harness.Workload.
func (Queue) Name() string { return checker.Queue.String() }

func queueKey(generation, index int) string { return fmt.Sprintf("q%d.%d", generation, index) }

// Generators implements harness.Workload.
func (q Queue) Generators(workers []harness.Worker) []harness.Generator {
	return harness.PerWorker(q.generator)(workers)
}

func (q Queue) generator(worker harness.Worker) harness.Generator {
	q = q.defaults()
	next := int64(worker.Index) // unique: a worker enqueues its own residue class
	return harness.OnKeys(func(turn *harness.Turn) string {
		return queueKey(int(turn.Now/q.QueueLife), worker.Rand.IntN(q.Queues))
	}, harness.GeneratorFunc(func(*harness.Turn) (history.Operation, bool) {
		if worker.Rand.IntN(100) >= q.EnqueuePercent {
			return history.Operation{Kind: history.Dequeue}, true
		}
		next += int64(worker.Of)
		return history.Operation{Kind: history.Enqueue, Input: history.Ints(next)}, true
	}))
}

// Final implements harness.Workload: every queue ever used is drained through
// several nodes, until each has found it empty.
func (q Queue) Final(worker harness.Worker) harness.Generator {
	q = q.defaults()
	var queues []history.Operation
	begun, dequeues := false, 0 // of the first of queues
	return harness.GeneratorFunc(func(turn *harness.Turn) (history.Operation, bool) {
		if !begun {
			begun = true
			for i := range (int(turn.Now/q.QueueLife) + 1) * q.Queues {
				if (i+worker.Index)%worker.Of < finalDrainers {
					queues = append(queues, history.Operation{Kind: history.Dequeue, Key: queueKey(i/q.Queues, i%q.Queues)})
				}
			}
			shuffle(worker.Rand, queues)
		} else if len(queues) > 0 {
			dequeues++
			if empty := turn.Previous.Outcome == history.OK && turn.Previous.Output.Len() == 0; empty || dequeues == finalDequeues {
				queues, dequeues = queues[1:], 0
			}
		}
		if len(queues) == 0 {
			return history.Operation{}, false
		}
		return queues[0], true
	})
}

// Bind implements harness.Workload.
func (Queue) Bind(client harness.Client) (harness.Invoke, error) {
	return bind(Queue{}.Name(), client, func(ctx context.Context, queue QueueClient, operation history.Operation) (history.Value, error) {
		switch operation.Kind {
		case history.Enqueue:
			return history.Value{}, queue.Enqueue(ctx, operation.Key, operation.Input.At(0))
		case history.Dequeue:
			element, found, err := queue.Dequeue(ctx, operation.Key)
			if err != nil || !found {
				return history.Value{}, err
			}
			return history.Ints(element), nil
		}
		return history.Value{}, noOperation(operation)
	})
}

// Check implements harness.Workload.
func (Queue) Check(ctx context.Context, run *history.Run, options checker.Options) checker.Result {
	return checker.Check(ctx, run, checker.Queue, options)
}
