package report

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPlot(t *testing.T) {
	c := Plot("Top-1", "M", []Line{
		{Name: "alone", Kind: 1, Dotted: true, Points: []Point{{10, 50, 5, "ten"}}},
		{Name: "joined", Kind: 2, Joined: true, Points: []Point{{10, 40, math.NaN(), ""}, {20, 60, 0, ""}}},
	})
	if c.Over != "M" || len(c.Curves) != 2 || len(c.XTicks) < 2 || len(c.YTicks) < 2 {
		t.Fatalf("%+v", c)
	}
	alone, joined := c.Curves[0], c.Curves[1]
	if alone.Path != "" || !alone.Alone || len(alone.Dots) != 1 || alone.Dots[0].Text != "ten" || strings.Count(alone.Bars, "M") != 3 {
		t.Errorf("a point with an interval: %+v", alone)
	}
	if !strings.HasPrefix(joined.Path, "M") || strings.Count(joined.Path, "L") != 1 || joined.Bars != "" || joined.Dots != nil {
		t.Errorf("a line of two: %+v", joined)
	}
	if d := alone.Dots[0]; d.X < chartLeft || d.X > chartRight || d.Y < chartTop || d.Y > chartBottom {
		t.Errorf("the point is outside the chart: %+v", d)
	}
	if empty := Plot("nothing", "M", nil); len(empty.Curves) != 0 {
		t.Errorf("%+v", empty)
	}
}

func TestParallel(t *testing.T) {
	p := NewParallel([]string{"alpha", "beta"}, []string{"%g", "%g"}, []ParallelRow{
		{"low", 0, []float64{1, 2}}, {"high", 1, []float64{1.5, 2}},
	}, nil)
	if a := p.Axes[0]; a.Low != "1" || a.High != "1.5" || a.X != parallelLeft {
		t.Errorf("axis %+v", a)
	}
	if b := p.Axes[1]; b.Low != "" || b.High != "2" || b.X != parallelRight {
		t.Errorf("an axis of one value: %+v", b)
	}
	if p.Lines[0].Path != "M50.0 232.0L760.0 128.0" || p.Lines[1].Path != "M50.0 24.0L760.0 128.0" {
		t.Errorf("lines %q, %q", p.Lines[0].Path, p.Lines[1].Path)
	}
}

func TestSearchPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.html")
	c := &Search{
		Title: "Search <1>", Verdict: "alpha 1.2 is best", Notes: []string{"by chance"}, Columns: []string{"alpha", "top-1"},
		Rows:     []SearchRow{{[]string{"1.2", "50.00%"}, true}, {[]string{"1.1", "40.00%"}, false}},
		Charts:   []Chart{Plot("Top-1", "M", []Line{{Name: "best", Kind: 1, Dotted: true, Points: []Point{{1, 2, 1, "<b>"}}}})},
		Settings: []Setting{{"epochs", "9", "flag"}},
	}
	if err := c.Write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Search &lt;1&gt;", "alpha 1.2 is best", "by chance", `class="interval"`, "&lt;b&gt;", `<tr class="set"><td>1.2</td><td>50.00%</td>`, "Settings"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, bad := range []string{"<h2>Candidates", "Machine", "http:", "https:"} {
		if strings.Contains(strings.ReplaceAll(string(text), "http://www.w3.org", ""), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
}
