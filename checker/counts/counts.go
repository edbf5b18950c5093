// Package counts says how often something was wrong, and what became of what clients
// stored: the figures of a result.
package counts

import (
	"fmt"
	"time"
)

// Bounds count what a history does not always settle: at least Certain, at most
// Possible.
type Bounds struct {
	Certain  int `json:"certain"`
	Possible int `json:"possible"`
}

// String is "7", or "7–9" where the two differ.
func (b Bounds) String() string {
	if b.Certain == b.Possible {
		return fmt.Sprint(b.Certain)
	}
	return fmt.Sprintf("%d–%d", b.Certain, b.Possible)
}

// Add adds other bounds.
func (b *Bounds) Add(c Bounds) { b.Certain, b.Possible = b.Certain+c.Certain, b.Possible+c.Possible }

// Staleness is how out of date the certainly stale reads of registers were, at
// least; package anomaly defines age and versions. Percentiles are by
// nearest rank.
type Staleness struct {
	// Reads counts those measured: not those that are stale only together.
	Reads  int           `json:"reads"`
	AgeP50 time.Duration `json:"age_p50_ns"`
	AgeP99 time.Duration `json:"age_p99_ns"`
	AgeMax time.Duration `json:"age_max_ns"`
	// Ages[0] counts the ages below 1 ms, Ages[i] those of at least 2^(i-1) and
	// below 2^i ms.
	Ages        []int `json:"ages"`
	VersionsP50 int   `json:"versions_p50"`
	VersionsP99 int   `json:"versions_p99"`
	VersionsMax int   `json:"versions_max"`
	// Versions[i] counts those of at least 2^i and fewer than 2^(i+1) versions.
	Versions []int `json:"versions"`
}

// A Loss names an acknowledged write or compare-and-set that was lost, or
// an element of a set.
type Loss struct {
	Key     string `json:"key,omitempty"`
	Value   int64  `json:"value"`
	Process int    `json:"process"`
	Node    string `json:"node,omitempty"`
	// At is when it was acknowledged, or an element of a set first shown.
	At time.Duration `json:"at_ns"`
	// Certain is whether it is lost in every case, else in some.
	Certain bool `json:"certain"`
}

// Sides are the stale reads and the lost commits on one side of a partition.
type Sides struct {
	StaleReads  int `json:"stale_reads"`
	LostCommits int `json:"lost_commits"`
}

// Add adds those of other operations.
func (s *Sides) Add(t Sides) {
	s.StaleReads, s.LostCommits = s.StaleReads+t.StaleReads, s.LostCommits+t.LostCommits
}

// A Set counts the elements of a set by what became of them, as Jepsen's
// set-full does; checker.Set defines the words.
type Set struct {
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

// A Queue counts elements of queues by what became of them, and dequeues
// that were wrong; checker.Queue defines the words.
type Queue struct {
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

// A Counter sums up what became of the increments, over all keys.
type Counter struct {
	Acknowledged int64 `json:"acknowledged"` // the sum of the acknowledged increments
	Unknown      int64 `json:"unknown"`      // the sum of those of unknown outcome
	// FinalLeast and FinalMost are what a read after everything may show.
	FinalLeast int64 `json:"final_least"`
	FinalMost  int64 `json:"final_most"`
	// Between LostLeast and LostMost of what was acknowledged, or seen, was lost.
	// They are equal only if nothing is of unknown outcome. A counter that goes
	// up and down has neither.
	LostLeast int64 `json:"lost_least"`
	LostMost  int64 `json:"lost_most"`
}

// A Lock counts what happened under locks; checker.Lock defines the words.
type Lock struct {
	Holds         int `json:"holds"`           // acknowledged acquires
	HeldTwice     int `json:"held_twice"`      // holds that began while another process certainly held the lock
	TokenWentBack int `json:"token_went_back"` // holds whose token is no greater than that of an earlier one
	Uses          int `json:"uses"`            // accepted
	Refused       int `json:"refused"`         // uses by a process that believed in its hold, stopped by a newer token
	Corrupted     int `json:"corrupted"`       // accepted uses that nothing kept apart from another holder's
}

// A Bank counts what a bank did.
type Bank struct {
	Transferred int `json:"transferred"` // transfers acknowledged
	Refused     int `json:"refused"`     // for want of money
	Unknown     int `json:"unknown"`     // transfers of unknown outcome
	Reads       int `json:"reads"`       // acknowledged
	WrongTotal  int `json:"wrong_total"` // reads that do not sum up
	Negative    int `json:"negative"`    // reads with a negative balance
	// Incomplete are reads that lack an account, or show one that does not exist.
	Incomplete int `json:"incomplete,omitempty"`
	// Ordered means that an order of all operations was found too, in every bank.
	Ordered bool `json:"ordered"`
}

// An IDs counts what generators gave.
type IDs struct {
	Acknowledged int `json:"acknowledged"` // operations that got an id
	Unknown      int `json:"unknown"`      // operations that may have got one
	Duplicated   int `json:"duplicated"`   // ids that more than one operation got
	// DuplicatedIDs names at most 100 of them.
	DuplicatedIDs []int64 `json:"duplicated_ids,omitempty"`
}
