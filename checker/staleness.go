package checker

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"sort"
	"time"

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
	// ages and versions are of the certainly stale reads.
	ages     []time.Duration
	versions []int
	// certain and possible are the reads counted in stale, with those that
	// atOdds has added; a certain one is possible too.
	certain, possible map[*history.Operation]bool
	certainlyLost     map[*history.Operation]bool
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
		AgeP50: percentile(ages, 50), AgeP99: percentile(ages, 99), AgeMax: percentile(ages, 100),
		VersionsP50: percentile(versions, 50), VersionsP99: percentile(versions, 99), VersionsMax: percentile(versions, 100),
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

// # How the bounds are computed
//
// The package comment defines both by all cases: by what each observer saw, and
// by when each operation of unknown outcome was over. There are exponentially
// many cases, and none needs to be looked at, because the choices hardly meet.
// What an observer sees decides only about writes of the value that it
// observed; whether r is stale depends on the writes of r's value v, which must
// be over early, and on the writes of other values, which must be shown early.
//
// So let the sources of an observer be the writes of its value invoked until it
// completed: the first few, by invocation, of that value's writes. Consider the
// case that spares r most. For a value other than v, each observer must show
// one of its sources, and the one that was invoked first is a source of all and
// harms least, for only late invocations harm. Hence shown(w) is when w was
// acknowledged, or, if w is its value's first, when the first observer of that
// value completed. For v itself, r saw the source that was over last, and the
// other observers did not see that one, unless it was their only source, which
// only the first write can be. Hence latest(u) is when u was acknowledged, or,
// if u is its value's first, when the first observer completed that had no
// other source. So r is certainly stale iff the greatest latest(u) of its
// sources lies before the greatest invocation of those w with shown(w) before r
// was invoked: such a w is not of the value v, for then it would be a source,
// and shown no earlier than it was invoked.
//
// The case that harms r most lets all observers of a value see the one write
// that matters, if they can. Hence earliest(w) is when w was acknowledged, or
// when the first observer completed that has w among its sources; and a u of
// unknown outcome that r saw was over at once. So r is possibly stale iff the
// least over(u) of its sources lies before the greatest invocation of those w,
// of other values, with earliest(w) before r was invoked.
//
// Lost commits go the same way: in the case that spares w most, every observer
// saw the source with the greatest latest, and one choice serves all observers
// of a value, because those that complete later have at least the same sources;
// in the case that harms w most, all of a value saw the one with the least over.
//
// All of this is by sorting and sweeping, in O(n log n).

// An update is a write or compare-and-set that did not fail.
type update struct {
	operation *history.Operation
	call, ret time.Duration // ret is never if the outcome is unknown
	value     int32         // that it wrote
	rank      int32         // among all updates, by call
	// The comment above defines these; never if it may have taken no effect.
	shown, latest, earliest, over time.Duration
	// latestOver and leastOver are the greatest latest and the least over of
	// the updates of this value up to this one, by call.
	latestOver, leastOver time.Duration
}

// An observer is an operation that says what the register held.
type observer struct {
	operation *history.Operation
	value     int32
	// source is the place in updates of the last of its sources; that value's
	// updates up to there are its sources. noSource if there is none.
	source int32
	swaps  bool // it is a compare-and-set, and not judged as a read
}

const noSource = -1

// The values of a register are numbered from 0.
const (
	nothing int32 = -1
	phantom int32 = -2 // nobody wrote it
)

// A ledger is a register's history as stale reads and lost commits need it.
type ledger struct {
	final     time.Duration
	updates   []update   // by value, then by call
	observers []observer // by call
	calls     []time.Duration
}

// measureRegister counts the stale reads and the lost commits of one key. The
// operations are those of the key, ordered by invocation; those that say
// nothing may be left out. The final phase began at final, or never.
func measureRegister(operations []*history.Operation, final time.Duration) registerCounts {
	l := newLedger(operations, final)
	l.date()
	counts := registerCounts{
		certain: map[*history.Operation]bool{}, possible: map[*history.Operation]bool{}, certainlyLost: map[*history.Operation]bool{},
	}
	l.countStale(&counts)
	l.countLost(&counts)
	return counts
}

func newLedger(operations []*history.Operation, final time.Duration) *ledger {
	l := &ledger{final: final, updates: make([]update, 0, len(operations)), observers: make([]observer, 0, len(operations))}
	numbers := make(map[int64]int32, len(operations)/2)
	for _, o := range operations {
		if o.Outcome == history.Fail || o.Kind != history.Write && (o.Kind != history.CompareAndSet || o.Input[0] == o.Input[1]) {
			continue
		}
		written := o.Input[len(o.Input)-1]
		number, known := numbers[written]
		if !known {
			number = int32(len(numbers))
			numbers[written] = number
		}
		u := update{operation: o, call: o.Invoke, ret: o.Complete, value: number, rank: int32(len(l.updates))}
		if o.Outcome == history.Info {
			u.ret = never
		}
		l.calls = append(l.calls, u.call)
		l.updates = append(l.updates, u)
	}
	slices.SortFunc(l.updates, func(a, b update) int { return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.rank, b.rank)) })

	begins := make([]int32, len(numbers)+1) // of each value's updates
	for _, u := range l.updates {
		begins[u.value+1]++
	}
	for value := 1; value < len(begins); value++ {
		begins[value] += begins[value-1]
	}
	for _, o := range operations {
		seen, swaps, ok := observed(o)
		if !ok {
			continue
		}
		at := observer{operation: o, value: nothing, source: noSource, swaps: swaps}
		if len(seen) > 0 {
			number, known := numbers[seen[0]]
			at.value = phantom
			if known {
				of := l.updates[begins[number]:begins[number+1]]
				sources := sort.Search(len(of), func(i int) bool { return of[i].call > o.Complete })
				if sources > 0 {
					at.value, at.source = number, begins[number]+int32(sources)-1
				}
			}
		}
		l.observers = append(l.observers, at)
	}
	return l
}

// observed returns the value that an operation certainly saw: none is nothing.
// It swaps if it replaced that by another; a compare-and-set of a value to
// itself does what a read does.
func observed(o *history.Operation) (seen history.Value, swaps, ok bool) {
	switch {
	case o.Kind == history.Read:
		return o.Output, false, o.Outcome == history.OK
	case o.Kind != history.CompareAndSet:
		return nil, false, false
	case o.Outcome == history.Fail:
		return o.Output, false, len(o.Output) > 0
	}
	return o.Input[:1], o.Input[0] != o.Input[1], o.Outcome == history.OK
}

// date settles when each update was shown, latest, earliest and over.
func (l *ledger) date() {
	for i := range l.updates {
		u := &l.updates[i]
		u.shown, u.latest, u.earliest = u.ret, u.ret, never
	}
	for _, o := range l.observers { // earliest is when the first completed of which this is the last source
		if o.source != noSource {
			u := &l.updates[o.source]
			u.earliest = min(u.earliest, o.operation.Complete)
		}
	}
	for end := len(l.updates); end > 0; {
		begin := end - 1
		for begin > 0 && l.updates[begin-1].value == l.updates[begin].value {
			begin--
		}
		of := l.updates[begin:end]
		of[0].latest = min(of[0].ret, of[0].earliest)
		sight := never // the first observer that has it among its sources
		for i := len(of) - 1; i >= 0; i-- {
			u := &of[i]
			sight = min(sight, u.earliest)
			u.earliest = min(u.ret, sight)
			u.over = u.earliest
			if u.ret == never {
				u.over = u.call
			}
		}
		of[0].shown = of[0].earliest
		of[0].latestOver, of[0].leastOver = of[0].latest, of[0].over
		for i := range of[1:] {
			of[i+1].latestOver = max(of[i].latestOver, of[i+1].latest)
			of[i+1].leastOver = min(of[i].leastOver, of[i+1].over)
		}
		end = begin
	}
}

// over returns when what o saw was over, in the cases that spare the most and
// the least; nothing was over before time began, and a phantom never is.
func (l *ledger) over(o observer) (latest, least time.Duration) {
	switch o.value {
	case nothing:
		return -never, -never
	case phantom:
		return never, never
	}
	u := &l.updates[o.source]
	return u.latestOver, u.leastOver
}

// A superseding update was there at a time, and was invoked at call.
type superseding struct {
	at, call time.Duration
	value    int32
}

func (l *ledger) superseding(at func(*update) time.Duration) []superseding {
	all := make([]superseding, 0, len(l.updates))
	for i := range l.updates {
		if u := &l.updates[i]; at(u) != never {
			all = append(all, superseding{at(u), u.call, u.value})
		}
	}
	slices.SortFunc(all, func(a, b superseding) int { return cmp.Compare(a.at, b.at) })
	return all
}

// A staleRead is certainly stale.
type staleRead struct {
	operation *history.Operation
	// over is when what it saw was over, at the latest.
	over time.Duration
}

func (l *ledger) countStale(counts *registerCounts) {
	shown := l.superseding(func(u *update) time.Duration { return u.shown })
	earliest := l.superseding(func(u *update) time.Duration { return u.earliest })
	var stale []staleRead
	newest := -never                                   // call of those shown so far
	first, second := superseding{call: -never}, -never // of those seen so far: the newest, and the newest of another value
	for _, o := range l.observers {
		for ; len(shown) > 0 && shown[0].at < o.operation.Invoke; shown = shown[1:] {
			newest = max(newest, shown[0].call)
		}
		for ; len(earliest) > 0 && earliest[0].at < o.operation.Invoke; earliest = earliest[1:] {
			switch w := earliest[0]; {
			case w.value == first.value:
				first.call = max(first.call, w.call)
			case w.call > first.call:
				first, second = w, first.call
			default:
				second = max(second, w.call)
			}
		}
		if o.swaps {
			continue
		}
		latest, least := l.over(o)
		if latest < newest {
			counts.stale.Certain++
			counts.certain[o.operation] = true
			stale = append(stale, staleRead{o.operation, latest})
		}
		newestOther := first.call
		if o.value == first.value {
			newestOther = second
		}
		if least < newestOther {
			counts.stale.Possible++
			counts.possible[o.operation] = true
		}
	}
	if len(stale) > 0 {
		l.measureStale(stale, counts)
	}
}

// measureStale finds the age and the versions of stale reads, ordered by call.
func (l *ledger) measureStale(stale []staleRead, counts *registerCounts) {
	since := make([]time.Duration, len(l.updates)+1) // when the first of the updates from here on, by call, was shown
	for i := range since {
		since[i] = never
	}
	known := make([]int32, 0, len(l.updates)) // the updates that took effect in every case
	for i := range l.updates {
		u := &l.updates[i]
		since[u.rank] = u.shown
		if u.latest != never {
			known = append(known, int32(i))
		}
	}
	for i := len(since) - 2; i >= 0; i-- {
		since[i] = min(since[i], since[i+1])
	}
	slices.SortFunc(known, func(a, b int32) int { return cmp.Compare(l.updates[a].latest, l.updates[b].latest) })
	done := newFenwick(len(l.updates))
	total := 0
	for _, r := range stale {
		for ; len(known) > 0 && l.updates[known[0]].latest < r.operation.Invoke; known = known[1:] {
			done.add(int(l.updates[known[0]].rank))
			total++
		}
		newer, _ := slices.BinarySearch(l.calls, r.over+1)
		counts.ages = append(counts.ages, r.operation.Invoke-since[newer])
		counts.versions = append(counts.versions, max(1, total-done.before(newer)))
	}
}

// A fenwick counts what has been added below a place, each in logarithmic time
// (Fenwick, Software: Practice and Experience 24(3), 1994).
type fenwick []int32

func newFenwick(places int) fenwick { return make(fenwick, places+1) }

func (f fenwick) add(place int) {
	for i := place + 1; i < len(f); i += i & -i {
		f[i]++
	}
}

func (f fenwick) before(place int) (count int) {
	for i := place; i > 0; i -= i & -i {
		count += int(f[i])
	}
	return count
}

// An outlook is what observers from some time on saw.
type outlook struct {
	at time.Duration
	// latest is the least time when what one of them saw was over at the latest.
	latest time.Duration
	// least is the least time when what one of them saw, which was value, was
	// over; leastOther that of another value.
	least, leastOther time.Duration
	value             int32
}

func (l *ledger) countLost(counts *registerCounts) {
	// The swaps by call, each with all that are later.
	var swaps []outlook
	// The reads of the final phase, all together.
	end, atEnd := outlook{at: never, latest: -never, least: -never}, map[int32]bool{}
	for _, o := range l.observers {
		latest, least := l.over(o)
		switch {
		case o.swaps:
			swaps = append(swaps, outlook{o.operation.Invoke, latest, least, never, o.value})
		case o.operation.Invoke >= l.final:
			end = outlook{at: min(end.at, o.operation.Invoke), latest: max(end.latest, latest), least: max(end.least, least)}
			atEnd[o.value] = true
		}
	}
	if len(atEnd) == 0 {
		end.latest, end.least = never, never
	}
	for i := len(swaps) - 2; i >= 0; i-- {
		s, later := &swaps[i], swaps[i+1]
		s.latest = min(s.latest, later.latest)
		switch {
		case s.value == later.value:
			s.least, s.leastOther = min(s.least, later.least), later.leastOther
		case s.least < later.least:
			s.leastOther = later.least
		default:
			s.least, s.leastOther, s.value = later.least, min(s.least, later.leastOther), later.value
		}
	}
	for _, u := range l.updates {
		if u.ret == never {
			continue
		}
		certain := end.at > u.ret && end.latest < u.call
		possible := end.at > u.ret && end.least < u.call && !atEnd[u.value]
		later := sort.Search(len(swaps), func(i int) bool { return swaps[i].at > u.ret })
		if later < len(swaps) {
			s := swaps[later]
			certain = certain || s.latest < u.call
			possible = possible || s.value != u.value && s.least < u.call || s.leastOther < u.call
		}
		if !possible {
			continue
		}
		counts.lost.Possible++
		if certain {
			counts.lost.Certain++
			counts.certainlyLost[u.operation] = true
		}
		o := u.operation
		counts.losses = append(counts.losses, Loss{o.Key, o.Input[len(o.Input)-1], o.Process, o.Node, o.Complete, certain})
	}
}
