// Package checker judges histories: does one sequential history explain what
// every client saw? It knows harness/history and nothing else of this module,
// and is meant to be used alone, on a history from anywhere.
//
//	result := checker.Check(ctx, &history.Run{History: h}, checker.Register, checker.Options{})
//
// # Verdicts
//
// Valid and Invalid are proven, everything else is Unknown: an exhausted
// budget, a cancelled context, an operation that the model does not know. Every
// violation carries a witness, a few operations that Porcupine has found not
// linearizable on their own.
//
// # What an operation says
//
// An acknowledged operation took effect at one moment of its closed interval. A
// failed one never did. A failed compare-and-set that recorded what it saw
// instead is a read of that; one that did not, and failed without an error, says
// that the register held anything else than it expected, or nothing; with an
// error it says nothing. A compare-and-set of a value for itself is a read of it.
// A read of unknown outcome says nothing. A write or compare-and-set of unknown
// outcome may take effect at any moment after its invocation, or never: it
// returns at infinity. A register holds nothing until it is written.
//
// # Engines for registers
//
// Keys are independent, so each is judged alone.
//
// Zones decides every key to which no value is written twice, exactly and in
// near-linear time (internal/zones holds the theory). There is one exception: a
// compare-and-set that failed without telling what it saw, for which it finds
// neither a place nor a proof that there is none.
//
// What is left is searched, by just-in-time linearization (internal/search), all
// keys in turns. Options.Engine forces an engine: zones then leaves a key unknown
// that it cannot decide; a search, or Porcupine, decides the others, too.
//
// # Witnesses
//
// Two facts carry the design.
//
// Unneeded unknowns may go. Call a value needed if an acknowledged operation
// observed it, or if a compare-and-set of unknown outcome, whose own new value
// is needed, expects it. An operation of unknown outcome whose value is not
// needed can be taken out of any order that explains the history: only others
// of its sort observed it. So dropping them all changes no verdict, and spares
// Porcupine a factor for each. They stay where a failed compare-and-set may need
// them to have replaced what it expected.
//
// Closed subsets suffice. A subset of a key's operations is closed if, with an
// operation that observes a value, it holds every operation that may have
// written that value. If an order explains the whole, then the same order
// explains a closed subset: the last write before an observation wrote what was
// observed, hence it is in the subset, and taking out other operations puts
// nothing between the two. (An unknown compare-and-set that took no effect in
// the whole might do so in the subset; it goes to the end, where it harms
// nobody.) So a closed subset that is not linearizable convicts the whole, and
// a witness of three operations outweighs a history of a million. A failed
// compare-and-set that says what was not there needs every write that may have
// come between a write of that and itself; or, if that value is written once, an
// operation that observed it later, since then nothing came between.
//
// A witness closes a contradiction that zones found, or a stale read or lost
// commit as defined below. It is put before Porcupine, and made smaller as long
// as it stays closed and not linearizable. If it is large because of a chain of
// compare-and-sets, each of which expects what the one before wrote, then the
// chain is cut: the first one shown counts as a write, whatever it expected,
// which only makes the history easier to explain.
//
// # Cases
//
// An observer is an acknowledged read or compare-and-set, or a failed
// compare-and-set that recorded what it saw. Its sources are the writes and
// compare-and-sets of the value that it saw, without those that failed and
// those invoked after it completed. Where there are several, nobody knows which
// of them it saw; and nobody knows when an operation of unknown outcome was
// over. A case settles both, for each of them. In a case, an operation is over
// when it was acknowledged, when an observer that saw it completed, or, its
// outcome being unknown, at any moment from its invocation on or never,
// whichever is earliest. It is shown when it was acknowledged, or when an
// observer that saw it completed. An observer saw older than w, a write or
// compare-and-set of another value than it saw, if it saw nothing, if what it
// saw was over before w was invoked, or if w is an acknowledged compare-and-set
// that replaced just that.
//
// Stale reads and lost commits are counted with bounds: certain are those of
// every case, possible those of some. With values that are written once they
// differ only by reads of values whose writes have an unknown outcome. A
// linearizable history has none that is certain. Both bounds are exact; see
// ledger.go. An operation that nobody saw and nobody acknowledged was
// promised to nobody, so it makes no read stale. A compare-and-set of a value to
// itself changes nothing, and is a read where it was acknowledged.
//
// # Stale reads
//
// A read is an observer that wrote nothing. In a case, it is stale if it saw
// older than some w that had been shown when the read was invoked; if all there
// is to say is that w replaced what it saw, w must have been acknowledged by
// then. A read that saw something without a source is a phantom read, and not
// stale. Each read is judged by itself.
//
// A certainly stale read has an age: from the moment when the first such w was
// shown to the read's invocation, in the case where that is least. Its versions
// are the operations that took effect in every case before the read was
// invoked, and were invoked after what it saw was over; at least one.
//
// Several reads may be at odds although none is stale by itself: one saw the
// newer of two concurrent writes, a later one the older. If the writes and
// compare-and-sets of a witness can be ordered without its reads, then one of
// the reads was stale, whichever the order was; the violation is a stale read,
// and if none of them is stale by itself it counts as one. Of those that share
// a read, one is counted.
//
// # Lost commits
//
// An acknowledged write or compare-and-set w is lost, in a case, if what was
// seen of its key later was older, in one of two ways.
//
//   - At the end: at least one read of the key was invoked in the final phase,
//     all of those were invoked after w.Complete, and each saw older than w.
//   - By a swap: an acknowledged compare-and-set that was invoked after
//     w.Complete saw older than w.
//
// A history without a final phase knows only the second. A value that was duly
// overwritten is not lost.
//
// # Resurrected values
//
// A value is resurrected if it was seen, or written, then another, then the
// first again, and that cannot be told as one stale read, lost commit or double
// swap: the writes and compare-and-sets alone are at odds already.
//
// # Sets
//
// See Set. There, StaleReads counts the reads that miss an element which
// they had to show and which is not lost, LostCommits the lost elements; elements
// are added once, so both bounds are the same.
package checker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

const resultVersion = 1

// A Model is what a history is held against: Register, Set, ….
type Model struct {
	name string
	// kinds are the operations that the model understands.
	kinds map[history.Kind]arity
	// engines are those that can decide the model, the preferred one first.
	engines []Engine
	// judge fills in a result's verdict, and what led to it. Options have no
	// zero fields, except Engine.
	judge func(ctx context.Context, run *history.Run, options Options, result *Result)
}

// String is the model's name.
func (m Model) String() string { return m.name }

// Check judges a history by a model. The run is not changed, and may be a bare
// history; events, claim and phases make the result richer. An engine that
// cannot decide the model makes the verdict Unknown. No goroutine outlives the
// call.
func Check(ctx context.Context, run *history.Run, model Model, options Options) Result {
	began := time.Now()
	options.Budget = options.Budget.orDefault()
	bounded, cancel := context.WithTimeout(ctx, options.Budget.Time)
	defer cancel()

	result := Result{
		Version:    resultVersion,
		Verdict:    Valid,
		Model:      model.name,
		Statistics: Measure(run),
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
	result.Violations = foremost(result.Violations)
	result.Lost = foremostLosses(result.Lost)
	result.Vacuous = vacuous(run, result.Statistics)
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
		problem := ""
		want, known := m.kinds[o.Kind]
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
func foremost(violations []Violation) []Violation {
	byTime := func(a, b Violation) int { return cmp.Compare(a.At(), b.At()) }
	slices.SortStableFunc(violations, byTime)
	if len(violations) <= MaxViolations {
		return violations
	}
	type ranked struct {
		rank int
		Violation
	}
	seen := map[Anomaly]int{}
	all := make([]ranked, len(violations))
	for i, v := range violations {
		all[i] = ranked{seen[v.Anomaly], v}
		seen[v.Anomaly]++
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	kept := make([]Violation, MaxViolations)
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
	enoughShare = 0.01
)

// vacuous says why the run tested nothing; empty if it did.
func vacuous(run *history.Run, s Statistics) string {
	wanted := run.Manifest.Nemesis
	landed := slices.ContainsFunc(run.Events, func(e history.Event) bool {
		return e.Type == history.Inject || e.Type == history.Stop // a violation came before any fault
	})
	observed := slices.ContainsFunc(run.History.Operations, func(o history.Operation) bool {
		switch o.Kind {
		case history.Read, history.ReadAll, history.Dequeue, history.Acquire, history.Generate:
			return o.Outcome == history.OK
		case history.CompareAndSet:
			return o.Outcome == history.OK || o.Outcome == history.Fail && len(o.Output) > 0
		}
		return false
	})
	switch {
	case s.OK == 0:
		return fmt.Sprintf("None of %d operations succeeded.", s.Operations)
	case s.OK < enough:
		return fmt.Sprintf("Only %d of %d operations succeeded; fewer than %d test nothing.", s.OK, s.Operations, enough)
	case float64(s.OK) < enoughShare*float64(s.Operations):
		return fmt.Sprintf("Only %d of %d operations succeeded, less than 1 %%.", s.OK, s.Operations)
	case !observed:
		return "No read succeeded, so nothing was observed."
	case wanted != "" && wanted != "none" && !landed:
		return fmt.Sprintf("The nemesis %q was asked for, and no fault landed.", wanted)
	}
	return ""
}

// conformance compares a result with a claim. A proven breach of the claim is
// one however little else was tested; short of that, a run that is unknown or
// vacuous decides nothing.
func conformance(claim history.Claim, result *Result) Conformance {
	if result.Verdict == Invalid {
		for _, v := range result.Violations {
			if !slices.Contains(claim.Expect, string(v.Anomaly)) {
				return NotAsClaimed
			}
		}
	}
	if result.Verdict == Unknown || result.Vacuous != "" {
		return Undecided
	}
	return AsClaimed
}

// phaseBegins returns when a phase began; never if it did not.
func phaseBegins(run *history.Run, phase history.Phase) time.Duration {
	for _, e := range run.Events {
		if e.Type == history.PhaseBegins && e.Phase == phase {
			return e.Time
		}
	}
	return never
}
