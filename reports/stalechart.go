package reports

import (
	"html/template"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/rashomon-io/rashomon/checker/counts"
)

const (
	staleHeight = 150
	maxCounts   = 8  // ticks of the vertical axis, which are so many lines of text
	maxAges     = 24 // slots of ages drawn: the last begins at more than an hour
)

// staleChart draws how many reads were how old: a bar for each power of two of
// milliseconds. Empty if none was stale.
func staleChart(s *counts.Staleness) (template.HTML, error) {
	if s == nil || len(s.Ages) == 0 {
		return "", nil
	}
	drawn := ages(s.Ages[:min(len(s.Ages), maxAges)])
	p := newPlot("stale reads", background{})
	highest := 1.0
	for _, n := range drawn {
		highest = max(highest, float64(n))
	}
	p.Y.Min, p.Y.Max = 0, highest*1.08
	var counts plot.ConstantTicks
	for _, tick := range round(highest, "%.4g") {
		if tick.Value == math.Trunc(tick.Value) {
			counts = append(counts, tick)
		}
	}
	for len(counts) > maxCounts { // every other one
		for i := range (len(counts) + 1) / 2 {
			counts[i] = counts[2*i]
		}
		counts = counts[:(len(counts)+1)/2]
	}
	p.Y.Tick.Marker = counts
	p.X.Min, p.X.Max = 0, float64(max(len(drawn), 8))
	var from plot.ConstantTicks // where a slot begins, every other one named
	for i := 0; float64(i) <= p.X.Max; i++ {
		tick := plot.Tick{Value: float64(i)}
		if i%2 == 1 {
			tick.Label = duration(time.Millisecond << (i - 1))
		}
		from = append(from, tick)
	}
	p.X.Tick.Marker = from
	p.Add(rules(counts), drawn)
	return svg(staleHeight, "how old stale reads were", func(root draw.Canvas) {
		p.Draw(draw.Crop(root, 0, -widthOf("1.02 s")/2, 0, 0)) // the last tick's name is half beyond it
	})
}

// ages are the counts of a histogram, from x = 0 on.
type ages []int

func (a ages) Plot(c draw.Canvas, p *plot.Plot) {
	const gap = vg.Length(1)
	x, y := p.Transforms(&c)
	for i, n := range a {
		if n > 0 {
			fill(c, paint("failed"), x(float64(i))+gap, y(0), x(float64(i+1))-gap, y(float64(n)))
		}
	}
}
