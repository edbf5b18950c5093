package harness

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A load is all the workers of a trial.
type load struct {
	cluster  cluster.Cluster
	seats    []*seat
	counts   counts
	phase    atomicString[history.Phase]
	activity atomicString[string] // the fault in force, for progress
	now      func() time.Duration
	hung     sync.WaitGroup
}

func (t *Trial) newLoad(cl cluster.Cluster, recorder *history.Recorder) *load {
	load := &load{cluster: cl, now: recorder.Now}
	nodes := cl.Nodes()
	for i := range t.Concurrency {
		load.seats = append(load.seats, &seat{
			trial: t, cluster: cl, recorder: recorder, lane: recorder.Lane(), process: i,
			worker: Worker{Index: i, Of: t.Concurrency, Node: nodes[i%len(nodes)], Rand: random(t.Seed, uint64(i)+1)},
			counts: &load.counts, hung: &load.hung,
		})
	}
	return load
}

// run lets every worker issue its generator's operations, and returns when all
// of them have come home.
func (l *load) run(ctx context.Context, generator func(Worker) Generator, tries int, patience time.Duration) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var working sync.WaitGroup
	for _, seat := range l.seats {
		working.Add(1)
		go seat.run(&round{ctx: ctx, stop: stop, generator: generator(seat.worker), tries: tries, patience: patience, ended: working.Done}, nil)
	}
	working.Wait()
}

// answerBudget is for the first answer, from the end of the quiet phase.
const answerBudget = 10 * time.Second

// tellsEnough operations without an answer are no accident.
const tellsEnough = 10

// awaitAnswer waits until an operation was answered. An error says that none was: then
// the clients are wrong, or the system is not ready, and faults would show nothing.
func (l *load) awaitAnswer(ctx context.Context, t *Trial, done <-chan struct{}) error {
	if l.counts.answered.Load() > 0 || l.counts.all() < tellsEnough {
		return nil
	}
	t.tell("none of %d operations was answered so far, such as %s; waiting …", l.counts.all(), l.counts.example.Load())
	bounded, cancel := context.WithTimeout(ctx, answerBudget)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for l.counts.answered.Load() == 0 {
		select {
		case <-poll.C:
			continue
		case <-done:
		case <-bounded.Done():
		}
		return fmt.Errorf("none of %d operations was answered, before any fault: %d failed and %d are unknown, such as %s; check the client, the target's Ready and Prepare, and the time-out of %v",
			l.counts.all(), l.counts.failed.Load(), l.counts.unknown.Load(), l.counts.example.Load(), t.Timeout)
	}
	return nil
}

// wait returns when the time is up, ctx ends, the workers are done, or, if
// operations > 0, so many are complete.
func (l *load) wait(ctx context.Context, length time.Duration, operations int, done <-chan struct{}) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	var poll <-chan time.Time
	if operations > 0 {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		poll = ticker.C
	}
	for {
		select {
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-done:
			return
		case <-poll:
			if l.counts.all() >= int64(operations) {
				return
			}
		}
	}
}

// close closes every client and waits, for a while, for calls that hang.
func (l *load) close() error {
	for _, seat := range l.seats {
		seat.leave()
	}
	home := make(chan struct{})
	go func() { l.hung.Wait(); close(home) }()
	timer := time.NewTimer(stopBudget)
	defer timer.Stop()
	select {
	case <-home:
		return nil
	case <-timer.C:
		return fmt.Errorf("some client calls ignore their context and Close, and still hang after %v", stopBudget)
	}
}
