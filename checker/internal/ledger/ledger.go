// Package ledger counts the stale reads and lost commits of a register, with both bounds
// as package anomaly defines them.
//
// # How the bounds are computed
//
// Package anomaly defines both by all cases. There are exponentially many,
// and none needs to be looked at, because the choices hardly meet: what an
// observer saw decides only about updates of the value that it observed, and
// whether a read of v is stale depends on two things, how late updates of v were
// over, and how early those of other values were shown.
//
// The sources of an observer are the first few of its value's updates, by
// invocation. So of two observers of one value, the one that completes later
// has all sources of the other, and the first update is a source of both.
//
// Take the case that spares a read r of v most. Observers of another value must
// show some source; they all show the first, for it was invoked earliest, and
// late invocations are what harms. Observers of v other than r do not see the
// source that r saw, unless it is their only one, which only the first can be.
// So, with "first" for the first update of its value,
//
//	shown(w)    = when w was acknowledged; for a first, also: when any observer of its value completed
//	latest(u)   = when u was acknowledged; for a first, also: when an observer without other sources completed
//	replaced(u) = for a first: when a swap without other sources was acknowledged
//
// each the earliest of those. r is certainly stale iff for each of its sources u,
// latest(u) lies before the invocation of some w with shown(w) before r was
// invoked, or replaced(u) before r was invoked. Such a w is of another value: else
// it would be a source, and latest(w) no earlier than its invocation.
//
// In the case that harms r most, all observers see the one update that matters,
// if they can, and what has an unknown outcome was over at once. So
//
//	earliest(w)    = when w was acknowledged, or when an observer with the source w completed
//	over(u)        = earliest(u); if its outcome is unknown, when it was invoked
//	replaceable(v) = when a swap of v that has a source was acknowledged
//
// and r is possibly stale iff it has a source, and over(u) of one of them lies
// before the invocation of some w of another value with earliest(w) before r was
// invoked, or replaceable(v) lies before r was invoked.
//
// Lost commits go the same way. In the case that spares w most, all observers of
// a value saw the source that was over last, which one choice serves, but not the
// one that w itself replaced, if that had no other source. In the case that harms
// it most, they saw the one that was over first, or, where w replaced their
// value, what w replaced.
//
// All of this is by sorting and sweeping, in O(n log n).
package ledger

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/harness/history"
)

// An update is a write or compare-and-set that did not fail.
type update struct {
	operation *history.Operation
	call, ret time.Duration // ret is never if the outcome is unknown
	value     int32         // that it wrote
	rank      int32         // among all updates, by call
	observer  int32         // its place in observers, if it is an acknowledged compare-and-set; else none
	// The package comment defines these; never if it may have taken no effect.
	shown, latest, earliest, over time.Duration
	replaced, replaceable         time.Duration // of the first of a value
	// restLatest and leastOver are the greatest latest and the least over of the
	// updates of this value up to this one; restLatest leaves the first out.
	restLatest, leastOver time.Duration
}

// An observer is an operation that says what the register held.
type observer struct {
	operation *history.Operation
	value     int32
	// first and last are the places of its sources in updates; none if it has
	// none.
	first, last int32
	swap        bool
}

// sole is whether it has one source only.
func (o observer) sole() bool { return o.last != none && o.first == o.last }

// none is no place.
const none = -1

// The values of a register are numbered from 0.
const (
	nothing  int32 = -1
	phantom  int32 = -2 // nobody wrote it
	anyValue int32 = -3 // of a latest without times
)

// A ledger is a register's history as stale reads and lost commits need it.
type ledger struct {
	final     time.Duration
	updates   []update   // by value, then by call
	observers []observer // by call
	calls     []time.Duration
}

// Measure counts the stale reads and the lost commits of one key. The
// operations are those of the key, ordered by invocation; those that say
// nothing may be left out. The final phase began at final, or never.
func Measure(operations []*history.Operation, final time.Duration) *Counts {
	l := newLedger(operations, final)
	l.date()
	into := &Counts{
		certain: map[*history.Operation]bool{}, possible: map[*history.Operation]bool{}, CertainlyLost: LastSeen{},
	}
	l.countStale(into)
	l.countLost(into)
	return into
}

func newLedger(operations []*history.Operation, final time.Duration) *ledger {
	count := 0
	for _, o := range operations {
		if Updates(o) {
			count++
		}
	}
	l := &ledger{
		final: final, updates: make([]update, 0, count), calls: make([]time.Duration, 0, count),
		observers: make([]observer, 0, len(operations)),
	}
	numbers := make(map[int64]int32, count)
	for _, o := range operations {
		if !Updates(o) {
			continue
		}
		written := o.Input.At(o.Input.Len() - 1)
		number, known := numbers[written]
		if !known {
			number = int32(len(numbers))
			numbers[written] = number
		}
		u := update{operation: o, call: o.Invoke, ret: o.Complete, value: number, rank: int32(len(l.updates)), observer: none}
		if o.Outcome == history.Info {
			u.ret = history.Never
		}
		l.calls = append(l.calls, u.call)
		l.updates = append(l.updates, u)
	}
	slices.SortFunc(l.updates, func(a, b update) int { return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.rank, b.rank)) })

	begins := make([]int32, len(numbers)+1) // of each value's updates
	places := make([]int32, len(l.updates)) // by rank
	for i, u := range l.updates {
		begins[u.value+1] = int32(i + 1)
		places[u.rank] = int32(i)
	}
	for _, o := range operations {
		var own *update
		if Updates(o) {
			own, places = &l.updates[places[0]], places[1:]
		}
		seen, ok := observed(o)
		if !ok {
			continue
		}
		if own != nil {
			own.observer = int32(len(l.observers))
		}
		at := observer{operation: o, value: nothing, first: none, last: none, swap: own != nil}
		if seen.Len() > 0 {
			at.value = phantom
			if number, known := numbers[seen.At(0)]; known {
				of := l.updates[begins[number]:begins[number+1]]
				if sources := sort.Search(len(of), func(i int) bool { return of[i].call > o.Complete }); sources > 0 {
					at.value, at.first, at.last = number, begins[number], begins[number]+int32(sources)-1
				}
			}
		}
		l.observers = append(l.observers, at)
	}
	return l
}

// Updates is whether an operation changed the register, or may have. A
// compare-and-set of a value to itself does not.
func Updates(o *history.Operation) bool {
	return o.Outcome != history.Fail && (o.Kind == history.Write || o.Kind == history.CompareAndSet && o.Input.At(0) != o.Input.At(1))
}

// observed returns the value that an operation certainly saw, empty for nothing.
func observed(o *history.Operation) (seen history.Value, ok bool) {
	switch {
	case o.Kind == history.Read:
		return o.Output, o.Outcome == history.OK
	case o.Kind != history.CompareAndSet:
		return history.Value{}, false
	case o.Outcome == history.Fail:
		return o.Output, o.Output.Len() > 0
	}
	return history.Ints(o.Input.Ints()[:1]...), o.Outcome == history.OK
}

// date settles the times of updates.
func (l *ledger) date() {
	for i := range l.updates {
		u := &l.updates[i]
		u.shown, u.latest, u.earliest, u.replaced, u.replaceable = u.ret, u.ret, history.Never, history.Never, history.Never
	}
	for _, o := range l.observers { // for now, earliest is of the observers whose last source this is
		if o.last != none {
			u := &l.updates[o.last]
			u.earliest = min(u.earliest, o.operation.Complete)
		}
	}
	for end := len(l.updates); end > 0; {
		begin := end - 1
		for begin > 0 && l.updates[begin-1].value == l.updates[begin].value {
			begin--
		}
		of := l.updates[begin:end]
		first := &of[0]
		first.latest = min(first.ret, first.earliest)
		sight := history.Never // of an observer with this source
		for i := len(of) - 1; i >= 0; i-- {
			u := &of[i]
			sight = min(sight, u.earliest)
			u.earliest = min(u.ret, sight)
			u.over = u.earliest
			if u.ret == history.Never {
				u.over = u.call
			}
		}
		first.shown = first.earliest
		first.restLatest, first.leastOver = -history.Never, first.over
		for i := range of[1:] {
			of[i+1].restLatest = max(of[i].restLatest, of[i+1].latest)
			of[i+1].leastOver = min(of[i].leastOver, of[i+1].over)
		}
		end = begin
	}
	for i := range l.updates {
		w := &l.updates[i]
		if w.observer == none || l.observers[w.observer].last == none {
			continue
		}
		o := l.observers[w.observer]
		first := &l.updates[o.first]
		first.replaceable = min(first.replaceable, w.ret)
		if o.sole() {
			first.replaced = min(first.replaced, w.ret)
		}
	}
}

// over returns when what o saw was over: in the cases that spare the most, with
// its first source and without, and in those that spare the least. Nothing was
// over before time began, and a phantom never is.
func (l *ledger) over(o observer) (latest, restLatest, least time.Duration) {
	switch o.value {
	case nothing:
		return -history.Never, -history.Never, -history.Never
	case phantom:
		return history.Never, history.Never, history.Never
	}
	last := &l.updates[o.last]
	return max(l.updates[o.first].latest, last.restLatest), last.restLatest, last.leastOver
}

// A latest is the greatest of some times, each of which is of a value, and the
// greatest of the others' values.
type latest struct {
	value         int32
	first, others time.Duration
}

func newLatest() latest { return latest{anyValue, -history.Never, -history.Never} }

func (l *latest) add(value int32, t time.Duration) {
	switch {
	case value == l.value:
		l.first = max(l.first, t)
	case t > l.first:
		*l = latest{value, t, l.first}
	default:
		l.others = max(l.others, t)
	}
}

// except is the greatest of other values.
func (l latest) except(value int32) time.Duration {
	if value == l.value {
		return l.others
	}
	return l.first
}

// An appearance is when an update was there; it had been invoked at call.
type appearance struct {
	at, call time.Duration
	value    int32
}

func (l *ledger) appearances(at func(*update) time.Duration) []appearance {
	all := make([]appearance, 0, len(l.updates))
	for i := range l.updates {
		if u := &l.updates[i]; at(u) != history.Never {
			all = append(all, appearance{at(u), u.call, u.value})
		}
	}
	slices.SortFunc(all, func(a, b appearance) int { return cmp.Compare(a.at, b.at) })
	return all
}

func (l *ledger) countStale(into *Counts) {
	shown := l.appearances(func(u *update) time.Duration { return u.shown })
	earliest := l.appearances(func(u *update) time.Duration { return u.earliest })
	newest, newestPossible := -history.Never, newLatest() // calls of what has appeared so far
	var stale []observer
	for _, r := range l.observers {
		call := r.operation.Invoke
		for ; len(shown) > 0 && shown[0].at < call; shown = shown[1:] {
			newest = max(newest, shown[0].call)
		}
		for ; len(earliest) > 0 && earliest[0].at < call; earliest = earliest[1:] {
			newestPossible.add(earliest[0].value, earliest[0].call)
		}
		if r.swap {
			continue
		}
		latest, restLatest, least := l.over(r)
		certain, possible := latest < newest, least < newestPossible.except(r.value)
		if r.last != none {
			first := &l.updates[r.first]
			certain = certain || first.replaced < call && (r.sole() || restLatest < newest)
			possible = possible || first.replaceable < call
		}
		if certain {
			into.Stale.Certain++
			into.certain[r.operation] = true
			stale = append(stale, r)
		}
		if possible {
			into.Stale.Possible++
			into.possible[r.operation] = true
		}
	}
	if len(stale) > 0 {
		l.measureStale(stale, into)
	}
}

// measureStale finds the age and the versions of certainly stale reads, which
// are ordered by call.
func (l *ledger) measureStale(stale []observer, into *Counts) {
	shown := make([]time.Duration, len(l.updates)+1) // when the first of the updates from here on, by call, was shown
	shown[len(l.updates)] = history.Never
	known := make([]int32, 0, len(l.updates)) // the updates that took effect in every case
	for i := range l.updates {
		u := &l.updates[i]
		shown[u.rank] = u.shown
		if u.latest != history.Never {
			known = append(known, int32(i))
		}
	}
	for i := len(shown) - 2; i >= 0; i-- {
		shown[i] = min(shown[i], shown[i+1])
	}
	newer := func(over time.Duration) int { // the first update, by call, that was invoked after that
		return sort.Search(len(l.calls), func(i int) bool { return l.calls[i] > over })
	}
	slices.SortFunc(known, func(a, b int32) int { return cmp.Compare(l.updates[a].latest, l.updates[b].latest) })
	done, total := newFenwick(len(l.updates)), 0
	for _, r := range stale {
		call := r.operation.Invoke
		for ; len(known) > 0 && l.updates[known[0]].latest < call; known = known[1:] {
			done.add(int(l.updates[known[0]].rank))
			total++
		}
		latest, restLatest, _ := l.over(r)
		since := shown[newer(latest)]
		if r.last != none {
			first := &l.updates[r.first]
			since = min(shown[newer(first.latest)], first.replaced)
			if !r.sole() {
				since = max(since, shown[newer(restLatest)])
			}
		}
		into.StaleReads = append(into.StaleReads, r.operation)
		into.Ages = append(into.Ages, call-since)
		into.Versions = append(into.Versions, max(1, total-done.below(newer(latest))))
	}
}

// A fenwick counts what has been added below a place, each in logarithmic time
// (Fenwick, A New Data Structure for Cumulative Frequency Tables, 1994).
type fenwick []int32

func newFenwick(places int) fenwick { return make(fenwick, places+1) }

func (f fenwick) add(place int) {
	for i := place + 1; i < len(f); i += i & -i {
		f[i]++
	}
}

func (f fenwick) below(place int) (count int) {
	for i := place; i > 0; i -= i & -i {
		count += int(f[i])
	}
	return count
}

// A laterSwap is what swaps from one on saw.
type laterSwap struct {
	at    time.Duration // of the swap
	value int32
	// latest is the least time when something was over in the case that spares
	// the most.
	latest time.Duration
	// least is the same in the case that spares the least: negative times, so
	// that the least is the latest.
	least latest
}

// finalReads are the reads of the final phase, all together.
type finalReads struct {
	at            time.Duration // of the first; never if there are none
	latest, least latest
	rest          map[int32]time.Duration // the greatest restLatest of each value
}

// later returns what acknowledged swaps and final reads saw: swaps by call, each with
// all that are later; ofValue by value, then by call, each with all of its value that
// are later, where latest is restLatest.
func (l *ledger) later() (swaps, ofValue []laterSwap, final finalReads) {
	final = finalReads{at: history.Never, latest: newLatest(), least: newLatest(), rest: map[int32]time.Duration{}}
	for _, o := range l.observers {
		latest, restLatest, least := l.over(o)
		call := o.operation.Invoke
		switch {
		case o.swap:
			s := laterSwap{call, o.value, latest, newLatest()}
			s.least.add(o.value, -least)
			swaps = append(swaps, s)
			s.latest = restLatest
			ofValue = append(ofValue, s)
		case call >= l.final:
			final.at = min(final.at, call)
			final.latest.add(o.value, latest)
			final.least.add(o.value, least)
			if rest, ok := final.rest[o.value]; !ok || rest < restLatest {
				final.rest[o.value] = restLatest
			}
		}
	}
	for i := len(swaps) - 2; i >= 0; i-- {
		swaps[i].latest = min(swaps[i].latest, swaps[i+1].latest)
		later := swaps[i+1].least
		later.add(swaps[i].value, swaps[i].least.first)
		swaps[i].least = later
	}
	slices.SortStableFunc(ofValue, func(a, b laterSwap) int { return cmp.Compare(a.value, b.value) })
	for i := len(ofValue) - 2; i >= 0; i-- {
		if ofValue[i].value == ofValue[i+1].value {
			ofValue[i].latest = min(ofValue[i].latest, ofValue[i+1].latest)
		}
	}
	return swaps, ofValue, final
}

func (l *ledger) countLost(into *Counts) {
	swaps, ofValue, final := l.later()
	values := map[int32]time.Duration{} // that were certainly lost, and when they were last seen
	for i := range l.updates {
		w := &l.updates[i]
		if w.ret == history.Never {
			continue
		}
		was := observer{value: anyValue, first: none, last: none} // what it replaced
		if w.observer != none {
			was = l.observers[w.observer]
		}
		certain, possible := final.older(w, was)
		if later := sort.Search(len(swaps), func(i int) bool { return swaps[i].at > w.ret }); later < len(swaps) {
			certain = certain || swaps[later].latest < w.call
			possible = possible || -swaps[later].least.except(w.value) < w.call
		}
		if was.last != none {
			again := sort.Search(len(ofValue), func(i int) bool {
				return ofValue[i].value > was.value || ofValue[i].value == was.value && ofValue[i].at > w.ret
			})
			if again < len(ofValue) && ofValue[again].value == was.value {
				possible = true
				certain = certain || was.sole() && ofValue[again].latest < w.call
			}
		}
		if !possible {
			continue
		}
		into.Lost.Possible++
		if certain {
			into.Lost.Certain++
			into.CertainlyLost[w.operation] = -history.Never
			values[w.value] = -history.Never
		}
		o := w.operation
		into.Losses = append(into.Losses, counts.Loss{Key: o.Key, Value: o.Input.At(o.Input.Len() - 1), Process: o.Process, Node: o.Node, At: o.Complete, Certain: certain})
	}
	if len(values) > 0 {
		l.see(values, into.CertainlyLost)
	}
}

// see dates when what lost updates wrote was last seen. An observer that completes
// after another has all sources of that one.
func (l *ledger) see(values map[int32]time.Duration, lost LastSeen) {
	for _, o := range l.observers {
		if seen, ok := values[o.value]; ok {
			values[o.value] = max(seen, o.operation.Complete)
		}
	}
	for i := range l.updates {
		u := &l.updates[i]
		if _, ok := lost[u.operation]; ok && values[u.value] >= u.call {
			lost[u.operation] = values[u.value]
		}
	}
}

// older is whether all final reads saw older than w, in every case and in some;
// was is what w saw.
func (f finalReads) older(w *update, was observer) (certain, possible bool) {
	if f.at == history.Never || f.at <= w.ret {
		return false, false
	}
	latest, least := f.latest.first, f.least.first
	if was.last != none {
		least = f.least.except(was.value)
		if rest, read := f.rest[was.value]; read && was.sole() {
			latest = max(f.latest.except(was.value), rest)
		}
	}
	_, there := f.rest[w.value]
	return latest < w.call, least < w.call && !there
}
