package harness

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	// grace is what a call may take beyond its deadline before it is abandoned.
	grace = 100 * time.Millisecond
	// breather is how long a worker waits after a refusal, so that a dead node
	// at full speed does not fill the disk with refusals.
	breather = 10 * time.Millisecond
	// finalTries bounds how often a final operation is tried.
	finalTries = 20
)

// A seat is what a Worker stands for at run time: one process after another,
// each with a client of its own, all pinned to the same node.
type seat struct {
	trial    *Trial
	cluster  cluster.Cluster
	recorder *history.Recorder
	lane     *history.Lane
	worker   Worker

	process  int      // the number of the process in the seat
	session  *session // its client; nil if none is open
	previous *history.Operation

	counts *counts
	lastOK atomic.Int64 // when the last successful operation was invoked
	// hung counts the sessions that have not ended.
	hung *sync.WaitGroup
}

// counts are what progress tells.
type counts struct{ ok, failed, unknown atomic.Int64 }

func (c *counts) all() int64 { return c.ok.Load() + c.failed.Load() + c.unknown.Load() }

// run issues the generator's operations until it or ctx ends, or nothing more
// can be recorded. Each is tried until it succeeds, at most tries times.
func (s *seat) run(ctx context.Context, generator Generator, tries int) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wait := func(d time.Duration) bool {
		if d <= 0 {
			return ctx.Err() == nil
		}
		timer.Reset(d)
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for ctx.Err() == nil && s.recorder.Err() == nil {
		turn := Turn{Now: s.recorder.Now(), Previous: s.previous}
		operation, ok := generator.Next(&turn)
		if !ok || !wait(turn.At-turn.Now) {
			return
		}
		for try := 1; ; try++ {
			done := s.call(ctx, operation, timer)
			s.previous = &done
			if done.Outcome == history.OK {
				break
			}
			refused := done.Outcome == history.Fail && done.Error != ""
			if refused && !wait(breather<<min(try-1, 4)) {
				return
			}
			if try >= tries || ctx.Err() != nil {
				break
			}
		}
	}
}

// call carries out one operation and records it. It never takes longer than
// the trial's Timeout plus grace.
func (s *seat) call(ctx context.Context, operation history.Operation, timer *time.Timer) history.Operation {
	operation.Process, operation.Node = s.process, s.worker.Node
	// Not ctx's child: the end of a phase lets the open calls come home.
	callCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.trial.Timeout)
	defer cancel()

	s.lane.Invoke(&operation)
	if s.session == nil {
		s.session = s.begin()
	}
	s.session.calls <- request{callCtx, operation}
	timer.Reset(s.trial.Timeout + grace)
	select {
	case reply := <-s.session.replies:
		if reply.ended {
			s.leave()
		}
		operation.Output = reply.output
		operation.Outcome = outcome(reply.err)
		if reply.err != nil && !(operation.Outcome == history.Fail && errors.Is(reply.err, ErrPrecondition)) {
			operation.Error = reply.err.Error()
		}
	case <-timer.C:
		operation.Outcome = history.Info
		operation.Error = fmt.Sprintf("abandoned: the client did not return within %v", s.trial.Timeout+grace)
	}
	return s.complete(operation)
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
func (s *seat) complete(operation history.Operation) history.Operation {
	s.lane.Complete(&operation)
	switch operation.Outcome {
	case history.OK:
		s.counts.ok.Add(1)
		s.lastOK.Store(int64(operation.Invoke))
	case history.Fail:
		s.counts.failed.Add(1)
		if operation.Error == "" {
			s.lastOK.Store(int64(operation.Invoke))
		}
	case history.Info:
		s.counts.unknown.Add(1)
		s.process += s.worker.Of
		s.leave()
	}
	return operation
}

// leave ends the session in the seat, without waiting for a call that hangs.
func (s *seat) leave() {
	if s.session == nil {
		return
	}
	session := s.session
	s.session = nil
	close(session.calls)
	s.hung.Go(func() {
		if client := <-session.client; client != nil {
			_ = client.Close()
		}
	})
}

// A session is one client and the goroutine that opens and calls it, so that a
// call that does not return can be left behind.
type session struct {
	client  chan Client // gets one when it is open, or nil if it cannot be opened
	calls   chan request
	replies chan reply
}

type request struct {
	ctx       context.Context
	operation history.Operation
}

type reply struct {
	output history.Value
	err    error
	ended  bool // the session, which has no client
}

// begin returns a session whose first call opens the client.
func (s *seat) begin() *session {
	// One reply fits, so that an abandoned call can end.
	began := &session{make(chan Client, 1), make(chan request), make(chan reply, 1)}
	s.hung.Go(func() {
		first := <-began.calls
		client, invoke, err := s.open(first.ctx)
		began.client <- client
		if err == nil && first.ctx.Err() != nil { // abandoned, perhaps
			err = fmt.Errorf("open a client of %s: %w", s.worker.Node, first.ctx.Err())
		}
		if err != nil {
			// Nothing was sent.
			began.replies <- reply{err: Definite(err), ended: true}
			return
		}
		for request := first; ; {
			output, err := invoke(request.ctx, request.operation)
			began.replies <- reply{output: output, err: err}
			var more bool
			if request, more = <-began.calls; !more {
				return
			}
		}
	})
	return began
}

// open returns a client, which is nil if there is an error, and how the workload
// calls it.
func (s *seat) open(ctx context.Context) (Client, Invoke, error) {
	client, err := s.trial.Target.Open(ctx, s.cluster, s.worker.Node)
	if err != nil {
		return nil, nil, fmt.Errorf("open a client of %s: %w", s.worker.Node, err)
	}
	invoke, err := s.trial.Workload.Bind(client)
	if err != nil {
		_ = client.Close()
		return nil, nil, err
	}
	return client, invoke, nil
}
