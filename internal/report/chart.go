package report

import (
	"fmt"
	"math"
	"strings"
)

// A chart's frame in the units of its viewBox.
const (
	chartWidth, chartHeight         = 420, 220
	chartLeft, chartRight           = 52, 412
	chartTop, chartBottom           = 8, 196
	chartMostDots                   = 400 // epochs with a value to hover over
	chartTicks                      = 5   // about that many
	lossOverTraining        float64 = 3   // a chart of losses goes so far above the highest of training
)

// Chart is curves, ready to be drawn.
type Chart struct {
	Title, Over    string // Over what, the axis from left to right
	Curves         []Curve
	XTicks, YTicks []Tick
}

// Curve is a line of a chart.
type Curve struct {
	Name string
	Kind int    // its colour and dash
	Last string // the last value
	Path string // SVG's; may be empty
	Bars string // intervals about the dots, SVG's; may be empty
	Dots []Dot

	Alone bool // the dots are seen, not only where one hovers
}

// Tick is a mark on an axis.
type Tick struct {
	At   float64
	Text string
}

// Dot is a value to hover over.
type Dot struct {
	X, Y float64
	Text string
}

// series is a quantity of the epochs. Where present is false for all of them it
// is not shown.
type series struct {
	name    string
	kind    int
	value   func(Epoch) float64
	present func(Epoch) bool
}

func always(Epoch) bool      { return true }
func evaluated(e Epoch) bool { return e.ValLoss != 0 || e.ValTop1 != 0 }
func averaged(e Epoch) bool  { return e.EMALoss != 0 || e.EMATop1 != 0 }

// charts are what a page shows of the epochs.
var charts = []struct {
	title, format string
	factor        float64
	cut           bool // losses: one that explodes does not flatten the others
	series        []series
}{
	{"Loss", "%.4g", 1, true, []series{
		{"training", 0, func(e Epoch) float64 { return e.TrainLoss }, always},
		{"evaluation", 1, func(e Epoch) float64 { return e.ValLoss }, evaluated},
		{"averaged weights", 2, func(e Epoch) float64 { return e.EMALoss }, averaged},
	}},
	{"Top-1", "%.2f%%", 100, false, []series{
		{"training", 0, func(e Epoch) float64 { return e.TrainTop1 }, always},
		{"evaluation", 1, func(e Epoch) float64 { return e.ValTop1 }, evaluated},
		{"averaged weights", 2, func(e Epoch) float64 { return e.EMATop1 }, averaged},
	}},
	{"Learning rate", "%.3g", 1, false, []series{{"at the epoch's end", 1, func(e Epoch) float64 { return e.LR }, always}}},
	{"Speed", "%.4g images/s", 1, false, []series{{"training", 0, func(e Epoch) float64 { return e.ImagesPerSec }, always}}},
}

// Charts are the curves of the epochs.
func (p *Page) Charts() []Chart {
	all := make([]Chart, 0, len(charts))
	for _, c := range charts {
		chart := Chart{Title: c.title, Over: "epoch"}
		var values [][]float64
		var shown []series
		for _, s := range c.series {
			v := make([]float64, len(p.Epochs))
			present := false
			for i, e := range p.Epochs {
				v[i] = c.factor * s.value(e)
				present = present || s.present(e)
			}
			if present {
				values, shown = append(values, v), append(shown, s)
			}
		}
		lo, hi := bounds(values, c.cut)
		y := axis{lo, hi, chartBottom, chartTop}
		x := p.epochAxis()
		chart.YTicks, chart.XTicks = y.ticks(0), x.ticks(1)
		for i, s := range shown {
			chart.Curves = append(chart.Curves, p.curve(s, values[i], c.format, x, y))
		}
		all = append(all, chart)
	}
	return all
}

// epochAxis has the epochs from left to right; one alone is in the middle.
func (p *Page) epochAxis() axis {
	first, last := float64(p.Epochs[0].Epoch), float64(p.Epochs[len(p.Epochs)-1].Epoch)
	if first == last {
		first, last = first-1, last+1
	}
	return axis{first, last, chartLeft, chartRight}
}

// curve draws values, one an epoch, with a gap where one is not finite.
func (p *Page) curve(s series, values []float64, format string, x, y axis) Curve {
	c := Curve{Name: s.name, Kind: s.kind}
	var path strings.Builder
	move := "M"
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			move = "M"
			continue
		}
		c.Last = fmt.Sprintf(format, v)
		d := Dot{x.at(float64(p.Epochs[i].Epoch)), y.at(min(v, y.hi)), fmt.Sprintf("epoch %d: %s", p.Epochs[i].Epoch, c.Last)}
		fmt.Fprintf(&path, "%s%.1f %.1f", move, d.X, d.Y)
		move = "L"
		if len(values) <= chartMostDots {
			c.Dots = append(c.Dots, d)
		}
	}
	c.Path, c.Alone = path.String(), len(c.Dots) == 1
	return c
}

// bounds is the range of the finite values, from 0 where that costs little of
// the chart. With cut, it ends where the first line's values stay far below.
func bounds(lines [][]float64, cut bool) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	limit := math.Inf(1)
	for i, l := range lines {
		for _, v := range l {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				continue
			}
			lo, hi = min(lo, v), max(hi, v)
		}
		if i == 0 && cut && hi > 0 {
			limit = lossOverTraining * hi
		}
	}
	hi = min(hi, limit)
	switch {
	case lo > hi:
		return 0, 1
	case lo > 0 && lo < hi/2:
		lo = 0
	case lo == hi:
		lo, hi = min(lo, 0), max(hi, 0)
		if lo == hi {
			hi = 1
		}
	}
	return lo, hi
}

// axis maps [lo,hi] to [from,to] of the chart.
type axis struct{ lo, hi, from, to float64 }

func (a axis) at(v float64) float64 { return a.from + (v-a.lo)/(a.hi-a.lo)*(a.to-a.from) }

// ticks are at multiples of 1, 2 or 5 times a power of ten, and of least.
func (a axis) ticks(least float64) []Tick {
	rough := (a.hi - a.lo) / chartTicks
	step := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, f := range []float64{1, 2, 5, 10} {
		if f*step >= rough*(1-1e-9) {
			step *= f
			break
		}
	}
	step = max(step, least)
	var all []Tick
	first := math.Ceil(a.lo/step-1e-9) + 0 // not the -0 that Ceil may give
	for i := first; i*step <= a.hi+1e-9*step; i++ {
		all = append(all, Tick{a.at(i * step), fmt.Sprintf("%.6g", i*step)})
	}
	return all
}
