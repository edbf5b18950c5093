package harness

import (
	"cmp"
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
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
	lastLook       = 250 * time.Millisecond // for a node to end that the last operations bring down
	progressEvery  = 2 * time.Second
	defaultTimeout = 250 * time.Millisecond // of one client call
)

// Run runs the trial and judges it. What it recorded stays in trial.Dir, also
// when it fails or ctx ends; the returned run has that directory's name. An
// error means that the trial could not be carried out, not that the target
// misbehaved: that is what the result says. An error beside a result that has a
// verdict is of what came after: the report could not be written, or the cluster not
// be removed.
func Run(ctx context.Context, trial Trial) (*history.Run, checker.Result, error) {
	none := checker.Result{}
	if err := trial.complete(ctx); err != nil {
		return nil, none, err
	}
	if err := trial.makeDir(); err != nil {
		return nil, none, err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	if !trial.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, trial.deadline.Add(-closeReserve), errOutOfTime)
		defer cancel()
	}
	r := &run{Trial: &trial, fail: fail}
	recorded, result, left, err := r.carryOut(ctx)
	if err != nil {
		return recorded, result, errors.Join(err, left)
	}
	if trial.Report != nil {
		if err := trial.Report(trial.Dir); err != nil {
			return recorded, result, errors.Join(fmt.Errorf("report of %s: %w", trial.Dir, err), left)
		}
	}
	return recorded, result, left
}

// makeDir makes the run directory, if that is not another run's already.
func (t *Trial) makeDir() error {
	if t.Dir == "" {
		dir, err := history.CreateRunDir("runs", t.Target.String()+"-"+t.Workload.Name(), time.Now())
		if err != nil {
			return err
		}
		t.Dir = dir
	}
	if _, err := os.Stat(filepath.Join(t.Dir, history.HistoryFile)); err == nil {
		return fmt.Errorf("trial: %s is a run's already; choose another directory", t.Dir)
	}
	return os.MkdirAll(filepath.Join(t.Dir, history.LogsDir), 0o755)
}

// complete fills in the defaults and refuses what cannot be run.
func (t *Trial) complete(ctx context.Context) error {
	standing, _ := cmp.Or(t.World, t.Target.World).(cluster.Standing)
	if t.Target.Program == nil && standing == nil || t.Target.Open == nil {
		return errors.New("trial: the target needs Program and Open")
	}
	if t.Workload == nil {
		return errors.New("trial: no workload (such as workloads.Register{})")
	}
	if err := t.Target.Claim.Validate(); err != nil {
		return fmt.Errorf("trial: the claim of %s: %w", t.Target, err)
	}
	for _, name := range t.Target.Claim.Expect {
		if !slices.Contains(anomaly.All, anomaly.Name(name)) {
			return fmt.Errorf("trial: the claim of %s expects %q, which is no anomaly (want some of %q)", t.Target, name, anomaly.All)
		}
	}
	if t.FailFast {
		if err := CanFailFast(t.Workload); err != nil {
			return fmt.Errorf("trial: %w", err)
		}
	}
	t.World = cmp.Or(t.World, t.Target.World)
	if t.World == nil {
		return fmt.Errorf("trial: no world to run %s in (such as process.World())", t.Target)
	}
	if standing != nil {
		// The word is the trial's own, as what the one before has written is there still.
		t.keyPrefix = standing.KeyPrefix() + strings.ToLower(cryptorand.Text()[:10]) + "."
		t.Nodes = cmp.Or(t.Nodes, standing.Size())
	}
	t.Nodes = cmp.Or(t.Nodes, 5)
	if t.Nodes < 1 || t.Nodes > MaxNodes {
		return fmt.Errorf("trial: %d nodes (want 1 to %d)", t.Nodes, MaxNodes)
	}
	var err error
	if t.layout, err = t.Target.layOut(t.Nodes); err != nil {
		return err
	}
	t.Concurrency = cmp.Or(t.Concurrency, 4*len(t.layout.serving))
	if t.Concurrency < 1 || t.Concurrency > MaxConcurrency {
		return fmt.Errorf("trial: %d clients (want 1 to %d)", t.Concurrency, MaxConcurrency)
	}
	t.Rate = cmp.Or(t.Rate, 600)
	if math.IsNaN(t.Rate) || math.IsInf(t.Rate, 0) {
		return fmt.Errorf("trial: a rate of %v (want operations per second, or a negative number for as fast as possible)", t.Rate)
	}
	t.Quiet = cmp.Or(t.Quiet, 2*time.Second)
	t.Duration = cmp.Or(t.Duration, 20*time.Second)
	t.Recovery = cmp.Or(t.Recovery, 3*time.Second)
	t.Timeout = cmp.Or(t.Timeout, defaultTimeout)
	if min(t.Quiet, t.Duration, t.Recovery, t.Timeout) < 0 {
		return errors.New("trial: a negative duration")
	}
	for _, pattern := range t.Target.LogFiles {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("trial: the target's LogFiles has %q, which is no pattern of path.Match", pattern)
		}
	}
	if t.Nemesis != nil {
		if err := t.Nemesis.Possible(ctx, t.World, cluster.Names(t.Nodes)); err != nil {
			return fmt.Errorf("the nemesis %q would inject nothing: %w", t.Nemesis.Name(), err)
		}
	}
	t.Seed = cmp.Or(t.Seed, rand.Uint64N(1_000_000))
	if t.Progress == nil {
		t.Progress = io.Discard
	}
	t.Progress = &oneByOne{to: t.Progress}
	return t.inTime()
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

// kinds are what the workload's own kinds mean.
func (t *Trial) kinds() history.Kinds {
	if own, ok := t.Workload.(OwnKinds); ok {
		return own.Kinds()
	}
	return nil
}

func (t *Trial) tell(format string, arguments ...any) {
	fmt.Fprintf(t.Progress, "%s: %s\n", t.Target, fmt.Sprintf(format, arguments...))
}

// A run is a trial while it is carried out. What it is made of is there once the step
// that needs it begins.
type run struct {
	*Trial
	fail     context.CancelCauseFunc // ends it
	watch    *watch
	cluster  cluster.Cluster
	gate     *gate // the nemesis's way to the cluster
	recorder *history.Recorder
	load     *load
}

// carryOut records the trial on a cluster of its own, judges it, and keeps the nodes'
// data if the target has broken its claim. What of the cluster could not be removed
// is left.
func (r *run) carryOut(ctx context.Context) (recorded *history.Run, result checker.Result, left, err error) {
	recorded = &history.Run{Dir: r.Dir}
	if err := r.writeManifest(); err != nil {
		return recorded, result, nil, err
	}
	if err := r.build(ctx); err != nil {
		return recorded, result, nil, r.notByPanic(ctx, err)
	}
	defer func() {
		r.watch.end()
		left = r.cluster.Close()
	}()
	if err := r.start(ctx); err != nil {
		return recorded, result, nil, r.notByPanic(ctx, err)
	}
	if err := r.record(ctx); err != nil {
		return recorded, result, nil, err
	}
	judged, result, err := r.judge(ctx)
	if judged != nil {
		recorded = judged
	}
	if err == nil && result.AsClaimed == checker.NotAsClaimed {
		r.keepData(ctx)
	}
	return recorded, result, nil, err
}

func (r *run) writeManifest() error {
	return history.WriteManifest(r.Dir, history.Manifest{
		Version: history.Version, Target: r.Target.Name, Options: r.Target.Options,
		Workload: r.Workload.Name(), Nemesis: r.nemesisName(), World: r.World.Name(), Claim: r.Target.Claim, Kinds: r.kinds(),
		Nodes: cluster.Names(r.Nodes), Roles: r.layout.roles, Concurrency: r.Concurrency, RatePerSecond: max(r.Rate, 0), Operations: r.Operations,
		Quiet: r.Quiet, Faults: r.Duration, Recovery: r.Recovery, Timeout: r.Timeout,
		Seed: r.Seed, Command: r.Command, KeyPrefix: r.keyPrefix, Started: time.Now(),
	})
}

// build has the world lay out the cluster.
func (r *run) build(ctx context.Context) (err error) {
	r.watch = newWatch(r.Trial)
	r.cluster, err = r.World.Build(ctx, cluster.Spec{
		Nodes: cluster.Names(r.Nodes), Roles: r.layout.roles, Ports: r.Target.Ports, Program: r.program, Faults: r.needs(), Logs: filepath.Join(r.Dir, history.LogsDir),
		Exited: r.watch.exited, Progress: func(step string) { r.tell("%s", step) },
	})
	if err != nil {
		return fmt.Errorf("build a cluster of %d × %s: %w", r.Nodes, r.Target, err)
	}
	r.gate = newGate(r.cluster)
	return nil
}

// notByPanic returns the error, or the panic that led to it.
func (r *run) notByPanic(ctx context.Context, err error) error {
	var p *panicked
	if errors.As(context.Cause(ctx), &p) {
		return fmt.Errorf("trial: %w", p)
	}
	return err
}

// record has the history and the events of the trial written, up to their end.
func (r *run) record(ctx context.Context) (err error) {
	if r.recorder, err = history.NewRecorder(r.Dir); err != nil {
		return err
	}
	r.watch.recordBy(r.recorder.Event)
	clean, foul := context.WithCancelCause(ctx)
	defer foul(nil)
	if !r.deadline.IsZero() {
		var cancel context.CancelFunc
		clean, cancel = context.WithDeadlineCause(clean, r.deadline.Add(-r.afterFaults()), errOutOfTime)
		defer cancel()
	}
	var stream *checker.Stream
	if r.FailFast {
		stream = r.Workload.(Streamer).Stream()
		r.recorder.Observe(failFast{stream, foul})
	}
	r.load = newLoad(r)
	err = r.phases(ctx, clean)
	if hung := r.load.close(); hung != nil {
		r.tell("%v", hung)
	}
	if err == nil {
		r.lookOn(ctx)
		r.searchLogs(ctx)
		r.recordBypass()
		err = r.failure(ctx)
	}
	if err == nil {
		r.recorder.Event(history.Event{Type: history.PhaseBegins, Phase: history.Done})
	}
	r.watch.end()
	if closeErr := r.recorder.Close(); closeErr != nil && !errors.Is(err, closeErr) {
		return errors.Join(err, fmt.Errorf("record the history in %s: %w", r.Dir, closeErr))
	}
	if r.FailFast && stream.Off() != "" {
		r.tell("the trial may have gone on after its first violation: the watch was %s", stream.Off())
	}
	return err
}

// recordBypass records why faults of links did not separate the nodes, if that is known.
func (r *run) recordBypass() {
	err := r.cluster.Linked()
	if err == nil {
		return
	}
	event := history.Event{Type: history.Unlinked, Reason: err.Error()}
	if past, ok := errors.AsType[*cluster.Bypass](err); ok {
		event.Links = []string{past.Link.String()}
	}
	r.recorder.Event(event)
}

// judge checks what was recorded, and writes the result.
func (r *run) judge(ctx context.Context) (recorded *history.Run, result checker.Result, err error) {
	defer r.guard("the workload's Check", &err)
	r.tell("checking …")
	recorded, err = history.ReadRun(r.Dir)
	if err != nil {
		return nil, result, err
	}
	if !r.deadline.IsZero() {
		r.Options.Budget.Time = min(cmp.Or(r.Options.Budget.Time, checker.DefaultBudget.Time), max(time.Until(r.deadline)-closeReserve, time.Second))
	}
	result = r.Workload.Check(ctx, recorded, r.Options)
	return recorded, result, history.WriteJSON(filepath.Join(r.Dir, history.ResultFile), result)
}
