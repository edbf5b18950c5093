package checker

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// perKey bounds the violations shown of one key, beyond the first of each
// anomaly.
const perKey = 3

// minimiseEffort bounds the steps that minimise puts before Porcupine.
const minimiseEffort = 200_000

// judge decides one key: by a small contradiction if there is one, else by
// Porcupine on the whole.
func (r *register) judge(ctx context.Context, memory *memory) judgement {
	j := judgement{counts: measureRegister(operationsOf(r.steps), r.final), first: never}
	lost := j.counts.certainlyLost
	suspects := r.contradictions(lost)
	for _, c := range suspects {
		j.first = min(j.first, c.at())
	}
	if j.found = r.convict(ctx, memory, suspects, lost); len(j.found) > 0 {
		j.countAtOdds()
		return j
	}
	explained, err := linearizable[value](ctx, memory, r.steps)
	switch {
	case err != nil:
		j.err = err
	case !explained:
		c := r.tell(ctx, memory, r.minimise(ctx, memory, r.steps), Disorder, lost)
		j.found, j.first = []contradiction{c}, c.at()
	}
	j.countAtOdds()
	return j
}

// countAtOdds counts the contradictions of which only the reads are at odds.
func (j *judgement) countAtOdds() {
	for _, c := range j.found {
		if c.reads {
			reads := slices.DeleteFunc(slices.Clone(c.witness), func(s *step) bool { return s.writes })
			j.counts.atOdds(operationsOf(reads))
		}
	}
}

func operationsOf(steps []*step) []*history.Operation {
	all := make([]*history.Operation, len(steps))
	for i, s := range steps {
		all[i] = s.operation
	}
	return all
}

// convict puts suspects before Porcupine and returns those that are confirmed,
// with their witnesses: the first of each anomaly, then others up to perKey. Of
// contradictions of one anomaly that tell of the same step, one is enough.
func (r *register) convict(ctx context.Context, memory *memory, suspects []contradiction, lost map[*history.Operation]bool) []contradiction {
	type candidate struct {
		contradiction
		rank int
	}
	candidates := make([]candidate, len(suspects))
	count := map[Anomaly]int{}
	for i, c := range suspects {
		candidates[i] = candidate{c, count[c.anomaly]}
		count[c.anomaly]++
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.rank, b.rank) })

	type telling struct {
		anomaly Anomaly
		step    *step
	}
	told := map[telling]bool{}
	isNew := func(c contradiction) bool {
		return !slices.ContainsFunc(c.told, func(s *step) bool { return s != nil && told[telling{c.anomaly, s}] })
	}
	shown := map[Anomaly]bool{}
	var found []contradiction
	for _, c := range candidates {
		if len(found) >= perKey && shown[c.anomaly] || !isNew(c.contradiction) {
			continue
		}
		witness := r.enclose(c.told)
		if explained, err := linearizable[value](ctx, memory, witness); err != nil || explained {
			continue
		}
		confirmed := r.tell(ctx, memory, r.minimise(ctx, memory, witness), c.anomaly, lost)
		if !isNew(confirmed) {
			continue
		}
		found = append(found, confirmed)
		shown[confirmed.anomaly] = true
		for _, s := range confirmed.told {
			told[telling{confirmed.anomaly, s}] = true
		}
	}
	return found
}

// tell names the contradiction that a witness is, preferably as suspected.
func (r *register) tell(ctx context.Context, memory *memory, witness []*step, suspected Anomaly, lost map[*history.Operation]bool) contradiction {
	told := newRegister(r.key, r.final, witness).contradictions(lost)
	c := contradiction{anomaly: Disorder, told: witness}
	if i := slices.IndexFunc(told, func(c contradiction) bool { return c.anomaly == suspected }); i >= 0 {
		c = told[i]
	} else if len(told) > 0 {
		c = told[0]
	}
	c = c.narrower(lost)
	c.witness = witness
	if c.anomaly == Resurrected || c.anomaly == Disorder {
		updates := slices.DeleteFunc(slices.Clone(witness), func(s *step) bool { return !s.writes })
		explained, err := linearizable[value](ctx, memory, updates)
		c.reads = err == nil && explained
	}
	return c
}

// enclose returns the smallest closed set with the given steps, ordered by
// call. For each step of unknown outcome it adds one that observed it, as far as
// there is one, or the step need not have taken effect.
func (r *register) enclose(steps []*step) []*step {
	in := map[*step]bool{nil: true}
	var all []*step
	add := func(s *step) {
		if !in[s] {
			in[s] = true
			all = append(all, s)
		}
	}
	for _, s := range steps {
		add(s)
	}
	for i := 0; i < len(all); i++ {
		s := all[i]
		if s.observes {
			for _, w := range r.writers[s.from] {
				add(w.step)
			}
		}
		if s.uncertain() {
			add(earliest(r.readers[s.to], r.swaps[s.to]))
		}
	}
	slices.SortFunc(all, byCall)
	return all
}

// earliest returns the step that returned first; nil if there are none.
func earliest(groups ...[]*step) *step {
	all := slices.Concat(groups...)
	if len(all) == 0 {
		return nil
	}
	return slices.MinFunc(all, func(a, b *step) int { return cmp.Compare(a.ret, b.ret) })
}

func byCall(a, b *step) int {
	return cmp.Or(cmp.Compare(a.call, b.call), cmp.Compare(a.ret, b.ret), cmp.Compare(a.operation.Process, b.operation.Process))
}

// minimise returns a part of witness that is still closed and not linearizable,
// from which taking any one step, and those that observe it, leaves a set that
// is linearizable. It takes out halves first, then ever smaller pieces (Zeller &
// Hildebrandt's delta debugging). It stops early when a quarter of the time, or
// minimiseEffort, is used.
func (r *register) minimise(ctx context.Context, memory *memory, witness []*step) []*step {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/4)
		defer cancel()
	}
	effort := minimiseEffort
	for size := max(1, len(witness)/2); ; {
		reduced := false
		for from := 0; from < len(witness) && ctx.Err() == nil && effort > 0; {
			effort -= len(witness)
			piece := witness[from:min(from+size, len(witness))]
			rest := r.closed(witness, piece)
			if explained, err := linearizable[value](ctx, memory, rest); err == nil && !explained {
				witness, reduced = rest, true
			} else {
				from += size
			}
		}
		switch {
		case ctx.Err() != nil || effort <= 0:
			return witness
		case size > 1:
			size = max(1, min(size, len(witness))/2)
		case !reduced:
			return witness
		}
	}
}

// closed returns the largest closed set of steps without the given piece.
func (r *register) closed(steps, piece []*step) []*step {
	out := make(map[*step]bool, len(steps))
	for _, s := range piece {
		out[s] = true
	}
	gone := slices.Clone(piece)
	in := make(map[*step]bool, len(steps))
	for _, s := range steps {
		in[s] = true
	}
	for len(gone) > 0 {
		s := gone[len(gone)-1]
		gone = gone[:len(gone)-1]
		if !s.writes {
			continue
		}
		for _, group := range [][]*step{r.readers[s.to], r.swaps[s.to]} {
			for _, observer := range group {
				if in[observer] && !out[observer] {
					out[observer] = true
					gone = append(gone, observer)
				}
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(steps), func(s *step) bool { return out[s] })
}
