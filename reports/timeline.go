package reports

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A timeline is the drawing of a violation: a lane a process, a bar an
// operation, the witness highlighted among its neighbours on the same key.
// page.html draws it; this file decides where everything is, in pixels.
//
// A write may take a millisecond, and the read that misses it may come a minute
// later. So time is stretched between the marks, which stand where an operation
// of the witness begins or ends: order and overlaps are exact, distances are
// not.
type timeline struct {
	Width, Height float64
	Left          float64 // of the lanes
	Marks         []mark
	Lanes         []lane
	Faults        []shade
	Bars          []bar
}

type mark struct {
	X, LabelY float64
	Label     string
}

type lane struct {
	Y     float64
	Label string
}

type shade struct {
	fault
	X, Y, Width, Height float64
	LabelX, LabelY      float64
}

type bar struct {
	X, Y, Width, Height float64
	Rest                float64 // of an info: to the edge, for nobody knows its end
	Witness             bool
	Outcome             history.Outcome
	Label               string // of the witness alone
	LabelX              float64
	Title               string
}

const (
	timelineWidth = 960
	laneLabels    = 150
	timelineRight = timelineWidth - 10
	markLabel     = 14
	shadeLabel    = 16
	witnessLane   = 34
	otherLane     = 16
	maxShades     = 8 // faults drawn around one violation
)

// newTimeline lays out a witness, which must not be empty, and its neighbours. What
// is shown of a set's reads is as call does it.
func newTimeline(witness, neighbours []history.Operation, about []int64, faults []fault) timeline {
	scale := newScale(witness)
	t := timeline{Width: timelineWidth, Left: laneLabels}

	// Labels of neighbouring marks take turns on two lines.
	for i, at := range scale.at[1 : len(scale.at)-1] {
		t.Marks = append(t.Marks, mark{scale.x(at), float64(markLabel * (1 + i%2)), instant(at)})
	}
	y := 2.0*markLabel + 4
	for _, f := range faults {
		from, to := scale.x(f.From), scale.x(f.To)
		if f.From == f.To && scale.covers(f.From) {
			to = from + 3
		}
		if to > from && len(t.Faults) < maxShades {
			t.Faults = append(t.Faults, shade{fault: f, X: from, Y: y, Width: to - from, LabelX: min(from, timelineRight-220) + 4, LabelY: y + 12})
			y += shadeLabel
		}
	}
	y += 6

	// The witness comes first, so its lanes are the uppermost.
	all := slices.Concat(witness, neighbours)
	lanes := map[int]lane{}
	for i, o := range all {
		if _, placed := lanes[o.Process]; placed {
			continue
		}
		height := float64(otherLane)
		if i < len(witness) {
			height = witnessLane
		}
		lanes[o.Process] = lane{y + height/2, client(o)}
		t.Lanes = append(t.Lanes, lanes[o.Process])
		y += height
	}
	t.Height = y + 4
	for i := range t.Faults {
		t.Faults[i].Height = y - t.Faults[i].Y
	}

	for i, o := range all {
		from, to := scale.x(o.Invoke), scale.x(o.Complete)
		b := bar{X: from, Width: max(to-from, 3), Height: otherLane - 8, Outcome: o.Outcome,
			Title: strings.Join([]string{client(o), call(o, about), o.Outcome.String(), interval(o)}, " · ")}
		if i < len(witness) {
			b.Witness, b.Height = true, witnessLane-12
			b.Label, b.LabelX = Clean(call(o, about), 40), from+5
		}
		if o.Outcome == history.Info {
			b.Rest = timelineRight - b.X
		}
		b.Y = lanes[o.Process].Y - b.Height/2
		t.Bars = append(t.Bars, b)
	}
	slices.Reverse(t.Bars) // what is drawn last lies on top
	return t
}

// A scale maps time to pixels: linear between the ends of the witness's
// operations, each stretch wide enough to see, and longer ones wider.
type scale struct {
	at []time.Duration // ascending, at least three
	xs []float64
}

func newScale(witness []history.Operation) scale {
	const longest = 365 * 24 * time.Hour // keeps hostile times from overflowing
	var at []time.Duration
	for _, o := range witness {
		at = append(at, min(max(o.Invoke, 0), longest), min(max(o.Complete, 0), longest))
	}
	slices.Sort(at)
	at = slices.Compact(at)
	first, last := at[0], at[len(at)-1]
	margin := max((last-first)/5, 5*time.Millisecond)
	at = slices.Concat([]time.Duration{first - margin}, at, []time.Duration{last + margin})

	var weights []float64
	total := 0.0
	for i := range len(at) - 1 {
		weights = append(weights, 4+math.Log10(float64(at[i+1]-at[i])))
		total += weights[i]
	}
	s := scale{at, []float64{laneLabels}}
	for i, weight := range weights {
		s.xs = append(s.xs, s.xs[i]+weight/total*(timelineRight-laneLabels))
	}
	return s
}

func (s scale) covers(t time.Duration) bool { return s.at[0] <= t && t <= s.at[len(s.at)-1] }

// x puts what lies outside on the edge.
func (s scale) x(t time.Duration) float64 {
	t = min(max(t, s.at[0]), s.at[len(s.at)-1])
	i, exact := slices.BinarySearch(s.at, t)
	if exact {
		return s.xs[i]
	}
	share := float64(t-s.at[i-1]) / float64(s.at[i]-s.at[i-1])
	return s.xs[i-1] + share*(s.xs[i]-s.xs[i-1])
}

// nearest is how far an instant is from an end of the witness's operations.
func (s scale) nearest(t time.Duration) time.Duration {
	ends := s.at[1 : len(s.at)-1]
	i, _ := slices.BinarySearch(ends, t)
	distance := (ends[min(i, len(ends)-1)] - t).Abs()
	return min(distance, (ends[max(i-1, 0)] - t).Abs())
}

// neighbours returns the operations on the witness's key that were under way
// around it, ordered by Invoke, and how many there were: those nearest
// to an end of an operation of the witness, and at most maxNeighbours.
func neighbours(key string, witness, operations []history.Operation) (nearest []history.Operation, total int) {
	scale := newScale(witness)
	first, last := scale.at[0], scale.at[len(scale.at)-1]
	type candidate struct {
		operation *history.Operation
		distance  time.Duration
	}
	var candidates []candidate
	cut := func() {
		slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
		candidates = candidates[:min(len(candidates), maxNeighbours)]
	}
	farthest := time.Duration(math.MaxInt64) // that can still be among the nearest
	for i := range operations {
		o := &operations[i]
		if o.Invoke > last {
			break
		}
		inWitness := func(w history.Operation) bool { return w.Process == o.Process && w.Invoke == o.Invoke }
		if o.Complete < first || o.Key != key {
			continue
		}
		distance := min(scale.nearest(o.Invoke), scale.nearest(o.Complete))
		if distance == 0 && slices.ContainsFunc(witness, inWitness) {
			continue
		}
		total++
		if distance >= farthest {
			continue
		}
		candidates = append(candidates, candidate{o, distance})
		if len(candidates) == 64*maxNeighbours {
			cut()
			farthest = candidates[len(candidates)-1].distance
		}
	}
	cut()
	for _, c := range candidates {
		nearest = append(nearest, *c.operation)
	}
	slices.SortFunc(nearest, func(a, b history.Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
	return nearest, total
}
