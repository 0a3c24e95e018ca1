package report

import (
	_ "embed" // the page's template
	"encoding/base64"
	"fmt"
	"html/template"
	"math"
	"os"
	"slices"
	"strings"

	"effnet/internal/metrics"
)

// Page is a run as one HTML file that needs no other.
type Page struct {
	Title   string
	Verdict string // in a sentence
	Classes []string
	Epochs  []Epoch

	Evaluation *metrics.Evaluation // of the best weights so far; may be nil
	Worst      []Thumbnail
	Settings   []Setting
	Machine    [][2]string // what, and what it is
}

// Thumbnail is an image that was classified badly.
type Thumbnail struct {
	Path        string
	JPEG        []byte
	Label       string
	Predicted   string
	Probability float64 // of the label
	Confidence  float64 // probability of the prediction
}

// Setting is a setting's value and where it is from.
type Setting struct{ Key, Value, Source string }

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"percent": func(v float64) string { return fmt.Sprintf("%.2f%%", 100*v) },
	"dataURI": func(jpeg []byte) template.URL {
		return template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(jpeg)) //nolint:gosec // it is base64
	},
}).Parse(pageText))

// mostClasses is how many classes the matrix and the table of a page show: those
// with the most errors.
const mostClasses = 24

// Write writes the page to a file.
func (p *Page) Write(path string) error {
	return write(path, func(f *os.File) error { return pageTemplate.Execute(f, p) })
}

// Charts are the curves of the epochs.
func (p *Page) Charts() []template.HTML {
	series := func(name, colour string, value func(e Epoch) float64) line {
		l := line{name: name, colour: colour}
		for _, e := range p.Epochs {
			l.y = append(l.y, value(e))
		}
		return l
	}
	averaged := len(p.Epochs) > 0 && p.Epochs[0].EMALoss > 0
	loss := []line{series("training", "#888", func(e Epoch) float64 { return e.TrainLoss })}
	top1 := []line{series("training", "#888", func(e Epoch) float64 { return 100 * e.TrainTop1 })}
	if len(p.Epochs) > 0 && p.Epochs[0].ValLoss > 0 {
		loss = append(loss, series("evaluation", "#06c", func(e Epoch) float64 { return e.ValLoss }))
		top1 = append(top1, series("evaluation", "#06c", func(e Epoch) float64 { return 100 * e.ValTop1 }))
	}
	if averaged {
		loss = append(loss, series("averaged weights", "#d60", func(e Epoch) float64 { return e.EMALoss }))
		top1 = append(top1, series("averaged weights", "#d60", func(e Epoch) float64 { return 100 * e.EMATop1 }))
	}
	return []template.HTML{
		chart("Loss", loss), chart("Top-1, %", top1),
		chart("Learning rate", []line{series("", "#06c", func(e Epoch) float64 { return e.LR })}),
		chart("Images a second", []line{series("", "#06c", func(e Epoch) float64 { return e.ImagesPerSec })}),
	}
}

type line struct {
	name, colour string
	y            []float64 // one an epoch
}

// chart draws lines over epochs as SVG. Values far above most are cut off.
func chart(title string, lines []line) template.HTML {
	const w, h, left, bottom, top = 420, 240, 62, 26, 30
	lo, hi := bounds(lines)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s"><text x="%d" y="16" class="title">%s</text>`, w, h, title, left, title)
	n := 0
	for i := range 5 {
		y := float64(h-bottom) - float64(i)/4*float64(h-bottom-top)
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" class="grid"/><text x="%d" y="%.1f" class="tick" text-anchor="end">%.3g</text>`,
			left, w, y, y, left-6, y+4, lo+float64(i)/4*(hi-lo))
	}
	for k, l := range lines {
		n = len(l.y)
		var points []string
		for i, v := range l.y {
			x := left + float64(i)/float64(max(n-1, 1))*(w-left-8)
			y := float64(h-bottom) - (min(max(v, lo), hi)-lo)/(hi-lo)*float64(h-bottom-top)
			points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
		}
		if n == 1 {
			points = append(points, fmt.Sprintf("%d,%s", w-8, strings.Split(points[0], ",")[1]))
		}
		fmt.Fprintf(&b, `<polyline points="%s" stroke="%s" class="curve"/>`, strings.Join(points, " "), l.colour)
		if l.name != "" {
			fmt.Fprintf(&b, `<text x="%d" y="16" fill="%s" class="key" text-anchor="end">%s</text>`, w-8-110*(len(lines)-1-k), l.colour, l.name)
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" class="tick">epoch 1</text><text x="%d" y="%d" class="tick" text-anchor="end">%d</text></svg>`, left, h-8, w-8, h-8, n)
	return template.HTML(b.String()) //nolint:gosec // made of numbers and the constants above
}

// bounds is the range that a chart shows: up to 3 times the median of what is
// finite, if that is less than the greatest.
func bounds(lines []line) (lo, hi float64) {
	var all []float64
	for _, l := range lines {
		for _, v := range l.y {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				all = append(all, v)
			}
		}
	}
	if len(all) == 0 {
		return 0, 1
	}
	lo, hi = all[0], all[0]
	for _, v := range all {
		lo, hi = min(lo, v), max(hi, v)
	}
	if m := median(all); m > 0 && hi > 3*m {
		hi = 3 * m
	}
	if lo > 0 && lo < hi/2 {
		lo = 0
	}
	if hi <= lo {
		hi = lo + max(math.Abs(lo), 1e-9)
	}
	return lo, hi
}

// Cell is an entry of the confusion matrix.
type Cell struct {
	Images int
	Shade  float64 // share of the row
	Right  bool
}

// Row is a class in the matrix and the table.
type Row struct {
	Name string
	metrics.Class
	Cells []Cell
}

// Rows are the classes that are shown: all, or those with the most errors.
func (p *Page) Rows() []Row {
	if p.Evaluation == nil {
		return nil
	}
	shown := p.Evaluation.Confusion.HardestClasses(mostClasses)
	rows := make([]Row, len(shown))
	for i, label := range shown {
		rows[i] = Row{Name: p.Classes[label], Class: p.Evaluation.Classes[label]}
		for _, predicted := range shown {
			n := p.Evaluation.Confusion.At(label, predicted)
			rows[i].Cells = append(rows[i].Cells, Cell{n, float64(n) / float64(max(rows[i].Support, 1)), label == predicted})
		}
	}
	return rows
}

// Confused are the pairs of classes that are most often taken for each other.
func (p *Page) Confused() []string {
	if p.Evaluation == nil {
		return nil
	}
	var text []string
	for _, c := range p.Evaluation.Confusion.MostConfused(10) {
		text = append(text, fmt.Sprintf("%d of %s taken for %s", c.Images, p.Classes[c.Label], p.Classes[c.Predicted]))
	}
	return text
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
