package checker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

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
	engines: []Engine{Porcupine},
	judge:   judgeRegisters,
}

// judgeRegisters decides the keys in parallel, small ones first. Each may use
// its share of the time that is left, so that one hard key starves no other.
func judgeRegisters(ctx context.Context, run *history.Run, options Options, result *Result) {
	budget := options.Budget
	registers := splitRegisters(run)
	memory := newMemory(budget.MemoryBytes)
	judgements := make([]judgement, len(registers))
	workers := min(runtime.GOMAXPROCS(0), len(registers))
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				deadline, _ := ctx.Deadline()
				share := time.Until(deadline) * time.Duration(workers) / time.Duration(len(registers)-i)
				bounded, cancel := context.WithTimeout(ctx, share)
				judgements[i] = registers[i].judge(bounded, memory)
				cancel()
			}
		})
	}
	for i := range registers {
		next <- i
	}
	close(next)
	wg.Wait()

	result.Keys = len(registers)
	first := never
	var ages []time.Duration
	var versions []int
	for i, j := range judgements {
		r := registers[i]
		result.decided(Porcupine, "the only engine so far", r.key)
		result.StaleReads.add(j.counts.stale)
		result.LostCommits.add(j.counts.lost)
		result.Lost = append(result.Lost, j.counts.losses...)
		ages, versions = append(ages, j.counts.ages...), append(versions, j.counts.versions...)
		switch {
		case len(j.found) > 0:
			result.KeysInvalid++
			first = min(first, j.first)
			for _, c := range j.found {
				result.Violations = append(result.Violations, c.story(r.key).violation(run))
			}
		case j.err != nil:
			result.KeysUnknown++
			if result.Reason == "" {
				result.Reason = exhausted(j.err, fmt.Sprintf("key %q", r.key), len(r.steps), budget)
			}
		}
	}
	result.Staleness = staleness(ages, versions)
	switch {
	case result.KeysInvalid > 0:
		result.Verdict, result.Reason, result.FirstViolation = Invalid, "", first
	case result.KeysUnknown > 0:
		result.Verdict = Unknown
	}
}

// A judgement is what was found about one key: contradictions that Porcupine
// has confirmed, or, if none, an error where it could not tell.
type judgement struct {
	found  []contradiction
	first  time.Duration // when the earliest contradiction was complete
	counts registerCounts
	err    error
}

// A value is what a register holds. The zero value is nothing.
type value struct {
	number int64
	found  bool
}

func some(number int64) value { return value{number, true} }

// A step is what one operation says about its register.
type step struct {
	operation *history.Operation
	call, ret time.Duration // ret is never if the outcome is unknown
	// observes: the register held from. A compare-and-set of unknown outcome
	// says so only if it took effect.
	observes bool
	from     value
	// writes: the register held to afterwards.
	writes bool
	to     value
}

// newStep returns nil if the operation says nothing.
func newStep(o *history.Operation) *step {
	s := &step{operation: o, call: o.Invoke, ret: o.Complete}
	switch {
	case o.Outcome == history.Info && o.Kind == history.Read:
		return nil
	case o.Outcome == history.Info:
		s.ret = never
	case o.Outcome == history.Fail && (o.Kind != history.CompareAndSet || len(o.Output) == 0):
		return nil
	}
	switch {
	case o.Kind == history.Write:
		s.writes, s.to = true, some(o.Input[0])
	case o.Kind == history.CompareAndSet && o.Outcome != history.Fail:
		s.observes, s.from = true, some(o.Input[0])
		s.writes, s.to = true, some(o.Input[1])
	default:
		s.observes = true
		if len(o.Output) > 0 {
			s.from = some(o.Output[0])
		}
	}
	return s
}

// uncertain: nobody knows whether it took effect.
func (s *step) uncertain() bool { return s.ret == never }

func (s *step) interval() (call, ret time.Duration) { return s.call, s.ret }

func (s *step) apply(held value) (value, bool) {
	switch {
	case s.observes && s.from != held:
		return held, s.uncertain()
	case s.writes:
		return s.to, true
	}
	return held, true
}

// A register is the history of one key, or a part of it.
type register struct {
	key   string
	final time.Duration // when the final phase began, or never
	steps []*step       // ordered by call
	// writers of each value, ordered by call.
	writers map[value][]writer
	// readers and swaps are the steps that observe a value, and leave or
	// replace it.
	readers, swaps map[value][]*step
	// unique: no value is written twice.
	unique bool
}

// A writer of a value knows which of the value's writers, up to itself, returned
// last.
type writer struct {
	*step
	last *step
}

// newRegister indexes steps, which are ordered by call.
func newRegister(key string, final time.Duration, steps []*step) *register {
	r := &register{
		key: key, final: final, steps: steps, unique: true,
		writers: map[value][]writer{}, readers: map[value][]*step{}, swaps: map[value][]*step{},
	}
	for _, s := range steps {
		if s.writes {
			ws := r.writers[s.to]
			w := writer{s, s}
			if len(ws) > 0 {
				r.unique = false
				if earlier := ws[len(ws)-1].last; earlier.ret > s.ret {
					w.last = earlier
				}
			}
			r.writers[s.to] = append(ws, w)
		}
		switch {
		case s.observes && s.writes:
			r.swaps[s.from] = append(r.swaps[s.from], s)
		case s.observes:
			r.readers[s.from] = append(r.readers[s.from], s)
		}
	}
	return r
}

// splitRegisters returns the register of each key, smallest first, without
// the unknown operations that nothing needs.
func splitRegisters(run *history.Run) []*register {
	byKey := map[string][]*step{}
	for i := range run.History.Operations {
		o := &run.History.Operations[i]
		steps := byKey[o.Key] // a key whose operations say nothing counts, too
		if s := newStep(o); s != nil {
			steps = append(steps, s)
		}
		byKey[o.Key] = steps
	}
	final := phaseBegins(run, history.Final)
	var registers []*register
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		steps := needed(byKey[key])
		slices.SortStableFunc(steps, func(a, b *step) int { return cmp.Compare(a.call, b.call) })
		registers = append(registers, newRegister(key, final, steps))
	}
	slices.SortStableFunc(registers, func(a, b *register) int { return cmp.Compare(len(a.steps), len(b.steps)) })
	return registers
}

// needed drops the steps of unknown outcome whose values are not needed, as the
// package comment argues.
func needed(steps []*step) []*step {
	uncertain := map[value][]*step{}
	var observed []value
	for _, s := range steps {
		if s.uncertain() {
			uncertain[s.to] = append(uncertain[s.to], s)
		} else if s.observes {
			observed = append(observed, s.from)
		}
	}
	keep := map[*step]bool{}
	for len(observed) > 0 {
		v := observed[len(observed)-1]
		observed = observed[:len(observed)-1]
		for _, s := range uncertain[v] {
			keep[s] = true
			if s.observes {
				observed = append(observed, s.from)
			}
		}
		delete(uncertain, v)
	}
	return slices.DeleteFunc(steps, func(s *step) bool { return s.uncertain() && !keep[s] })
}

// source returns the write of what s observed that returned last, of those that
// s can have seen: nil for nothing. It is certain if each of these writes was
// acknowledged, and there is one.
func (r *register) source(s *step) (last *step, certain bool) {
	if !s.from.found {
		return nil, true
	}
	ws := r.writers[s.from]
	seen, _ := slices.BinarySearchFunc(ws, s.ret, func(w writer, ret time.Duration) int {
		if w.call <= ret {
			return -1
		}
		return 1
	})
	if seen == 0 {
		return nil, false
	}
	last = ws[seen-1].last
	return last, !last.uncertain()
}

// A frontier answers which of some acknowledged writes was invoked last, of
// those that had completed at a time.
type frontier struct {
	steps  []*step // ordered by ret
	latest []*step // of steps up to here, the one with the greatest call
}

func newFrontier(steps []*step) frontier {
	slices.SortStableFunc(steps, func(a, b *step) int { return cmp.Compare(a.ret, b.ret) })
	f := frontier{steps, make([]*step, len(steps))}
	for i, s := range steps {
		f.latest[i] = s
		if i > 0 && f.latest[i-1].call > s.call {
			f.latest[i] = f.latest[i-1]
		}
	}
	return f
}

func (f frontier) before(t time.Duration) *step {
	done, _ := slices.BinarySearchFunc(f.steps, t, func(s *step, t time.Duration) int { return cmp.Compare(s.ret, t) })
	if done == 0 {
		return nil
	}
	return f.latest[done-1]
}

// An outdated step observed what source wrote, or nothing, although newer had
// been acknowledged between source and it.
type outdated struct{ observer, newer, source *step }

// outdated returns the stale reads, and the swaps of older values. Where there
// is a choice, newer is a plain write: it needs no others to be explained.
func (r *register) outdated() []outdated {
	var writes, swaps []*step
	for _, s := range r.steps {
		switch {
		case !s.writes || s.uncertain():
		case s.observes:
			swaps = append(swaps, s)
		default:
			writes = append(writes, s)
		}
	}
	frontiers := []frontier{newFrontier(writes), newFrontier(swaps)}
	var found []outdated
	for _, s := range r.steps {
		if !s.observes || s.uncertain() {
			continue
		}
		source, certain := r.source(s)
		if !certain {
			continue
		}
		for _, f := range frontiers {
			if newer := f.before(s.call); newer != nil && (source == nil || source.ret < newer.call) {
				found = append(found, outdated{s, newer, source})
				break
			}
		}
	}
	return found
}
