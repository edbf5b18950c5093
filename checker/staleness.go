package checker

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
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

// registerCounts are the stale reads and the lost commits of one register.
type registerCounts struct {
	stale, lost counts.Bounds
	losses      []counts.Loss
	// staleReads are those that are certainly stale by themselves, and ages and
	// versions theirs.
	staleReads []*history.Operation
	ages       []time.Duration
	versions   []int
	// certain and possible are the reads counted in stale, with those that
	// atOdds has added; a certain one is possible too.
	certain, possible map[*history.Operation]bool
	certainlyLost     lastSeen
}

// A lastSeen tells of updates when the last operation completed that may have seen
// what they wrote; before time began if there is none.
type lastSeen map[*history.Operation]time.Duration

// missedBy: the update is among these, and was not seen again once a read had missed
// it that was invoked then. In the final phase all reads missed it.
func (l lastSeen) missedBy(invoked, final time.Duration, update *history.Operation) bool {
	seen, lost := l[update]
	return lost && (seen < invoked || invoked >= final)
}

// atOdds adds a violation that shows only that these reads are at odds: one of
// them was stale, unless one that is counted already explains it.
func (c *registerCounts) atOdds(reads []*history.Operation) {
	if slices.ContainsFunc(reads, func(o *history.Operation) bool { return c.certain[o] }) {
		return
	}
	c.stale.Certain++
	if !slices.ContainsFunc(reads, func(o *history.Operation) bool { return c.possible[o] }) {
		c.stale.Possible++
	}
	for _, o := range reads { // another violation with one of these may mean the same read
		c.certain[o], c.possible[o] = true, true
	}
}

// staleness is the distribution of all registers' stale reads; nil if none is.
func staleness(ages []time.Duration, versions []int) *counts.Staleness {
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
