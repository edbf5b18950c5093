package checker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/checker/internal/trial"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

const resultVersion = 1

// A Model is what a history is held against: Register, Set, ….
type Model struct {
	name string
	// kinds are the operations that the model understands; nil means any.
	kinds []history.Kind
	// versioned: a read outputs a version, too.
	versioned bool
	// packed: judge takes a packed history.
	packed bool
	// parts are a composed model's, none of which is composed.
	parts []Model
	// function: a ModelFunc.
	function bool
	// users is a ModelOf's.
	users porcupine.Model
	// engines are those that can decide the model, the preferred one first; nil if
	// there is no choice.
	engines []Engine
	// judge fills in a result's verdict, and what led to it. Options have no
	// zero fields, except Engine.
	judge func(ctx context.Context, run *history.Run, options Options, result *Result)
}

// String is the model's name.
func (m Model) String() string { return m.name }

// Check judges a history by a model. The run is not changed, and may be a bare
// history; events, claim and phases make the result richer. Operations may be in
// any order, or packed; only those of one process that were called and completed at the very
// same moments are taken in the order in which they come. What a Process is
// matters to locks alone. A history that makes no sense, or an engine that cannot
// decide the model, makes the verdict Unknown, and the Reason says what to do. No
// goroutine outlives the call.
func Check(ctx context.Context, run *history.Run, model Model, options Options) Result {
	began := time.Now()
	options.Budget = options.Budget.orDefault()
	bounded, cancel := context.WithTimeout(ctx, options.Budget.Time)
	defer cancel()
	if !model.packed || len(run.Manifest.Claim.Guarantees) > 0 {
		run = unpacked(run)
	}

	result := Result{Version: resultVersion, Verdict: Valid, Model: model.name, Torn: run.History.Torn}
	var measured statistics.Statistics
	var measuring sync.WaitGroup
	measuring.Go(func() { measured = statistics.Measure(run) })
	if run.History.Packed == nil { // a user's judge may need the run for itself
		measuring.Wait()
	}
	model.decide(bounded, run, options, &result)
	measuring.Wait()
	result.Statistics = measured
	model.judgeGuarantees(bounded, run, options.Budget, &result)
	if run.IsTrial() {
		result.judgeTrial(run)
	} else if run.History.Torn != "" {
		result.leave("The history was cut off, so what is missing may be what it would show.")
	}
	result.Violations = foremost(result.Violations)
	result.Lost = foremostLosses(result.Lost)
	if result.Verdict != Invalid { // a proven violation is one, however little else was tested
		result.Vacuous = trial.Vacuous(run, result.Statistics)
	}
	result.AsClaimed = conformance(run.Manifest.Claim, &result)
	result.Took = time.Since(began)
	return result
}

// unpacked is the run with all its operations.
func unpacked(run *history.Run) *history.Run {
	if run.History.Packed == nil {
		return run
	}
	whole := *run
	whole.History = run.History.Unpacked()
	return &whole
}

// decide has the model judge a history, if it is one of its own.
func (m Model) decide(ctx context.Context, run *history.Run, options Options, result *Result) {
	if m.judge == nil {
		result.Verdict, result.Reason = Unknown, "there is no model; choose one, such as checker.Register"
		return
	}
	if reason := m.malformed(run.History.Operations); reason != "" {
		result.Verdict, result.Reason = Unknown, reason
		return
	}
	if options.Engine != "" && m.engines != nil && !slices.Contains(m.engines, options.Engine) {
		result.Verdict = Unknown
		result.Reason = fmt.Sprintf("the engine %q cannot decide the model %s; use one of %v, or none", options.Engine, m, m.engines)
		return
	}
	m.judge(ctx, run, options, result)
}

// malformed describes the first operation that the model does not understand. Those of a
// packed history are all of registers.
func (m Model) malformed(operations []history.Operation) string {
	for i := range operations {
		o := &operations[i]
		var problem string
		want := history.Kinds(nil).Of(o.Kind)
		if m.versioned && want.Reads {
			want.Output++
		}
		own := m.kinds == nil
		switch {
		case !own && !slices.Contains(m.kinds, o.Kind):
			problem = "is of a kind that the model does not know"
		case !own && !o.Input.IsInts():
			problem = fmt.Sprintf("has the input %.40s (want integers)", o.Input)
		case !own && !o.Output.IsInts():
			problem = fmt.Sprintf("has the output %.40s (want integers)", o.Output)
		case !own && want.Input != history.Any && o.Input.Len() != want.Input:
			problem = fmt.Sprintf("has %d input values (want %d)", o.Input.Len(), want.Input)
		case !own && want.Output != history.Any && o.Output.Len() > want.Output:
			problem = fmt.Sprintf("has %d output values (want at most %d)", o.Output.Len(), want.Output)
		case o.Outcome > history.Fail:
			problem = fmt.Sprintf("has the outcome %d (want ok, fail or info)", o.Outcome)
		case o.Invoke < 0 || max(o.Invoke, o.Complete) == history.Never:
			problem = "has a time out of range"
		case o.Outcome != history.Info && o.Complete < o.Invoke:
			problem = "completes before it is invoked"
		default:
			continue
		}
		return fmt.Sprintf("operation %d (p%d %q %q at %s) %s; a %s history cannot be judged with it",
			i+1, o.Process, o.Kind, o.Key, sentence.Seconds(o.Invoke), problem, m.name)
	}
	return ""
}

// foremost cuts violations to MaxViolations so that each anomaly keeps its
// earliest, and orders them by time.
func foremost(violations []anomaly.Violation) []anomaly.Violation {
	byTime := func(a, b anomaly.Violation) int { return cmp.Compare(a.At(), b.At()) }
	slices.SortStableFunc(violations, byTime)
	if len(violations) <= MaxViolations {
		return violations
	}
	type ranked struct {
		rank int
		anomaly.Violation
	}
	seen := map[anomaly.Name]int{}
	all := make([]ranked, len(violations))
	for i, v := range violations {
		all[i] = ranked{seen[v.Anomaly], v}
		seen[v.Anomaly]++
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	kept := make([]anomaly.Violation, MaxViolations)
	for i := range kept {
		kept[i] = all[i].Violation
	}
	slices.SortStableFunc(kept, byTime)
	return kept
}

// conformance compares a result with a claim. A proven breach of the claim is
// one however little else was tested; short of that, a run that is vacuous, or
// unknown in any key, decides nothing: what is hidden may be what was not admitted.
func conformance(claim history.Claim, result *Result) Conformance {
	if result.Verdict == Invalid {
		for _, v := range result.Violations {
			if !admits(claim, v.Anomaly) {
				return NotAsClaimed
			}
		}
	}
	conforms := kept(claim, result.Guarantees)
	if conforms == NotAsClaimed {
		return NotAsClaimed
	}
	if conforms == Undecided || result.Verdict == Unknown || result.KeysUnknown > 0 || result.Vacuous != "" || len(result.Gaps) > 0 {
		return Undecided
	}
	return AsClaimed
}

// judgeTrial adds what a trial shows besides one order of its operations.
func (r *Result) judgeTrial(run *history.Run) {
	if found := trial.Violations(run); len(found) > 0 {
		r.Verdict = Invalid
		r.Violations = append(r.Violations, found...)
	}
	gaps, uncovered := trial.Gaps(run)
	r.Uncovered = uncovered
	r.leave(gaps...)
	r.Warnings = trial.Warnings(run, r.Statistics)
}

// take enters what was found about the keys.
func (r *Result) take(a *model.Answer) {
	r.Keys, r.KeysInvalid, r.KeysUnknown = a.Keys, a.KeysInvalid, a.KeysUnknown
	for _, d := range a.Decisions {
		r.Decisions = append(r.Decisions, Decision{Engine(d.Engine), d.Why, d.Keys})
	}
	r.Violations, r.Reason = a.Violations, a.Reason
	r.StaleReads, r.LostCommits, r.Lost, r.Staleness = a.StaleReads, a.LostCommits, a.Lost, a.Staleness
	r.Majority, r.Minority = a.Majority, a.Minority
	switch {
	case a.KeysInvalid > 0:
		r.Verdict, r.FirstViolation = Invalid, a.First
	case a.KeysUnknown > 0:
		r.Verdict = Unknown
	}
}

// leave notes gaps, with which nothing is valid.
func (r *Result) leave(gaps ...string) {
	if len(gaps) == 0 {
		return
	}
	r.Gaps = append(r.Gaps, gaps...)
	if r.Verdict == Valid {
		r.Verdict = Unknown
	}
	r.Reason = strings.TrimSpace(r.Reason + " " + strings.Join(gaps, " "))
}
