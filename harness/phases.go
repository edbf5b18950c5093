package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// phases plays quiet, faults, recovery and final. The first two end with clean,
// which the first violation ends.
func (t *Trial) phases(ctx, clean context.Context, cl cluster.Cluster, recorder *history.Recorder, load *load) error {
	begin := func(phase history.Phase) {
		recorder.Event(history.Event{Type: history.PhaseBegins, Phase: phase})
		load.phase.Store(phase)
	}
	stopTelling := load.tellProgress(t)
	defer stopTelling()

	generators, err := t.generators(load) // which outlive a stop: no value is written twice
	if err != nil {
		return err
	}
	start := func() (stop context.CancelFunc, done chan struct{}) {
		loadCtx, stop := context.WithCancel(ctx)
		done = make(chan struct{}) // every call has come home
		go func() {
			defer close(done)
			load.run(loadCtx, func(worker Worker) Generator { return generators[worker.Index] }, 1, 0)
		}()
		return stop, done
	}
	failure := func() error { return t.failure(ctx, recorder) }

	begin(history.Quiet)
	stopLoad, workersDone := start()
	endLoad := func() { stopLoad(); <-workersDone }
	defer endLoad()
	load.wait(clean, t.Quiet, t.Operations, workersDone)
	unanswered := load.awaitAnswer(clean, t, workersDone)
	if err := cmp.Or(failure(), unanswered); err != nil {
		return err
	}

	gate := newGate(cl)
	heal := func() error { return nil }
	if clean.Err() == nil {
		begin(history.Faults)
		if t.Nemesis != nil {
			heal = t.play(ctx, gate, recorder, load)
		}
		load.wait(clean, t.Duration, t.Operations, workersDone)
	}
	if errors.Is(context.Cause(clean), errOutOfTime) && ctx.Err() == nil {
		t.tell("the load is cut short at %.1f s: %v", recorder.Now().Seconds(), errOutOfTime)
	}
	var violation violated
	if errors.As(context.Cause(clean), &violation) {
		stopLoad()
		recorder.Event(history.Event{Type: history.Stop, Reason: violation.Error()})
		t.tell("stopped at %.1f s: %v; copying the nodes' data …", recorder.Now().Seconds(), violation)
		t.freeze(ctx, gate, recorder)
		<-workersDone
		stopLoad, workersDone = start()
	}
	if err := heal(); errors.As(err, new(*panicked)) {
		return failure()
	} else if err != nil {
		return errors.Join(failure(), fmt.Errorf("the nemesis %q: %w", t.Nemesis.Name(), err))
	}

	begin(history.Recovery)
	healed := recorder.Now()
	load.wait(ctx, t.Recovery, 0, workersDone)
	t.awaitRecovery(ctx, recorder, load, healed, workersDone)
	endLoad()
	if err := failure(); err != nil {
		return err
	}
	begin(history.Final)
	t.final(ctx, load)
	return failure()
}

// failure returns why the trial cannot go on; nil if it can.
func (t *Trial) failure(ctx context.Context, recorder *history.Recorder) error {
	if ctx.Err() == nil {
		return recorder.Err()
	}
	how := "interrupted"
	if errors.As(context.Cause(ctx), new(*panicked)) {
		how = "ended"
	}
	return fmt.Errorf("%s at %.1f s: %w; what was recorded is in %s", how, recorder.Now().Seconds(), context.Cause(ctx), t.Dir)
}

// final has the final operations carried out.
func (t *Trial) final(ctx context.Context, load *load) {
	ctx, cancel := context.WithTimeout(ctx, t.atMost(finalBudget, closeReserve+checkReserve))
	defer cancel()
	load.run(ctx, t.Workload.Final, finalTries, finalPatience)
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		t.tell("the final operations did not end in time and were cut short")
	}
}

// generators are the workload's, one a worker, at the trial's rate.
func (t *Trial) generators(load *load) (all []Generator, err error) {
	defer t.guard("the workload's Generators", &err)
	var workers []Worker
	for _, seat := range load.seats {
		workers = append(workers, seat.worker)
	}
	for i, generator := range Plan(t.Workload.Generators).generators(workers) {
		all = append(all, Rate(workers[i].Rand, t.Rate/float64(t.Concurrency), generator))
	}
	return all, nil
}

// play lets the nemesis work until heal is called, which returns when all is
// healed.
func (t *Trial) play(ctx context.Context, cl cluster.Cluster, recorder *history.Recorder, load *load) (heal func() error) {
	ctx, cancel := context.WithCancel(ctx)
	stage := Stage{
		Cluster: cl, World: t.World, Duration: t.Duration, Rand: random(t.Seed, 0), Leader: t.leader(cl),
		Record: func(event history.Event) {
			recorder.Event(event)
			load.note(event)
		},
	}
	played := make(chan error, 1)
	go func() {
		var err error
		defer func() { played <- err }()
		defer t.guard("the nemesis", &err)
		err = t.Nemesis.Play(ctx, stage)
	}()
	return func() error {
		cancel()
		return <-played
	}
}

// random returns a stream of its own for each seed and user.
func random(seed, user uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, user)) }
