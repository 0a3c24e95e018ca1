package report

import (
	"fmt"
	"math"
	"os"
	"strings"
)

// Search is networks trained against each other as one HTML file that needs no
// other.
type Search struct {
	Title    string
	Verdict  string
	Notes    []string
	Charts   []Chart
	Parallel *Parallel // may be nil
	Columns  []string
	Rows     []SearchRow
	Settings []Setting
	Machine  [][2]string // what, and what it is
}

// SearchRow is a network in the table.
type SearchRow struct {
	Cells []string
	Set   bool // in bold
}

// Write writes the page to a file.
func (s *Search) Write(path string) error {
	return write(path, func(f *os.File) error { return pageTemplates.ExecuteTemplate(f, "search.html", s) })
}

// Line is points of a plot. Its name is in the key, unless it is empty.
type Line struct {
	Name   string
	Kind   int  // colour and dash, 0 (grey) to 4
	Joined bool // by a line
	Dotted bool // shows its points
	Points []Point
}

// Point is a value of a line. Interval, where it is above 0, is how far a bar
// goes up and down.
type Point struct {
	X, Y, Interval float64
	Text           string // to hover over
}

// Plot draws lines. The values of y and their intervals are in per cent.
func Plot(title, over string, lines []Line) Chart {
	var xs, ys []float64
	for _, l := range lines {
		for _, p := range l.Points {
			bar := p.bar()
			xs, ys = append(xs, p.X), append(ys, p.Y-bar, p.Y+bar)
		}
	}
	x, y := plotAxis(xs, chartLeft, chartRight), plotAxis(ys, chartBottom, chartTop)
	c := Chart{Title: title, Over: over, XTicks: x.ticks(0), YTicks: y.ticks(0)}
	for _, l := range lines {
		c.Curves = append(c.Curves, l.curve(x, y))
	}
	return c
}

// bar is Interval, or 0 where there is none.
func (p Point) bar() float64 {
	if p.Interval > 0 && !math.IsInf(p.Interval, 0) {
		return p.Interval
	}
	return 0
}

// plotAxis has the values with a little room around them.
func plotAxis(values []float64, from, to float64) axis {
	lo, hi := bounds([][]float64{values}, false)
	room := 0.05 * (hi - lo)
	if lo > 0 {
		lo = max(0, lo-room)
	}
	return axis{lo, hi + room, from, to}
}

func (l Line) curve(x, y axis) Curve {
	c := Curve{Name: l.Name, Kind: l.Kind}
	var path, bars strings.Builder
	for i, p := range l.Points {
		d := Dot{x.at(p.X), y.at(p.Y), p.Text}
		if l.Joined {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], d.X, d.Y)
		}
		if l.Dotted {
			c.Dots = append(c.Dots, d)
		}
		if bar := p.bar(); bar > 0 {
			low, high := y.at(p.Y-bar), y.at(p.Y+bar)
			fmt.Fprintf(&bars, "M%.1f %.1fV%.1fM%.1f %.1fh6M%.1f %.1fh6", d.X, low, high, d.X-3, low, d.X-3, high)
		}
	}
	c.Path, c.Bars, c.Alone = path.String(), bars.String(), l.Dotted
	return c
}

// Parallel is parallel coordinates: an axis a quantity, a line a network.
type Parallel struct {
	Axes  []ParallelAxis
	Lines []Curve
	Key   []Curve // Name and Kind
}

// ParallelAxis is an upright axis.
type ParallelAxis struct {
	Name      string
	X         float64
	Low, High string // its ends
}

// ParallelRow is a network's values, one an axis.
type ParallelRow struct {
	Name   string
	Kind   int
	Values []float64
}

// Parallel's frame in the units of its viewBox.
const (
	parallelLeft, parallelRight = 50, 760
	parallelTop, parallelBottom = 24, 232
)

// NewParallel draws rows, the last on top. formats are of the axes' ends.
func NewParallel(names, formats []string, rows []ParallelRow, key []Curve) *Parallel {
	p := &Parallel{Key: key}
	axes := make([]axis, len(names))
	for i, name := range names {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, r := range rows {
			lo, hi = min(lo, r.Values[i]), max(hi, r.Values[i])
		}
		low, high := fmt.Sprintf(formats[i], lo), fmt.Sprintf(formats[i], hi)
		if lo == hi { // in the middle
			lo, hi, low = lo-1, hi+1, ""
		}
		axes[i] = axis{lo, hi, parallelBottom, parallelTop}
		x := parallelLeft + (parallelRight-parallelLeft)*float64(i)/float64(max(len(names)-1, 1))
		p.Axes = append(p.Axes, ParallelAxis{name, x, low, high})
	}
	for _, r := range rows {
		var path strings.Builder
		for i, v := range r.Values {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], p.Axes[i].X, axes[i].at(v))
		}
		p.Lines = append(p.Lines, Curve{Name: r.Name, Kind: r.Kind, Path: path.String()})
	}
	return p
}
