package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/rashomon-io/rashomon/harness/history"
)

// phases plays quiet, faults, recovery and final. The first two end with clean,
// which the first violation ends.
func (r *run) phases(ctx, clean context.Context) error {
	stopTelling := r.tellProgress()
	defer stopTelling()

	if err := r.plan(); err != nil {
		return err
	}
	r.begin(history.Quiet)
	r.load.start(ctx)
	defer r.load.stop()
	r.load.wait(clean, r.Quiet, r.Operations)
	unanswered := r.awaitAnswer(clean)
	if err := cmp.Or(r.failure(ctx), unanswered); err != nil {
		return err
	}

	heal := func() error { return nil }
	if clean.Err() == nil {
		r.begin(history.Faults)
		if r.Nemesis != nil {
			heal = r.play(ctx)
		}
		r.load.wait(clean, r.Duration, r.Operations)
	}
	if errors.Is(context.Cause(clean), errOutOfTime) && ctx.Err() == nil {
		r.tell("the load is cut short at %.1f s: %v", r.recorder.Now().Seconds(), errOutOfTime)
	}
	if violation, ok := errors.AsType[violated](context.Cause(clean)); ok {
		r.stopAt(ctx, violation)
	}
	if err := heal(); errors.As(err, new(*panicked)) {
		return r.failure(ctx)
	} else if err != nil {
		return errors.Join(r.failure(ctx), fmt.Errorf("the nemesis %q: %w", r.Nemesis.Name(), err))
	}

	r.begin(history.Recovery)
	healed := r.recorder.Now()
	r.load.wait(ctx, r.Recovery, 0)
	r.awaitRecovery(ctx, healed)
	r.load.stop()
	if err := r.failure(ctx); err != nil {
		return err
	}
	r.begin(history.Final)
	r.final(ctx)
	return r.failure(ctx)
}

func (r *run) begin(phase history.Phase) {
	r.recorder.Event(history.Event{Type: history.PhaseBegins, Phase: phase})
	r.load.phase.Store(phase)
}

// stopAt keeps the nodes' data of the moment of the violation, without load, which then
// goes on.
func (r *run) stopAt(ctx context.Context, violation violated) {
	r.load.cancel() // and the calls that are open come home while the data are copied
	r.recorder.Event(history.Event{Type: history.Stop, Reason: violation.Error()})
	r.tell("stopped at %.1f s: %v; copying the nodes' data …", r.recorder.Now().Seconds(), violation)
	r.freeze(ctx)
	r.load.stop()
	r.load.start(ctx)
}

// failure returns why the trial cannot go on; nil if it can.
func (r *run) failure(ctx context.Context) error {
	if ctx.Err() == nil {
		return r.recorder.Err()
	}
	how := "interrupted"
	if cause := context.Cause(ctx); errors.As(cause, new(*panicked)) || errors.As(cause, new(*unkeyed)) {
		how = "ended"
	}
	return fmt.Errorf("%s at %.1f s: %w; what was recorded is in %s", how, r.recorder.Now().Seconds(), context.Cause(ctx), r.Dir)
}

// final has the final operations carried out.
func (r *run) final(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.atMost(finalBudget, closeReserve+checkReserve))
	defer cancel()
	r.load.run(ctx, r.Workload.Final, finalTries, finalPatience)
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		r.tell("the final operations did not end in time and were cut short")
	}
}

// plan gives the load's workers what the workload wants of them, at the trial's rate.
func (r *run) plan() (err error) {
	defer r.guard("the workload's Generators", &err)
	var workers []Worker
	for _, seat := range r.load.seats {
		workers = append(workers, seat.worker)
	}
	for i, generator := range Plan(r.Workload.Generators).generators(workers) {
		r.load.generators = append(r.load.generators, Rate(workers[i].Rand, r.Rate/float64(r.Concurrency), generator))
	}
	return nil
}

// play lets the nemesis work until heal is called, which returns when all is
// healed.
func (r *run) play(ctx context.Context) (heal func() error) {
	ctx, cancel := context.WithCancel(ctx)
	stage := Stage{
		Cluster: gated{ungated{r.cluster}, r.gate}, World: r.World, Duration: r.Duration, Rand: random(r.Seed, 0), Leader: r.leader(),
		Record: func(event history.Event) {
			r.recorder.Event(event)
			r.load.note(event)
		},
	}
	played := make(chan error, 1)
	go func() {
		var err error
		defer func() { played <- err }()
		defer r.guard("the nemesis", &err)
		err = r.Nemesis.Play(ctx, stage)
	}()
	return func() error {
		cancel()
		return <-played
	}
}

// random returns a stream of its own for each seed and user.
func random(seed, user uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, user)) }
