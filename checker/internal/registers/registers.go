package registers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/counts"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/ledger"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/search"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
	"github.com/rashomon-io/rashomon/checker/internal/zones"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Decide judges a history of registers by an engine, or the first that is exact for each
// key if that is empty. It decides the keys in parallel: all by zones and by plain
// candidates first, which need hardly any time, then those that are left by
// searches that take turns, so that one hard key starves no other. Porcupine, if it is
// asked for, takes no turns; there each key may use its share of the time that is left,
// small ones first.
//
// Of a packed history, it unpacks a few keys at a time, and all that are left for the
// searches.
func Decide(ctx context.Context, run *history.Run, budget court.Budget, engine string) *model.Answer {
	memory := court.NewMemory(budget.MemoryBytes)
	if run.History.Packed == nil {
		objects, verdicts, hard := byZones(ctx, run, memory, engine)
		bySearches(ctx, memory, budget, engine, objects, verdicts, hard)
		return answerOf(budget, findings(run, objects, verdicts))
	}
	all, left := partByPart(ctx, run, memory, engine)
	if len(left) > 0 {
		part := partOf(run, left)
		objects, verdicts, hard := byZones(ctx, part, memory, engine)
		bySearches(ctx, memory, budget, engine, objects, verdicts, hard)
		all = append(all, findings(part, objects, verdicts)...)
		slices.SortFunc(all, func(a, b finding) int { return strings.Compare(a.key, b.key) })
	}
	return answerOf(budget, all)
}

// partByPart returns what zones and plain candidates tell of a packed history, and the keys
// of which they tell nothing.
func partByPart(ctx context.Context, run *history.Run, memory *court.Memory, engine string) (all []finding, left []string) {
	parts := run.History.Packed.Parts(partOperations)
	found := make([][]finding, len(parts))
	court.Parallel(len(parts), func(i int) {
		part := partOf(run, parts[i])
		objects, verdicts, _ := byZones(ctx, part, memory, engine)
		found[i] = findings(part, objects, verdicts)
	})
	for _, f := range slices.Concat(found...) {
		if f.undecided != "" {
			left = append(left, f.key)
		} else {
			all = append(all, f)
		}
	}
	return all, left
}

// partOperations are judged at a time of a packed history, if they are of more than one key.
const partOperations = 1 << 16

// partOf is the run with some keys' operations alone.
func partOf(run *history.Run, keys []string) *history.Run {
	part := *run
	part.Manifest.Nodes = run.Nodes()
	part.History.Packed, part.History.Operations = nil, run.History.Packed.Of(keys)
	return &part
}

// byZones returns what zones and plain candidates tell of each key, and the places of those
// of which they tell nothing.
func byZones(ctx context.Context, run *history.Run, memory *court.Memory, engine string) (objects []*object, verdicts []verdict, hard []int) {
	objects, answers := ByZones(run)
	verdicts = make([]verdict, len(objects))
	court.Parallel(len(objects), func(i int) {
		verdicts[i] = objects[i].byZones(ctx, memory, answers[i], engine)
	})
	for i, v := range verdicts {
		if v.undecided != "" {
			hard = append(hard, i)
		}
	}
	return objects, verdicts, hard
}

// bySearches decides the hard ones.
func bySearches(ctx context.Context, memory *court.Memory, budget court.Budget, engine string, objects []*object, verdicts []verdict, hard []int) {
	if engine == model.Porcupine {
		askPorcupine(ctx, memory, objects, verdicts, hard)
	} else {
		searchAll(ctx, memory, budget, objects, verdicts, hard)
	}
}

// ByZones returns what the operations on each key say, and what zones says
// of that.
func ByZones(run *history.Run) ([]*object, []zones.Answer) {
	objects := splitKeys(run)
	answers := make([]zones.Answer, len(objects))
	court.Parallel(len(objects), func(i int) { answers[i] = zones.Decide(objects[i].steps, objects[i].values) })
	return objects, answers
}

func askPorcupine(ctx context.Context, memory *court.Memory, objects []*object, verdicts []verdict, hard []int) {
	slices.SortStableFunc(hard, func(i, j int) int {
		return cmp.Compare(objects[i].operations, objects[j].operations)
	})
	court.Parallel(len(hard), func(i int) {
		deadline, _ := ctx.Deadline()
		share := time.Until(deadline) * time.Duration(court.Workers(len(hard))) / time.Duration(len(hard)-i)
		bounded, cancel := context.WithTimeout(ctx, share)
		defer cancel()
		verdicts[hard[i]] = objects[hard[i]].byPorcupine(bounded, memory)
	})
}

func searchAll(ctx context.Context, memory *court.Memory, budget court.Budget, objects []*object, verdicts []verdict, hard []int) {
	searches := make([]*search.Search, len(hard))
	shared := search.NewMemory(budget.MemoryBytes)
	court.Parallel(len(hard), func(i int) {
		h := objects[hard[i]]
		h.order()
		objects[hard[i]] = h.withoutUnneeded()
		searches[i] = search.NewRegister(objects[hard[i]].steps, shared)
	})
	court.Dovetail(ctx, court.Workers(len(searches)), searches)
	court.Parallel(len(hard), func(i int) {
		key := hard[i]
		verdicts[key] = objects[key].bySearch(ctx, memory, searches[i].Answer(), verdicts[key])
	})
}

// A finding is what a verdict says, without the operations of its key.
type finding struct {
	verdict
	key                string
	operations         int
	stale, lost        counts.Bounds
	losses             []counts.Loss
	ages               []time.Duration
	versions           []int
	majority, minority counts.Sides
	violations         []anomaly.Violation
}

// findings tells of the verdicts on some keys.
func findings(run *history.Run, objects []*object, verdicts []verdict) []finding {
	all := make([]finding, len(objects))
	sides := statistics.SidesOf(run)
	for i, v := range verdicts {
		f := finding{verdict: v, key: objects[i].key, operations: objects[i].operations}
		if c := v.counts; c != nil {
			f.stale, f.lost, f.losses, f.ages, f.versions = c.Stale, c.Lost, c.Losses, c.Ages, c.Versions
			f.majority.StaleReads, f.minority.StaleReads = sides.Count(slices.Values(c.StaleReads))
			f.majority.LostCommits, f.minority.LostCommits = sides.Count(maps.Keys(c.CertainlyLost))
		}
		for _, c := range v.found {
			f.violations = append(f.violations, c.candidate(f.key).Violation(run))
		}
		f.counts, f.found = nil, nil
		all[i] = f
	}
	return all
}

// answerOf makes an answer of what was found about each key.
func answerOf(budget court.Budget, all []finding) *model.Answer {
	answer := model.NewAnswer()
	answer.Keys = len(all)
	var ages []time.Duration
	var versions []int
	for _, f := range all {
		answer.Decided(f.engine, f.why, f.key)
		answer.StaleReads.Add(f.stale)
		answer.LostCommits.Add(f.lost)
		answer.Lost = append(answer.Lost, f.losses...)
		answer.Majority.Add(f.majority)
		answer.Minority.Add(f.minority)
		ages, versions = append(ages, f.ages...), append(versions, f.versions...)
		answer.Told(f.violations, f.first)
		answer.Left(f.err, fmt.Sprintf("key %q", f.key), f.operations, budget)
	}
	answer.Staleness = ledger.Distribution(ages, versions)
	return answer
}

// A verdict is what was found about one key: candidates that Porcupine
// has confirmed, or, if none, an error where it could not tell.
type verdict struct {
	engine string
	why    string
	found  []confirmed
	first  time.Duration  // when the earliest candidate was complete
	counts *ledger.Counts // nil if nothing was counted
	err    error
	// undecided says why the key has to be searched; tried, that no
	// candidate was confirmed.
	undecided string
	tried     bool
}

// Why an engine decided a key.
const (
	whyZones    = "no value is written twice"
	whyRepeated = "a value is written twice"
	whyRefusal  = "a compare-and-set failed without telling what it saw, and no place for it is obvious"
	whyPlain    = "a few operations contradict each other, whatever the others did"
	// whyUnconfirmed happens if the budget does not suffice for a witness.
	whyUnconfirmed = "zones found a contradiction that could not be confirmed"
)

// byZones makes a verdict of what zones answered, or leaves the key undecided.
func (h *object) byZones(ctx context.Context, memory *court.Memory, answer zones.Answer, asked string) verdict {
	why := whyZones
	switch {
	case ctx.Err() != nil:
		return verdict{engine: model.Zones, why: whyZones, err: ctx.Err()}
	case asked == model.Porcupine || asked == model.Search:
		return verdict{undecided: model.Asked}
	case asked == model.Zones:
		why = model.Asked
	}
	switch answer.Verdict {
	case zones.Valid:
		return verdict{engine: model.Zones, why: why, counts: h.measure()}
	case zones.Invalid:
		h.order()
		v := verdict{engine: model.Zones, why: why, counts: h.measure()}
		if h.confirm(ctx, memory, &v); len(v.found) == 0 {
			return verdict{undecided: whyUnconfirmed}
		}
		v.countAtOdds()
		return v
	}
	if asked == model.Zones {
		return verdict{engine: model.Zones, why: why, err: h.undecidedByZones(answer)}
	}
	v := verdict{engine: model.Porcupine, why: whyPlain, counts: h.measure()}
	h.order()
	if h.confirm(ctx, memory, &v); len(v.found) > 0 {
		v.countAtOdds()
		return v
	}
	v.tried, v.undecided = true, whyRepeated
	if answer.Verdict == zones.Undecided {
		v.undecided = whyRefusal
	}
	return v
}

// undecidedByZones says why zones cannot decide.
func (h *object) undecidedByZones(answer zones.Answer) error {
	o := h.operation(int32(answer.Step))
	if answer.Verdict == zones.Undecided {
		return court.Reason(fmt.Sprintf("zones finds no place for the failed compare-and-set of p%d at %s, and no proof that there is none; leave the choice of the engine to the check", o.Process, sentence.Seconds(o.Invoke)))
	}
	return court.Reason(fmt.Sprintf("the value %d is written twice, again by p%d at %s, which zones cannot decide; leave the choice of the engine to the check", o.Input.At(o.Input.Len()-1), o.Process, sentence.Seconds(o.Invoke)))
}

// measure counts the key's stale reads and lost commits.
func (h *object) measure() *ledger.Counts {
	operations := make([]*history.Operation, len(h.of))
	for i := range h.of {
		operations[i] = h.operation(int32(i))
	}
	byInvoke := func(a, b *history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) }
	if !slices.IsSortedFunc(operations, byInvoke) {
		slices.SortStableFunc(operations, byInvoke)
	}
	return ledger.Measure(operations, h.final)
}

// countAtOdds counts those of which only the reads are at odds.
func (v *verdict) countAtOdds() {
	for _, c := range v.found {
		if c.atOdds {
			v.counts.AtOdds(slices.DeleteFunc(slices.Clone(c.witness), ledger.Updates))
		}
	}
}

// bySearch makes a verdict of what a search answered, and of what had been
// tried before.
func (h *object) bySearch(ctx context.Context, memory *court.Memory, answer search.Answer, before verdict) verdict {
	v := verdict{engine: model.Search, why: before.undecided, counts: before.counts}
	if !before.tried {
		v.counts = h.measure()
	}
	if answer.Verdict == search.Valid {
		return v
	}
	// Even where the search did not come to its end there may be a small
	// contradiction.
	if !before.tried {
		h.confirm(ctx, memory, &v)
	}
	switch {
	case len(v.found) > 0:
	case answer.Err != nil:
		v.err = answer.Err
	default:
		h.prove(ctx, memory, answer.Step, &v)
	}
	v.countAtOdds()
	return v
}

// prove looks for a witness where a search found that the steps which were called
// before one of them returned are not linearizable. Of these, by return, it takes
// the last few, and ever more, with what they need, until a search of these alone
// finds the same; then as few as possible, first at the end and then at the
// beginning. What Porcupine cannot confirm is not shown.
func (h *object) prove(ctx context.Context, memory *court.Memory, step int, v *verdict) {
	var over []int32
	for i := range h.steps {
		if h.steps[i].Ret <= h.steps[step].Ret {
			over = append(over, int32(i))
		}
	}
	slices.SortStableFunc(over, func(a, b int32) int { return cmp.Compare(h.steps[a].Ret, h.steps[b].Ret) })
	origins := h.origins()
	witness := origins.everything()
	contradict := func(from, to int) bool {
		closed, _ := origins.closure(over[from:to], to-from, false)
		contradicts := closed.history().contradicts(ctx)
		if contradicts && len(closed.steps) < len(witness.steps) {
			witness = closed
		}
		return contradicts
	}
	for last := 4; ctx.Err() == nil; last = min(4*last, len(over)) {
		from := max(0, len(over)-last)
		if contradict(from, len(over)) {
			to := from + sort.Search(len(over)-from, func(n int) bool { return contradict(from, from+n) })
			sort.Search(to-from, func(n int) bool { return contradict(to-n, to) })
			break
		}
		if from == 0 {
			break
		}
	}
	smallest := witness.minimise(ctx).history()
	if !smallest.refuted(ctx, memory) {
		v.err = court.ErrUnconfirmed
		return
	}
	c := smallest.tell(ctx, memory, anomaly.Disorder, v.counts.CertainlyLost)
	v.found, v.first = []confirmed{c}, c.at()
}

// byPorcupine decides a key as a whole.
func (h *object) byPorcupine(ctx context.Context, memory *court.Memory) verdict {
	h.order()
	h = h.withoutUnneeded()
	v := verdict{engine: model.Porcupine, why: model.Asked, counts: h.measure()}
	var explained bool
	if explained, v.err = h.linearizable(ctx, memory); v.err == nil && !explained {
		if h.confirm(ctx, memory, &v); len(v.found) == 0 {
			c := h.origins().everything().minimise(ctx).history().tell(ctx, memory, anomaly.Disorder, v.counts.CertainlyLost)
			v.found, v.first = []confirmed{c}, c.at()
		}
	}
	v.countAtOdds()
	return v
}
