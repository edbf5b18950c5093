package checker

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
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

func (b *Bounds) add(c Bounds) { b.Certain, b.Possible = b.Certain+c.Certain, b.Possible+c.Possible }

// Staleness is how out of date the certainly stale reads of registers were, at
// least; the package comment defines age and versions. Percentiles are by
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

// maxLosses bounds the lost commits that a Result names.
const maxLosses = 100

// foremostLosses orders lost commits by time and cuts them to maxLosses, the
// uncertain ones first.
func foremostLosses(all []Loss) []Loss {
	byTime := func(a, b Loss) int { return cmp.Compare(a.At, b.At) }
	slices.SortStableFunc(all, byTime)
	if len(all) <= maxLosses {
		return all
	}
	slices.SortStableFunc(all, func(a, b Loss) int {
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
	stale, lost Bounds
	losses      []Loss
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
func staleness(ages []time.Duration, versions []int) *Staleness {
	if len(ages) == 0 {
		return nil
	}
	slices.Sort(ages)
	slices.Sort(versions)
	s := &Staleness{
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
