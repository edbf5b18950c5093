package harness

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A load is all the workers of a trial.
type load struct {
	seats      []*seat
	generators []Generator // of the seats; they outlive a stop, so that no value is written twice
	counts     counts
	phase      atomicString[history.Phase]
	activity   atomicString[string] // the fault in force, for progress
	hung       sync.WaitGroup

	cancel context.CancelFunc // of what was started last
	done   chan struct{}      // closed when every call of that has come home
}

func newLoad(r *run) *load {
	load := &load{}
	nodes := r.layout.serving
	for i := range r.Concurrency {
		load.seats = append(load.seats, &seat{
			trial: r, lane: r.recorder.Lane(), process: i,
			worker: Worker{Index: i, Of: r.Concurrency, Node: nodes[i%len(nodes)], Rand: random(r.Seed, uint64(i)+1)},
			counts: &load.counts, hung: &load.hung,
		})
	}
	return load
}

// start lets the workers issue the workload's operations, at the trial's rate.
func (l *load) start(ctx context.Context) {
	ctx, l.cancel = context.WithCancel(ctx)
	done := make(chan struct{})
	l.done = done
	go func() {
		defer close(done)
		l.run(ctx, func(worker Worker) Generator { return l.generators[worker.Index] }, 1, 0)
	}()
}

// stop returns when every worker has stopped. It may be called again.
func (l *load) stop() {
	l.cancel()
	<-l.done
}

// run lets every worker issue its generator's operations, and returns when all
// of them have come home.
func (l *load) run(ctx context.Context, generator func(Worker) Generator, tries int, patience time.Duration) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var working sync.WaitGroup
	for _, seat := range l.seats {
		working.Add(1)
		go seat.run(&round{ctx: ctx, stop: stop, now: seat.trial.recorder.Now, generator: generator(seat.worker), tries: tries, patience: patience, ended: working.Done}, nil)
	}
	working.Wait()
}

// answerBudget is for the first answer, from the end of the quiet phase.
const answerBudget = 10 * time.Second

// tellsEnough operations without an answer are no accident.
const tellsEnough = 10

// awaitAnswer waits until an operation was answered. An error says that none was: then
// the clients are wrong, or the system is not ready, and faults would show nothing.
func (r *run) awaitAnswer(ctx context.Context) error {
	counts := &r.load.counts
	if counts.answered.Load() > 0 || counts.all() < tellsEnough {
		return nil
	}
	r.tell("none of %d operations was answered so far, such as %s; waiting …", counts.all(), counts.example.Load())
	bounded, cancel := context.WithTimeout(ctx, answerBudget)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for counts.answered.Load() == 0 {
		select {
		case <-poll.C:
			continue
		case <-r.load.done:
		case <-bounded.Done():
		}
		return fmt.Errorf("none of %d operations was answered, before any fault: %d failed and %d are unknown, such as %s; check the client, the target's Ready and Prepare, and the time-out of %v",
			counts.all(), counts.failed.Load(), counts.unknown.Load(), counts.example.Load(), r.Timeout)
	}
	return nil
}

// wait returns when the time is up, ctx ends, the workers are done, or, if
// operations > 0, so many are complete.
func (l *load) wait(ctx context.Context, length time.Duration, operations int) {
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
		case <-l.done:
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
