package checker

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/internal/register"
	"github.com/rashomon-io/rashomon/checker/internal/search"
	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	// perKey bounds the violations shown of one key, beyond the first of each
	// anomaly.
	perKey = 3
	// mostTried bounds the suspects of one key that are looked into.
	mostTried = 200
	// minimiseEffort bounds the steps that minimise puts before Porcupine.
	minimiseEffort = 200_000
	// fewSteps is up to where Porcupine is asked at every turn.
	fewSteps = 64
	// searchBytes bounds a search for a smaller witness.
	searchBytes = 256 << 20
	// longChain is how many steps a witness may have before the chains of
	// swaps in it are cut.
	longChain = 32
)

// convict puts suspects before Porcupine and notes those that are confirmed,
// with their witnesses: the first of each anomaly, then others up to perKey. Of
// contradictions of one anomaly that tell of the same step, one is enough.
func (h *keyHistory) convict(ctx context.Context, memory *memory, j *judgement) {
	lost := j.counts.certainlyLost
	suspects := h.suspects(lost)
	type candidate struct {
		suspect
		rank int
	}
	candidates := make([]candidate, len(suspects))
	count := map[Anomaly]int{}
	j.first = never
	for i, s := range suspects {
		candidates[i] = candidate{s, count[s.anomaly]}
		count[s.anomaly]++
		j.first = min(j.first, time.Duration(s.at))
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.rank, b.rank) })

	type telling struct {
		anomaly Anomaly
		*history.Operation
	}
	told := map[telling]bool{}
	shown := map[Anomaly]bool{}
	tried := 0
	for _, c := range candidates {
		isTold := func(i int32) bool { return i >= 0 && told[telling{c.anomaly, h.operation(i)}] }
		if len(j.found) >= perKey && shown[c.anomaly] || slices.ContainsFunc(c.told, isTold) {
			continue
		}
		if tried++; tried > mostTried {
			return
		}
		witness := h.enclose(ctx, memory, c.suspect)
		if witness == nil {
			continue
		}
		confirmed := witness.minimise(ctx, memory).tell(ctx, memory, c.anomaly, lost)
		if slices.ContainsFunc(confirmed.told, func(o *history.Operation) bool {
			return o != nil && told[telling{confirmed.anomaly, o}]
		}) {
			continue
		}
		j.found = append(j.found, confirmed)
		shown[confirmed.anomaly] = true
		for _, o := range confirmed.told {
			if o != nil {
				told[telling{confirmed.anomaly, o}] = true
			}
		}
	}
}

// tell names the contradiction that a witness is, preferably as suspected.
func (h *keyHistory) tell(ctx context.Context, memory *memory, suspected Anomaly, lost map[*history.Operation]bool) contradiction {
	suspects := h.suspects(lost)
	s := suspect{anomaly: Disorder}
	for i := range h.steps {
		s.told = append(s.told, int32(i))
	}
	if i := slices.IndexFunc(suspects, func(s suspect) bool { return s.anomaly == suspected }); i >= 0 {
		s = suspects[i]
	} else if len(suspects) > 0 {
		s = suspects[0]
	}
	s = h.narrower(s, lost)
	c := contradiction{anomaly: s.anomaly}
	for _, i := range s.told {
		var o *history.Operation
		if i >= 0 {
			o = h.operation(i)
		}
		c.told = append(c.told, o)
	}
	var updates []int32
	for i := range h.steps {
		c.witness = append(c.witness, h.operation(int32(i)))
		if h.steps[i].Writes() {
			updates = append(updates, int32(i))
		}
	}
	if c.anomaly == Resurrected || c.anomaly == Disorder {
		explained, err := h.part(updates).linearizable(ctx, memory)
		c.reads = err == nil && explained
	}
	return c
}

// enclose returns a witness for a suspect, or nil if Porcupine does not find
// that it is one: the smallest closed set with its steps or, where chains of
// swaps make that a large one, a set in which they are cut, as short as
// possible.
func (h *keyHistory) enclose(ctx context.Context, memory *memory, s suspect) *keyHistory {
	witness, cut := h.closure(s.told, longChain)
	if cut {
		for most := 0; cut; most = max(4, 2*most) {
			if witness, cut = h.closure(s.told, most); witness.refuted(ctx, memory) {
				break
			}
		}
	}
	if !cut && !witness.refuted(ctx, memory) {
		return nil
	}
	witness.observed = s.anomaly == refused && s.told[2] >= 0
	return witness
}

// contradicts asks a search, which is faster than Porcupine by far.
func (h *keyHistory) contradicts(ctx context.Context) bool {
	return search.Register(ctx, h.steps, search.NewMemory(searchBytes)).Verdict == search.Invalid
}

// refuted asks Porcupine.
func (h *keyHistory) refuted(ctx context.Context, memory *memory) bool {
	explained, err := h.linearizable(ctx, memory)
	return err == nil && !explained
}

// closure returns the smallest closed set with the given steps. For each step
// of unknown outcome it adds one that observed it, as far as there is one, or
// the step need not have taken effect. Once there are as many steps as most, it
// cuts swaps: they count as writes, and nothing is said of what they replaced.
func (h *keyHistory) closure(steps []int32, most int) (closed *keyHistory, cut bool) {
	in := map[int32]bool{-1: true}
	cuts := map[int32]bool{}
	var all []int32
	add := func(i int32) {
		if !in[i] {
			in[i] = true
			all = append(all, i)
		}
	}
	for _, i := range steps {
		add(i)
	}
	for next := 0; next < len(all); next++ {
		i := all[next]
		s := &h.steps[i]
		if s.Observes() {
			writers := h.index.Writers(s.From)
			if s.Writes() && len(all) >= most && slices.ContainsFunc(writers, func(w int32) bool { return !in[w] }) {
				cuts[i] = true
			} else {
				for _, w := range writers {
					add(w)
				}
			}
		}
		if s.Ret == register.Never {
			add(h.firstObserver(s.To))
		}
	}
	slices.SortFunc(all, func(i, j int32) int {
		return cmp.Or(cmp.Compare(h.steps[i].Call, h.steps[j].Call), cmp.Compare(h.steps[i].Ret, h.steps[j].Ret), cmp.Compare(i, j))
	})
	part := h.only(all)
	for j, i := range all {
		if cuts[i] {
			part.steps[j].From = register.None
		}
	}
	return part.renumbered(), len(cuts) > 0
}

// firstObserver returns the needed step that observed a value and returned first,
// or -1.
func (h *keyHistory) firstObserver(v register.Value) int32 {
	first := int32(-1)
	for _, observers := range [][]int32{h.index.Readers(v), h.index.Swaps(v)} {
		for _, i := range observers {
			if h.needed[i] && (first < 0 || h.steps[i].Ret < h.steps[first].Ret) {
				first = i
			}
		}
	}
	return first
}

// minimise returns a part of a witness that is still closed and not
// linearizable, from which taking any one step, and those that observe it,
// leaves a set that is linearizable. It takes out halves first, then ever
// smaller pieces (Zeller & Hildebrandt's delta debugging). It stops early when a
// quarter of the time, or minimiseEffort, is used.
func (h *keyHistory) minimise(ctx context.Context, memory *memory) *keyHistory {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/4)
		defer cancel()
	}
	effort := minimiseEffort
	for size := max(1, len(h.steps)/2); ; {
		reduced := false
		for from := 0; from < len(h.steps) && ctx.Err() == nil && effort > 0; {
			rest := h.without(from, min(from+size, len(h.steps)), &effort)
			if rest.small() && rest.refuted(ctx, memory) || !rest.small() && rest.contradicts(ctx) {
				h, reduced = rest, true
			} else {
				from += size
			}
		}
		switch {
		case ctx.Err() != nil || effort <= 0:
			return h
		case size > 1:
			size = max(1, min(size, len(h.steps))/2)
		case !reduced:
			return h
		}
	}
}

func (h *keyHistory) small() bool { return len(h.steps) <= fewSteps }

// without returns the largest closed part without the steps from one to
// another, and takes from effort what that cost.
func (h *keyHistory) without(from, to int, effort *int) *keyHistory {
	*effort -= len(h.steps)
	out := make([]bool, len(h.steps))
	var gone []int32
	remove := func(i int32) {
		if !out[i] {
			out[i] = true
			gone = append(gone, i)
		}
	}
	for i := from; i < to; i++ {
		remove(int32(i))
	}
	for next := 0; next < len(gone); next++ {
		if s := &h.steps[gone[next]]; s.Writes() {
			for _, observers := range [][]int32{h.index.Readers(s.To), h.index.Swaps(s.To)} {
				for _, i := range observers {
					remove(i)
				}
			}
		}
	}
	var rest []int32
	for i := range h.steps {
		if out[i] {
			continue
		}
		if h.steps[i].Not {
			*effort -= len(gone)
			if !h.supported(&h.steps[i], out, gone) {
				continue
			}
		}
		rest = append(rest, int32(i))
	}
	return h.part(rest)
}

// supported tells whether a refusal says as much when some steps are gone: a
// step that observed its value later is still there, or no write has gone that
// may have been between a write of its value and the refusal.
func (h *keyHistory) supported(refusal *register.Step, out []bool, gone []int32) bool {
	v := refusal.From
	if h.observed {
		later := func(i int32) bool { return !out[i] && h.steps[i].Call > refusal.Ret }
		return slices.ContainsFunc(h.index.Readers(v), later) || slices.ContainsFunc(h.index.Swaps(v), later)
	}
	writers := h.index.Writers(v)
	return len(writers) == 0 || !slices.ContainsFunc(gone, func(i int32) bool {
		s := &h.steps[i]
		return s.Writes() && s.To != v && s.Call <= refusal.Ret && s.Ret >= h.steps[writers[0]].Call
	})
}
