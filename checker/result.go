package checker

import (
	"cmp"
	"time"

	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
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

// An Anomaly is the class of a violation, by the field's names.
type Anomaly string

const (
	StaleRead   Anomaly = "stale read"        // a read returned what was no longer, or not yet, there (package comment)
	LostCommit  Anomaly = "lost commit"       // an acknowledged write has gone (package comment)
	PhantomRead Anomaly = "phantom read"      // a value was observed that was never written, or whose write failed, or before it was written
	DoubleSwap  Anomaly = "double swap"       // two compare-and-sets from one value both succeeded
	Resurrected Anomaly = "value resurrected" // a value that had been overwritten came back, for several observers (package comment)
	Disorder    Anomaly = "disorder"          // no order explains the witness, and no narrower name fits

	WrongCount    Anomaly = "wrong count"     // a counter, or a bank's total, that no order of the updates gives
	OutOfOrder    Anomaly = "out of order"    // a queue gave a later element first, or said that it was empty
	DequeuedTwice Anomaly = "dequeued twice"  // a queue gave one element to two
	HeldTwice     Anomaly = "lock held twice" // two processes held one lock at once
	TokenWentBack Anomaly = "token went back" // a later holder of a lock got a fencing token that is no greater
	FenceBroken   Anomaly = "fence broken"    // what a lock protects accepted a fencing token after a newer one
	DuplicateID   Anomaly = "duplicate id"    // two processes got one id

	// What only a trial can show, whatever its model.
	NoRecovery  Anomaly = "no recovery"  // the cluster served no read, or no update, after all faults were healed
	NodeCrashed Anomaly = "node crashed" // a node ended by itself
	LogPattern  Anomaly = "log pattern"  // a node's log has a line that the target's patterns forbid
)

// Anomalies are all of them: what a claim can admit.
var Anomalies = []Anomaly{
	StaleRead, LostCommit, PhantomRead, DoubleSwap, Resurrected, Disorder,
	WrongCount, OutOfOrder, DequeuedTwice, HeldTwice, TokenWentBack, FenceBroken, DuplicateID,
	NoRecovery, NodeCrashed, LogPattern,
}

// Of returns the name of the one model whose histories can show the anomaly; empty
// if several models' can.
func (a Anomaly) Of() string {
	switch a {
	case OutOfOrder, DequeuedTwice:
		return Queue.name
	case HeldTwice, TokenWentBack, FenceBroken:
		return Lock.name
	case DuplicateID:
		return IDs.name
	}
	return ""
}

// Budget bounds a check. The zero Budget means DefaultBudget.
type Budget struct {
	// Time is for one whole history.
	Time time.Duration
	// MemoryBytes bounds the heap's growth while checking.
	MemoryBytes uint64
}

func (b Budget) orDefault() Budget {
	return Budget{Time: cmp.Or(b.Time, DefaultBudget.Time), MemoryBytes: cmp.Or(b.MemoryBytes, DefaultBudget.MemoryBytes)}
}

// Options of a check. The zero Options are right for most.
type Options struct {
	Budget Budget
	// Engine forces one; empty means the fastest that is exact for each key.
	Engine Engine
}

// An Engine is a way to decide.
type Engine string

const (
	Zones      Engine = "zones"      // registers without repeated values, in near-linear time
	Search     Engine = "search"     // any values, by just-in-time linearization
	Porcupine  Engine = "porcupine"  // the court of appeal
	Polynomial Engine = "polynomial" // the other models, each by a method of its own
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
	// the claim does not admit breaks it, however vacuous the rest of the run; gaps
	// leave it undecided.
	AsClaimed Conformance `json:"as_claimed"`
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
	// StaleReads and LostCommits are counted as the package comment defines.
	StaleReads  Bounds `json:"stale_reads"`
	LostCommits Bounds `json:"lost_commits"`
	// Staleness is of registers; nil if no read was certainly stale.
	Staleness *Staleness `json:"staleness,omitempty"`
	// Lost names at most 100 of the lost commits, ordered by time; where there
	// are more, the certain ones first.
	Lost []Loss `json:"lost,omitempty"`
	// Majority and Minority count the certain ones of both that were invoked
	// on that side of a partition, as Statistics counts its services. Reads that
	// are stale only together are on neither.
	Majority SideAnomalies `json:"majority"`
	Minority SideAnomalies `json:"minority"`
	// FirstViolation is when the earliest operation that contradicts others
	// completed; 0 if none does.
	FirstViolation time.Duration `json:"first_violation_ns,omitempty"`
	// Violations are ordered by time, and at most MaxViolations of them.
	Violations []Violation `json:"violations,omitempty"`
	// Set is present for the set workload.
	Set *SetResult `json:"set,omitempty"`
	// Counter, Queue, Lock, Bank and IDs are present for the workloads of these
	// names.
	Counter    *CounterResult        `json:"counter,omitempty"`
	Queue      *QueueResult          `json:"queue,omitempty"`
	Lock       *LockResult           `json:"lock,omitempty"`
	Bank       *BankResult           `json:"bank,omitempty"`
	IDs        *IDsResult            `json:"ids,omitempty"`
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

// A Violation is one contradiction in the history.
type Violation struct {
	Anomaly Anomaly `json:"anomaly"`
	Key     string  `json:"key,omitempty"`
	// Time is of a violation without a Witness, which is one of the trial and not of
	// its operations: a crash, a line in a log, no recovery.
	Time time.Duration `json:"time_ns,omitempty"`
	// Witness is the smallest set of operations found that no order explains;
	// Porcupine agrees, on these alone. Ordered by Invoke. The outputs of a
	// set's reads are restricted to the elements that matter; of a counter's or
	// a bank's updates, it shows a thousand at most, and the sentence tells their
	// sum; of a bank's balances, what the sentence names is what matters.
	Witness []history.Operation `json:"witness"`
	// Elements are those of a set that matter, and what its reads did not see of
	// these is as telling as what they saw; empty if it is no set.
	Elements []int64 `json:"elements,omitempty"`
	// Sentence tells it, with processes, the nodes that their clients went
	// through, times where the history has them, and the faults meanwhile.
	Sentence string `json:"sentence"`
}

// At is when the violation was complete.
func (v Violation) At() time.Duration {
	at := v.Time
	for _, operation := range v.Witness {
		if operation.Outcome != history.Info {
			at = max(at, operation.Complete)
		}
	}
	return at
}

// A SetResult counts the elements of a set by what became of them, as Jepsen's
// set-full does; CheckSet defines the words.
type SetResult struct {
	Attempted    int `json:"attempted"` // by adds that did not fail
	Acknowledged int `json:"acknowledged"`
	OK           int `json:"ok"`         // present in every read that had to show it
	Lost         int `json:"lost"`       // acknowledged or seen, then absent for good
	Stale        int `json:"stale"`      // absent from some read that had to show it, and present later
	Recovered    int `json:"recovered"`  // of unknown outcome, and present in the end; also counted as OK or Stale
	NeverRead    int `json:"never_read"` // acknowledged, and no read could tell
	Unexpected   int `json:"unexpected"` // present, and never added, or not yet
	// LostElements, StaleElements and UnexpectedElements name at most 100 each.
	LostElements       []int64 `json:"lost_elements,omitempty"`
	StaleElements      []int64 `json:"stale_elements,omitempty"`
	UnexpectedElements []int64 `json:"unexpected_elements,omitempty"`
	// Stale delays: from the acknowledgement of a stale element to the last
	// invocation of a read that missed it.
	StaleMedian time.Duration `json:"stale_median_ns,omitempty"`
	StaleMax    time.Duration `json:"stale_max_ns,omitempty"`
}

// A QueueResult counts elements of queues by what became of them, and dequeues
// that were wrong; Queue defines the words.
type QueueResult struct {
	Attempted    int    `json:"attempted"` // by enqueues that did not fail
	Acknowledged int    `json:"acknowledged"`
	Dequeued     int    `json:"dequeued"`     // elements, also of unknown enqueues
	Recovered    int    `json:"recovered"`    // of unknown outcome, and dequeued
	Lost         Bounds `json:"lost"`         // acknowledged, never dequeued, and then the queue was empty
	Duplicated   int    `json:"duplicated"`   // dequeued more than once
	Unexpected   int    `json:"unexpected"`   // dequeued, and never enqueued, or not yet
	OutOfOrder   int    `json:"out_of_order"` // dequeued before another that was enqueued earlier
	NotEmpty     int    `json:"not_empty"`    // dequeues that found nothing although something was inside
}

// A LockResult counts what happened under locks; Lock defines the words.
type LockResult struct {
	Holds         int `json:"holds"`           // acknowledged acquires
	HeldTwice     int `json:"held_twice"`      // holds that began while another process certainly held the lock
	TokenWentBack int `json:"token_went_back"` // holds whose token is no greater than that of an earlier one
	Uses          int `json:"uses"`            // accepted
	Refused       int `json:"refused"`         // uses by a process that believed in its hold, stopped by a newer token
	Corrupted     int `json:"corrupted"`       // accepted uses that nothing kept apart from another holder's
}

// SideAnomalies are those on one side of a partition.
type SideAnomalies struct {
	StaleReads  int `json:"stale_reads"`
	LostCommits int `json:"lost_commits"`
}

// countBySide counts anomalies by the side of a partition on which they were invoked.
func (r *Result) countBySide(run *history.Run, staleReads, lostCommits []*history.Operation) {
	r.Majority.StaleReads, r.Minority.StaleReads = statistics.CountBySide(run, staleReads)
	r.Majority.LostCommits, r.Minority.LostCommits = statistics.CountBySide(run, lostCommits)
}
