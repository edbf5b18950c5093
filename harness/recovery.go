package harness

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A service is what operations of some sort got lately: when, since the run began,
// the last one that has completed was invoked, and the last one that was answered.
// Zero means none.
type service struct{ asked, answered atomic.Int64 }

func (s *service) note(operation *history.Operation, answered bool) {
	s.asked.Store(int64(operation.Invoke))
	if answered {
		s.answered.Store(int64(operation.Invoke))
	}
}

func (s *service) askedSince(moment time.Duration) bool { return s.asked.Load() > int64(moment) }

func (s *service) answeredSince(moment time.Duration) bool { return s.answered.Load() > int64(moment) }

// services are one seat's.
type services struct {
	all, reads, updates service
	open                atomic.Bool // an operation waits for its answer
}

func (s *services) note(operation *history.Operation, kinds history.Kinds) {
	if operation.Kind == history.Use {
		return // which no node serves
	}
	s.all.note(operation, operation.Answered())
	acknowledged := operation.Outcome == history.OK
	m := kinds.Of(operation.Kind)
	if m.Reads {
		s.reads.note(operation, acknowledged)
	}
	refusedLock := operation.Kind == history.Acquire // no other refusal shows that it does not serve
	if m.Updates && (acknowledged || !operation.Answered() || refusedLock) {
		s.updates.note(operation, acknowledged)
	}
}

// A recovery is how far the cluster is.
type recovery struct {
	waits    bool           // something has not served that may still come
	unserved []cluster.Node // that are down, or were asked in vain
	down     []string       // of these: "n2 is exited"
	lacks    []string       // asked for in vain: "update", "read"
}

// recovery returns what has been served since the moment, through nodes that run
// now.
func (r *run) recovery(since time.Duration) (now recovery) {
	for _, node := range r.cluster.Nodes() {
		var seated, asked, served bool
		for _, seat := range r.load.seats {
			if seat.worker.Node == node {
				seated = true
				asked = asked || seat.lately.all.askedSince(since) || seat.lately.open.Load()
				served = served || seat.lately.all.answeredSince(since)
			}
		}
		state := r.cluster.State(node)
		switch {
		case state != cluster.Running:
			now.down = append(now.down, fmt.Sprintf("%s is %s", node, state))
			now.unserved = append(now.unserved, node)
		case seated && !served:
			now.waits = true
			if asked {
				now.unserved = append(now.unserved, node)
			}
		}
	}
	for _, kind := range []struct {
		name string
		of   func(*services) *service
	}{
		{"update", func(s *services) *service { return &s.updates }},
		{"read", func(s *services) *service { return &s.reads }},
	} {
		var issued, asked, served bool
		for _, seat := range r.load.seats {
			of := kind.of(&seat.lately)
			issued = issued || of.asked.Load() > 0
			asked = asked || of.askedSince(since)
			served = served || of.answeredSince(since)
		}
		now.waits = now.waits || issued && !served
		if asked && !served {
			now.lacks = append(now.lacks, kind.name)
		}
	}
	return now
}

// awaitRecovery waits, within recoveryBudget, until every node has served what was
// invoked after the healing, and an update and a read have been acknowledged, as far
// as the workload has them. What has not is recorded. Nothing brings a node back that
// is down, so that is not waited for.
func (r *run) awaitRecovery(ctx context.Context, healed time.Duration) {
	budget := recoveryBudget - (r.recorder.Now() - healed)
	bounded, cancel := context.WithTimeout(ctx, r.atMost(budget, closeReserve+checkReserve+finalReserve))
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	var reached recovery
	for {
		if reached = r.recovery(healed); !reached.waits {
			break
		}
		select {
		case <-poll.C:
			continue
		case <-r.load.done: // the workload has no more operations
			return
		case <-bounded.Done():
		}
		break
	}
	took := r.recorder.Now() - healed
	if ctx.Err() != nil || len(reached.unserved)+len(reached.lacks) == 0 {
		return
	}
	excuses := reached.down
	if reached.waits && took < recoveryBudget {
		excuses = append([]string{"as " + errOutOfTime.Error()}, excuses...)
	}
	event := history.Event{Type: history.Unserved, Nodes: reached.unserved, Took: took, Reason: strings.Join(excuses, ", ")}
	if len(reached.lacks) > 0 {
		event.Detail = "no " + strings.Join(reached.lacks, " and no ") + " was acknowledged"
	}
	r.recorder.Event(event)
	r.tell("%.1f s after the recovery phase began, %s", took.Seconds(), unservedText(event))
}

func unservedText(event history.Event) string {
	var parts []string
	if len(event.Nodes) > 0 {
		parts = append(parts, "not served again: "+strings.Join(event.Nodes, " "))
	}
	for _, part := range []string{event.Detail, event.Reason} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "; ")
}
