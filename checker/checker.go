package checker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

const resultVersion = 1

// A Model is what a history is held against: Register, Set, ….
type Model struct {
	name string
	// kinds are the operations that the model understands; nil means any.
	kinds map[history.Kind]arity
	// users is a ModelOf's.
	users porcupine.Model
	// engines are those that can decide the model, the preferred one first.
	engines []Engine
	// judge fills in a result's verdict, and what led to it. Options have no
	// zero fields, except Engine.
	judge func(ctx context.Context, run *history.Run, options Options, result *Result)
}

// String is the model's name.
func (m Model) String() string { return m.name }

// Check judges a history by a model. The run is not changed, and may be a bare
// history; events, claim and phases make the result richer. Operations may be in
// any order; only those of one process that were called and completed at the very
// same moments are taken in the order in which they come. What a Process is
// matters to locks alone. A history that makes no sense, or an engine that cannot
// decide the model, makes the verdict Unknown, and the Reason says what to do. No
// goroutine outlives the call.
func Check(ctx context.Context, run *history.Run, model Model, options Options) Result {
	began := time.Now()
	options.Budget = options.Budget.orDefault()
	bounded, cancel := context.WithTimeout(ctx, options.Budget.Time)
	defer cancel()

	result := Result{
		Version:    resultVersion,
		Verdict:    Valid,
		Model:      model.name,
		Statistics: statistics.Measure(run),
		Torn:       run.History.Torn,
	}
	if reason := model.malformed(run.History.Operations); reason != "" {
		result.Verdict, result.Reason = Unknown, reason
	} else if options.Engine != "" && !slices.Contains(model.engines, options.Engine) {
		result.Verdict = Unknown
		result.Reason = fmt.Sprintf("the engine %q cannot decide the model %s; use one of %v, or none", options.Engine, model, model.engines)
	} else {
		model.judge(bounded, run, options, &result)
	}
	if run.IsTrial() {
		judgeTrial(run, &result)
		result.Warnings = slices.Concat(shortFaults(run, result.Statistics.LeaderChanges), fewAnswers(result.Statistics), bypassed(run, result.Statistics))
	} else if run.History.Torn != "" {
		result.leave("The history was cut off, so what is missing may be what it would show.")
	}
	result.Violations = foremost(result.Violations)
	result.Lost = foremostLosses(result.Lost)
	if result.Verdict != Invalid { // a proven violation is one, however little else was tested
		result.Vacuous = vacuous(run, result.Statistics)
	}
	result.AsClaimed = conformance(run.Manifest.Claim, &result)
	result.Took = time.Since(began)
	return result
}

// An arity is how many values an operation takes, and at most returns.
type arity struct{ input, output int }

const unbounded = -1

// malformed describes the first operation that the model does not understand.
func (m Model) malformed(operations []history.Operation) string {
	for i := range operations {
		o := &operations[i]
		var problem string
		want, known := m.kinds[o.Kind]
		if m.kinds == nil {
			want, known = arity{unbounded, unbounded}, true
		}
		switch {
		case !known:
			problem = "is of a kind that the model does not know"
		case want.input != unbounded && len(o.Input) != want.input:
			problem = fmt.Sprintf("has %d input values (want %d)", len(o.Input), want.input)
		case want.output != unbounded && len(o.Output) > want.output:
			problem = fmt.Sprintf("has %d output values (want at most %d)", len(o.Output), want.output)
		case o.Outcome > history.Fail:
			problem = fmt.Sprintf("has the outcome %d (want ok, fail or info)", o.Outcome)
		case o.Invoke < 0 || max(o.Invoke, o.Complete) == never:
			problem = "has a time out of range"
		case o.Outcome != history.Info && o.Complete < o.Invoke:
			problem = "completes before it is invoked"
		default:
			continue
		}
		return fmt.Sprintf("operation %d (p%d %q %q at %s) %s; a %s history cannot be judged with it",
			i+1, o.Process, o.Kind, o.Key, seconds(o.Invoke), problem, m.name)
	}
	return ""
}

// decided notes which engine decided a key, and why that one.
func (r *Result) decided(engine Engine, why, key string) {
	i := slices.IndexFunc(r.Decisions, func(d Decision) bool { return d.Engine == engine && d.Why == why })
	if i < 0 {
		i = len(r.Decisions)
		r.Decisions = append(r.Decisions, Decision{Engine: engine, Why: why})
	}
	r.Decisions[i].Keys = append(r.Decisions[i].Keys, key)
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

// Fewer operations than enough, or a smaller share of them than enoughShare,
// test nothing.
const (
	enough      = 10
	enoughShare = 0.1
)

// vacuous says why the run tested nothing; empty if it did. A history from elsewhere
// is what it is: it may be short, and of one kind of operation.
func vacuous(run *history.Run, s statistics.Statistics) string {
	wanted := run.Manifest.Nemesis
	landed := slices.ContainsFunc(run.Events, func(e history.Event) bool {
		return e.Type == history.Inject || e.Type == history.Stop // a violation came before any fault
	})
	switch {
	case s.OK == 0:
		return fmt.Sprintf("None of %d operations succeeded.", s.Operations)
	case !run.IsTrial():
		return ""
	case s.OK < enough:
		return fmt.Sprintf("Only %d of %d operations succeeded; fewer than %d test nothing.", s.OK, s.Operations, enough)
	case float64(s.OK) < enoughShare*float64(s.Operations):
		return fmt.Sprintf("Only %d of %d operations succeeded, less than %.0f %%.", s.OK, s.Operations, 100*enoughShare)
	}
	if reason := idle(run); reason != "" {
		return reason
	}
	if why, wholly := unlinked(run, s); wholly {
		return why
	}
	if wanted != "" && wanted != "none" && !landed {
		return fmt.Sprintf("The nemesis %q was asked for, and no fault landed.", wanted)
	}
	return ""
}

// idle names the first kind of operation that clients issued and of which none was
// acknowledged; or says that nothing was read, or nothing updated, at all. A
// release, and a use of what a lock protects, may all be refused.
func idle(run *history.Run) string {
	issued, acknowledged := map[history.Kind]int{}, map[history.Kind]int{}
	for i := range run.History.Operations {
		o := &run.History.Operations[i]
		issued[o.Kind]++
		if o.Outcome == history.OK {
			acknowledged[o.Kind]++
		}
	}
	observed, updated := false, false
	for kind := range issued {
		observed = observed || observes(kind) && acknowledged[kind] > 0
		updated = updated || kind.Updates() && acknowledged[kind] > 0
	}
	for _, kind := range slices.Sorted(maps.Keys(issued)) {
		if (observes(kind) || kind.Updates()) && acknowledged[kind] == 0 {
			return fmt.Sprintf("None of %d operations of the kind %q was acknowledged.", issued[kind], kind)
		}
	}
	switch {
	case !observed:
		return "No read succeeded, so nothing was observed."
	case !updated:
		return "No update was acknowledged, so there was nothing to lose."
	}
	return ""
}

// conformance compares a result with a claim. A proven breach of the claim is
// one however little else was tested; short of that, a run that is vacuous, or
// unknown in any key, decides nothing: what is hidden may be what was not admitted.
func conformance(claim history.Claim, result *Result) Conformance {
	if result.Verdict == Invalid {
		for _, v := range result.Violations {
			if !claim.Admits(string(v.Anomaly)) {
				return NotAsClaimed
			}
		}
	}
	if result.Verdict == Unknown || result.KeysUnknown > 0 || result.Vacuous != "" || len(result.Gaps) > 0 {
		return Undecided
	}
	return AsClaimed
}

// never is when an operation of unknown outcome returns.
const never = time.Duration(math.MaxInt64)

// cutOff stands for a final phase that a run did not come to.
const cutOff = -never

// finalBegins returns when the final phase began: never if the history has no
// phases, as those of other tools; cutOff if the run ended before, so that what a
// last read missed may well have come later.
func finalBegins(run *history.Run) time.Duration {
	final := run.PhaseBegins(history.Final)
	inPhases := slices.ContainsFunc(run.Events, func(e history.Event) bool { return e.Type == history.PhaseBegins })
	if final == never && (inPhases || run.History.Torn != "") {
		return cutOff
	}
	return final
}
