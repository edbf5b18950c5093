package checker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/search"
	"github.com/rashomon-io/rashomon/checker/internal/zones"
	"github.com/rashomon-io/rashomon/harness/history"
)

// Register is the model of registers: read, write and compare-and-set, each key
// by itself.
var Register = Model{
	name: "register",
	kinds: map[history.Kind]arity{
		history.Read:          {input: 0, output: 1},
		history.Write:         {input: 1, output: 1},
		history.CompareAndSet: {input: 2, output: 1},
	},
	engines: []Engine{Zones, Search, Porcupine},
	judge:   judgeRegisters,
}

// judgeRegisters decides the keys in parallel: all by zones and by plain
// contradictions first, which need hardly any time, then those that are left by
// searches that take turns, so that one hard key starves no other. Porcupine, if it is asked for, takes no turns;
// there each key may use its share of the time that is left, small ones first.
func judgeRegisters(ctx context.Context, run *history.Run, options Options, result *Result) {
	memory := court.NewMemory(options.Budget.MemoryBytes)
	keys, answers := decideByZones(run)
	judgements := make([]judgement, len(keys))
	court.Parallel(len(keys), func(i int) {
		judgements[i] = keys[i].judge(ctx, memory, answers[i], options.Engine)
	})

	var hard []int
	for i, j := range judgements {
		if j.undecided != "" {
			hard = append(hard, i)
		}
	}
	if options.Engine == Porcupine {
		slices.SortStableFunc(hard, func(i, j int) int {
			return cmp.Compare(keys[i].operations, keys[j].operations)
		})
		court.Parallel(len(hard), func(i int) {
			deadline, _ := ctx.Deadline()
			share := time.Until(deadline) * time.Duration(court.Workers(len(hard))) / time.Duration(len(hard)-i)
			bounded, cancel := context.WithTimeout(ctx, share)
			defer cancel()
			judgements[hard[i]] = keys[hard[i]].byPorcupine(bounded, memory)
		})
	} else {
		searches := make([]*search.Search, len(hard))
		budget := search.NewMemory(options.Budget.MemoryBytes)
		court.Parallel(len(hard), func(i int) {
			h := keys[hard[i]]
			h.order()
			keys[hard[i]] = h.withoutUnneeded()
			searches[i] = search.NewRegister(keys[hard[i]].steps, budget)
		})
		court.Dovetail(ctx, court.Workers(len(searches)), searches)
		court.Parallel(len(hard), func(i int) {
			key := hard[i]
			judgements[key] = keys[key].bySearch(ctx, memory, searches[i].Answer(), judgements[key])
		})
	}
	summarise(run, options.Budget, keys, judgements, result)
}

// decideByZones returns what the operations on each key say, and what zones says
// of that.
func decideByZones(run *history.Run) ([]*keyHistory, []zones.Answer) {
	keys := splitKeys(run)
	answers := make([]zones.Answer, len(keys))
	court.Parallel(len(keys), func(i int) { answers[i] = zones.Decide(keys[i].steps, keys[i].values) })
	return keys, answers
}

// summarise makes a result of what was found about each key.
func summarise(run *history.Run, budget Budget, keys []*keyHistory, judgements []judgement, result *Result) {
	result.Keys = len(keys)
	first := never
	var ages []time.Duration
	var versions []int
	var staleReads, lostCommits []*history.Operation
	for i, j := range judgements {
		key := keys[i].key
		result.decided(j.engine, j.why, key)
		result.StaleReads.Add(j.counts.stale)
		result.LostCommits.Add(j.counts.lost)
		result.Lost = append(result.Lost, j.counts.losses...)
		staleReads = append(staleReads, j.counts.staleReads...)
		lostCommits = slices.AppendSeq(lostCommits, maps.Keys(j.counts.certainlyLost))
		ages, versions = append(ages, j.counts.ages...), append(versions, j.counts.versions...)
		switch {
		case len(j.found) > 0:
			result.KeysInvalid++
			first = min(first, j.first)
			for _, c := range j.found {
				result.Violations = append(result.Violations, c.story(key).violation(run))
			}
		case j.err != nil:
			result.KeysUnknown++
			if result.Reason == "" {
				result.Reason = court.Exhausted(j.err, fmt.Sprintf("key %q", key), keys[i].operations, budget.court())
			}
		}
	}
	result.Staleness = staleness(ages, versions)
	result.countBySide(run, staleReads, lostCommits)
	switch {
	case result.KeysInvalid > 0:
		result.Verdict, result.FirstViolation = Invalid, first
	case result.KeysUnknown > 0:
		result.Verdict = Unknown
	}
}

// A judgement is what was found about one key: contradictions that Porcupine
// has confirmed, or, if none, an error where it could not tell.
type judgement struct {
	engine Engine
	why    string
	found  []contradiction
	first  time.Duration // when the earliest contradiction was complete
	counts registerCounts
	err    error
	// undecided says why the key has to be searched; tried, that no plain
	// contradiction was found.
	undecided string
	tried     bool
}

// Why an engine decided a key.
const (
	whyZones    = "no value is written twice"
	whyRepeated = "a value is written twice"
	whyRefusal  = "a compare-and-set failed without telling what it saw, and no place for it is obvious"
	whyAsked    = "it was asked for"
	whyPlain    = "a few operations contradict each other, whatever the others did"
	// whyUnconfirmed happens if the budget does not suffice for a witness.
	whyUnconfirmed = "zones found a contradiction that could not be confirmed"
)

// judge makes a judgement of what zones answered, or leaves the key undecided.
func (h *keyHistory) judge(ctx context.Context, memory *court.Memory, answer zones.Answer, asked Engine) judgement {
	why := whyZones
	switch {
	case ctx.Err() != nil:
		return judgement{engine: Zones, why: whyZones, err: ctx.Err()}
	case asked == Porcupine || asked == Search:
		return judgement{undecided: whyAsked}
	case asked == Zones:
		why = whyAsked
	}
	switch answer.Verdict {
	case zones.Valid:
		return judgement{engine: Zones, why: why, counts: h.measure()}
	case zones.Invalid:
		h.order()
		j := judgement{engine: Zones, why: why, counts: h.measure()}
		if h.convict(ctx, memory, &j); len(j.found) == 0 {
			return judgement{undecided: whyUnconfirmed}
		}
		j.countAtOdds()
		return j
	}
	if asked == Zones {
		return judgement{engine: Zones, why: why, err: h.beyondZones(answer)}
	}
	j := judgement{engine: Porcupine, why: whyPlain, counts: h.measure()}
	h.order()
	if h.convict(ctx, memory, &j); len(j.found) > 0 {
		j.countAtOdds()
		return j
	}
	j.tried, j.undecided = true, whyRepeated
	if answer.Verdict == zones.Undecided {
		j.undecided = whyRefusal
	}
	return j
}

// beyondZones says why zones cannot decide.
func (h *keyHistory) beyondZones(answer zones.Answer) error {
	o := h.operation(int32(answer.Step))
	if answer.Verdict == zones.Undecided {
		return court.Reason(fmt.Sprintf("zones finds no place for the failed compare-and-set of p%d at %s, and no proof that there is none; leave the choice of the engine to the check", o.Process, seconds(o.Invoke)))
	}
	return court.Reason(fmt.Sprintf("the value %d is written twice, again by p%d at %s, which zones cannot decide; leave the choice of the engine to the check", o.Input[len(o.Input)-1], o.Process, seconds(o.Invoke)))
}

// measure counts the key's stale reads and lost commits.
func (h *keyHistory) measure() registerCounts {
	operations := make([]*history.Operation, len(h.of))
	for i := range h.of {
		operations[i] = h.operation(int32(i))
	}
	byInvoke := func(a, b *history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) }
	if !slices.IsSortedFunc(operations, byInvoke) {
		slices.SortStableFunc(operations, byInvoke)
	}
	return measureRegister(operations, h.final)
}

// countAtOdds counts the contradictions of which only the reads are at odds.
func (j *judgement) countAtOdds() {
	for _, c := range j.found {
		if c.reads {
			j.counts.atOdds(slices.DeleteFunc(slices.Clone(c.witness), updates))
		}
	}
}

// bySearch makes a judgement of what a search answered, and of what had been
// tried before.
func (h *keyHistory) bySearch(ctx context.Context, memory *court.Memory, answer search.Answer, before judgement) judgement {
	j := judgement{engine: Search, why: before.undecided, counts: before.counts}
	if !before.tried {
		j.counts = h.measure()
	}
	if answer.Verdict == search.Valid {
		return j
	}
	// Even where the search did not come to its end there may be a small
	// contradiction.
	if !before.tried {
		h.convict(ctx, memory, &j)
	}
	switch {
	case len(j.found) > 0:
	case answer.Err != nil:
		j.err = answer.Err
	default:
		h.accuse(ctx, memory, answer.Step, &j)
	}
	j.countAtOdds()
	return j
}

// accuse looks for a witness where a search found that the steps which were called
// before one of them returned are not linearizable. Of these, by return, it takes
// the last few, and ever more, with what they need, until a search of these alone
// finds the same; then as few as possible, first at the end and then at the
// beginning. What Porcupine cannot confirm is not shown.
func (h *keyHistory) accuse(ctx context.Context, memory *court.Memory, step int, j *judgement) {
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
		j.err = court.ErrUnconfirmed
		return
	}
	c := smallest.tell(ctx, memory, anomaly.Disorder, j.counts.certainlyLost)
	j.found, j.first = []contradiction{c}, c.at()
}

// byPorcupine decides a key as a whole.
func (h *keyHistory) byPorcupine(ctx context.Context, memory *court.Memory) judgement {
	h.order()
	h = h.withoutUnneeded()
	j := judgement{engine: Porcupine, why: whyAsked, counts: h.measure()}
	var explained bool
	if explained, j.err = h.linearizable(ctx, memory); j.err == nil && !explained {
		if h.convict(ctx, memory, &j); len(j.found) == 0 {
			c := h.origins().everything().minimise(ctx).history().tell(ctx, memory, anomaly.Disorder, j.counts.certainlyLost)
			j.found, j.first = []contradiction{c}, c.at()
		}
	}
	j.countAtOdds()
	return j
}
