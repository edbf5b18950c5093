// Package locks decides histories of locks with fencing tokens, in n log n steps.
//
// # What a hold is
//
// A process that was granted a lock holds it until it gives it back, or is gone.
// Locks that expire are locks all the same: one that expires while its holder is
// alive, and believes in it, is what is to be found. So an acknowledged acquire
// begins a hold, at a moment between its call and its return. The hold ends when
// the process next calls release on this lock, or with the last sign that the
// process is alive: the return of its last use, or the call of one of unknown
// outcome. If that was an acknowledged release, the lock is free at a moment between
// its call and its return; if it was anything else, then at any moment after, for a
// lease may expire, and nobody tells. A release that failed with an error did not
// happen, so the hold lasts until its return; one that was only answered no tells
// that the lock was not held any more.
//
// Acquires that fail, or whose outcome is unknown, say nothing. A process that is
// granted the lock that it holds has it twice, and its first hold goes on then;
// unless the lock is a ReentrantLock: there all that lasts until as many releases
// were called is one hold.
//
// # When are holds explained?
//
// Two holds of one lock must not overlap, and if both have tokens the one with
// the lesser comes first. Let f(X) be when the acquire of hold X returned, and
// s(X) when its end was called. X can come before Y iff X can be over when Y
// begins: iff s(X) ≤ f(Y). So every hold may be taken to be as short as it can,
// the closed interval from f to s, a forward zone of Gibbons & Korach's (internal/zones).
// Two holds contradict each other iff neither can come before the other, or if
// the one that can has the greater token, or if the tokens are the same. If no
// two do, then order them by zone, and by token where zones touch in one moment:
// each begins at f and ends at s, which explains them all. That needs no search.
//
//   - lock held twice: f(Y) < s(X), and X came first, by its token or else
//     because Y cannot: f(X) < s(Y). Y then began while X went on.
//   - token went back: the acquire of Y returned before that of X was called, and
//     X's token is no greater; or two have the same.
//
// # Uses
//
// A use asks a resource, which is no part of the system, to accept a token. A
// resource that fences accepts none that is older than one that it has accepted:
//
//   - fence broken: a use was accepted, and called after one with a newer token
//     had returned that was accepted, too.
//
// A refused use is no contradiction, and is counted: the fence has stopped a
// process that believed to hold the lock. So are uses without a token, accepted
// while another process certainly held the lock: nothing would have stopped them.
package locks

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Decide judges a history of locks. The process that holds a reentrant one may acquire it
// again.
func Decide(ctx context.Context, run *history.Run, budget court.Budget, reentrant bool) (*model.Answer, *counts.Lock) {
	answer, counts := model.NewAnswer(), &counts.Lock{}
	answer.EachKey(ctx, run, budget, "lock", func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (model.Confirmed, error) {
		answer.Decided(model.Polynomial, "holds are intervals", key)
		last := map[int]*history.Operation{} // of each process
		for _, o := range operations {
			if o.Kind == history.Use && o.Input.Len() > 1 {
				return model.Confirmed{}, court.Reason(fmt.Sprintf("a use at %s has %d input values (want a token, or none)", sentence.Seconds(o.Invoke), o.Input.Len()))
			}
			if before := last[o.Process]; before != nil && before.Complete > o.Invoke {
				return model.Confirmed{}, court.Reason(fmt.Sprintf("p%d invokes %q at %s, before its %q has completed at %s, so it is not known what it held; give each client that works alone a process of its own",
					o.Process, o.Kind, sentence.Seconds(o.Invoke), before.Kind, sentence.Seconds(before.Complete)))
			}
			last[o.Process] = o
		}
		return model.Confirm(ctx, memory, Candidates(key, reentrant, operations, counts))
	})
	return answer, counts
}

// A lock is the history of one.
type lock struct {
	key       string
	reentrant bool
	// operations are all, by invocation.
	operations []*history.Operation
	holds      []*hold              // by f, then s
	uses       []*history.Operation // accepted, by completion
	// unfenced are those without a token, by a process in its hold.
	unfenced []*history.Operation
	// refused counts uses by a process that believed in its hold.
	refused int
}

// A hold is one process's, of one lock; f and s are those of the model's comment.
type hold struct {
	acquire, end *history.Operation // end is nil if no sign of life came after acquire
	until        time.Duration
	depth        int   // acquires that were not given back, of a reentrant lock
	twice        *hold // the one before of its process, which was not given back
}

func (h *hold) f() time.Duration { return h.acquire.Complete }
func (h *hold) s() time.Duration { return h.until }

func (h *hold) fenced() bool { return h.acquire.Output.Len() > 0 }
func (h *hold) token() int64 { return h.acquire.Output.At(0) }

func (h *hold) over(t time.Duration, end *history.Operation) {
	h.end, h.until = end, max(t, h.acquire.Complete)
}

// newLock takes operations ordered by Invoke.
func newLock(key string, reentrant bool, operations []*history.Operation) *lock {
	l := &lock{key: key, reentrant: reentrant, operations: operations}
	current := map[int]*hold{} // by process
	for _, o := range operations {
		h := current[o.Process]
		switch {
		case o.Kind == history.Use:
			l.use(o, h)
		case o.Kind == history.Release && h != nil && h.released(o):
			delete(current, o.Process)
		case o.Kind == history.Acquire && o.Outcome == history.OK && h != nil && reentrant:
			h.over(o.Complete, o)
			h.depth++
		case o.Kind == history.Acquire && o.Outcome == history.OK:
			next := &hold{acquire: o, until: o.Complete, depth: 1, twice: h}
			if h != nil {
				h.over(o.Complete, o)
			}
			current[o.Process] = next
			l.holds = append(l.holds, next)
		}
	}
	slices.SortStableFunc(l.holds, func(a, b *hold) int { return cmp.Or(cmp.Compare(a.f(), b.f()), cmp.Compare(a.s(), b.s())) })
	slices.SortStableFunc(l.uses, func(a, b *history.Operation) int { return cmp.Compare(a.Complete, b.Complete) })
	return l
}

// use takes a use by a process in its hold, or in none.
func (l *lock) use(o *history.Operation, h *hold) {
	switch {
	case h == nil:
	case o.Outcome == history.Info:
		h.over(o.Invoke, o)
	default:
		h.over(o.Complete, o)
	}
	switch {
	case o.Outcome == history.OK:
		l.uses = append(l.uses, o)
		if o.Input.Len() == 0 && h != nil {
			l.unfenced = append(l.unfenced, o)
		}
	case o.Output.Len() > 0 && h != nil:
		l.refused++
	}
}

// released takes a release by the process in its hold, and tells whether that ended
// the hold.
func (h *hold) released(o *history.Operation) bool {
	if o.Outcome == history.Fail && o.Error != "" {
		h.over(o.Complete, o)
		return true
	}
	h.over(o.Invoke, o)
	h.depth--
	return h.depth == 0 || o.Outcome != history.OK
}

// A clash is of two holds or uses; the later one must not have been granted, or
// accepted, as it was.
type clash[T any] struct{ earlier, later T }

// Candidates adds the lock, by its operations ordered by Invoke, to the counts and
// returns, of each sort, the first few.
func Candidates(key string, reentrant bool, operations []*history.Operation, counts *counts.Lock) []model.Candidate {
	l := newLock(key, reentrant, operations)
	twice, back, broken := l.heldTwice(), l.wentBack(), l.broken()
	counts.Holds += len(l.holds)
	counts.HeldTwice += len(twice)
	counts.TokenWentBack += len(back)
	counts.Uses += len(l.uses)
	counts.Refused += l.refused
	counts.Corrupted += len(broken) + l.corrupted()

	var candidates []model.Candidate
	add := func(name anomaly.Name, told, more []*history.Operation) {
		var each []*history.Operation
		for _, o := range slices.Concat(told, more) {
			if !slices.Contains(each, o) { // an acquire may be the end of another hold, too
				each = append(each, o)
			}
		}
		if told[0].Process == told[1].Process { // times alone may not tell which came first
			slices.SortFunc(each, func(a, b *history.Operation) int {
				return cmp.Compare(slices.Index(l.operations, a), slices.Index(l.operations, b))
			})
		}
		candidates = append(candidates, model.ByWitness(model.Candidate{
			Anomaly: name, Key: l.key, Told: told, Witness: model.Copies(each...),
			Text:   func(t sentence.Teller) string { return text(t, name, told) },
			During: sentence.SpanOf(told...), Nodes: sentence.Nodes(told...),
		}, func(operations []history.Operation) []*step { return newSteps(l.reentrant, operations) }))
	}
	for _, c := range model.Few(twice) {
		x, y := c.earlier, c.later
		var more []*history.Operation
		if x.acquire.Process == y.acquire.Process && x.end != y.acquire || !before(x, y) && x.f() == y.f() { // nothing but y's end tells that it is not the first
			more = append(more, y.end)
		}
		add(anomaly.HeldTwice, []*history.Operation{y.acquire, x.acquire, x.end}, more)
	}
	for _, c := range model.Few(back) {
		var more []*history.Operation
		if c.later.acquire.Process == c.earlier.acquire.Process { // else it seems to hold both at once
			more = append(more, c.earlier.end)
		}
		add(anomaly.TokenWentBack, []*history.Operation{c.later.acquire, c.earlier.acquire}, more)
	}
	for _, c := range model.Few(broken) {
		add(anomaly.FenceBroken, []*history.Operation{c.later, c.earlier}, nil)
	}
	model.SmallFirst(candidates)
	return candidates
}

// before: their tokens say that x came before y.
func before(x, y *hold) bool { return x.fenced() && y.fenced() && x.token() < y.token() }

// heldTwice returns the holds that began while another went on, by beginning.
func (l *lock) heldTwice() []clash[*hold] {
	var found []clash[*hold]
	// By their zones.
	var longest *hold
	for _, h := range l.holds {
		if longest != nil && h.f() < longest.s() {
			found = append(found, clash[*hold]{longest, h})
		}
		if longest == nil || h.s() > longest.s() {
			longest = h
		}
	}
	// By their tokens, where zones alone allow another order.
	longest = nil
	for _, h := range l.byToken() {
		if longest != nil && before(longest, h) && longest.acquire.Invoke <= h.f() && h.f() < longest.s() && h.s() <= longest.f() {
			found = append(found, clash[*hold]{longest, h})
		}
		if longest == nil || h.s() > longest.s() {
			longest = h
		}
	}
	told := map[*hold]bool{}
	for _, c := range found {
		told[c.later] = true
	}
	for _, h := range l.holds {
		if h.twice != nil && !told[h] {
			found = append(found, clash[*hold]{h.twice, h})
		}
	}
	slices.SortStableFunc(found, func(a, b clash[*hold]) int { return cmp.Compare(a.later.f(), b.later.f()) })
	return found
}

func (l *lock) byToken() []*hold {
	fenced := slices.DeleteFunc(slices.Clone(l.holds), func(h *hold) bool { return !h.fenced() })
	slices.SortStableFunc(fenced, func(a, b *hold) int { return cmp.Compare(a.token(), b.token()) })
	return fenced
}

// wentBack returns holds whose tokens are no greater than an earlier hold's.
func (l *lock) wentBack() []clash[*hold] {
	var found []clash[*hold]
	tokens := l.byToken()
	same := map[*hold]*hold{}
	for i, h := range tokens {
		if i > 0 && tokens[i-1].token() == h.token() {
			same[h] = tokens[i-1]
		}
	}
	byCall := slices.Clone(tokens)
	slices.SortStableFunc(byCall, func(a, b *hold) int { return cmp.Compare(a.acquire.Invoke, b.acquire.Invoke) })
	byReturn := slices.Clone(tokens)
	slices.SortStableFunc(byReturn, func(a, b *hold) int { return cmp.Compare(a.f(), b.f()) })
	var greatest *hold // of those that had returned
	returned := 0
	for _, h := range byCall {
		for ; returned < len(byReturn) && byReturn[returned].f() < h.acquire.Invoke; returned++ {
			if r := byReturn[returned]; greatest == nil || r.token() > greatest.token() {
				greatest = r
			}
		}
		switch {
		case greatest != nil && greatest.token() > h.token():
			found = append(found, clash[*hold]{greatest, h})
		case same[h] != nil:
			found = append(found, clash[*hold]{same[h], h})
		}
	}
	return found
}

// broken returns uses that were accepted after one with a newer token.
func (l *lock) broken() []clash[*history.Operation] {
	fenced := slices.DeleteFunc(slices.Clone(l.uses), func(u *history.Operation) bool { return u.Input.Len() == 0 })
	newest := make([]*history.Operation, len(fenced)) // of those up to here
	for i, u := range fenced {
		newest[i] = u
		if i > 0 && newest[i-1].Input.At(0) > u.Input.At(0) {
			newest[i] = newest[i-1]
		}
	}
	var found []clash[*history.Operation]
	for _, u := range fenced {
		done, _ := slices.BinarySearchFunc(fenced, u.Invoke, func(u *history.Operation, t time.Duration) int { return cmp.Compare(u.Complete, t) })
		if done > 0 && newest[done-1].Input.At(0) > u.Input.At(0) {
			found = append(found, clash[*history.Operation]{newest[done-1], u})
		}
	}
	return found
}

// corrupted counts the uses without a token, of one holder, that were wholly
// within the hold of another.
func (l *lock) corrupted() int {
	// Of the holds up to each, the longest, and the longest of another process.
	type pair struct{ longest, other *hold }
	longest := make([]pair, len(l.holds))
	var p pair
	for i, h := range l.holds {
		switch {
		case p.longest == nil || h.s() > p.longest.s():
			if p.longest != nil && p.longest.acquire.Process != h.acquire.Process {
				p.other = p.longest
			}
			p.longest = h
		case h.acquire.Process != p.longest.acquire.Process && (p.other == nil || h.s() > p.other.s()):
			p.other = h
		}
		longest[i] = p
	}
	count := 0
	for _, u := range l.unfenced {
		begun, _ := slices.BinarySearchFunc(l.holds, u.Invoke, func(h *hold, t time.Duration) int { return cmp.Compare(h.f(), t) })
		if begun == 0 {
			continue
		}
		h := longest[begun-1].longest
		if h.acquire.Process == u.Process {
			h = longest[begun-1].other
		}
		if h != nil && u.Complete < h.s() {
			count++
		}
	}
	return count
}

// A state is which hold a lock is in, and the last tokens granted and used.
// The zero state is free, and nothing was granted or used.
type state struct {
	holder        int // 0: free
	granted, used token
}

type token struct {
	number int64
	known  bool
}

// A step is what Porcupine sees of an operation: that a hold begins, ends or
// uses the resource.
type step struct {
	call, ret  time.Duration
	begin, end int // which hold; 0: none
	token      token
	uses       bool
	twice      bool // its process has not given back the hold before
}

// newSteps takes operations ordered by Invoke. A hold whose lock was not
// duly given back ends at some time after it was last seen.
func newSteps(reentrant bool, operations []history.Operation) []*step {
	l := newLock("", reentrant, model.Pointers(operations))
	var steps []*step
	for i, h := range l.holds {
		begin := &step{call: h.acquire.Invoke, ret: h.acquire.Complete, begin: i + 1, twice: h.twice != nil}
		if h.fenced() {
			begin.token = token{h.token(), true}
		}
		end := &step{call: h.s(), ret: history.Never, end: i + 1}
		if h.end != nil && h.end.Kind == history.Release && h.end.Outcome == history.OK {
			end.ret = max(h.end.Complete, h.s())
		}
		steps = append(steps, begin, end)
	}
	for _, u := range l.uses {
		if u.Input.Len() > 0 {
			steps = append(steps, &step{call: u.Invoke, ret: u.Complete, uses: true, token: token{u.Input.At(0), true}})
		}
	}
	return steps
}

func (s *step) Interval() (call, ret time.Duration) { return s.call, s.ret }

func (s *step) Apply(l state) (state, bool) {
	switch {
	case s.uses:
		possible := !l.used.known || s.token.number >= l.used.number
		l.used = s.token
		return l, possible
	case s.end > 0:
		possible := l.holder == s.end
		l.holder = 0
		return l, possible
	case s.twice:
		return l, false
	case s.token.known:
		possible := l.holder == 0 && (!l.granted.known || s.token.number > l.granted.number)
		l.holder, l.granted = s.begin, s.token
		return l, possible
	}
	possible := l.holder == 0
	l.holder = s.begin
	return l, possible
}

// text tells which hold or use should not have been granted.
func text(t sentence.Teller, name anomaly.Name, told []*history.Operation) string {
	later, earlier := told[0], told[1]
	switch name {
	case anomaly.HeldTwice:
		end := told[2]
		if end == later {
			return fmt.Sprintf("%s, which it held%s%s and had not given back", t.Dated(later), sentence.WithToken(earlier.Output), t.Since(earlier.Complete))
		}
		if t.Run.History.Untimed {
			return fmt.Sprintf("%s, while p%d held it%s", t.Did(later), earlier.Process, sentence.WithToken(earlier.Output))
		}
		until := earlier.Complete
		if end != nil && (end.Kind == history.Use && end.Outcome != history.Info || end.Outcome == history.Fail && end.Error != "") {
			until = end.Complete
		} else if end != nil {
			until = max(until, end.Invoke)
		}
		if later.Complete < earlier.Complete {
			return fmt.Sprintf("%s, although p%d, whose token %d is older, held it until %s at least", t.Dated(later), earlier.Process, earlier.Output.At(0), sentence.Seconds(until))
		}
		return fmt.Sprintf("%s, while p%d held it%s, from %s to %s at least", t.Dated(later), earlier.Process, sentence.WithToken(earlier.Output), sentence.Seconds(earlier.Complete), sentence.Seconds(until))
	case anomaly.TokenWentBack:
		return fmt.Sprintf("%s, after %s: the token did not grow", t.Dated(later), t.Dated(earlier))
	default:
		return fmt.Sprintf("%s, after %s: an older token was accepted after a newer one", t.Dated(later), t.Dated(earlier))
	}
}
