package report

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"effnet/internal/metrics"
)

// page is a run of 30 epochs on classes classes, of which some are confused.
func page(classes int) *Page {
	p := &Page{
		Title: "run <b>1</b>", Verdict: "30 of 30 epochs & done.",
		Settings: []Setting{{"lr", "0.1", "flag"}, {"seed", "42", "default"}},
		Machine:  [][2]string{{"cores", "2"}, {"go", "go1.26"}},
	}
	c := metrics.NewCollector(classes, 3)
	logits := make([]float32, classes)
	for i := range classes {
		p.Classes = append(p.Classes, fmt.Sprintf("class <%d>", i))
		for n := range 10 {
			clear(logits)
			taken := i
			if n < i%5 {
				taken = (i*7 + n) % classes
			}
			logits[taken] = 2 + float32(n)/3
			c.Add(logits, i, 10*i+n)
		}
	}
	p.Evaluation = c.Result()
	for i := range 30 {
		v := float64(i)
		p.Epochs = append(p.Epochs, Epoch{
			Epoch: i + 1, TrainLoss: 3 * math.Exp(-v/9), TrainTop1: 1 - math.Exp(-v/7), ValLoss: 0.7 + 2.5*math.Exp(-v/8), ValTop1: 0.8 - 0.7*math.Exp(-v/6),
			EMALoss: 0.6 + 6*math.Exp(-v/5), EMATop1: 0.82 * (1 - math.Exp(-v/9)), LR: 0.05 * (1 + math.Cos(v*math.Pi/30)), ImagesPerSec: 812 + 15*math.Sin(v),
		})
	}
	p.Epochs[0].EMALoss = 1e6
	p.Worst = []Thumbnail{{Path: "a/<b>.jpg", JPEG: []byte{0xff, 0xd8}, Label: "x", Predicted: "y", Probability: 0.01, Confidence: 0.9}}
	return p
}

// written is a page's file.
func written(t *testing.T, p *Page) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	if err := p.Write(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPage(t *testing.T) {
	for _, classes := range []int{2, 10, 1000, 3000} {
		text := written(t, page(classes))
		if len(text) > 1<<20 {
			t.Errorf("%d classes: %d bytes", classes, len(text))
		}
		for _, want := range []string{
			"run &lt;b&gt;1&lt;/b&gt;", "epochs &amp; done", "class &lt;1&gt;", "data:image/jpeg;base64,/9g=", "a/&lt;b&gt;.jpg",
			"<td class=\"text\">0.1</td>", "<tr class=\"set\"><td class=\"text\">lr", "<tr><td class=\"text\">seed", "go1.26",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%d classes: no %s", classes, want)
			}
		}
		for _, bad := range []string{"<b>1", "http://", "https://", "src=\"/", "ZgotmplZ", "NaN", "Inf", "<link"} {
			if strings.Contains(text, bad) {
				t.Errorf("%d classes: has %s", classes, bad)
			}
		}
		if n := strings.Count(text, `<path class="curve"`); n != 8 {
			t.Errorf("%d curves, want 8", n)
		}
		_, table, _ := strings.Cut(text, "<h2>Classes</h2>")
		table, _, _ = strings.Cut(table, "</tbody>")
		if got, want := strings.Count(table, "<tr><th>"), min(classes, mostRows); got != want {
			t.Errorf("the table has %d classes, want %d", got, want)
		}
	}
}

// Before the first epoch, without an evaluation, without averages.
func TestPageOfLittle(t *testing.T) {
	if text := written(t, &Page{Title: "nothing yet"}); !strings.Contains(text, "nothing yet") || strings.Contains(text, "<h2>") {
		t.Error("the page of nothing has sections, or no title")
	}
	p := &Page{Epochs: []Epoch{{Epoch: 1, TrainLoss: 2, LR: .1}}}
	text := written(t, p)
	if n := strings.Count(text, `<path class="curve"`); n != 4 || strings.Contains(text, "evaluation") || strings.Contains(text, "averaged") {
		t.Errorf("%d curves of one epoch that was not evaluated, want 4", n)
	}
	if n := strings.Count(text, `class="dot alone"`); n != 4 {
		t.Errorf("%d points that stand alone, want 4", n)
	}
}

// Pictures beyond a few MiB are omitted.
func TestPageLeavesOutThumbnails(t *testing.T) {
	p := page(2)
	p.Worst = slices.Repeat([]Thumbnail{{JPEG: make([]byte, 1<<20)}}, 9)
	text := written(t, p)
	if n := strings.Count(text, "<img"); n != 3 || len(p.Worst) != 9 {
		t.Errorf("%d thumbnails of %d, want 3 of 9", n, len(p.Worst))
	}
	if len(text) > 5<<20 {
		t.Errorf("the page has %d bytes", len(text))
	}
}

func TestRemark(t *testing.T) {
	for want, losses := range map[string][2][]float64{ // training's, evaluation's; top-1 is 1/(1+the latter)
		"": {{3, 2}, {3, 2}},
		"Evaluation loss has risen since epoch 2 while training loss fell: the network is overfitting.": {{3, 2, 1, .5}, {3, 2, 2.5, 2.6}},
		"is the best so far":                  {{3, 2, 1, .5}, {3, 2, 1.5, 1.4}},
		"the network is not learning":         {{3, 2, 3, 3}, {3, 2, 3, 4}},
		"The best evaluation was in epoch 3.": {{3, 2, 1, .5}, {3, 2, 1.5, 1.6}},
	} {
		p := &Page{}
		for i, l := range losses[0] {
			p.Epochs = append(p.Epochs, Epoch{Epoch: i + 1, TrainLoss: l, ValLoss: losses[1][i], ValTop1: 1 / (1 + losses[1][i])})
		}
		if got := p.Remark(); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("of %v: %q, want %q", losses, got, want)
		}
	}
}

func TestChartBounds(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		lines  [][]float64
		cut    bool
		lo, hi float64
	}{
		{[][]float64{{2, 3, nan}, {2, 1e6}}, true, 0, 9},                 // a loss that explodes
		{[][]float64{{2, 3, math.Inf(1)}, {2, 1e6}}, false, 0, 1e6},      // not a loss
		{[][]float64{{.256, .02, .001}}, false, 0, .256},                 // a schedule is never cut
		{[][]float64{{5, 5, 5}}, false, 0, 5},                            // constant
		{[][]float64{{0, 0}}, false, 0, 1},                               // nothing
		{[][]float64{{nan}}, true, 0, 1},                                 // not a number
		{[][]float64{{-1, 2}}, false, -1, 2},                             // below 0
		{[][]float64{{810, 800, 790}, {805, 801, 799}}, false, 790, 810}, // far from 0
		{nil, false, 0, 1},
	} {
		if lo, hi := bounds(c.lines, c.cut); lo != c.lo || hi != c.hi {
			t.Errorf("%v: %v to %v, want %v to %v", c.lines, lo, hi, c.lo, c.hi)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		lo, hi, least float64
		want          string
	}{
		{0, 1, 0, "0 0.2 0.4 0.6 0.8 1"},
		{0, 97.3, 0, "0 20 40 60 80"},
		{1, 350, 1, "100 200 300"},
		{1, 3, 1, "1 2 3"},
		{790, 810, 0, "790 795 800 805 810"},
		{0, 1.3e-4, 0, "0 5e-05 0.0001"},
	} {
		var got []string
		for _, tick := range (axis{c.lo, c.hi, 0, 1}).ticks(c.least) {
			got = append(got, tick.Text)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%v to %v: %s, want %s", c.lo, c.hi, text, c.want)
		}
	}
}

// A curve has a gap where a value is not finite, and stays in its frame.
func TestCurve(t *testing.T) {
	p := &Page{}
	for i, l := range []float64{3, 1e9, math.NaN(), 0} {
		p.Epochs = append(p.Epochs, Epoch{Epoch: i + 1, TrainLoss: 3, ValLoss: l, ValTop1: .5})
	}
	got := p.Charts()[0].Curves[1]
	if want := "M52.0 133.3L172.0 8.0M412.0 196.0"; got.Path != want {
		t.Errorf("the curve is %s, want %s", got.Path, want)
	}
	if len(got.Dots) != 3 || got.Dots[1].Text != "epoch 2: 1e+09" || got.Last != "0" {
		t.Errorf("its dots are %v, the last value %s", got.Dots, got.Last)
	}
}

// A browser lays the page out, where there is one: nothing is wider than the
// window, and a click on a head sorts the table.
func TestPageInABrowser(t *testing.T) {
	browser := os.Getenv("EFFNET_BROWSER")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && browser == "" {
			browser = path
		}
	}
	if browser == "" || os.Getenv("EFFNET_SHARED") == "" {
		t.Skip("no browser, or not the full tests: set EFFNET_BROWSER to a Chromium, and EFFNET_SHARED")
	}
	path := filepath.Join(t.TempDir(), "report.html")
	const script = `<script>
const names = () => [...document.querySelectorAll(".sortable tbody th")].slice(0, 3).map(c => c.textContent).join();
const heads = document.querySelectorAll(".sortable button");
const seen = [names()];
for (const i of [0, 0, 1]) { heads[i].click(); seen.push(names()); }
seen.push(document.documentElement.scrollWidth <= innerWidth, document.querySelectorAll("path.curve").length);
document.body.innerHTML = "[" + seen.join("|") + "]";
</script></body>`
	text := strings.Replace(written(t, page(12)), "</body>", script, 1)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, window := range []string{"1280,900", "500,900"} {
		out, err := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size="+window,
			"--user-data-dir="+t.TempDir(), "--dump-dom", "file://"+path).Output()
		if err != nil {
			t.Fatal(err)
		}
		got := regexp.MustCompile(`\[class <.*\]`).FindString(strings.NewReplacer("&lt;", "<", "&gt;", ">").Replace(string(out)))
		want := "[class <9>,class <3>,class <4>|class <0>,class <1>,class <2>|class <11>,class <10>,class <9>|class <11>,class <10>,class <9>|true|8]"
		if got != want {
			t.Errorf("in a window of %s the page has\n%s\nwant\n%s", window, got, want)
		}
	}
}
