package workloads

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A LockClient takes locks for its process. A client holds a lock from its
// acknowledged Acquire until it calls Release, or Close; the system may think
// otherwise, and that is what is tried.
type LockClient interface {
	// Acquire tries once, and need not wait: false means that another holds
	// the lock. The fencing token grows from holder to holder; 0 means that the
	// system has none.
	Acquire(ctx context.Context, lock string) (token int64, acquired bool, err error)
	// Release gives the lock back; false means that it was not held any more.
	Release(ctx context.Context, lock string) (released bool, err error)
	Close() error
}

// Lock lets workers acquire locks, use what each protects while they hold it,
// and release it. Most holds are short; some outlast the leases of systems whose
// locks expire.
//
// What locks protect is part of the workload: a resource in the harness's memory
// that all clients of a trial share. It keeps the newest fencing token that it
// has seen, and refuses older ones; where a lock has no tokens, it accepts
// everything. So a *Lock serves one trial.
//
// Locks rotate: every LockLife begins a new generation. So a lock whose holder
// nobody knows, because its acquire was never answered, is left behind. Half of the
// acquires are of the generation before, for a lock that is held for long shows
// nothing unless others want it.
type Lock struct {
	Locks    int           // of one generation; default 8
	LockLife time.Duration // default 4 s
	// A hold takes about Hold, and one in eight about LongHold, which should be
	// longer than the system's lease. So it is likely that a node which is cut
	// off has holders. Defaults 100 ms and 4 s.
	Hold, LongHold time.Duration

	resource resource
}

const (
	usesPerHold = 3
	longHolds   = 8 // one hold in so many is long
	// busyWait is how long a worker leaves a lock alone that another holds, on
	// average.
	busyWait = 50 * time.Millisecond
)

// Name implements harness.Workload.
func (*Lock) Name() string { return checker.Lock.String() }

// Generators implements harness.Workload.
func (l *Lock) Generators(workers []harness.Worker) []harness.Generator {
	return harness.PerWorker(l.generator)(workers)
}

func (l *Lock) generator(worker harness.Worker) harness.Generator {
	locks, life := cmp.Or(l.Locks, 8), cmp.Or(l.LockLife, 4*time.Second)
	hold, longHold := cmp.Or(l.Hold, 100*time.Millisecond), cmp.Or(l.LongHold, 4*time.Second)
	random := worker.Rand
	// around draws a time from half of typical to one and a half.
	around := func(typical time.Duration) time.Duration {
		return typical/2 + time.Duration(random.Int64N(int64(typical)))
	}
	var (
		held  string        // the lock that the process in the seat holds; "" if none
		token history.Value // its fencing token
		uses  int           // still to come
		pause time.Duration // between them
	)
	return harness.GeneratorFunc(func(turn *harness.Turn) (history.Operation, bool) {
		previous := turn.Previous
		switch {
		case previous == nil:
		case previous.Outcome == history.Info || previous.Kind == history.Release:
			held = "" // the holder is gone, or has tried to give it back
		case previous.Kind == history.Acquire && previous.Outcome == history.OK:
			held, token, uses = previous.Key, previous.Output, usesPerHold
			typical := hold
			if random.IntN(longHolds) == 0 {
				typical = longHold
			}
			pause = around(typical) / (usesPerHold + 1)
		case previous.Kind == history.Use && previous.Outcome == history.Fail:
			uses = 0 // it was told that it holds the lock no more
		case previous.Kind == history.Acquire:
			turn.At = max(turn.At, turn.Now+around(busyWait))
		}
		if held == "" {
			generation := max(0, int(turn.Now/life)-random.IntN(2))
			key := fmt.Sprintf("l%d.%d", generation, random.IntN(locks))
			return history.Operation{Kind: history.Acquire, Key: key}, true
		}
		turn.At = turn.Now + pause // whatever the rate
		if uses > 0 {
			uses--
			return history.Operation{Kind: history.Use, Key: held, Input: token}, true
		}
		return history.Operation{Kind: history.Release, Key: held}, true
	})
}

// Final implements harness.Workload: there is nothing to be read.
func (*Lock) Final(harness.Worker) harness.Generator { return harness.Each(nil) }

// Bind implements harness.Workload.
func (l *Lock) Bind(client harness.Client) (harness.Invoke, error) {
	return bind(l.Name(), client, func(ctx context.Context, lock LockClient, operation history.Operation) (history.Value, error) {
		switch operation.Kind {
		case history.Acquire:
			token, acquired, err := lock.Acquire(ctx, operation.Key)
			switch {
			case err != nil:
				return history.Value{}, err
			case !acquired:
				return history.Value{}, harness.ErrPrecondition
			case token == 0:
				return history.Value{}, nil
			}
			return history.Ints(token), nil
		case history.Release:
			released, err := lock.Release(ctx, operation.Key)
			if err == nil && !released {
				err = harness.ErrPrecondition
			}
			return history.Value{}, err
		case history.Use:
			if newest, accepted := l.resource.use(operation.Key, operation.Input); !accepted {
				return history.Ints(newest), harness.ErrPrecondition
			}
			return history.Value{}, nil
		}
		return history.Value{}, noOperation(operation)
	})
}

// Check implements harness.Workload.
func (*Lock) Check(ctx context.Context, run *history.Run, options checker.Options) checker.Result {
	return checker.Check(ctx, run, checker.Lock, options)
}

// A resource is what locks protect. Its methods may be called concurrently.
type resource struct {
	mu     sync.Mutex
	newest map[string]int64 // token that was accepted, by lock
}

// use accepts a token, or none, unless a newer one was accepted before.
func (r *resource) use(lock string, token history.Value) (newest int64, accepted bool) {
	if token.Len() == 0 {
		return 0, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	newest, used := r.newest[lock]
	if used && token.At(0) < newest {
		return newest, false
	}
	if r.newest == nil {
		r.newest = map[string]int64{}
	}
	r.newest[lock] = token.At(0)
	return token.At(0), true
}
