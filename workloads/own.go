package workloads

import (
	"context"
	"fmt"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Own is a workload of a user's own, with operations of her own, for clients of the
// type C. The example is a whole one.
type Own[C any] struct {
	// Name is the one that --workload takes, and the key to Model when a run directory
	// is judged again.
	Name string
	// Plan is what the workers do, such as harness.PerWorker of a function.
	Plan harness.Plan
	// Final returns one worker's last operations, after recovery; nil means none. What
	// no final read looks for may be lost, and nobody knows.
	Final func(harness.Worker) harness.Generator
	// Invoke carries out an operation.
	Invoke Invoke[C]
	// Kinds say what kinds of operations of her own mean, so that reads are told from
	// updates: a trial in which none of either was acknowledged has tested nothing.
	Kinds history.Kinds
	// Model is what a run is held against, such as checker.ModelOf; several are made one
	// by checker.Compose.
	Model checker.Model
}

// New returns the workload. It panics if one of Name, Plan, Invoke and Model is missing.
func New[C any](own Own[C]) harness.Workload {
	missing := ""
	switch {
	case own.Name == "":
		missing = "Name"
	case own.Plan == nil:
		missing = "Plan"
	case own.Invoke == nil:
		missing = "Invoke"
	case own.Model.String() == "":
		missing = "Model"
	}
	if missing != "" {
		panic(fmt.Sprintf("workloads: the workload %q lacks its %s", own.Name, missing))
	}
	return made[C]{own}
}

type made[C any] struct{ own Own[C] }

// Name implements harness.Workload.
func (m made[C]) Name() string { return m.own.Name }

// Kinds implements harness.OwnKinds.
func (m made[C]) Kinds() history.Kinds { return m.own.Kinds }

// Generators implements harness.Workload.
func (m made[C]) Generators(workers []harness.Worker) []harness.Generator { return m.own.Plan(workers) }

// Final implements harness.Workload.
func (m made[C]) Final(worker harness.Worker) harness.Generator {
	if m.own.Final == nil {
		return harness.Each(nil)
	}
	return m.own.Final(worker)
}

// Bind implements harness.Workload.
func (m made[C]) Bind(client harness.Client) (harness.Invoke, error) {
	return bind(m.own.Name, client, m.own.Invoke)
}

// Check implements harness.Workload.
func (m made[C]) Check(ctx context.Context, run *history.Run, options checker.Options) checker.Result {
	return checker.Check(ctx, run, m.own.Model, options)
}
