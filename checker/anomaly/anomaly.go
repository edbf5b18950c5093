package anomaly

import (
	"fmt"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A Name is the class of a violation, by the field's names.
type Name string

const (
	StaleRead   Name = "stale read"        // a read returned what was no longer, or not yet, there
	LostCommit  Name = "lost commit"       // an acknowledged write has gone
	PhantomRead Name = "phantom read"      // a value was observed that was never written, or whose write failed, or before it was written
	DoubleSwap  Name = "double swap"       // two compare-and-sets from one value both succeeded
	Resurrected Name = "value resurrected" // a value that had been overwritten came back, for several observers
	Disorder    Name = "disorder"          // no order explains the witness, and no narrower name fits

	WrongCount    Name = "wrong count"     // a counter, or a bank's total, that no order of the updates gives
	OutOfOrder    Name = "out of order"    // a queue gave a later element first, or said that it was empty
	DequeuedTwice Name = "dequeued twice"  // a queue gave one element to two
	HeldTwice     Name = "lock held twice" // two processes held one lock at once
	TokenWentBack Name = "token went back" // a later holder of a lock got a fencing token that is no greater
	FenceBroken   Name = "fence broken"    // what a lock protects accepted a fencing token after a newer one
	DuplicateID   Name = "duplicate id"    // two processes got one id

	// What only a trial can show, whatever its model.
	NoRecovery  Name = "no recovery"  // the cluster served no read, or no update, after all faults were healed
	NodeCrashed Name = "node crashed" // a node ended by itself
	LogPattern  Name = "log pattern"  // a node's log has a line that the target's patterns forbid
)

// All of them: what a claim can admit.
var All = []Name{
	StaleRead, LostCommit, PhantomRead, DoubleSwap, Resurrected, Disorder,
	WrongCount, OutOfOrder, DequeuedTwice, HeldTwice, TokenWentBack, FenceBroken, DuplicateID,
	NoRecovery, NodeCrashed, LogPattern,
}

// Of returns the name of the one model whose histories can show the anomaly; empty
// if several models' can.
func (n Name) Of() string {
	switch n {
	case OutOfOrder, DequeuedTwice:
		return "queue"
	case HeldTwice, TokenWentBack, FenceBroken:
		return "lock"
	case DuplicateID:
		return "unique-ids"
	}
	return ""
}

// A Violation is one contradiction in the history.
type Violation struct {
	Anomaly Name   `json:"anomaly"`
	Key     string `json:"key,omitempty"`
	// Part is the name of the model that says so, where several judge a run.
	Part string `json:"part,omitempty"`
	// Time is of a violation without a Witness, such as those of a trial: a crash, a line
	// in a log, no recovery.
	Time time.Duration `json:"time_ns,omitempty"`
	// Witness are operations that no order explains, as few as were found, ordered by
	// Invoke. Porcupine agrees, on these alone, or two independent searches do, unless they are a user's own function's.
	// The outputs of a set's reads are restricted to the elements that matter; of a
	// counter's or a bank's updates, a thousand are shown at most, and the sentence tells
	// their sum; of a bank's balances, what the sentence names is what matters.
	Witness []history.Operation `json:"witness"`
	// NotShortest means that the time did not suffice to make the witness as small as
	// it can be made.
	NotShortest bool `json:"not_shortest,omitempty"`
	// Elements are those of a set that matter, and what its reads did not see of
	// these is as telling as what they saw; empty if it is no set.
	Elements []int64 `json:"elements,omitempty"`
	// Sentence tells it, with processes, the nodes that their clients went
	// through, times where the history has them, and the faults meanwhile.
	Sentence string `json:"sentence"`
}

// Title is the anomaly, and in brackets the Part if that says more: "disorder (no lost
// append)".
func (v Violation) Title() string {
	if v.Part == "" || v.Part == string(v.Anomaly) {
		return string(v.Anomaly)
	}
	return fmt.Sprintf("%s (%s)", v.Anomaly, v.Part)
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
