package reports

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/rashomon-io/rashomon/checker/statistics"
)

// A paint is a colour by its role; page.css gives it a value for light and one
// for dark. The SVG writer knows only colours, so each paint is written as a
// colour that stands for it, and replaced in the SVG by its CSS variable.
type paint string

var paints = func() []paint {
	all := []paint{"ink", "rule", "ok", "failed", "unknown", "p50", "p99", "max"}
	for _, hue := range hues {
		all = append(all, paint(hue), paint(hue+"-shade"))
	}
	return all
}()

func (p paint) color() color.Color {
	return color.RGBA{0xDE, 0xC0, byte(slices.Index(paints, p)), 0xFF}
}

func (p paint) line(width vg.Length) draw.LineStyle {
	return draw.LineStyle{Color: p.color(), Width: width}
}

var paintVariables = func() *strings.Replacer {
	var pairs []string
	for i, p := range paints {
		pairs = append(pairs, fmt.Sprintf("#DEC0%02X", i), fmt.Sprintf("var(--%s)", p))
	}
	return strings.NewReplacer(pairs...)
}()

const (
	chartWidth  = 900
	plotHeight  = 200
	laneHeight  = 14
	phaseHeight = 18
	laneGap     = 10 // between faults and latency
	laneName    = 9  // runes, which fit beside the latencies
)

// sans is laid out as Liberation Sans, which page.css replaces by fonts of the
// same widths.
var sans = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 11}

// chart draws a run over time, from top to bottom: phases, faults, latency,
// rate. Empty if the run has no series.
func chart(e entry) (template.HTML, error) {
	measured := e.Result.Statistics
	if len(measured.Series) == 0 || measured.SeriesStep <= 0 {
		return "", nil
	}
	series, step := thin(measured.Series, measured.SeriesStep, maxPoints)
	past := background{faults: faults(e.Run.Events, end(e)), phases: phases(e.Run.Events)}
	past.lanes = lanes(past.faults)
	latencies, rates := latencyPlot(past, series, step), ratePlot(past, series, step)
	for _, p := range []*plot.Plot{latencies, rates} {
		p.X.Min, p.X.Max = 0, max(end(e), step).Seconds()
	}

	band := vg.Length(phaseHeight + laneHeight*len(past.lanes) + laneGap)
	return svg(2*plotHeight+band, "latency and rate over time", func(root draw.Canvas) {
		tiles := draw.Tiles{Rows: 2, Cols: 1, PadTop: band, PadRight: 12, PadY: 10}
		aligned := plot.Align([][]*plot.Plot{{latencies}, {rates}}, tiles, root)
		latencies.Draw(aligned[0][0])
		rates.Draw(aligned[1][0])
		past.drawBand(root, latencies.DataCanvas(aligned[0][0]), latencies)
	})
}

// svg is an element of HTML with what is drawn; what it shows is a constant.
func svg(height vg.Length, shows string, paint func(root draw.Canvas)) (template.HTML, error) {
	canvas := vgsvg.New(chartWidth, height)
	paint(draw.New(canvas))
	var text bytes.Buffer
	if _, err := canvas.WriteTo(&text); err != nil {
		return "", fmt.Errorf("draw %s: %w", shows, err)
	}
	// An XML declaration does not belong into HTML.
	_, element, _ := strings.Cut(text.String(), "<svg")
	return template.HTML(`<svg class="chart" role="img" aria-label="` + shows + `"` + paintVariables.Replace(element)), nil
}

// A background is what was done to the system meanwhile. As a plotter, it
// shades the faults and rules off the phases behind a plot.
type background struct {
	faults []fault
	lanes  []string
	phases []phase
}

func (b background) Plot(c draw.Canvas, p *plot.Plot) {
	for _, f := range b.faults {
		fill(c, paint(f.Hue+"-shade"), within(c, p, f.From), c.Min.Y, within(c, p, f.To), c.Max.Y)
	}
	for _, phase := range b.phases {
		c.StrokeLine2(paint("ink").line(0.6), within(c, p, phase.From), c.Min.Y, within(c, p, phase.From), c.Max.Y)
	}
}

// drawBand names phases and faults above the data of p.
func (b background) drawBand(root, data draw.Canvas, p *plot.Plot) {
	y := data.Max.Y + laneGap
	for _, lane := range slices.Backward(b.lanes) {
		name := Clean(lane, laneName)
		root.FillText(label(draw.XLeft), vg.Point{X: max(root.Min.X, data.Min.X-6-widthOf(name)), Y: y + laneHeight/2}, name)
		for _, f := range b.faults {
			if f.Lane == lane {
				from := within(data, p, f.From)
				fill(root, paint(f.Hue), from, y+2, max(within(data, p, f.To), from+1.5), y+laneHeight-2)
			}
		}
		y += laneHeight
	}
	for _, phase := range b.phases {
		x := within(data, p, phase.From)
		beside := x + 3
		if width := widthOf(phase.Name); beside+width > root.Max.X {
			beside = x - 3 - width
		}
		root.FillText(label(draw.XLeft), vg.Point{X: beside, Y: y + phaseHeight/2}, phase.Name)
		root.StrokeLine2(paint("ink").line(0.6), x, data.Max.Y, x, y+phaseHeight)
	}
}

// within is the place of an instant, at the edge if it lies outside.
func within(c draw.Canvas, p *plot.Plot, t time.Duration) vg.Length {
	return min(max(c.X(p.X.Norm(t.Seconds())), c.Min.X), c.Max.X)
}

func fill(c draw.Canvas, p paint, left, bottom, right, top vg.Length) {
	c.FillPolygon(p.color(), []vg.Point{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top}, {X: left, Y: top}})
}

func label(align draw.XAlignment) draw.TextStyle {
	return draw.TextStyle{
		Color: paint("ink").color(), Font: sans, XAlign: align, YAlign: draw.YCenter, Handler: plot.DefaultTextHandler,
	}
}

// widthOf is the most that a label takes: where a browser has none of the fonts, the
// one in their place is wider.
func widthOf(text string) vg.Length { return 1.2 * label(draw.XLeft).Width(text) }

func newPlot(name string, past background) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.Y.Label.Text = name
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color = paint("ink").color()
		axis.Label.TextStyle.Color, axis.Label.TextStyle.Font = paint("ink").color(), sans
		axis.Tick.LineStyle = paint("ink").line(0.5)
		axis.Tick.Label.Color, axis.Tick.Label.Font = paint("ink").color(), sans
	}
	p.X.Tick.Marker = plot.TickerFunc(func(_, end float64) []plot.Tick { return round(end, "%.4g s") })
	p.Add(past)
	return p
}

// round marks six to thirteen round numbers from 0 to end.
func round(end float64, format string) (ticks []plot.Tick) {
	step := math.Pow(10, math.Floor(math.Log10(end/4)))
	for _, factor := range []float64{5, 2} {
		if end/(step*factor) >= 6 {
			step *= factor
			break
		}
	}
	for i := range 14 {
		if value := float64(i) * step; value <= end {
			ticks = append(ticks, plot.Tick{Value: value, Label: fmt.Sprintf(format, value)})
		}
	}
	return ticks
}

func latencyPlot(past background, series []statistics.Slice, step time.Duration) *plot.Plot {
	p := newPlot("latency of ok", past)
	lowest, highest := time.Millisecond, 10*time.Millisecond
	for _, slice := range series {
		if slice.OK > 0 && slice.P50 > 0 {
			lowest = min(lowest, slice.P50)
			highest = max(highest, slice.Max)
		}
	}
	// Whole decades, and none that a clock cannot tell or a run cannot last.
	floor := math.Pow(10, math.Floor(math.Log10(max(lowest, time.Microsecond).Seconds())))
	ceiling := math.Pow(10, math.Ceil(math.Log10(min(highest, 24*time.Hour).Seconds())))
	p.Y.Min, p.Y.Max = floor, ceiling
	p.Y.Scale = plot.LogScale{}
	var ticks plot.ConstantTicks
	for decade := math.Round(math.Log10(floor)); decade <= math.Round(math.Log10(ceiling)); decade++ {
		value := math.Pow(10, decade)
		ticks = append(ticks, plot.Tick{Value: value, Label: time.Duration(math.Round(value * 1e9)).String()})
	}
	p.Y.Tick.Marker = ticks
	p.Add(rules(ticks))
	for _, line := range []struct {
		paint paint
		of    func(statistics.Slice) time.Duration
	}{
		{"max", func(s statistics.Slice) time.Duration { return s.Max }},
		{"p99", func(s statistics.Slice) time.Duration { return s.P99 }},
		{"p50", func(s statistics.Slice) time.Duration { return s.P50 }},
	} {
		p.Add(steps{line.paint, series, step, func(s statistics.Slice) (float64, bool) {
			return min(max(line.of(s).Seconds(), floor), ceiling), s.OK > 0 && line.of(s) > 0
		}})
	}
	return p
}

func ratePlot(past background, series []statistics.Slice, step time.Duration) *plot.Plot {
	p := newPlot("operations per second", past)
	lines := []struct {
		paint paint
		of    func(statistics.Slice) int
	}{
		{"ok", func(s statistics.Slice) int { return s.OK }},
		{"failed", func(s statistics.Slice) int { return s.Failed }},
		{"unknown", func(s statistics.Slice) int { return s.Unknown }},
	}
	highest := 1.0
	for _, line := range lines {
		for _, slice := range series {
			highest = max(highest, float64(line.of(slice))/step.Seconds())
		}
	}
	p.Y.Min, p.Y.Max = 0, highest*1.08
	ticks := plot.ConstantTicks(round(highest, "%.4g"))
	p.Y.Tick.Marker = ticks
	p.Add(rules(ticks))
	for _, line := range lines {
		p.Add(steps{line.paint, series, step, func(s statistics.Slice) (float64, bool) {
			return float64(line.of(s)) / step.Seconds(), true
		}})
	}
	return p
}

// rules are a horizontal line at each labelled tick.
type rules []plot.Tick

func (r rules) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	for _, tick := range r {
		if tick.Label != "" && tick.Value <= p.Y.Max {
			c.StrokeLine2(paint("rule").line(0.5), c.Min.X, y(tick.Value), c.Max.X, y(tick.Value))
		}
	}
}

// steps draws one level a slice, for a slice is a stretch and not a point, and
// nothing where there is no value.
type steps struct {
	paint  paint
	series []statistics.Slice
	step   time.Duration
	value  func(statistics.Slice) (float64, bool)
}

func (s steps) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	var path vg.Path
	end := time.Duration(-1) // of the last level drawn
	for _, slice := range s.series {
		value, present := s.value(slice)
		if !present {
			continue
		}
		from := vg.Point{X: x(slice.Start.Seconds()), Y: y(value)}
		if slice.Start == end {
			path.Line(from)
		} else {
			path.Move(from)
		}
		end = slice.Start + s.step
		path.Line(vg.Point{X: x(end.Seconds()), Y: from.Y})
	}
	c.SetLineStyle(s.paint.line(1.3))
	c.Stroke(path)
}
