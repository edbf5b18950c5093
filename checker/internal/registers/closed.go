package registers

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// An origins finds which steps of a key's whole history may have written what a step
// of a part of it observed. It is for one goroutine at a time.
type origins struct {
	*object
	values map[register.Value]*origin // as far as they were asked for
	// byReturn are the acknowledged writes, ordered by return, and latest is for
	// each which of them, up to itself, was called last. Empty until it is asked
	// for.
	byReturn, latest []int32
}

// An origin is who writes a value.
type origin struct {
	known []int32 // acknowledged, by call
	last  []int64 // for each of known, when it or one before it returned last
	// unknown are those of unknown outcome, each slice of one effect and by call.
	unknown [][]int32
}

func (h *object) origins() *origins {
	return &origins{object: h, values: map[register.Value]*origin{}}
}

// of returns who writes v, or who writes anything if v is register.None.
func (o *origins) of(v register.Value) *origin {
	if known, ok := o.values[v]; ok {
		return known
	}
	type effect struct{ from, to register.Value }
	effects := map[effect]int{}
	found := &origin{}
	add := func(i int32) {
		s := &o.steps[i]
		if s.Ret != register.Never {
			last := s.Ret
			if n := len(found.last); n > 0 {
				last = max(last, found.last[n-1])
			}
			found.known, found.last = append(found.known, i), append(found.last, last)
			return
		}
		e := effect{s.From, s.To}
		n, ok := effects[e]
		if !ok {
			n = len(found.unknown)
			effects[e] = n
			found.unknown = append(found.unknown, nil)
		}
		found.unknown[n] = append(found.unknown[n], i)
	}
	if v == register.None {
		for i := range o.steps {
			if o.steps[i].Writes() {
				add(int32(i))
			}
		}
	} else {
		for _, i := range o.index.Writers(v) {
			add(i)
		}
	}
	o.values[v] = found
	return found
}

// seen yields the acknowledged steps that were called until a time and returned at
// another or later, the last one to be called first.
func (o *origins) seen(v *origin, until, least int64) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		called, _ := slices.BinarySearchFunc(v.known, until, func(x int32, t int64) int {
			if o.steps[x].Call <= t {
				return -1
			}
			return 1
		})
		for n := called - 1; n >= 0 && v.last[n] >= least; n-- {
			if o.steps[v.known[n]].Ret >= least && !yield(v.known[n]) {
				return
			}
		}
	}
}

// writeBefore returns the acknowledged write that was called last of those that
// had returned before a time, or -1.
func (o *origins) writeBefore(t int64) int32 {
	if o.byReturn == nil {
		o.byReturn, o.latest = []int32{}, []int32{}
		for i := range o.steps {
			if s := &o.steps[i]; s.Writes() && !s.Observes() && s.Ret != register.Never {
				o.byReturn = append(o.byReturn, int32(i))
			}
		}
		slices.SortFunc(o.byReturn, func(i, j int32) int { return cmp.Compare(o.steps[i].Ret, o.steps[j].Ret) })
		latest := int32(-1)
		for _, i := range o.byReturn {
			if latest < 0 || o.steps[i].Call > o.steps[latest].Call {
				latest = i
			}
			o.latest = append(o.latest, latest)
		}
	}
	n, _ := slices.BinarySearchFunc(o.byReturn, t, func(i int32, t int64) int { return cmp.Compare(o.steps[i].Ret, t) })
	if n == 0 {
		return -1
	}
	return o.latest[n-1]
}

// onlySource returns the step that must have written what observer i saw, if no
// other can have, or -1. It takes only acknowledged writes to supersede others.
func (o *origins) onlySource(i int32) int32 {
	s := &o.steps[i]
	superseded := int64(math.MinInt64)
	if newer := o.writeBefore(s.Call); newer >= 0 {
		superseded = o.steps[newer].Call
	}
	only := int32(-1)
	v := o.of(s.From)
	for _, alike := range v.unknown {
		for _, x := range alike {
			if o.steps[x].Call > s.Ret {
				break
			}
			if only >= 0 {
				return -1
			}
			only = x
		}
	}
	for x := range o.seen(v, s.Ret, superseded) {
		if only >= 0 {
			return -1
		}
		only = x
	}
	return only
}

// A witness is a part of a key's history, closed once it is finished.
type witness struct {
	whole *origins
	steps []int32 // of the whole
	in    map[int32]bool
	cut   map[int32]bool // swaps that count as writes
	// granted, if not nil, are the only steps that the refusals may need: zones
	// has proven that nothing else can have replaced what they expected.
	granted map[int32]bool

	// observers counts, for each value, who observes it; exclusions who observes
	// that it is not there; refusals are these together.
	observers, exclusions map[register.Value]int
	refusals              int
	writers               map[register.Value][]int32
	// horizon is when the last acknowledged observer returned, and before tells,
	// for each observer, when the last step was called that supersedes others for
	// it. Both are as survey found them.
	horizon int64
	before  map[int32]int64
}

// witness returns a witness of the given steps.
func (o *origins) witness(steps []int32, cut, granted map[int32]bool) *witness {
	w := &witness{
		whole: o, in: map[int32]bool{}, cut: cut, granted: granted,
		observers: map[register.Value]int{}, exclusions: map[register.Value]int{}, writers: map[register.Value][]int32{},
	}
	for _, i := range steps {
		w.add(i)
	}
	return w
}

func (w *witness) add(i int32) {
	if w.in[i] {
		return
	}
	w.in[i] = true
	w.steps = append(w.steps, i)
	w.count(i, 1)
	if s := &w.whole.steps[i]; s.Writes() {
		w.writers[s.To] = append(w.writers[s.To], i)
	}
}

// observes: the step needs others.
func (w *witness) observes(i int32) bool {
	return w.whole.steps[i].From != register.None && !w.cut[i]
}

// count counts a step that observes once more, or less.
func (w *witness) count(i int32, times int) {
	switch s := &w.whole.steps[i]; {
	case !w.observes(i):
	case s.Not:
		w.exclusions[s.From] += times
		w.refusals += times
	default:
		w.observers[s.From] += times
	}
}

// survey finds out what supersedes what.
func (w *witness) survey() {
	w.horizon = math.MinInt64
	w.before = map[int32]int64{}
	var over, observers []int32
	for _, i := range w.steps {
		s := &w.whole.steps[i]
		if s.Ret != register.Never && (s.Writes() || s.Observes()) {
			over = append(over, i)
		}
		if w.observes(i) {
			observers = append(observers, i)
			if s.Ret != register.Never {
				w.horizon = max(w.horizon, s.Ret)
			}
		}
	}
	slices.SortFunc(over, func(i, j int32) int { return cmp.Compare(w.whole.steps[i].Ret, w.whole.steps[j].Ret) })
	slices.SortFunc(observers, func(i, j int32) int { return cmp.Compare(w.whole.steps[i].Call, w.whole.steps[j].Call) })
	last := int64(math.MinInt64)
	for _, i := range observers {
		for ; len(over) > 0 && w.whole.steps[over[0]].Ret < w.whole.steps[i].Call; over = over[1:] {
			last = max(last, w.whole.steps[over[0]].Call)
		}
		w.before[i] = last
	}
}

// sources yields every step that observer i needs as one that it may have seen,
// given what is called before it. Steps may be yielded more than once.
func (w *witness) sources(i int32, before int64) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		s := &w.whole.steps[i]
		from, until := int64(math.MinInt64), min(s.Ret, w.horizon)
		value := s.From
		if s.Not {
			if from = w.excluded(s); from == register.Never {
				return
			}
			value = register.None
		}
		other := func(x int32) bool {
			return s.Not && (w.whole.steps[x].To == s.From || w.granted != nil && !w.granted[x])
		}
		written := w.whole.of(value)
		for x := range w.whole.seen(written, until, max(from, before)) {
			if !other(x) && !yield(x) {
				return
			}
		}
		for _, alike := range written.unknown {
			to := w.whole.steps[alike[0]].To
			for _, x := range alike[:min(len(alike), w.observers[to]+w.refusals-w.exclusions[to])] {
				if w.whole.steps[x].Call <= until && !other(x) && !yield(x) {
					return
				}
			}
		}
	}
}

// excluded returns when the first step of the witness was called that wrote what a
// refusal did not see; or Never, if there is none, or if there is one only and a
// later step saw that it was still there.
func (w *witness) excluded(refusal *register.Step) int64 {
	first := register.Never
	writers := w.writers[refusal.From]
	for _, x := range writers {
		first = min(first, w.whole.steps[x].Call)
	}
	if len(writers) == 1 && w.observers[refusal.From] > 0 {
		for _, i := range w.steps {
			s := &w.whole.steps[i]
			if w.observes(i) && s.Observes() && s.From == refusal.From && s.Call > refusal.Ret && s.Ret != register.Never {
				return register.Never
			}
		}
	}
	return first
}

// root returns a step that observer i needs lest what it saw comes out of
// nowhere, or -1.
func (w *witness) root(i int32) int32 {
	s := &w.whole.steps[i]
	if !s.Observes() {
		return -1
	}
	all := w.whole.index.Writers(s.From)
	if len(all) == 0 {
		return -1
	}
	called := func(x int32) bool { return w.whole.steps[x].Call <= s.Ret }
	inTime := called(all[0])
	if slices.ContainsFunc(w.writers[s.From], func(x int32) bool { return !inTime || called(x) }) {
		return -1
	}
	root := all[0]
	for _, x := range all {
		if !called(x) {
			break
		}
		if update := &w.whole.steps[x]; update.Ret != register.Never && !update.Observes() {
			root = x
		}
	}
	return root
}

// missing returns steps that observer i needs and that the witness lacks. If
// that does not make for more, one of them is a write that supersedes others.
func (w *witness) missing(i int32) []int32 {
	collect := func(before int64) (all []int32) {
		for x := range w.sources(i, before) {
			if !w.in[x] {
				all = append(all, x)
			}
		}
		return all
	}
	before := w.before[i]
	missing := collect(before)
	if s := &w.whole.steps[i]; len(missing) > 0 && (s.Not || len(w.whole.index.Writers(s.From)) > 1) {
		if newer := w.whole.writeBefore(s.Call); newer >= 0 && !w.in[newer] {
			with := collect(max(before, w.whole.steps[newer].Call))
			if !slices.Contains(with, newer) {
				with = append(with, newer)
			}
			if len(with) <= len(missing) {
				missing = with
			}
		}
	}
	if len(missing) == 0 {
		if root := w.root(i); root >= 0 {
			missing = append(missing, root)
		}
	}
	return missing
}

// lacks reports whether observer i needs what is not there.
func (w *witness) lacks(i int32) bool {
	for x := range w.sources(i, w.before[i]) {
		if !w.in[x] {
			return true
		}
	}
	return w.root(i) >= 0
}

// closure returns a closed part with the given steps. Of the swaps that it comes
// across, it cuts those after the first few, as many as whole, if they lack what
// they need: they count as writes, and nothing is said of what they replaced. For
// each step of unknown outcome it adds one that observed it, if its value is
// written once; or the step need not have taken effect. If proven, its refusals
// need nothing but what the closure holds.
func (o *origins) closure(steps []int32, whole int, proven bool) (closed *witness, cut bool) {
	w := o.witness(slices.DeleteFunc(slices.Clone(steps), func(i int32) bool { return i < 0 }), map[int32]bool{}, nil)
	if proven {
		w.granted = map[int32]bool{}
	}
	for grown := true; grown; {
		grown = false
		w.survey()
		for n := range len(w.steps) {
			i := w.steps[n]
			s := &o.steps[i]
			if s.Ret == register.Never && len(o.index.Writers(s.To)) == 1 {
				if first := o.firstObserver(s.To); first >= 0 && !w.in[first] {
					w.add(first)
					grown = true
				}
			}
			if !w.observes(i) {
				continue
			}
			missing := w.missing(i)
			grown = grown || len(missing) > 0
			if s.Writes() && n >= whole && len(missing) > 0 {
				w.count(i, -1)
				w.cut[i] = true
				continue
			}
			for _, x := range missing {
				w.add(x)
			}
		}
	}
	slices.Sort(w.steps)
	if proven {
		w.granted = w.in
	}
	return w, len(w.cut) > 0
}

// everything is the whole as a part of itself.
func (o *origins) everything() *witness {
	all := make([]int32, len(o.steps))
	for i := range all {
		all[i] = int32(i)
	}
	return o.witness(all, map[int32]bool{}, nil)
}

// without returns what is left of a closed part, and closed, without its steps
// from one to another: observers that lack something go, one after the other.
func (w *witness) without(from, to int) *witness {
	rest := w.whole.witness(slices.Concat(w.steps[:from], w.steps[to:]), maps.Clone(w.cut), w.granted)
	for gone := true; gone; {
		gone = false
		rest.survey()
		for _, i := range slices.Clone(rest.steps) {
			if rest.observes(i) && rest.lacks(i) {
				rest.remove(i)
				gone = true
			}
		}
	}
	return rest
}

func (w *witness) remove(i int32) {
	is := func(j int32) bool { return i == j }
	w.count(i, -1)
	delete(w.in, i)
	w.steps = slices.DeleteFunc(w.steps, is)
	if s := &w.whole.steps[i]; s.Writes() {
		w.writers[s.To] = slices.DeleteFunc(w.writers[s.To], is)
	}
}

// history returns the witness as a history by itself.
func (w *witness) history() *object {
	steps := slices.Clone(w.steps)
	slices.SortStableFunc(steps, func(i, j int32) int {
		a, b := &w.whole.steps[i], &w.whole.steps[j]
		return cmp.Or(cmp.Compare(a.Call, b.Call), cmp.Compare(a.Ret, b.Ret))
	})
	h := w.whole.only(steps)
	for j, i := range steps {
		if w.cut[i] {
			h.steps[j].From = register.None
		}
	}
	return h.renumbered()
}
