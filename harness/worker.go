package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	// grace is what a call may take beyond its deadline before it is abandoned.
	grace = 100 * time.Millisecond
	// breather is how long a worker waits after a refusal, and before any other try
	// of the same operation, so that a dead node at full speed does not fill the
	// disk.
	breather = 10 * time.Millisecond
	// finalTries bounds how often a final operation is tried.
	finalTries = 20
	// finalPatience is how long a worker's node may answer nothing, until the worker
	// goes on through another one.
	finalPatience = 2 * time.Second
)

// A seat is what a Worker stands for at run time: one process after another,
// each with a client of its own, all pinned to the same node.
type seat struct {
	trial  *run
	lane   *history.Lane
	worker Worker

	process  int      // the number of the process in the seat
	session  *session // its client; nil if none is open
	previous *history.Operation

	counts *counts
	lately services
	// hung counts the calls that have not returned, of clients and of their Close.
	hung *sync.WaitGroup
}

// counts are what progress tells.
type counts struct {
	answered, failed, unknown atomic.Int64
	example                   atomicString[string] // the last error
}

func (c *counts) all() int64 { return c.answered.Load() + c.failed.Load() + c.unknown.Load() }

// A round is what a seat does from when the load begins until it ends: the
// generator's operations, each tried until it succeeds, at most tries times. If
// patience is positive, it goes on through another node when the seat's answers nothing
// for so long, or is down.
type round struct {
	ctx       context.Context
	stop      context.CancelFunc // ends all seats' rounds
	now       func() time.Duration
	generator Generator
	tries     int
	patience  time.Duration
	ended     func()

	operation history.Operation          // the present one
	try       int                        // of it, from 1
	arrived   time.Duration              // at the seat's node; 0 before the first operation
	moves     int                        // from node to node
	over      []func(*history.Operation) // called when the operation is over
}

// end tells those who wait for it that the round's operation is over; nil means that
// it was not carried out.
func (r *round) end(operation *history.Operation) {
	for _, tell := range r.over {
		tell(operation)
	}
	r.over = nil
}

// run carries out the round until its generator or ctx ends, or nothing more can be
// recorded. The client is called on run's own goroutine, as handing each call to
// another one would cost as much as a fast call takes. So if a call does not return,
// the goroutine is left behind, and run goes on in another: last is what that knows
// of the call, nil if the round begins.
func (s *seat) run(r *round, last *history.Operation) {
	var err error
	defer func() {
		if err != nil {
			r.ended()
		}
	}()
	defer s.trial.guard("the workload's generator", &err)
	timer := time.NewTimer(0)
	defer timer.Stop()
	wait := func(d time.Duration) bool {
		if d <= 0 {
			return r.ctx.Err() == nil
		}
		timer.Reset(d)
		select {
		case <-timer.C:
			return true
		case <-r.ctx.Done():
			return false
		}
	}
	for s.next(r, last, wait) {
		c := &call{seat: s, round: r}
		if !c.carryOut() {
			return // another goroutine sits here
		}
		last = &c.operation
	}
	r.ended()
}

// next has the round's operation be the one that is due, after the last one: that
// again, or a new one. It returns false if there is none.
func (s *seat) next(r *round, last *history.Operation, wait func(time.Duration) bool) bool {
	if last != nil {
		s.previous = last
		r.end(last)
		inVain := !last.Answered() && (last.Outcome == history.Fail || r.tries > 1)
		if inVain && !wait(breather<<min(r.try-1, 4)) {
			return false
		}
		if !last.Answered() && s.forsaken(r) {
			r.try = 1
			return s.move(r)
		}
		if last.Outcome != history.OK && r.try < r.tries && r.ctx.Err() == nil {
			r.try++
			return true
		}
	}
	if s.trial.recorder.Err() != nil {
		r.stop() // for others may wait for this seat
	}
	if r.ctx.Err() != nil {
		return false
	}
	turn := Turn{Now: r.now(), Previous: s.previous, round: r}
	if r.arrived == 0 {
		r.arrived = turn.Now
	}
	operation, ok := r.generator.Next(&turn)
	if err := operation.Input.Recordable(); err != nil {
		panic(err) // of the generator
	}
	r.operation, r.try = operation, 1
	due := ok && wait(turn.At-turn.Now)
	if !due {
		r.end(nil)
	}
	return due
}

// forsaken returns whether the round has no more patience with the seat's node.
func (s *seat) forsaken(r *round) bool {
	if r.patience <= 0 {
		return false
	}
	since := max(r.arrived, time.Duration(s.lately.all.answered.Load()))
	return s.trial.recorder.Now()-since > r.patience || s.trial.cluster.State(s.worker.Node) != cluster.Running
}

// move seats a new process at the next node that serves and runs. It returns false if the round
// has been at all of them, or is over.
func (s *seat) move(r *round) bool {
	nodes := s.trial.layout.serving
	at := slices.Index(nodes, s.worker.Node)
	for r.moves < len(nodes)-1 && r.ctx.Err() == nil {
		r.moves++
		at = (at + 1) % len(nodes)
		if s.trial.cluster.State(nodes[at]) != cluster.Running {
			continue
		}
		s.leave()
		s.process += s.worker.Of
		s.worker.Node, r.arrived = nodes[at], s.trial.recorder.Now()
		return true
	}
	return false
}

// A call is one try of an operation. Two goroutines have to do with it, the one that
// carries it out and the one that abandons it, of which the first takes all.
type call struct {
	seat      *seat
	round     *round
	operation history.Operation

	mu    sync.Mutex
	taken bool // it is over, and belongs to who took it
}

// take returns whether the caller is the first: the seat is its own then.
func (c *call) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.taken
	c.taken = true
	return first
}

// carryOut carries out the operation and records it. It returns false if it was
// abandoned, which it is after the trial's Timeout and grace.
func (c *call) carryOut() bool {
	s := c.seat
	s.hung.Add(1)
	defer s.hung.Done()
	// Not the round's child: the end of a phase lets the open calls come home.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.round.ctx), s.trial.Timeout)
	defer cancel()
	c.operation = c.round.operation
	c.operation.Process, c.operation.Node = s.process, s.worker.Node
	s.lane.Invoke(&c.operation)
	s.lately.open.Store(true)
	session, asked := s.session, c.operation // which may soon be another goroutine's
	asked.Key = s.trial.keyPrefix + asked.Key
	watch := time.AfterFunc(s.trial.Timeout+grace, c.abandon)
	output, err := c.invoke(ctx, session, asked)
	watch.Stop()
	if !c.take() {
		return false
	}
	if long := output.Recordable(); long != nil {
		output, err = history.Value{}, cmp.Or(err, long)
	}
	c.operation.Outcome = outcome(err)
	if refused := c.operation.Outcome == history.Fail && errors.Is(err, ErrPrecondition); err == nil || refused {
		c.operation.Output = output
	} else {
		c.operation.Error = err.Error()
	}
	s.complete(&c.operation)
	return true
}

// invoke has the session's client carry out the operation. If there is none, it opens
// one for the seat.
func (c *call) invoke(ctx context.Context, present *session, operation history.Operation) (output history.Value, err error) {
	defer c.guard(&err)
	if key := c.seat.trial.keyPrefix; key != "" && operation.Key == key {
		err = &unkeyed{c.seat.trial.Workload.Name(), operation.Kind}
		c.seat.trial.fail(err)
		return history.Value{}, Definite(err) // nothing was sent
	}
	if present != nil {
		return present.invoke(ctx, operation)
	}
	opened, err := c.seat.open(ctx)
	if err != nil {
		return history.Value{}, Definite(err) // nothing was sent
	}
	if !c.seats(opened) {
		return history.Value{}, c.seat.trial.shut(opened.client)
	}
	return opened.invoke(ctx, operation)
}

// An unkeyed is the error of a trial whose workload would touch the data of others.
type unkeyed struct {
	workload string
	kind     history.Kind
}

func (u *unkeyed) Error() string {
	return fmt.Sprintf("the workload %s has an operation without a key, %s, and in a cluster that others use every key must have a prefix: choose one whose operations all have keys, such as register", u.workload, u.kind)
}

// guard is run.guard, and says what was called.
func (c *call) guard(err *error) {
	if value := recover(); value != nil {
		what := fmt.Sprintf("a client's call (%s %s through %s)", c.operation.Kind, c.operation.Key, c.operation.Node)
		c.seat.trial.panicked(what, value, err)
	}
}

// seats has the session be the seat's, or returns false if that is another
// goroutine's by now.
func (c *call) seats(opened *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.taken {
		c.seat.session = opened
	}
	return !c.taken
}

// abandon ends a call that has not returned, and goes on with the round.
func (c *call) abandon() {
	if !c.take() {
		return
	}
	s, operation := c.seat, c.operation
	operation.Outcome = history.Info
	operation.Error = fmt.Sprintf("abandoned: the client did not return within %v", s.trial.Timeout+grace)
	s.complete(&operation)
	s.run(c.round, &operation)
}

// outcome is the one rule: nil is ok, certainty is fail, silence is info.
func outcome(err error) history.Outcome {
	switch {
	case err == nil:
		return history.OK
	case IsDefinite(err):
		return history.Fail
	default:
		return history.Info
	}
}

// complete records the end of an operation. An info retires the process: its
// last operation stays open for ever, so it can never call again.
func (s *seat) complete(operation *history.Operation) {
	s.lane.Complete(operation)
	s.lately.open.Store(false)
	s.lately.note(operation, s.trial.kinds())
	switch {
	case operation.Answered(): // also by a precondition that did not hold
		s.counts.answered.Add(1)
	case operation.Outcome == history.Fail:
		s.counts.failed.Add(1)
	default:
		s.counts.unknown.Add(1)
		s.process += s.worker.Of
		s.leave()
	}
	if operation.Error != "" {
		s.counts.example.Store(fmt.Sprintf("%q (%s through %s)", operation.Error, operation.Kind, operation.Node))
	}
}

// leave ends the session in the seat, without waiting for a call that hangs.
func (s *seat) leave() {
	if s.session == nil {
		return
	}
	session := s.session
	s.session = nil
	s.hung.Go(func() { _ = s.trial.shut(session.client) })
}

// A session is one client, and how the workload calls it.
type session struct {
	client Client
	invoke Invoke
}

func (s *seat) open(ctx context.Context) (*session, error) {
	client, err := s.trial.open(ctx, s.worker.Node)
	if err != nil {
		return nil, fmt.Errorf("open a client of %s: %w", s.worker.Node, err)
	}
	invoke, err := s.trial.Workload.Bind(client)
	if err != nil {
		_ = s.trial.shut(client)
		return nil, err
	}
	return &session{client, invoke}, nil
}
