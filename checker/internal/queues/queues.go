// Package queues decides histories of queues, FIFO or of no order, in n log n steps.
//
// # If every outcome is known
//
// Say that one operation comes before another if it returned before the other
// was called. Then a history is linearizable iff it has none of these (Henzinger,
// Sezgin & Vafeiadis, "Aspect-oriented linearizability proofs", CONCUR 2013;
// Bouajjani, Emmi, Enea & Hamza, "On reducing linearizability to state
// reachability", ICALP 2015):
//
//   - phantom read: an element is dequeued that was never enqueued, or before.
//   - dequeued twice: an element is.
//   - out of order: a was enqueued before b, and b was dequeued, but a never or
//     only after b.
//   - not empty: a dequeue found nothing although, all the time that it took,
//     one element or another was inside. An element is certainly inside from the
//     return of its enqueue to the call of its dequeue, ends excluded.
//
// # If some are not
//
// An enqueue of unknown outcome returns at infinity, if its element is dequeued.
// If not, it is dropped: an order in which it took effect stays one without it
// and without the dequeue, if any, that took its element.
//
// That leaves dequeues of unknown outcome, which may take any element at any time
// after their call, or none. They can take orphans only: elements acknowledged
// and never seen again. Let
//
//	O(t) = orphans whose enqueue returned before t
//	U(t) = dequeues of unknown outcome called at t or before.
//
// If b is dequeued, the orphans enqueued before it must have been taken, by
// dequeues called before b's returned. If the queue is empty at t, the orphans of
// O(t) must have been taken by dequeues of U(t). So orphans have deadlines, an
// early dequeue can meet each deadline that a late one can, and by Hall's theorem
// they can all be met iff for each deadline there are enough dequeues until then.
// An orphan with an earlier return has no later deadline, which makes the
// condition one for each acknowledged dequeue alone:
//
//   - of b: O(b's enqueue is called) ≤ U(b's dequeue returns),
//   - of nothing: at some time t during it no element but orphans is certainly
//     inside, and O(t) ≤ U(t).
package queues

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Decide judges a history of queues, which keep the order of their elements, or which do
// not: of these, what goes in must come out.
func Decide(ctx context.Context, run *history.Run, budget court.Budget, ordered bool) (*model.Answer, *counts.Queue) {
	answer, queue := model.NewAnswer(), &counts.Queue{}
	why := "elements are enqueued once"
	if !ordered {
		why = "elements are enqueued once, and no order is promised"
	}
	answer.EachKey(ctx, run, budget, "queue", func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (model.Confirmed, error) {
		answer.Decided(model.Polynomial, why, key)
		candidates, err := Candidates(key, ordered, operations, queue)
		if err != nil {
			return model.Confirmed{}, err
		}
		return model.Confirm(ctx, memory, candidates)
	})
	answer.LostCommits = queue.Lost
	return answer, queue
}

// A fifo is the history of one queue.
type fifo struct {
	key     string
	total   bool                 // a TotalQueue, which keeps no order
	end     *history.Operation   // of a TotalQueue: what stands for its being empty in the end
	items   []*item              // by invocation of the enqueue, then those never enqueued
	empties []*history.Operation // dequeues that found nothing, by completion
	unsure  []*history.Operation // dequeues of unknown outcome, by invocation

	taken   []*item // enqueued, and dequeued no sooner than that, by completion of the dequeue
	orphans []*item // acknowledged and never dequeued, by completion of the enqueue
	// called are the invocations of unsure, acknowledged the completions of the
	// orphans' enqueues.
	called, acknowledged []time.Duration
}

// An item is what became of one element.
type item struct {
	number   int64
	enqueue  *history.Operation   // that did not fail; nil if there is none
	dequeues []*history.Operation // acknowledged, by invocation
}

// entered is when the element was certainly inside; never if nobody knows.
func (i *item) entered() time.Duration {
	if i.enqueue.Outcome == history.Info {
		return history.Never
	}
	return i.enqueue.Complete
}

func (i *item) dequeue() *history.Operation { return i.dequeues[0] }

// early returns a dequeue that returned before the enqueue was called; nil if
// there is none.
func (i *item) early() *history.Operation {
	for _, d := range i.dequeues {
		if i.enqueue == nil || d.Complete < i.enqueue.Invoke {
			return d
		}
	}
	return nil
}

// newFIFO indexes operations, or says why they cannot be judged.
func newFIFO(key string, operations []*history.Operation) (*fifo, error) {
	q := &fifo{key: key}
	items := map[int64]*item{}
	get := func(number int64) *item {
		if items[number] == nil {
			items[number] = &item{number: number}
			q.items = append(q.items, items[number])
		}
		return items[number]
	}
	for _, o := range operations {
		if o.Kind != history.Enqueue || o.Outcome == history.Fail {
			continue
		}
		i := get(o.Input.At(0))
		if i.enqueue != nil {
			return nil, court.Reason(fmt.Sprintf("element %d is enqueued twice, at %s and at %s; the queue checker needs unique elements",
				i.number, sentence.Seconds(i.enqueue.Invoke), sentence.Seconds(o.Invoke)))
		}
		i.enqueue = o
	}
	for _, o := range operations {
		switch {
		case o.Kind != history.Dequeue || o.Outcome == history.Fail:
		case o.Outcome == history.Info:
			q.unsure = append(q.unsure, o)
			q.called = append(q.called, o.Invoke)
		case o.Output.Len() == 0:
			q.empties = append(q.empties, o)
		default:
			i := get(o.Output.At(0))
			i.dequeues = append(i.dequeues, o)
		}
	}
	slices.SortStableFunc(q.empties, func(a, b *history.Operation) int { return cmp.Compare(a.Complete, b.Complete) })
	for _, i := range q.items {
		switch {
		case i.early() != nil:
		case len(i.dequeues) > 0:
			q.taken = append(q.taken, i)
		case i.enqueue.Outcome == history.OK:
			q.orphans = append(q.orphans, i)
		}
	}
	slices.SortStableFunc(q.taken, func(a, b *item) int { return cmp.Compare(a.dequeue().Complete, b.dequeue().Complete) })
	slices.SortStableFunc(q.orphans, func(a, b *item) int { return cmp.Compare(a.entered(), b.entered()) })
	for _, i := range q.orphans {
		q.acknowledged = append(q.acknowledged, i.entered())
	}
	return q, nil
}

// orphansBefore is O(t) and unsureUpTo is U(t) of the package comment.
func (q *fifo) orphansBefore(t time.Duration) int { return countBefore(q.acknowledged, t) }
func (q *fifo) unsureUpTo(t time.Duration) int    { return countUpTo(q.called, t) }

// Candidates adds a queue, by its operations ordered by Invoke, to the counts and returns,
// of each sort, the first few; or says why it cannot be judged.
func Candidates(key string, ordered bool, operations []*history.Operation, counts *counts.Queue) ([]model.Candidate, error) {
	index := newFIFO
	if !ordered {
		index = newTotalQueue
	}
	q, err := index(key, operations)
	if err != nil {
		return nil, err
	}
	phantoms, twice := q.single(counts)
	var overtaken []overtaking
	var skipped []*item
	if !q.total {
		overtaken, skipped = q.overtakes()
	}
	empty, lost := q.notEmpty()
	counts.OutOfOrder += len(overtaken) + len(skipped)
	counts.NotEmpty += len(empty) + len(lost)
	left := 0
	for _, e := range q.empties {
		left = max(left, q.orphansBefore(e.Invoke))
	}
	counts.Lost.Certain += max(0, left-len(q.unsure))
	counts.Lost.Possible += left

	var all []model.Candidate
	for _, i := range model.Few(phantoms) {
		early := i.early()
		all = append(all, q.candidate(anomaly.PhantomRead, []*history.Operation{early, i.enqueue}, model.Copies(early, i.enqueue),
			func(t sentence.Teller) string { return t.Phantom(early, i.enqueue) }))
	}
	for _, i := range model.Few(twice) {
		first, second := i.dequeues[0], i.dequeues[1]
		all = append(all, q.candidate(anomaly.DequeuedTwice, i.dequeues[:2], model.Copies(i.enqueue, first, second), func(t sentence.Teller) string {
			return fmt.Sprintf("%s and %s: one element was given to two", t.Dated(first), t.Dated(second))
		}))
	}
	for _, p := range model.Few(overtaken) {
		all = append(all, q.overtook(p.later, p.earlier.enqueue, p.earlier.dequeue(), nil))
	}
	if len(lost) > 0 {
		gone := q.gone(lost)
		for _, e := range lost {
			gone.First = min(gone.First, e.Complete)
		}
		all = append(all, gone)
	} else { // else it is told that they are gone, not that others came first
		for _, b := range model.Few(skipped) {
			a := q.orphans[0]
			all = append(all, q.overtook(b, a.enqueue, nil, q.outnumber(a, q.unsureUpTo(b.dequeue().Complete))))
		}
	}
	for _, e := range model.Few(empty) {
		all = append(all, q.cover(e))
	}
	model.SmallFirst(all)
	return all, nil
}

// candidate is told of the nodes of those operations, unless it is of a loss.
func (q *fifo) candidate(name anomaly.Name, told []*history.Operation, witness []history.Operation, text func(sentence.Teller) string) model.Candidate {
	c := model.Candidate{Anomaly: name, Key: q.key, Told: told, Witness: witness, Text: text, During: sentence.SpanOf(told...), Nodes: sentence.Nodes(told...)}
	if q.total {
		return q.byTotalSteps(c)
	}
	return model.ByWitness(c, newSteps)
}

// single returns the elements that are wrong each by itself.
func (q *fifo) single(counts *counts.Queue) (phantoms, twice []*item) {
	for _, i := range q.items {
		if i.enqueue != nil {
			counts.Attempted++
			if i.enqueue.Outcome == history.OK {
				counts.Acknowledged++
			} else if len(i.dequeues) > 0 {
				counts.Recovered++
			}
		}
		if len(i.dequeues) > 0 {
			counts.Dequeued++
		}
		if i.early() != nil {
			counts.Unexpected++
			phantoms = append(phantoms, i)
		}
		if len(i.dequeues) > 1 {
			counts.Duplicated++
			twice = append(twice, i)
		}
	}
	return phantoms, twice
}

// An overtaking is of two elements, enqueued one before the other and dequeued
// the other way round.
type overtaking struct{ earlier, later *item }

// overtakes returns the elements that overtook another that was dequeued after
// them, and those that overtook orphans, of which some cannot have been taken.
func (q *fifo) overtakes() (overtaken []overtaking, skipped []*item) {
	byEntry := slices.Clone(q.taken)
	slices.SortStableFunc(byEntry, func(a, b *item) int { return cmp.Compare(a.entered(), b.entered()) })
	latest := make([]*item, len(byEntry)) // of those up to here, the one whose dequeue was called last
	for n, i := range byEntry {
		latest[n] = i
		if n > 0 && latest[n-1].dequeue().Invoke > i.dequeue().Invoke {
			latest[n] = latest[n-1]
		}
	}
	for _, b := range q.taken {
		before, _ := slices.BinarySearchFunc(byEntry, b.enqueue.Invoke, func(i *item, t time.Duration) int { return cmp.Compare(i.entered(), t) })
		if before > 0 && latest[before-1].dequeue().Invoke > b.dequeue().Complete {
			overtaken = append(overtaken, overtaking{latest[before-1], b})
		}
		if q.orphansBefore(b.enqueue.Invoke) > q.unsureUpTo(b.dequeue().Complete) {
			skipped = append(skipped, b)
		}
	}
	return overtaken, skipped
}

// notEmpty returns the dequeues that found nothing although the queue cannot
// have been empty, and those of them that prove a loss.
//
// The times at which it can have been empty are closed intervals that begin when
// a dequeue is called, or when time does. So a dequeue of nothing is right iff it
// holds such a beginning, or if the queue can have been empty when it was called.
func (q *fifo) notEmpty() (empty, lost []*history.Operation) {
	var entries, exits []time.Duration // of the stretches in which an element was certainly inside
	for _, i := range q.taken {
		if i.entered() < i.dequeue().Invoke {
			entries, exits = append(entries, i.entered()), append(exits, i.dequeue().Invoke)
		}
	}
	slices.Sort(entries)
	slices.Sort(exits)
	times := slices.Concat(exits, q.called)
	for _, e := range q.empties {
		times = append(times, e.Invoke)
	}
	slices.Sort(times)
	canBeEmpty := slices.DeleteFunc(times, func(t time.Duration) bool {
		return countBefore(entries, t) > countUpTo(exits, t) || q.orphansBefore(t) > q.unsureUpTo(t)
	})
	for _, e := range q.empties {
		switch {
		case countBefore(canBeEmpty, e.Invoke) < countUpTo(canBeEmpty, e.Complete):
		case q.orphansBefore(e.Invoke) > q.unsureUpTo(e.Complete):
			lost = append(lost, e)
		default:
			empty = append(empty, e)
		}
	}
	return empty, lost
}

// gone tells of dequeues that found nothing although elements must have been inside
// that nobody is known to have taken: of the one that tells of the most. The elements
// are lost only if there are not as many dequeues of unknown outcome at all.
func (q *fifo) gone(empties []*history.Operation) model.Candidate {
	e := slices.MaxFunc(empties, func(a, b *history.Operation) int {
		return cmp.Compare(q.orphansBefore(a.Invoke), q.orphansBefore(b.Invoke))
	})
	g := gone{found: e, inside: q.orphans[:q.orphansBefore(e.Invoke)], taken: q.unsureUpTo(e.Complete), unsure: len(q.unsure), end: e == q.end}
	name := anomaly.OutOfOrder
	if g.lost() > 0 {
		name = anomaly.LostCommit
	}
	c := q.candidate(name, []*history.Operation{e, g.inside[0].enqueue}, append(q.outnumber(g.inside[0], g.taken), *e), g.text)
	c.Nodes = nil // any may have held them
	return c
}

// Gone are elements that were inside and that nobody is known to have taken, when a
// dequeue found nothing. So many dequeues of unknown outcome may have taken one by
// then, and unsure so many in all.
type gone struct {
	found         *history.Operation
	inside        []*item
	taken, unsure int
	end           bool // the dequeue stands for the end of the history
}

// lost is how many are, at least.
func (g gone) lost() int { return len(g.inside) - g.unsure }

// outnumber returns the first so many dequeues of unknown outcome, and the
// enqueues of one orphan more, a among them.
func (q *fifo) outnumber(a *item, unsure int) []history.Operation {
	witness := append(model.Copies(a.enqueue), model.Copies(q.unsure[:unsure]...)...)
	for _, i := range q.orphans {
		if len(witness) == 2*unsure+1 {
			break
		}
		if i != a {
			witness = append(witness, *i.enqueue)
		}
	}
	return witness
}

// A stay is when an element was certainly inside: from the return of its enqueue to the
// call of its dequeue, if there is one.
type stay struct{ enqueue, dequeue *history.Operation }

// cover tells which elements were inside while e, of notEmpty, found nothing: always
// the one that stayed longest, and where there is none, orphans.
func (q *fifo) cover(e *history.Operation) model.Candidate {
	var inside []stay
	told := []*history.Operation{e}
	outnumbered := -1 // by orphans, if any are needed
	for at := e.Invoke; at <= e.Complete; {
		var longest *item
		next := history.Never
		for _, i := range q.taken {
			exit := i.dequeue().Invoke
			if i.entered() < at && at < exit && (longest == nil || exit > longest.dequeue().Invoke) {
				longest = i
			}
			if at < exit {
				next = min(next, exit)
			}
		}
		if longest != nil {
			inside = append(inside, stay{longest.enqueue, longest.dequeue()})
			told = append(told, longest.enqueue, longest.dequeue())
			at = longest.dequeue().Invoke
			continue
		}
		outnumbered = q.unsureUpTo(at)
		if outnumbered < len(q.called) {
			next = min(next, q.called[outnumbered])
		}
		at = next
	}
	witness := model.Copies(told...)
	if outnumbered >= 0 {
		inside = append(inside, stay{q.orphans[0].enqueue, nil})
		told = append(told, q.orphans[0].enqueue)
		witness = append(witness, q.outnumber(q.orphans[0], outnumbered)...)
	}
	return q.candidate(anomaly.OutOfOrder, told, witness, func(t sentence.Teller) string {
		var stays []string
		for _, s := range inside {
			text := fmt.Sprint(s.enqueue.Input.At(0))
			if !t.Run.History.Untimed {
				text += " from " + sentence.Seconds(s.enqueue.Complete)
				if s.dequeue != nil {
					text += " to " + sentence.Seconds(s.dequeue.Invoke)
				}
			}
			stays = append(stays, text)
		}
		return fmt.Sprintf("%s, although it was never empty meanwhile: it held %s%s", t.Dated(e), strings.Join(stays, ", "), unsureOf(witness))
	})
}

// overtook tells of an element that was dequeued although an earlier one was not: only
// later or never; of the latter, more is the witness.
func (q *fifo) overtook(later *item, earlier, late *history.Operation, more []history.Operation) model.Candidate {
	dequeue := later.dequeue()
	told := []*history.Operation{dequeue, earlier, later.enqueue, late}
	witness := append(more, model.Copies(later.enqueue, dequeue)...)
	if late != nil {
		witness = model.Copies(told...)
	}
	return q.candidate(anomaly.OutOfOrder, told, witness, func(t sentence.Teller) string {
		text := fmt.Sprintf("%s, although %s%s, before the enqueue of %d was invoked%s",
			t.Dated(dequeue), t.Had(earlier), t.At(earlier.Complete), later.number, t.At(later.enqueue.Invoke))
		if late != nil {
			return text + fmt.Sprintf(", and p%d dequeued %d%s only later%s", late.Process, earlier.Input.At(0), sentence.Through(late), t.When(late, late.Invoke))
		}
		return text + fmt.Sprintf(", and nobody dequeued %d", earlier.Input.At(0)) + unsureOf(witness)
	})
}

// A state is what a queue holds, one letter an element, and how many
// dequeues of unknown outcome were carried out.
type state struct {
	inside  string
	carried int
}

// A step is an operation of a queue as Porcupine sees it.
//
// Dequeues of unknown outcome take the oldest element when they are carried out;
// one that never was is carried out in the end, where it harms nobody. They are
// all alike but for their calls, so only orders are tried in which those called
// earlier are carried out earlier: any other becomes one of these by exchanging
// two that stand the wrong way round.
type step struct {
	call, ret time.Duration
	enqueues  bool
	element   string // "" for a dequeue of nothing
	number    int    // of a dequeue of unknown outcome, from 1; else 0
}

// newSteps takes operations ordered by Invoke.
func newSteps(operations []history.Operation) []*step {
	letters := map[int64]string{}
	letter := func(number int64) string {
		if letters[number] == "" {
			letters[number] = string(rune('0' + len(letters)))
		}
		return letters[number]
	}
	unsure := 0
	var steps []*step
	for _, o := range operations {
		s := &step{call: o.Invoke, ret: o.Complete, enqueues: o.Kind == history.Enqueue}
		if o.Outcome == history.Info {
			s.ret = history.Never
		}
		switch {
		case s.enqueues:
			s.element = letter(o.Input.At(0))
		case o.Outcome == history.Info:
			unsure++
			s.number = unsure
		case o.Output.Len() > 0:
			s.element = letter(o.Output.At(0))
		}
		steps = append(steps, s)
	}
	return steps
}

func (s *step) Interval() (call, ret time.Duration) { return s.call, s.ret }

func (s *step) Apply(q state) (state, bool) {
	_, size := utf8.DecodeRuneInString(q.inside)
	switch {
	case s.enqueues:
		q.inside += s.element
		return q, true
	case s.number > 0 && s.number != q.carried+1:
		return q, false
	case s.number > 0:
		return state{q.inside[size:], s.number}, true
	case q.inside[:size] == s.element:
		q.inside = q.inside[size:]
		return q, true
	}
	return q, false
}

// text tells of an empty queue, and of what is not there.
func (g gone) text(t sentence.Teller) string {
	o, enqueue := g.found, g.inside[0].enqueue
	found := t.Did(o) + t.When(o, o.Invoke)
	if g.end {
		found = "the history ends"
	}
	if len(g.inside) == 1 {
		text := fmt.Sprintf("%s%s, yet %s", t.Had(enqueue), t.At(enqueue.Complete), found)
		if g.lost() > 0 {
			return text + fmt.Sprintf(", and nobody ever dequeued %d: the element is lost", enqueue.Input.At(0))
		}
		return text + fmt.Sprintf(", when nobody can have dequeued %d; whether it is lost is not known, for %s came later", enqueue.Input.At(0), unsureDequeues(g.unsure))
	}
	var elements []int64
	for _, i := range g.inside {
		elements = append(elements, i.number)
	}
	text := fmt.Sprintf("%s, although the enqueues of %d elements had been acknowledged that nobody is known to have dequeued, %s", found, len(elements), sentence.Few(elements))
	switch {
	case g.unsure == 0:
		return text + ": they are lost"
	case g.lost() > 0:
		taken, is := "one each", "are"
		if g.unsure == 1 {
			taken = "one"
		}
		if g.lost() == 1 {
			is = "is"
		}
		return text + fmt.Sprintf(", and only %s may have taken %s: at least %d of %d %s lost", unsureDequeues(g.unsure), taken, g.lost(), len(elements), is)
	}
	return text + fmt.Sprintf(", and only %d can have been taken by then; whether any is lost is not known, for there are %s", g.taken, unsureDequeues(g.unsure))
}

func unsureDequeues(n int) string {
	return sentence.Several(n, "dequeue") + " of unknown outcome"
}

// unsureOf tells of dequeues of unknown outcome that cannot have taken every
// element of a witness that nobody is known to have dequeued; nothing if there are
// none.
func unsureOf(witness []history.Operation) string {
	enqueued, dequeued, unsure := 0, 0, 0
	for _, o := range witness {
		switch {
		case o.Kind == history.Enqueue:
			enqueued++
		case o.Outcome == history.Info:
			unsure++
		case o.Output.Len() > 0:
			dequeued++
		}
	}
	if unsure == 0 {
		return ""
	}
	return fmt.Sprintf("; of %d elements that nobody dequeued, dequeues of unknown outcome can have taken %d", enqueued-dequeued, unsure)
}

// countBefore returns how many of sorted times are less than t, countUpTo how
// many are not greater.
func countBefore(sorted []time.Duration, t time.Duration) int {
	n, _ := slices.BinarySearch(sorted, t)
	return n
}

func countUpTo(sorted []time.Duration, t time.Duration) int { return countBefore(sorted, t+1) }
