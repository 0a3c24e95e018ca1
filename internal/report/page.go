package report

import (
	"cmp"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"os"
	"slices"

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

//go:embed *.html page.css
var pageFiles embed.FS

// pageTemplates are the pages and what they share.
var pageTemplates = template.Must(template.New("").Funcs(template.FuncMap{
	"style": func() (template.CSS, error) {
		text, err := pageFiles.ReadFile("page.css")
		return template.CSS(text), err //nolint:gosec // it is ours
	},
	"percent": func(v float64) string { return fmt.Sprintf("%.2f%%", 100*v) },
	"loss":    lossText,
	"dataURI": func(jpeg []byte) template.URL {
		return template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(jpeg)) //nolint:gosec // it is base64
	},
}).ParseFS(pageFiles, "*.html"))

// What bounds a page's size, whatever the run.
const (
	mostMatrix    = 24      // classes of the matrix: those with the most errors
	mostRows      = 1000    // classes of the table
	mostPairs     = 20      // pairs of classes
	mostThumbnail = 3 << 20 // bytes of all thumbnails
)

// Write writes the page to a file.
func (p *Page) Write(path string) error {
	q := *p
	q.Worst = nil
	bytes := 0
	for _, t := range p.Worst {
		if bytes += len(t.JPEG); bytes > mostThumbnail {
			break
		}
		q.Worst = append(q.Worst, t)
	}
	return write(path, func(f *os.File) error { return pageTemplates.ExecuteTemplate(f, "page.html", &q) })
}

// riseOfLoss is how far the loss of an evaluation is above its lowest when a
// page says that it rises.
const riseOfLoss = 1.1

// Remark is what the curves of the evaluation say; empty if nothing.
func (p *Page) Remark() string {
	n := len(p.Epochs)
	if n < 4 || !evaluated(p.Epochs[n-1]) {
		return ""
	}
	first, last := p.Epochs[0], p.Epochs[n-1]
	lowest := slices.MinFunc(p.Epochs, func(a, b Epoch) int { return cmp.Compare(a.ValLoss, b.ValLoss) })
	best := slices.MaxFunc(p.Epochs, func(a, b Epoch) int { return cmp.Compare(a.ValTop1, b.ValTop1) })
	switch {
	case last.TrainLoss < lowest.TrainLoss && last.ValLoss > riseOfLoss*lowest.ValLoss:
		return fmt.Sprintf("Evaluation loss has risen since epoch %d while training loss fell: the network is overfitting.", lowest.Epoch)
	case last.TrainLoss >= first.TrainLoss:
		return "Training loss has not fallen since the first epoch: the network is not learning."
	case best.Epoch == last.Epoch && last.ValTop1 > first.ValTop1:
		return "The last epoch is the best so far: more epochs may help."
	}
	return fmt.Sprintf("The best evaluation was in epoch %d.", best.Epoch)
}

// Cell is an entry of the confusion matrix.
type Cell struct {
	Images int
	Shade  float64 // share of the row
	Right  bool
	Column string
}

// MatrixRow is a class in the matrix.
type MatrixRow struct {
	Name  string
	Cells []Cell
}

// Matrix has the classes that are shown: all, or those with the most errors.
func (p *Page) Matrix() []MatrixRow {
	if p.Evaluation == nil {
		return nil
	}
	shown := p.Evaluation.Confusion.HardestClasses(mostMatrix)
	rows := make([]MatrixRow, len(shown))
	for i, label := range shown {
		rows[i].Name = p.Classes[label]
		for _, predicted := range shown {
			n := p.Evaluation.Confusion.At(label, predicted)
			share := float64(n) / float64(max(p.Evaluation.Classes[label].Support, 1))
			rows[i].Cells = append(rows[i].Cells, Cell{n, share, label == predicted, p.Classes[predicted]})
		}
	}
	return rows
}

// Row is a class in the table.
type Row struct {
	Name string
	metrics.Class
	MistakenFor string // the class that it is most often mistaken for; empty if none
}

// Rows are the classes that have images or predictions, the worst F1 first.
func (p *Page) Rows() []Row {
	if p.Evaluation == nil {
		return nil
	}
	takenFor := map[int]metrics.Pair{}
	for _, pair := range p.Evaluation.Confusion.Pairs() {
		if pair.Label != pair.Predicted && pair.Images > takenFor[pair.Label].Images {
			takenFor[pair.Label] = pair
		}
	}
	var rows []Row
	for c, class := range p.Evaluation.Classes {
		if class.Support == 0 && class.Predicted == 0 {
			continue
		}
		row := Row{Name: p.Classes[c], Class: class}
		if pair := takenFor[c]; pair.Images > 0 {
			row.MistakenFor = fmt.Sprintf("%s (%d)", p.Classes[pair.Predicted], pair.Images)
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(a.F1, b.F1) })
	return rows[:min(mostRows, len(rows))]
}

// Confusion is a pair of classes.
type Confusion struct {
	Label, Predicted string
	Images           int
	Share            float64 // of the label's images
}

// Confused are the pairs of classes that are most often mistaken for each other.
func (p *Page) Confused() []Confusion {
	if p.Evaluation == nil {
		return nil
	}
	var all []Confusion
	for _, c := range p.Evaluation.Confusion.MostConfused(mostPairs) {
		share := float64(c.Images) / float64(p.Evaluation.Classes[c.Label].Support)
		all = append(all, Confusion{p.Classes[c.Label], p.Classes[c.Predicted], c.Images, share})
	}
	return all
}

// Bar is a bin of the reliability diagram, in units of a square of 200.
type Bar struct {
	X, Y, Width, Height float64
	Text                string
}

// Reliability has a bar a bin that has images: its height is their accuracy.
func (p *Page) Reliability() []Bar {
	if p.Evaluation == nil {
		return nil
	}
	const side, width = 200, 200. / metrics.Bins
	var bars []Bar
	for i, b := range p.Evaluation.Reliability {
		if b.Images > 0 {
			text := fmt.Sprintf("%d images with an average confidence of %.1f%%: %.1f%% right", b.Images, 100*b.Confidence, 100*b.Accuracy)
			bars = append(bars, Bar{float64(i)*width + 0.5, side * (1 - b.Accuracy), width - 1, side * b.Accuracy, text})
		}
	}
	return bars
}
