package registers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/court"
	"github.com/rashomon-io/rashomon/checker/internal/ledger"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/register"
	"github.com/rashomon-io/rashomon/checker/internal/search"
	"github.com/rashomon-io/rashomon/harness/history"
)

const (
	// mostTried bounds the candidates of one key that are looked into.
	mostTried = 200
	// minimiseEffort bounds the steps that minimise looks at.
	minimiseEffort = 200_000
	// fewSteps is up to where Porcupine is asked at every turn.
	fewSteps = 64
	// refuteBytes bounds Porcupine, at each turn.
	refuteBytes = 64 << 20
	// searchBytes and searchEffort, which is half a second or less, bound a
	// search for a smaller witness.
	searchBytes  = 256 << 20
	searchEffort = 1 << 23
	// handful is how many steps a witness may have before swaps in it are cut.
	handful = 6
)

// confirm puts candidates before Porcupine and notes those that are confirmed,
// with their witnesses: the first of each anomaly, then others up to model.PerKey. Of
// those of one anomaly that tell of the same step, one is enough.
func (h *object) confirm(ctx context.Context, memory *court.Memory, v *verdict) {
	lost := v.counts.CertainlyLost
	candidates := h.candidates(lost)
	type ranked struct {
		candidate
		rank int
	}
	byRank := make([]ranked, len(candidates))
	count := map[anomaly.Name]int{}
	v.first = history.Never
	for i, c := range candidates {
		byRank[i] = ranked{c, count[c.anomaly]}
		count[c.anomaly]++
		v.first = min(v.first, time.Duration(c.at))
	}
	slices.SortStableFunc(byRank, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })

	type telling struct {
		anomaly anomaly.Name
		*history.Operation
	}
	told := map[telling]bool{}
	shown := map[anomaly.Name]bool{}
	tried := 0
	origins := h.origins()
	for _, c := range byRank {
		isTold := func(i int32) bool { return i >= 0 && told[telling{c.anomaly, h.operation(i)}] }
		if len(v.found) >= model.PerKey && shown[c.anomaly] || slices.ContainsFunc(c.told, isTold) {
			continue
		}
		if tried++; tried > mostTried {
			return
		}
		witness := origins.enclose(ctx, memory, c.candidate)
		if witness == nil {
			continue
		}
		found := witness.minimise(ctx).history().tell(ctx, memory, c.anomaly, lost)
		if slices.ContainsFunc(found.told, func(o *history.Operation) bool {
			return o != nil && told[telling{found.anomaly, o}]
		}) {
			continue
		}
		v.found = append(v.found, found)
		v.first = min(v.first, found.at())
		shown[found.anomaly] = true
		for _, o := range found.told {
			if o != nil {
				told[telling{found.anomaly, o}] = true
			}
		}
	}
}

// tell names what a witness shows, preferably as guessed.
func (h *object) tell(ctx context.Context, memory *court.Memory, guess anomaly.Name, lost ledger.LastSeen) confirmed {
	candidates := h.candidates(lost)
	s := candidate{anomaly: anomaly.Disorder}
	for i := range h.steps {
		s.told = append(s.told, int32(i))
	}
	if i := slices.IndexFunc(candidates, func(s candidate) bool { return s.anomaly == guess }); i >= 0 {
		s = candidates[i]
	} else if len(candidates) > 0 {
		s = candidates[0]
	}
	s = h.narrower(s, lost)
	c := confirmed{anomaly: s.anomaly}
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
	if c.anomaly == anomaly.Resurrected || c.anomaly == anomaly.Disorder {
		explained, err := h.part(updates).linearizable(ctx, memory)
		c.atOdds = err == nil && explained
	}
	return c
}

// enclose returns a witness for a candidate, or nil if Porcupine does not find
// that it is one: a closed set with its steps or, where that is not a handful, a
// set in which swaps are cut, as few steps as possible.
func (o *origins) enclose(ctx context.Context, memory *court.Memory, s candidate) *witness {
	proven := s.anomaly == refused && s.told[2] < 0
	witness, cut := o.closure(s.told, handful, proven)
	if cut || len(witness.steps) > handful {
		for whole := 0; ; whole = max(4, 2*whole) {
			if witness, cut = o.closure(s.told, whole, proven); !cut || witness.history().refuted(ctx, memory) {
				break
			}
		}
	}
	if !cut && !witness.history().refuted(ctx, memory) {
		return nil
	}
	return witness
}

// contradicts asks a search, which is faster than Porcupine by far, for a while.
func (h *object) contradicts(ctx context.Context) bool {
	s := search.NewRegister(h.steps, search.NewMemory(searchBytes))
	return s.Run(ctx, searchEffort) && s.Answer().Verdict == search.Invalid
}

// refuted asks Porcupine.
func (h *object) refuted(ctx context.Context, memory *court.Memory) bool {
	explained, err := h.linearizable(ctx, memory)
	return err == nil && !explained
}

// firstObserver returns the needed step that observed a value and returned first,
// or -1.
func (h *object) firstObserver(v register.Value) int32 {
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
// linearizable, from which taking any one step, and those that lack it then,
// leaves a set that is linearizable. It takes out halves first, then ever
// smaller pieces (Zeller & Hildebrandt's delta debugging). It stops early when a
// quarter of the time, or minimiseEffort, is used.
func (w *witness) minimise(ctx context.Context) *witness {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/4)
		defer cancel()
	}
	memory := court.NewMemory(refuteBytes)
	effort := minimiseEffort
	for size := max(1, len(w.steps)/2); ; {
		reduced := false
		for from := 0; from < len(w.steps) && ctx.Err() == nil && effort > 0; {
			effort -= len(w.steps)
			rest := w.without(from, min(from+size, len(w.steps)))
			h := rest.history()
			if len(h.steps) <= fewSteps && h.refuted(ctx, memory) || len(h.steps) > fewSteps && h.contradicts(ctx) {
				w, reduced = rest, true
			} else {
				from += size
			}
		}
		switch {
		case ctx.Err() != nil || effort <= 0:
			return w
		case size > 1:
			size = max(1, min(size, len(w.steps))/2)
		case !reduced:
			return w
		}
	}
}
