package harness

import (
	"context"
	"fmt"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// A Streamer is a Workload whose violations can be found during the trial, as
// Trial.FailFast needs it.
type Streamer interface {
	Workload
	// Stream returns a fresh stream for the operations of one trial.
	Stream() *checker.Stream
}

// CanFailFast returns why the workload's violations are not found during a trial; nil
// if they are.
func CanFailFast(workload Workload) error {
	if _, streams := workload.(Streamer); !streams {
		return fmt.Errorf("fail-fast is not available for the workload %s, whose violations only show afterwards", workload.Name())
	}
	return nil
}

// A failFast watches the history of a trial, and stops the load at the first
// violation, which is then the cause why its context has ended.
type failFast struct {
	*checker.Stream
	stop context.CancelCauseFunc
}

// A violated is why a load was stopped.
type violated struct{ *checker.Alarm }

func (v violated) Error() string { return "first violation: " + v.Alarm.String() }

// Complete implements history.Observer.
func (l failFast) Complete(op *history.Operation) {
	l.Stream.Complete(op)
	if alarm := l.Alarm(); alarm != nil {
		l.stop(violated{alarm})
	}
}

// freeze keeps copies of all nodes' data, of one moment: those that run are
// paused meanwhile. What cannot be had is recorded as trouble.
func (r *run) freeze(ctx context.Context) {
	r.gate.freeze()
	defer r.gate.thaw()
	ctx = context.WithoutCancel(ctx)
	failed := func(node cluster.Node, err error) {
		r.recorder.Event(history.Event{Type: history.Trouble, Nodes: []string{node}, Reason: err.Error()})
	}
	paused := r.copyData(ctx, failed)
	r.onEach(ctx, paused, r.cluster.Resume, failed)
}
