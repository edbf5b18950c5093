package checker

import (
	"cmp"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/guarantees"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/statistics"
)

// A Verdict answers whether one sequential history explains every story.
type Verdict string

const (
	Valid   Verdict = "valid"
	Invalid Verdict = "invalid"
	// Unknown means that a budget ran out, or that something stood in the way.
	// It is never a pass.
	Unknown Verdict = "unknown"
)

// Budget bounds a check. The zero Budget means DefaultBudget.
type Budget struct {
	// Time is for one whole history.
	Time time.Duration
	// MemoryBytes bounds the heap's growth while checking.
	MemoryBytes uint64
	// Witness is of Porcupine's models alone: once a partition is known to be invalid,
	// the time for the other partitions, and after that again for witnesses. 0 is as
	// long as it took to know, and at least a second. If it is negative, the others are
	// left unknown, and a witness is the whole partition.
	Witness time.Duration
}

func (b Budget) orDefault() Budget {
	return Budget{Time: cmp.Or(b.Time, DefaultBudget.Time), MemoryBytes: cmp.Or(b.MemoryBytes, DefaultBudget.MemoryBytes), Witness: b.Witness}
}

// court is what of it bounds an engine.
func (b Budget) court() court.Budget { return court.Budget{Time: b.Time, MemoryBytes: b.MemoryBytes} }

// Options of a check. The zero Options are right for most.
type Options struct {
	Budget Budget
	// Engine forces one; empty means the fastest that is exact for each key.
	Engine Engine
	// ReadOnly declares of operations of Porcupine's that they leave every state of the
	// model in which they are possible; nil if nothing is known of any. That makes
	// CheckOperations and CheckEvents faster, and their witnesses smaller. It must be
	// true of all states: a write of the value that is there is no read-only operation.
	ReadOnly func(input, output any) bool
	// Unknown declares of outputs of Porcupine's that nobody knows the outcome of their
	// operations: these may take effect at any moment after their Call, or never,
	// whatever their Return. Nil if all take effect.
	Unknown func(output any) bool
}

// An Engine is a way to decide.
type Engine string

const (
	Zones      Engine = model.Zones      // registers without repeated values, in near-linear time
	Search     Engine = model.Search     // any values, by just-in-time linearization
	Porcupine  Engine = model.Porcupine  // the court of appeal: Wing & Gong's search, depth first, with Lowe's cache
	Polynomial Engine = model.Polynomial // the other models, each by a method of its own
)

// A Decision names the keys that one engine decided for one reason.
type Decision struct {
	Engine Engine   `json:"engine"`
	Why    string   `json:"why"`
	Keys   []string `json:"keys"`
}

// DefaultBudget is enough for minutes of operations and fits a CI runner.
var DefaultBudget = Budget{Time: 60 * time.Second, MemoryBytes: 2 << 30}

// A Result is what a check found: plain data, and the whole of result.json.
type Result struct {
	// Version is of this form.
	Version int     `json:"version"`
	Verdict Verdict `json:"verdict"`
	// Reason says why a verdict is unknown, or else the first of KeysUnknown.
	Reason string `json:"reason,omitempty"`
	// Parts are the verdicts of the models of a Compose; nil if there is one model.
	Parts []Part `json:"parts,omitempty"`
	// Gaps are sentences on what a trial did not come to see: acknowledged updates
	// that nothing read after the faults, nodes that did not serve again, a final
	// phase that did not come. A verdict is then unknown at best; Reason repeats them.
	Gaps []string `json:"gaps,omitempty"`
	// Uncovered counts the acknowledged updates that nothing read after the faults:
	// whose key, or set, no successful read since the healing and since the
	// acknowledgement was of.
	Uncovered int `json:"uncovered,omitempty"`
	// Vacuous says why the run tested nothing: a valid but vacuous run is not a
	// pass. An invalid one is never vacuous.
	Vacuous string `json:"vacuous,omitempty"`
	// AsClaimed compares the verdict with the target's claim. An anomaly that
	// the claim does not admit breaks it, and so does a broken guarantee, however vacuous
	// the rest of the run; gaps and unknown guarantees leave it undecided.
	AsClaimed Conformance `json:"as_claimed"`
	// Guarantees are those that the claim names, in its order, with what was found of each.
	Guarantees []guarantees.Result `json:"guarantees,omitempty"`
	// Warnings are sentences on what makes the run worth less than it seems, but
	// changes no verdict: a fault that was too short to matter, a node that did not
	// serve again.
	Warnings []string `json:"warnings,omitempty"`
	// Model is what the history was held against: "register", "set", ….
	Model string        `json:"model"`
	Took  time.Duration `json:"took_ns"`
	// Decisions say which engine decided which keys, and why that one.
	Decisions []Decision `json:"decisions"`
	// Keys counts the independent histories checked, KeysUnknown those of them
	// of which something is not known, mostly because a budget did not suffice.
	// What else is wrong with an invalid one may be unknown, so it can be both.
	Keys        int `json:"keys"`
	KeysInvalid int `json:"keys_invalid"`
	KeysUnknown int `json:"keys_unknown"`
	// StaleReads and LostCommits are counted as package anomaly defines.
	StaleReads  counts.Bounds `json:"stale_reads"`
	LostCommits counts.Bounds `json:"lost_commits"`
	// Staleness is of registers; nil if no read was certainly stale.
	Staleness *counts.Staleness `json:"staleness,omitempty"`
	// Lost names at most 100 of the lost commits, ordered by time; where there
	// are more, the certain ones first.
	Lost []counts.Loss `json:"lost,omitempty"`
	// Majority and Minority count the certain ones of both that were invoked
	// on that side of a partition, as Statistics counts its services. Reads that
	// are stale only together are on neither.
	Majority counts.Sides `json:"majority"`
	Minority counts.Sides `json:"minority"`
	// FirstViolation is when the earliest operation that contradicts others
	// completed; 0 if none does.
	FirstViolation time.Duration `json:"first_violation_ns,omitempty"`
	// Violations are ordered by time, and at most MaxViolations of them.
	Violations []anomaly.Violation `json:"violations,omitempty"`
	// Set is present for the set workload.
	Set *counts.Set `json:"set,omitempty"`
	// Counter, Queue, Lock, Bank and IDs are present for the workloads of these
	// names.
	Counter    *counts.Counter       `json:"counter,omitempty"`
	Queue      *counts.Queue         `json:"queue,omitempty"`
	Lock       *counts.Lock          `json:"lock,omitempty"`
	Bank       *counts.Bank          `json:"bank,omitempty"`
	IDs        *counts.IDs           `json:"ids,omitempty"`
	Statistics statistics.Statistics `json:"statistics"`
	// Torn repeats History.Torn.
	Torn string `json:"torn,omitempty"`
}

// MaxViolations bounds the violations that a Result shows; the counts go on.
const MaxViolations = 20

// Conformance is a verdict as seen from the target's claim.
type Conformance string

const (
	AsClaimed    Conformance = "as claimed"
	NotAsClaimed Conformance = "not as claimed"
	Undecided    Conformance = "undecided" // unknown or vacuous, and no breach proven
)

// maxLosses bounds the lost commits that a Result names.
const maxLosses = 100

// foremostLosses orders lost commits by time and cuts them to maxLosses, the
// uncertain ones first.
func foremostLosses(all []counts.Loss) []counts.Loss {
	byTime := func(a, b counts.Loss) int { return cmp.Compare(a.At, b.At) }
	slices.SortStableFunc(all, byTime)
	if len(all) <= maxLosses {
		return all
	}
	slices.SortStableFunc(all, func(a, b counts.Loss) int {
		switch {
		case a.Certain == b.Certain:
			return 0
		case a.Certain:
			return -1
		}
		return 1
	})
	all = slices.Clone(all[:maxLosses])
	slices.SortStableFunc(all, byTime)
	return all
}
