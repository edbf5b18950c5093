package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	startBudget    = 60 * time.Second       // from the first process to a cluster that serves
	readyAttempt   = 500 * time.Millisecond // one call of Target.Ready
	leaderBudget   = 500 * time.Millisecond // one call of Target.Leader
	recoveryBudget = 15 * time.Second       // from healing to success through every node
	finalBudget    = 60 * time.Second       // for the final operations
	stopBudget     = 5 * time.Second        // for client calls to return after their client was closed
	progressEvery  = 2 * time.Second
)

// Run runs the trial and judges it. What it recorded stays in trial.Dir, also
// when it fails or ctx ends; the returned run has that directory's name. An
// error means that the trial could not be carried out, not that the target
// misbehaved: that is what the result says. An error beside a result that has a
// verdict is of what came after: the report could not be written, or the cluster not
// be removed.
func Run(ctx context.Context, trial Trial) (*history.Run, checker.Result, error) {
	none := checker.Result{}
	if err := trial.complete(); err != nil {
		return nil, none, err
	}
	if trial.Dir == "" {
		dir, err := history.CreateRunDir("runs", trial.Target.String()+"-"+trial.Workload.Name(), time.Now())
		if err != nil {
			return nil, none, err
		}
		trial.Dir = dir
	}
	if _, err := os.Stat(filepath.Join(trial.Dir, history.HistoryFile)); err == nil {
		return nil, none, fmt.Errorf("trial: %s is a run's already; choose another directory", trial.Dir)
	}
	if err := os.MkdirAll(filepath.Join(trial.Dir, history.LogsDir), 0o755); err != nil {
		return nil, none, err
	}
	left, err := trial.record(ctx)
	if err != nil {
		return &history.Run{Dir: trial.Dir}, none, errors.Join(err, left)
	}
	trial.tell("checking …")
	run, err := history.ReadRun(trial.Dir)
	if err != nil {
		return &history.Run{Dir: trial.Dir}, none, err
	}
	result := trial.Workload.Check(ctx, run, trial.Options)
	if err := history.WriteJSON(filepath.Join(trial.Dir, history.ResultFile), result); err != nil {
		return run, result, err
	}
	if trial.Report != nil {
		if err := trial.Report(trial.Dir); err != nil {
			return run, result, errors.Join(fmt.Errorf("report of %s: %w", trial.Dir, err), left)
		}
	}
	return run, result, left
}

// complete fills in the defaults and refuses what cannot be run.
func (t *Trial) complete() error {
	if t.Target.Program == nil || t.Target.Open == nil {
		return errors.New("trial: the target needs Program and Open")
	}
	if t.Workload == nil {
		return errors.New("trial: no workload (such as workloads.Register{})")
	}
	if _, streams := t.Workload.(Streamer); t.FailFast && !streams {
		return fmt.Errorf("trial: fail-fast is not available for the workload %s, whose violations only show afterwards", t.Workload.Name())
	}
	t.World = cmp.Or(t.World, t.Target.World)
	if t.World == nil {
		return fmt.Errorf("trial: no world to run %s in (such as process.World())", t.Target)
	}
	t.Nodes = cmp.Or(t.Nodes, 5)
	if t.Nodes < 1 || t.Nodes > MaxNodes {
		return fmt.Errorf("trial: %d nodes (want 1 to %d)", t.Nodes, MaxNodes)
	}
	t.Concurrency = cmp.Or(t.Concurrency, 4*t.Nodes)
	if t.Concurrency < 1 || t.Concurrency > 10_000 {
		return fmt.Errorf("trial: %d clients (want 1 to 10,000)", t.Concurrency)
	}
	t.Rate = cmp.Or(t.Rate, 600)
	t.Quiet = cmp.Or(t.Quiet, 2*time.Second)
	t.Duration = cmp.Or(t.Duration, 20*time.Second)
	t.Recovery = cmp.Or(t.Recovery, 3*time.Second)
	t.Timeout = cmp.Or(t.Timeout, 250*time.Millisecond)
	if min(t.Quiet, t.Duration, t.Recovery, t.Timeout) < 0 {
		return errors.New("trial: a negative duration")
	}
	t.Seed = cmp.Or(t.Seed, rand.Uint64N(1_000_000))
	if t.Progress == nil {
		t.Progress = io.Discard
	}
	t.Progress = &oneByOne{to: t.Progress}
	return nil
}

func (t *Trial) nemesisName() string {
	if t.Nemesis == nil {
		return "none"
	}
	return t.Nemesis.Name()
}

func (t *Trial) needs() []cluster.Fault {
	if t.Nemesis == nil {
		return nil
	}
	return t.Nemesis.Needs()
}

func (t *Trial) tell(format string, arguments ...any) {
	fmt.Fprintf(t.Progress, "%s: %s\n", t.Target, fmt.Sprintf(format, arguments...))
}

// record carries out the trial up to the end of its history. What of the cluster
// could not be removed is left.
func (t *Trial) record(ctx context.Context) (left, err error) {
	nodes := cluster.Names(t.Nodes)
	if err := history.WriteManifest(t.Dir, history.Manifest{
		Version: history.Version, Target: t.Target.Name, Options: t.Target.Options,
		Workload: t.Workload.Name(), Nemesis: t.nemesisName(), World: t.World.Name(), Claim: t.Target.Claim,
		Nodes: nodes, Concurrency: t.Concurrency, RatePerSecond: max(t.Rate, 0), Operations: t.Operations,
		Quiet: t.Quiet, Faults: t.Duration, Recovery: t.Recovery, Timeout: t.Timeout,
		Seed: t.Seed, Command: t.Command, Started: time.Now(),
	}); err != nil {
		return nil, err
	}
	cl, err := t.World.Build(ctx, cluster.Spec{
		Nodes: nodes, Ports: t.Target.Ports, Program: t.Target.Program, Faults: t.needs(), Logs: filepath.Join(t.Dir, history.LogsDir),
		Progress: func(step string) { t.tell("%s", step) },
	})
	if err != nil {
		return nil, fmt.Errorf("build a cluster of %d × %s: %w", t.Nodes, t.Target, err)
	}
	defer func() { left = cl.Close() }()
	if err := t.start(ctx, cl); err != nil {
		return nil, err
	}
	if err := t.fits(ctx, cl); err != nil {
		return nil, err
	}
	if t.Nemesis != nil {
		if err := t.Nemesis.Possible(ctx, t.World, nodes); err != nil {
			return nil, fmt.Errorf("the nemesis %q would inject nothing: %w", t.Nemesis.Name(), err)
		}
	}

	recorder, err := history.NewRecorder(t.Dir)
	if err != nil {
		return nil, err
	}
	clean, foul := context.WithCancelCause(ctx)
	defer foul(nil)
	var stream *checker.Stream
	if t.FailFast {
		stream = t.Workload.(Streamer).Stream()
		recorder.Observe(lookout{stream, foul})
	}
	load := t.newLoad(cl, recorder)
	err = t.phases(ctx, clean, cl, recorder, load)
	if hung := load.close(); hung != nil {
		t.tell("%v", hung)
	}
	if closeErr := recorder.Close(); closeErr != nil {
		return nil, errors.Join(err, fmt.Errorf("record the history in %s: %w", t.Dir, closeErr))
	}
	if t.FailFast && stream.Off() != "" {
		t.tell("the trial may have gone on after its first violation: the watch was %s", stream.Off())
	}
	return nil, err
}

// fits returns an error if the workload needs what the target's clients cannot do:
// else every operation would fail, each after the other.
func (t *Trial) fits(ctx context.Context, cl cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	bound := make(chan error, 1)
	go func() {
		client, err := t.Target.Open(ctx, cl, cl.Nodes()[0])
		if err != nil {
			bound <- nil // it may be possible later, and is tried for each operation
			return
		}
		_, err = t.Workload.Bind(client)
		_ = client.Close()
		bound <- err
	}()
	select {
	case err := <-bound:
		if err != nil {
			return fmt.Errorf("%s cannot serve this workload: %w", t.Target, err)
		}
	case <-time.After(t.Timeout + grace): // Open ignores its context
	}
	return nil
}

// start brings up every node and waits until the target serves.
func (t *Trial) start(ctx context.Context, cl cluster.Cluster) error {
	began := time.Now()
	t.tell("starting %d nodes (world %s, seed %d) …", t.Nodes, t.World.Name(), t.Seed)
	ctx, cancel := context.WithTimeoutCause(ctx, startBudget, fmt.Errorf("not ready %v after its start", startBudget))
	defer cancel()
	errs := make(chan error, t.Nodes)
	for _, node := range cl.Nodes() {
		go func() { errs <- cl.Start(ctx, node) }()
	}
	var startErr error // of the first; the others' are mostly the same
	failed := 0
	for range cl.Nodes() {
		if err := <-errs; err != nil {
			startErr = cmp.Or(startErr, err)
			failed++
		}
	}
	switch {
	case failed == 1:
		return fmt.Errorf("start %s: %w", t.Target, startErr)
	case failed > 1:
		return fmt.Errorf("start %s: %w (and %d more)", t.Target, startErr, failed-1)
	}
	if t.Target.Ready == nil {
		return nil
	}
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, readyAttempt)
		err := t.Target.Ready(attempt, cl)
		cancel()
		if err == nil {
			t.tell("ready after %.1f s", time.Since(began).Seconds())
			return nil
		}
		for _, node := range cl.Nodes() {
			if cl.State(node) == cluster.Exited {
				return fmt.Errorf("start %s: %s ended by itself; its last words are in %s", t.Target, node, filepath.Join(t.Dir, history.LogsDir, node))
			}
		}
		select {
		case <-retry.C:
		case <-progress.C:
			t.tell("waiting for the cluster: %v", err)
		case <-ctx.Done():
			return fmt.Errorf("start %s: %w; last: %w; see %s", t.Target, context.Cause(ctx), err, filepath.Join(t.Dir, history.LogsDir))
		}
	}
}

// phases plays quiet, faults, recovery and final. The first two end with clean,
// which the first violation ends.
func (t *Trial) phases(ctx, clean context.Context, cl cluster.Cluster, recorder *history.Recorder, load *load) error {
	begin := func(phase history.Phase) {
		recorder.Event(history.Event{Type: history.PhaseBegins, Phase: phase})
		load.phase.Store(phase)
	}
	stopTelling := load.tellProgress(t)
	defer stopTelling()

	generators := make([]Generator, len(load.seats)) // which outlive a stop: no value is written twice
	for i, seat := range load.seats {
		generators[i] = t.generator(seat.worker)
	}
	start := func() (stop context.CancelFunc, done chan struct{}) {
		loadCtx, stop := context.WithCancel(ctx)
		done = make(chan struct{}) // every call has come home
		go func() {
			defer close(done)
			load.run(loadCtx, func(worker Worker) Generator { return generators[worker.Index] }, 1)
		}()
		return stop, done
	}
	failure := func() error {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted at %.1f s: %w; what was recorded is in %s", recorder.Now().Seconds(), context.Cause(ctx), t.Dir)
		}
		return recorder.Err()
	}

	begin(history.Quiet)
	stopLoad, workersDone := start()
	endLoad := func() { stopLoad(); <-workersDone }
	defer endLoad()
	load.wait(clean, t.Quiet, t.Operations, workersDone)

	gate := newGate(cl)
	heal := func() error { return nil }
	if clean.Err() == nil {
		begin(history.Faults)
		if t.Nemesis != nil {
			heal = t.play(ctx, gate, recorder, load)
		}
		load.wait(clean, t.Duration, t.Operations, workersDone)
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
	if err := heal(); err != nil {
		return errors.Join(failure(), fmt.Errorf("the nemesis %q: %w", t.Nemesis.Name(), err))
	}

	begin(history.Recovery)
	healed := recorder.Now()
	load.wait(ctx, t.Recovery, 0, workersDone)
	if !load.waitForEveryNode(ctx, healed, workersDone) && ctx.Err() == nil {
		t.tell("not every node serves again, %.0f s after the faults were healed", (recorder.Now() - healed).Seconds())
	}
	endLoad()
	if err := failure(); err != nil {
		return err
	}

	begin(history.Final)
	finalCtx, cancel := context.WithTimeout(ctx, finalBudget)
	defer cancel()
	load.run(finalCtx, t.Workload.Final, finalTries)
	recorder.Event(history.Event{Type: history.PhaseBegins, Phase: history.Done})
	if ctx.Err() != nil {
		return failure()
	}
	if finalCtx.Err() != nil {
		t.tell("the final operations did not end within %v and were cut short", finalBudget)
	}
	return recorder.Err()
}

// generator is the workload's, at the trial's rate.
func (t *Trial) generator(worker Worker) Generator {
	return Rate(worker.Rand, t.Rate/float64(worker.Of), t.Workload.Generator(worker))
}

// play lets the nemesis work until heal is called, which returns when all is
// healed.
func (t *Trial) play(ctx context.Context, cl cluster.Cluster, recorder *history.Recorder, load *load) (heal func() error) {
	ctx, cancel := context.WithCancel(ctx)
	stage := Stage{
		Cluster: cl, World: t.World, Duration: t.Duration, Rand: random(t.Seed, 0),
		Record: func(event history.Event) {
			recorder.Event(event)
			load.note(event)
		},
	}
	if t.Target.Leader != nil {
		stage.Leader = func(ctx context.Context) (cluster.Node, error) {
			ctx, cancel := context.WithTimeout(ctx, leaderBudget)
			defer cancel()
			return t.Target.Leader(ctx, cl)
		}
	}
	played := make(chan error, 1)
	go func() { played <- t.Nemesis.Play(ctx, stage) }()
	return func() error {
		cancel()
		return <-played
	}
}

// random returns a stream of its own for each seed and user.
func random(seed, user uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, user)) }

// A load is all the workers of a trial.
type load struct {
	seats    []*seat
	counts   counts
	phase    atomicString[history.Phase]
	activity atomicString[string] // the fault in force, for progress
	now      func() time.Duration
	hung     sync.WaitGroup
}

func (t *Trial) newLoad(cl cluster.Cluster, recorder *history.Recorder) *load {
	load := &load{now: recorder.Now}
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
func (l *load) run(ctx context.Context, generator func(Worker) Generator, tries int) {
	var working sync.WaitGroup
	for _, seat := range l.seats {
		working.Add(1)
		go seat.run(&round{ctx: ctx, generator: generator(seat.worker), tries: tries, ended: working.Done}, nil)
	}
	working.Wait()
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

// waitForEveryNode waits, within recoveryBudget, until an operation invoked
// after the moment has succeeded through every node that has workers.
func (l *load) waitForEveryNode(ctx context.Context, since time.Duration, done <-chan struct{}) bool {
	ctx, cancel := context.WithTimeout(ctx, recoveryBudget)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		serves := map[cluster.Node]bool{}
		for _, seat := range l.seats {
			node := seat.worker.Node
			serves[node] = serves[node] || seat.lastOK.Load() > int64(since)
		}
		if allTrue(serves) {
			return true
		}
		select {
		case <-poll.C:
		case <-done:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func allTrue(m map[cluster.Node]bool) bool {
	for _, ok := range m {
		if !ok {
			return false
		}
	}
	return true
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
