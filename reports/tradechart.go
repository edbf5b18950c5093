package reports

import (
	"html/template"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	tradeRow    = 34  // a system's height
	tradeNames  = 170 // width of the names
	tradeMiddle = 46  // between the two sides
	tradeAxis   = 26  // below the bars
	tradeTop    = 20
)

// tradeChart draws the trade: to the left what each system refused, to the
// right what it got wrong, each with its confidence interval. Empty if no run
// tells.
func tradeChart(c Comparison) (template.HTML, error) {
	var drawn []System
	highest := 0.0
	for _, s := range c.Systems {
		if len(s.Runs) > 0 && len(drawn) < maxBars {
			drawn = append(drawn, s)
			for _, wrong := range []Share{s.LostCommits, s.StaleReads} {
				highest = max(highest, wrong.value())
				if wrong.Interval != nil {
					highest = max(highest, min(wrong.High, 2*wrong.value()))
				}
			}
		}
	}
	if len(drawn) == 0 {
		return "", nil
	}
	scale := scaleTo(highest)
	height := vg.Length(tradeTop + tradeRow*len(drawn) + tradeAxis)
	return svg(height, "what each system refused, and what it got wrong", func(root draw.Canvas) {
		side := (root.Max.X - root.Min.X - tradeNames - tradeMiddle - 50) / 2
		left := root.Min.X + tradeNames + side // where the left bars begin
		right := left + tradeMiddle
		bottom := root.Min.Y + tradeAxis
		top := root.Max.Y - tradeTop
		root.FillText(label(draw.XRight), vg.Point{X: left, Y: top + tradeTop/2}, "refused")
		root.FillText(label(draw.XLeft), vg.Point{X: right, Y: top + tradeTop/2}, "wrong")
		for _, share := range []float64{0, 0.25, 0.5, 0.75, 1} {
			x := left - side*vg.Length(share)
			tradeMark(root, x, bottom, top, percent(share))
			x = right + side*vg.Length(share)
			tradeMark(root, x, bottom, top, percent(share*scale))
		}
		for i, s := range drawn {
			y := top - vg.Length(tradeRow*i)
			root.FillText(label(draw.XLeft), vg.Point{X: root.Min.X, Y: y - tradeRow/2}, Clean(s.Name, 28))
			shareBar{"unknown", s.served(), true, 1, left, -side, y - 5, y - tradeRow + 5}.draw(root)
			shareBar{"failed", s.LostCommits, false, scale, right, side, y - 5, y - tradeRow/2}.draw(root)
			shareBar{"ok", s.StaleReads, false, scale, right, side, y - tradeRow/2, y - tradeRow + 5}.draw(root)
		}
	})
}

func tradeMark(root draw.Canvas, x, bottom, top vg.Length, text string) {
	root.StrokeLine2(paint("rule").line(0.5), x, bottom, x, top)
	root.FillText(label(draw.XCenter), vg.Point{X: x, Y: bottom - tradeAxis/2}, text)
}

// scaleTo is the round share at the end of an axis that shows the highest.
func scaleTo(highest float64) float64 {
	for _, end := range []float64{0.0004, 0.001, 0.004, 0.01, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8} {
		if highest <= end {
			return end
		}
	}
	return 1
}

// A shareBar is a share of a side, with its interval as a line over its end.
type shareBar struct {
	paint        paint
	share        Share
	refused      bool      // show the rest of the share
	scale        float64   // the share at the side's end
	from, length vg.Length // of the side; negative to the left
	top, bottom  vg.Length
}

func (b shareBar) draw(root draw.Canvas) {
	if b.share.Of == 0 {
		return
	}
	x := func(share float64) vg.Length {
		if b.refused {
			share = 1 - share
		}
		return b.from + b.length*vg.Length(min(max(share/b.scale, 0), 1))
	}
	end := x(b.share.value())
	fill(root, b.paint, b.from, b.bottom, end, b.top)
	if b.share.Interval != nil {
		middle := (b.top + b.bottom) / 2
		low, high := x(b.share.Low), x(b.share.High)
		for _, tick := range []vg.Length{low, high} {
			root.StrokeLine2(paint("ink").line(1), tick, middle-3, tick, middle+3)
		}
		root.StrokeLine2(paint("ink").line(1), low, middle, high, middle)
	}
}
