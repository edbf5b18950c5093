package zones

import (
	"cmp"
	"math"
	"slices"

	"github.com/rashomon-io/rashomon/checker/internal/register"
)

// A Kind is a form of contradiction.
type Kind uint8

const (
	// Unwritten: Steps[0] observed what nobody wrote.
	Unwritten Kind = iota
	// Early: Steps[0] returned before Steps[1], which wrote what it observed or
	// what that came from, was called.
	Early
	// Twice: Steps[0] and Steps[1] are swaps of one value.
	Twice
	// Back: Steps[0] saw a value, or what came from it, after Steps[1] had shown
	// another. Before that, Steps[2] saw the value, unless it is -1: then the
	// value was the first, or Steps[1] came from what Steps[0] saw.
	Back
	// Cycle: each of Steps swaps in what the next one swaps out, and no write
	// begins it.
	Cycle
	// Crossed: each of two chains must precede the other, by Steps, which are
	// ordered by call.
	Crossed
	// Refused: Steps[0] says that the register did not hold a value, although it
	// must have been there: Steps[1] saw or wrote it before, and Steps[2] saw it
	// afterwards; or if Steps[2] is -1, nothing else can have been written since.
	Refused
)

// A Conflict is a small set of steps that contradict each other. Together with
// the writers of what they observe, theirs in turn, and an observer of
// each one of unknown outcome, they cannot be ordered.
type Conflict struct {
	Kind  Kind
	Steps []int32 // -1 where Kind admits it
	// At is when the conflict was complete.
	At int64
}

// mostOfKind bounds the conflicts that are reported of each kind; mostCompared
// the pairs of chains that are looked into.
const (
	mostOfKind   = 64
	mostCompared = 4
)

// Conflicts returns contradictions in a history that Decide found invalid: at
// least one, the earliest of each kind that it came across, ordered by time.
// Index is of the steps.
func Conflicts(steps []register.Step, values int, index *register.Index) []Conflict {
	a := newAnalysis(steps, values)
	if a.gather() >= 0 {
		return nil
	}
	a.details = &details{analysis: a, index: index}
	a.judge()
	return a.details.conflicts()
}

// details collects what contradictions consist of.
type details struct {
	*analysis
	index *register.Index
	found []Conflict
	pairs [][2]zone
}

func (d *details) report(kind Kind, steps ...int32) {
	c := Conflict{Kind: kind, Steps: steps, At: math.MinInt64}
	for _, i := range steps {
		switch {
		case i < 0:
		case d.steps[i].Ret == register.Never:
			c.At = max(c.At, d.steps[i].Call)
		default:
			c.At = max(c.At, d.steps[i].Ret)
		}
	}
	d.found = append(d.found, c)
}

func (d *details) conflicts() []Conflict {
	if d.doubled != register.None {
		d.doubles()
	}
	slices.SortStableFunc(d.pairs, func(a, b [2]zone) int {
		return cmp.Compare(max(a[0].first, a[1].first), max(b[0].first, b[1].first))
	})
	for _, pair := range d.pairs[:min(mostCompared, len(d.pairs))] {
		d.compare(pair[0], pair[1])
	}
	slices.SortStableFunc(d.found, func(a, b Conflict) int { return cmp.Compare(a.At, b.At) })
	var count [Refused + 1]int
	return slices.DeleteFunc(d.found, func(c Conflict) bool {
		count[c.Kind]++
		return count[c.Kind] > mostOfKind
	})
}

func (d *details) phantom(v register.Value) {
	observers := append(d.needed(d.index.Swaps(v)), d.index.Readers(v)...)
	d.report(Unwritten, slices.MinFunc(observers, func(i, j int32) int { return cmp.Compare(d.steps[i].Ret, d.steps[j].Ret) }))
}

// needed returns the swaps that took effect.
func (d *details) needed(swaps []int32) []int32 {
	var needed []int32
	for _, i := range swaps {
		if d.clusters[d.steps[i].To].writer == i {
			needed = append(needed, i)
		}
	}
	return needed
}

func (d *details) doubles() {
	for v := range d.clusters {
		if swaps := d.index.Swaps(register.Value(v)); len(swaps) > 1 {
			if swaps = d.needed(swaps); len(swaps) > 1 {
				d.report(Twice, swaps[0], swaps[1])
			}
		}
	}
}

// members are the steps of a value's cluster, the writer first.
func (d *details) members(v register.Value) []int32 {
	readers := d.index.Readers(v)
	if w := d.clusters[v].writer; w >= 0 {
		return append([]int32{w}, readers...)
	}
	return readers
}

// inversion reports the first step to return of cluster v, which did so before
// a step that it has to follow was called: of these, one as near as possible.
func (d *details) inversion(v register.Value) {
	early := slices.MinFunc(d.members(v), func(i, j int32) int { return cmp.Compare(d.steps[i].Ret, d.steps[j].Ret) })
	ret := d.steps[early].Ret
	for w := d.clusters[v].writer; w >= 0; w = d.clusters[v].writer {
		if d.steps[w].Call > ret {
			d.report(Early, early, w)
			return
		}
		v = d.steps[w].From
		for _, i := range d.index.Readers(v) {
			if d.steps[i].Call > ret {
				d.report(Back, i, early, -1)
				return
			}
		}
	}
}

// cycles reports the swaps that no write began: a for b, b for a.
func (d *details) cycles() {
	seen := make([]int, len(d.clusters)) // in which round
	for v := range d.clusters {
		round := v + 1
		u := register.Value(v)
		for d.clusters[u].swappedIn && seen[u] == 0 {
			seen[u] = round
			u = d.steps[d.clusters[u].writer].From
		}
		if seen[u] != round {
			continue
		}
		var cycle []int32
		for first := u; len(cycle) == 0 || u != first; {
			w := d.clusters[u].writer
			cycle = append(cycle, w)
			u = d.steps[w].From
		}
		slices.Reverse(cycle)
		d.report(Cycle, cycle...)
	}
}

func (d *details) overlap(x, y zone) { d.pairs = append(d.pairs, [2]zone{x, y}) }

// A link is a step of a chain, with the position of its cluster.
type link struct {
	position int
	step     int32
}

// early returns a step that returned before t: as far back in the chain as
// possible, to make what ties it to another short, and of these the first to
// return.
func (d *details) early(z zone, t int64) link {
	best := link{-1, -1}
	d.each(z, func(l link) {
		if s := &d.steps[l.step]; s.Ret < t && (l.position > best.position || s.Ret < d.steps[best.step].Ret) {
			best = l
		}
	})
	if z.root == register.Nothing && best.position <= 0 {
		return link{0, -1} // it was there before any step
	}
	return best
}

// late returns a step that was called after t: as far to the front of the chain
// as possible, and of these the first to return.
func (d *details) late(z zone, t int64) link {
	best := link{math.MaxInt, -1}
	d.each(z, func(l link) {
		if s := &d.steps[l.step]; s.Call > t && (l.position < best.position || l.position == best.position && s.Ret < d.steps[best.step].Ret) {
			best = l
		}
	})
	return best
}

// each visits the steps of a chain in the order of its clusters.
func (d *details) each(z zone, visit func(link)) {
	position := 0
	for v := z.root; v != register.None; v = d.after(v) {
		for _, i := range d.members(v) {
			visit(link{position, i})
		}
		position++
	}
}

// compare reports two chains, each of which must precede the other: by two steps
// of each, or if one step of the one lies between two of the other, by these.
func (d *details) compare(x, y zone) {
	xLate := d.late(x, y.first).step
	xEarly := d.early(x, y.last).step
	yLate := d.late(y, d.returned(xEarly)).step
	yEarly := d.early(y, d.steps[xLate].Call).step
	for _, c := range []struct{ late, early, between, other int32 }{
		{xLate, xEarly, yLate, yEarly}, {xLate, xEarly, yEarly, yLate},
		{yLate, yEarly, xLate, xEarly}, {yLate, yEarly, xEarly, xLate},
	} {
		if c.between >= 0 && d.returned(c.early) < d.steps[c.between].Call && d.steps[c.between].Ret < d.steps[c.late].Call {
			d.report(Back, c.late, c.between, c.early)
			return
		}
	}
	steps := slices.DeleteFunc([]int32{xEarly, xLate, yEarly, yLate}, func(i int32) bool { return i < 0 })
	slices.Sort(steps)
	steps = slices.Compact(steps)
	slices.SortStableFunc(steps, func(i, j int32) int { return cmp.Compare(d.steps[i].Call, d.steps[j].Call) })
	d.report(Crossed, steps...)
}

// returned is when a step did; the beginning of time if there is none, as
// nobody wrote what was there from the beginning.
func (d *details) returned(i int32) int64 {
	if i < 0 {
		return math.MinInt64
	}
	return d.steps[i].Ret
}
