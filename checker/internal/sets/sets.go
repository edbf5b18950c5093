// Package sets decides histories of sets that only grow, by what becomes of each element.
//
// # Is it linearizable?
//
// Following elements alone is not enough: two reads may each miss what the other
// shows. A history of a growing set is linearizable iff no element is
// unexpected, the reads are a chain by inclusion, and real time agrees with the
// only possible order: each read after the smaller ones, each add between the
// last read without its element and the first with it. If an operation returns
// before another is called that must come earlier in this order, then, looking
// at what the two are, some element is lost, stale or unexpected, or else both
// are adds, and a read shows the later element without the earlier.
package sets

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// maxNamed bounds the elements of a sort that the counts name.
const maxNamed = 100

// Decide judges a history of sets.
func Decide(ctx context.Context, run *history.Run, budget court.Budget) (*model.Answer, *counts.Set) {
	answer, set := model.NewAnswer(), &counts.Set{}
	final := model.FinalBegins(run)
	var delays []time.Duration
	var staleReads, lostCommits []*history.Operation
	atOdds := 0 // sets of which a read was stale, nobody knows which
	answer.EachKey(ctx, run, budget, "set", func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (model.Confirmed, error) {
		answer.Decided(model.Polynomial, "elements are added once", key)
		s, err := newGrowingSet(key, final, operations)
		if err == nil {
			err = s.follow(ctx)
		}
		if err != nil {
			return model.Confirmed{}, err
		}
		delays = append(delays, s.count(set)...)
		answer.Lost = append(answer.Lost, s.losses()...)
		stale, lost := s.wrong()
		staleReads, lostCommits = append(staleReads, stale...), append(lostCommits, lost...)
		candidates := s.candidates()
		confirmed, err := model.Confirm(ctx, memory, witnessed(key, candidates))
		confirmed.First = min(confirmed.First, s.first())
		if len(confirmed.Candidates) > 0 && candidates[0].disorder {
			atOdds++
		}
		return confirmed, err
	})
	answer.StaleReads = counts.Bounds{Certain: len(staleReads) + atOdds, Possible: len(staleReads) + atOdds}
	answer.LostCommits = counts.Bounds{Certain: len(lostCommits), Possible: len(lostCommits)}
	sides := statistics.SidesOf(run)
	answer.Majority.StaleReads, answer.Minority.StaleReads = sides.Count(slices.Values(staleReads))
	answer.Majority.LostCommits, answer.Minority.LostCommits = sides.Count(slices.Values(lostCommits))
	slices.Sort(delays)
	set.StaleMedian, set.StaleMax = statistics.Percentile(delays, 50), statistics.Percentile(delays, 100)
	return answer, set
}

// A growingSet is the history of one set.
type growingSet struct {
	key      string
	final    time.Duration
	elements []*element // by add's invocation, then those never added
	reads    []*read    // acknowledged, by invocation
}

type element struct {
	number int64
	add    *history.Operation // that did not fail; nil if there is none
	// known is the operation that first proved it present, nil if none does.
	known *history.Operation
	// early is the first read that shows it without reason.
	early *history.Operation
	// missedFirst and missed are the first and the last read, by invocation,
	// that had to show it and do not.
	missedFirst, missed *history.Operation
	// shown is the completion of the last read that shows it.
	shown time.Duration
	fate  fate
	// shownBy is scratch: the last read looked at that shows it.
	shownBy *read
	// level is scratch: the number of reads, by size, before the first that
	// shows it.
	level int
}

// A read is one acknowledged read-all.
type read struct {
	operation *history.Operation
	shows     []*element // distinct
	missed    []*element // that it had to show
}

// mark lets each element tell whether r shows it.
func (r *read) mark() {
	for _, e := range r.shows {
		e.shownBy = r
	}
}

type fate int

const (
	untold fate = iota // of unknown outcome, and never seen
	fine
	lost
	stale
	neverRead
	unexpected
)

// newGrowingSet indexes operations, which are ordered by invocation, or says why
// they cannot be judged.
func newGrowingSet(key string, final time.Duration, operations []*history.Operation) (*growingSet, error) {
	s := &growingSet{key: key, final: final}
	elements := map[int64]*element{}
	get := func(number int64) *element {
		e := elements[number]
		if e == nil {
			e = &element{number: number, shown: -history.Never}
			elements[number] = e
			s.elements = append(s.elements, e)
		}
		return e
	}
	for _, o := range operations {
		if o.Kind != history.Add || o.Outcome == history.Fail {
			continue
		}
		e := get(o.Input.At(0))
		if e.add != nil {
			return nil, court.Reason(fmt.Sprintf("element %d is added twice, at %s and at %s; the set checker needs unique elements",
				e.number, sentence.Seconds(e.add.Invoke), sentence.Seconds(o.Invoke)))
		}
		e.add = o
		if o.Outcome == history.OK {
			e.known = o
		}
	}
	for _, o := range operations {
		if o.Kind != history.ReadAll || o.Outcome != history.OK {
			continue
		}
		r := &read{operation: o}
		for _, number := range o.Output.Ints() {
			if e := get(number); e.shownBy != r { // not twice
				e.shownBy = r
				r.shows = append(r.shows, e)
			}
		}
		s.reads = append(s.reads, r)
	}
	return s, nil
}

// follow settles every element's fate.
func (s *growingSet) follow(ctx context.Context) error {
	for _, r := range s.reads {
		o := r.operation
		for _, e := range r.shows {
			if e.known == nil || o.Complete < e.known.Complete {
				e.known = o
			}
			if e.early == nil && (e.add == nil || o.Complete < e.add.Invoke) {
				e.early = o
			}
			e.shown = max(e.shown, o.Complete)
		}
	}
	var known []*element
	for _, e := range s.elements {
		if e.known != nil {
			known = append(known, e)
		}
	}
	slices.SortStableFunc(known, func(a, b *element) int { return cmp.Compare(a.known.Complete, b.known.Complete) })
	for _, r := range s.reads {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.mark()
		for _, e := range known {
			if e.known.Complete >= r.operation.Invoke {
				break
			}
			if e.shownBy != r {
				r.missed = append(r.missed, e)
				e.missed = r.operation
				e.missedFirst = cmp.Or(e.missedFirst, r.operation)
			}
		}
	}
	for _, e := range s.elements {
		e.fate = e.settle(s.final)
	}
	return nil
}

// settle returns the element's fate; final is as model.FinalBegins returns it.
func (e *element) settle(final time.Duration) fate {
	switch {
	case e.early != nil:
		return unexpected
	case e.known == nil:
		return untold
	case e.missed == nil && e.shown == -history.Never:
		return neverRead
	case e.missed == nil:
		return fine
	case e.shown < min(e.missed.Invoke, final):
		return lost
	default:
		return stale
	}
}

// count adds the set to the counts, and returns its stale delays.
func (s *growingSet) count(set *counts.Set) (delays []time.Duration) {
	name := func(names *[]int64, e *element) {
		if len(*names) < maxNamed {
			*names = append(*names, e.number)
		}
	}
	for _, e := range s.elements {
		if e.add != nil {
			set.Attempted++
			if e.add.Outcome == history.OK {
				set.Acknowledged++
			} else if e.fate == fine || e.fate == stale {
				set.Recovered++
			}
		}
		switch e.fate {
		case fine:
			set.OK++
		case lost:
			set.Lost++
			name(&set.LostElements, e)
		case stale:
			set.Stale++
			name(&set.StaleElements, e)
			delays = append(delays, e.missed.Invoke-e.known.Complete)
		case neverRead:
			set.NeverRead++
		case unexpected:
			set.Unexpected++
			name(&set.UnexpectedElements, e)
		}
	}
	return delays
}

// losses are the elements that were lost.
func (s *growingSet) losses() []counts.Loss {
	var all []counts.Loss
	for _, e := range s.elements {
		if e.fate == lost {
			all = append(all, counts.Loss{Key: s.key, Value: e.number, Process: e.add.Process, Node: e.add.Node, At: e.known.Complete, Certain: true})
		}
	}
	return all
}

// wrong returns the reads that count as stale, and the adds of lost elements.
func (s *growingSet) wrong() (staleReads, lostCommits []*history.Operation) {
	for _, r := range s.reads {
		if slices.ContainsFunc(r.missed, func(e *element) bool { return e.stale(r.operation) }) {
			staleReads = append(staleReads, r.operation)
		}
	}
	for _, e := range s.elements {
		if e.fate == lost {
			lostCommits = append(lostCommits, e.add)
		}
	}
	return staleReads, lostCommits
}

// stale: the read, which misses the element, is stale for it: others that completed
// after the read was invoked show it.
func (e *element) stale(read *history.Operation) bool {
	return e.fate == stale || e.fate == lost && e.shown >= read.Invoke
}

// A candidate is a read that is wrong, or what a few operations disagree about.
type candidate struct {
	anomaly anomaly.Name
	told    []*history.Operation
	// elements are those that matter; alike are all that the read has wrong in the same
	// way, the first of elements among them.
	elements, alike []int64
	disorder        bool // a read was stale, whatever the order
}

// candidates are the earliest of each anomaly: one for all elements that are wrong
// in the same way in one read; or else what is wrong between elements.
func (s *growingSet) candidates() []candidate {
	all := s.wrongReads()
	if len(all) == 0 {
		all = s.disorder()
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.told[0].Complete, b.told[0].Complete) })
	count := map[anomaly.Name]int{}
	return slices.DeleteFunc(all, func(c candidate) bool {
		count[c.anomaly]++
		return count[c.anomaly] > model.PerKey
	})
}

// witnessed gives candidates their witnesses.
func witnessed(key string, candidates []candidate) []model.Candidate {
	var all []model.Candidate
	for _, c := range candidates {
		all = append(all, c.witnessed(key))
	}
	return all
}

// first is when the first read completed that misses or shows what it must not;
// never if there is none.
func (s *growingSet) first() time.Duration {
	first := history.Never
	for _, e := range s.elements {
		for _, o := range []*history.Operation{e.missedFirst, e.early} {
			if o != nil {
				first = min(first, o.Complete)
			}
		}
	}
	return first
}

// wrongReads returns those of elements that had an ill fate. A lost element is
// told of the last read that misses it, others of the first that is wrong.
func (s *growingSet) wrongReads() []candidate {
	type wrong struct {
		anomaly anomaly.Name
		read    *history.Operation
		known   history.Kind // whether the element had been acknowledged or only read
	}
	var all []candidate
	places := map[wrong]int{} // in all
	add := func(name anomaly.Name, e *element, told ...*history.Operation) {
		alike := wrong{anomaly: name, read: told[0]}
		if name != anomaly.PhantomRead {
			alike.known = e.known.Kind
		}
		i, begun := places[alike]
		if !begun {
			i = len(all)
			places[alike] = i
			all = append(all, candidate{anomaly: name, told: told, elements: []int64{e.number}})
		}
		all[i].alike = append(all[i].alike, e.number)
	}
	for _, e := range s.elements {
		var asked *history.Operation // the add, if it is not what made the element known
		if e.known != e.add {
			asked = e.add
		}
		if e.fate == lost {
			add(anomaly.LostCommit, e, e.missed, e.known, asked)
		}
		if e.missedFirst != nil && e.stale(e.missedFirst) {
			add(anomaly.StaleRead, e, e.missedFirst, e.known, asked)
		}
		if e.fate == unexpected {
			add(anomaly.PhantomRead, e, e.early, e.add)
		}
	}
	return all
}

// text tells of it.
func (c candidate) text(t sentence.Teller) string {
	switch {
	case len(c.alike) > 1:
		return c.severalText(t)
	case c.disorder:
		return t.NoOrder(c.told) + ": whatever the order, a read was stale"
	case c.anomaly == anomaly.StaleRead:
		return t.Stale(c.told[0], c.told[1])
	case c.anomaly == anomaly.LostCommit:
		return t.Lost(c.told[0], c.told[1], "the element")
	}
	return t.Phantom(c.told[0], c.told[1])
}

// severalText tells of a read in which several elements are wrong in the same way, and
// of one of them in full.
func (c candidate) severalText(t sentence.Teller) string {
	read, known := c.told[0], c.told[1]
	saw := fmt.Sprintf("p%d's read of %s%s%s", read.Process, t.Name(read.Kind), sentence.Through(read), t.When(read, read.Invoke))
	if c.anomaly == anomaly.PhantomRead {
		return fmt.Sprintf("%s shows %d elements that nobody can have added by then, %s: it shows %d, %s",
			saw, len(c.alike), sentence.Few(c.alike), c.alike[0], t.Nowhere(read, known))
	}
	what := "%d acknowledged elements"
	if known.Kind == history.ReadAll {
		what = "%d elements that had been read"
	}
	missed := fmt.Sprintf("%s misses "+what+", %s", saw, len(c.alike), sentence.Few(c.alike))
	if c.anomaly == anomaly.LostCommit {
		return fmt.Sprintf("%s, and no later read shows them: they are lost; %s%s", missed, t.Had(known), t.At(known.Complete))
	}
	return fmt.Sprintf("%s; it was invoked%s%s", missed, strings.TrimPrefix(t.After(read.Invoke-known.Complete), ","), t.Had(known))
}

// disorder returns what is wrong between elements, if nothing is with each.
func (s *growingSet) disorder() []candidate {
	reads := slices.Clone(s.reads)
	slices.SortStableFunc(reads, func(a, b *read) int { return cmp.Compare(len(a.shows), len(b.shows)) })
	for _, e := range s.elements {
		e.level = len(reads)
	}
	for i, r := range reads {
		r.mark()
		for _, e := range r.shows {
			e.level = min(e.level, i)
		}
		if i == 0 {
			continue
		}
		smaller := reads[i-1]
		for _, a := range smaller.shows {
			if a.shownBy == r {
				continue
			}
			for _, b := range r.shows { // smaller is not larger, so one of them it does not show
				if !slices.Contains(smaller.shows, b) {
					return []candidate{disagreement([]*history.Operation{a.add, b.add, smaller.operation, r.operation}, a, b)}
				}
			}
		}
	}
	// An add must not have returned before the add of an element of a lower
	// level was called: the read of that level shows the one and not the other.
	known := slices.DeleteFunc(slices.Clone(s.elements), func(e *element) bool { return e.known == nil })
	slices.SortStableFunc(known, func(a, b *element) int { return cmp.Compare(a.level, b.level) })
	var latest, below *element // whose add was called last: up to here, and of lower levels
	for i, e := range known {
		if i > 0 && known[i-1].level < e.level {
			below = latest
		}
		if below != nil && e.add.Outcome == history.OK && e.add.Complete < below.add.Invoke {
			return []candidate{disagreement([]*history.Operation{e.add, below.add, reads[below.level].operation}, e, below)}
		}
		if latest == nil || e.add.Invoke > latest.add.Invoke {
			latest = e
		}
	}
	return nil
}

// disagreement is of operations that disagree about two elements.
func disagreement(told []*history.Operation, a, b *element) candidate {
	return candidate{anomaly: anomaly.StaleRead, told: told, elements: []int64{a.number, b.number}, disorder: true}
}

// witnessed makes the operations told the witness. Reads are restricted to the elements
// that matter: if the whole is linearizable, then so is the part that is about these.
func (c candidate) witnessed(key string) model.Candidate {
	made := model.Candidate{Anomaly: c.anomaly, Key: key, Told: c.told, Elements: c.elements, Text: c.text, During: sentence.SpanOf(c.told...)}
	if !c.disorder && c.anomaly != anomaly.PhantomRead {
		made.During = sentence.SpanOf(c.told[:2]...)
	}
	if c.anomaly != anomaly.LostCommit { // any node may have held what is lost
		made.Nodes = sentence.Nodes(c.told...)
	}
	var steps []*step
	for _, o := range c.told {
		if o == nil {
			continue
		}
		part := *o
		part.Output = history.Value{}
		s := &step{call: o.Invoke, ret: model.Returns(o), adds: o.Kind == history.Add}
		for i, number := range c.elements {
			if o.Kind == history.Add && o.Input.At(0) == number || o.Kind == history.ReadAll && slices.Contains(o.Output.Ints(), number) {
				s.has[i] = true
				if o.Kind == history.ReadAll {
					part.Output = history.Ints(append(part.Output.Ints(), number)...)
				}
			}
		}
		steps = append(steps, s)
		made.Witness = append(made.Witness, part)
	}
	return model.ByWitness[contents](made, func([]history.Operation) []*step { return steps })
}

// contents says which of a candidate's elements, two at most, a set holds.
type contents [2]bool

// A step adds what it has, or has seen exactly that.
type step struct {
	call, ret time.Duration
	adds      bool
	has       contents
}

func (s *step) Interval() (call, ret time.Duration) { return s.call, s.ret }

func (s *step) Apply(held contents) (contents, bool) {
	if !s.adds {
		return held, held == s.has
	}
	return contents{held[0] || s.has[0], held[1] || s.has[1]}, true
}
