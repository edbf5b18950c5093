package ledger

import (
	"math/bits"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Counts are the stale reads and the lost commits of one register.
type Counts struct {
	Stale, Lost counts.Bounds
	Losses      []counts.Loss
	// StaleReads are those that are certainly stale by themselves, and Ages and
	// Versions theirs.
	StaleReads []*history.Operation
	Ages       []time.Duration
	Versions   []int
	// certain and possible are the reads counted in Stale, with those that
	// AtOdds has added; a certain one is possible too.
	certain, possible map[*history.Operation]bool
	CertainlyLost     LastSeen
}

// A LastSeen tells of updates when the last operation completed that may have seen
// what they wrote; before time began if there is none.
type LastSeen map[*history.Operation]time.Duration

// MissedBy: the update is among these, and was not seen again once a read had missed
// it that was invoked then. In the final phase all reads missed it.
func (l LastSeen) MissedBy(invoked, final time.Duration, update *history.Operation) bool {
	seen, lost := l[update]
	return lost && (seen < invoked || invoked >= final)
}

// AtOdds adds a violation that shows only that these reads are at odds: one of
// them was stale, unless one that is counted already explains it.
func (c *Counts) AtOdds(reads []*history.Operation) {
	if slices.ContainsFunc(reads, func(o *history.Operation) bool { return c.certain[o] }) {
		return
	}
	c.Stale.Certain++
	if !slices.ContainsFunc(reads, func(o *history.Operation) bool { return c.possible[o] }) {
		c.Stale.Possible++
	}
	for _, o := range reads { // another violation with one of these may mean the same read
		c.certain[o], c.possible[o] = true, true
	}
}

// Distribution is that of all registers' stale reads; nil if none is.
func Distribution(ages []time.Duration, versions []int) *counts.Staleness {
	if len(ages) == 0 {
		return nil
	}
	slices.Sort(ages)
	slices.Sort(versions)
	s := &counts.Staleness{
		Reads:  len(ages),
		AgeP50: statistics.Percentile(ages, 50), AgeP99: statistics.Percentile(ages, 99), AgeMax: statistics.Percentile(ages, 100),
		VersionsP50: statistics.Percentile(versions, 50), VersionsP99: statistics.Percentile(versions, 99), VersionsMax: statistics.Percentile(versions, 100),
	}
	for _, age := range ages {
		s.Ages = raise(s.Ages, bits.Len64(uint64(age/time.Millisecond)))
	}
	for _, n := range versions {
		s.Versions = raise(s.Versions, bits.Len(uint(n))-1)
	}
	return s
}

// raise adds one to a slot of a histogram, which grows as needed.
func raise(histogram []int, slot int) []int {
	for len(histogram) <= slot {
		histogram = append(histogram, 0)
	}
	histogram[slot]++
	return histogram
}
