package checker

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
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Set is the model of sets that only grow: add and read-all, each key
// by itself. Elements must be unique: added at most once, failed adds apart.
//
// # What becomes of an element
//
// As in Jepsen's set-full, each element is followed alone. It is known from the
// earliest completion of its acknowledged add or of a read that shows it, and
// every acknowledged read that is invoked after that must show it.
//
//   - ok: known, and no read that had to show it misses it, and some read shows it.
//   - lost: known, missed by a read that had to show it, and shown by none that
//     completed after that, or after the final phase began, whichever is
//     earlier. (Jepsen compares invocations; an overlapping read that shows the
//     element is given the benefit of the doubt here.) A run that was cut off
//     before its final phase loses nothing: later reads might have shown it.
//   - stale: known, missed by a read that had to show it, and not lost. That read is
//     stale, and so is one that misses what is lost, but was shown after it had been
//     missed there.
//   - never read: acknowledged, and no read either shows it or had to.
//   - unexpected: shown by a read that completed before its add was invoked, or
//     without any add that did not fail.
//   - recovered: of unknown outcome, shown, and not lost; also counted as ok or stale.
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
var Set = Model{
	name: "set",
	kinds: map[history.Kind]arity{
		history.Add:     {input: 1, output: 1},
		history.ReadAll: {input: 0, output: unbounded},
	},
	engines: []Engine{Polynomial},
	judge:   judgeSets,
}

// maxNamed bounds the elements of a sort that a SetResult names.
const maxNamed = 100

func judgeSets(ctx context.Context, run *history.Run, options Options, result *Result) {
	result.Set = &counts.Set{}
	final := finalBegins(run)
	var delays []time.Duration
	var staleReads, lostCommits []*history.Operation
	atOdds := 0 // sets of which a read was stale, nobody knows which
	judgeKeys(ctx, run, options, result, "set", func(ctx context.Context, memory *court.Memory, key string, operations []*history.Operation) (findings, error) {
		result.decided(Polynomial, "elements are added once", key)
		s, err := newGrowingSet(key, final, operations)
		if err == nil {
			err = s.follow(ctx)
		}
		if err != nil {
			return findings{}, err
		}
		delays = append(delays, s.count(result)...)
		stale, lost := s.wrong()
		staleReads, lostCommits = append(staleReads, stale...), append(lostCommits, lost...)
		found, err := prove(ctx, memory, s.suspects())
		found.first = min(found.first, s.first())
		if slices.ContainsFunc(found.stories, func(s story) bool { return s.reads }) {
			atOdds++
		}
		return found, err
	})
	result.StaleReads = counts.Bounds{Certain: len(staleReads) + atOdds, Possible: len(staleReads) + atOdds}
	result.LostCommits = counts.Bounds{Certain: len(lostCommits), Possible: len(lostCommits)}
	result.countBySide(run, staleReads, lostCommits)
	slices.Sort(delays)
	result.Set.StaleMedian, result.Set.StaleMax = statistics.Percentile(delays, 50), statistics.Percentile(delays, 100)
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
			e = &element{number: number, shown: -never}
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
				e.number, seconds(e.add.Invoke), seconds(o.Invoke)))
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

// settle returns the element's fate; final is as finalBegins returns it.
func (e *element) settle(final time.Duration) fate {
	switch {
	case e.early != nil:
		return unexpected
	case e.known == nil:
		return untold
	case e.missed == nil && e.shown == -never:
		return neverRead
	case e.missed == nil:
		return fine
	case e.shown < min(e.missed.Invoke, final):
		return lost
	default:
		return stale
	}
}

// count adds the set to the result, and returns its stale delays.
func (s *growingSet) count(result *Result) (delays []time.Duration) {
	set := result.Set
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
			result.Lost = append(result.Lost, counts.Loss{Key: s.key, Value: e.number, Process: e.add.Process, Node: e.add.Node, At: e.known.Complete, Certain: true})
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

// suspects are the earliest of each anomaly: one for all elements that are wrong in
// the same way in one read.
func (s *growingSet) suspects() []charge {
	suspects := s.wrongReads()
	if len(suspects) == 0 {
		suspects = s.disorder()
	}
	slices.SortStableFunc(suspects, func(a, b story) int { return cmp.Compare(a.told[0].Complete, b.told[0].Complete) })
	var earliest []charge
	count := map[anomaly.Name]int{}
	for _, suspect := range suspects {
		if count[suspect.anomaly]++; count[suspect.anomaly] <= perKey {
			earliest = append(earliest, suspect.charge())
		}
	}
	return earliest
}

// first is when the first read completed that misses or shows what it must not;
// never if there is none.
func (s *growingSet) first() time.Duration {
	first := never
	for _, e := range s.elements {
		for _, o := range []*history.Operation{e.missedFirst, e.early} {
			if o != nil {
				first = min(first, o.Complete)
			}
		}
	}
	return first
}

// wrongReads returns the stories of elements that had an ill fate. A lost element is
// told of the last read that misses it, others of the first that is wrong.
func (s *growingSet) wrongReads() []story {
	type wrong struct {
		anomaly anomaly.Name
		read    *history.Operation
		known   history.Kind // whether the element had been acknowledged or only read
	}
	var stories []story
	places := map[wrong]int{} // in stories
	add := func(name anomaly.Name, e *element, told ...*history.Operation) {
		alike := wrong{anomaly: name, read: told[0]}
		if name != anomaly.PhantomRead {
			alike.known = e.known.Kind
		}
		i, begun := places[alike]
		if !begun {
			i = len(stories)
			places[alike] = i
			stories = append(stories, story{anomaly: name, key: s.key, told: told, elements: []int64{e.number}})
		}
		stories[i].alike = append(stories[i].alike, e.number)
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
	return stories
}

// setText tells of a read in which several elements are wrong in the same way, and
// of one of them in full.
func (s story) setText(n narrator) string {
	read, known := s.told[0], s.told[1]
	saw := fmt.Sprintf("p%d's read of %s%s%s", read.Process, s.name(read.Kind), through(read), n.when(read, read.Invoke))
	if s.anomaly == anomaly.PhantomRead {
		return fmt.Sprintf("%s shows %d elements that nobody can have added by then, %s: it shows %d, %s",
			saw, len(s.alike), named(s.alike), s.alike[0], s.nowhere(n, read, known))
	}
	what := "%d acknowledged elements"
	if known.Kind == history.ReadAll {
		what = "%d elements that had been read"
	}
	missed := fmt.Sprintf("%s misses "+what+", %s", saw, len(s.alike), named(s.alike))
	if s.anomaly == anomaly.LostCommit {
		return fmt.Sprintf("%s, and no later read shows them: they are lost; %s%s", missed, s.had(known), n.at(known.Complete))
	}
	return fmt.Sprintf("%s; it was invoked%s%s", missed, strings.TrimPrefix(n.after(read.Invoke-known.Complete), ","), s.had(known))
}

// named names a few elements: "such as 17, 18 and 19".
func named(elements []int64) string {
	const few = 3
	var names []string
	for _, e := range elements[:min(few, len(elements))] {
		names = append(names, fmt.Sprint(e))
	}
	last := len(names) - 1
	text := strings.Join(names[:last], ", ") + " and " + names[last]
	if len(elements) > few {
		return "such as " + text
	}
	return text
}

// disorder returns what is wrong between elements, if nothing is with each.
func (s *growingSet) disorder() []story {
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
					return []story{s.muddle([]*history.Operation{a.add, b.add, smaller.operation, r.operation}, a, b)}
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
			return []story{s.muddle([]*history.Operation{e.add, below.add, reads[below.level].operation}, e, below)}
		}
		if latest == nil || e.add.Invoke > latest.add.Invoke {
			latest = e
		}
	}
	return nil
}

// muddle is the story of operations that disagree about two elements.
func (s *growingSet) muddle(told []*history.Operation, a, b *element) story {
	return story{anomaly: anomaly.Disorder, key: s.key, told: told, elements: []int64{a.number, b.number}, reads: true}
}

// charge makes the operations of a set's story its witness. Reads are restricted
// to the elements that matter: if the whole is linearizable, then so is the part
// that is about these.
func (s story) charge() charge {
	var steps []*setStep
	for _, o := range s.told {
		if o == nil {
			continue
		}
		part := *o
		part.Output = history.Value{}
		step := &setStep{call: o.Invoke, ret: o.Complete}
		for i, number := range s.elements {
			if o.Kind == history.Add && o.Input.At(0) == number || o.Kind == history.ReadAll && slices.Contains(o.Output.Ints(), number) {
				step.has[i] = true
				if o.Kind == history.ReadAll {
					part.Output = history.Ints(append(part.Output.Ints(), number)...)
				}
			}
		}
		step.adds = o.Kind == history.Add
		if o.Outcome == history.Info {
			step.ret = never
		}
		steps = append(steps, step)
		s.witness = append(s.witness, part)
	}
	slices.SortStableFunc(s.witness, func(a, b history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
	return charge{s, anomaly.Violation{Witness: s.witness}.At(), func(ctx context.Context, memory *court.Memory) (bool, error) {
		return court.Linearizable[contents](ctx, memory, steps)
	}}
}

// contents says which of a story's elements, two at most, a set holds.
type contents [2]bool

// A setStep adds what it has, or has seen exactly that.
type setStep struct {
	call, ret time.Duration
	adds      bool
	has       contents
}

func (s *setStep) Interval() (call, ret time.Duration) { return s.call, s.ret }

func (s *setStep) Apply(held contents) (contents, bool) {
	if !s.adds {
		return held, held == s.has
	}
	return contents{held[0] || s.has[0], held[1] || s.has[1]}, true
}
