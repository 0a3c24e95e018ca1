package report

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"effnet/internal/metrics"
)

// What a killed run left is taken up where its state is.
func TestLinesGoOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.jsonl")
	write := func(step int64, steps ...int64) {
		t.Helper()
		l, err := OpenLines(path, step)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if err := l.Write(map[string]int64{"step": s}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 10, 20, 30)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"step":2`) // cut short
	f.Close()
	write(20, 25, 30)
	got, err := os.ReadFile(path)
	if want := "{\"step\":10}\n{\"step\":20}\n{\"step\":25}\n{\"step\":30}\n"; err != nil || string(got) != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
	write(0, 5)
	if got, _ := os.ReadFile(path); string(got) != "{\"step\":5}\n" {
		t.Errorf("a new run keeps %q", got)
	}
}

func page(classes int) *Page {
	p := &Page{Title: "run <b>1</b>", Verdict: "done", Settings: []Setting{{"lr", "0.1", "flag"}}, Machine: [][2]string{{"cores", "2"}}}
	c := metrics.NewCollector(classes, 3)
	for i := range classes {
		p.Classes = append(p.Classes, fmt.Sprintf("class <%d>", i))
		logits := make([]float32, classes)
		logits[(i*7+i%3)%classes] = 5
		c.Add(logits, i, i)
	}
	p.Evaluation = c.Result()
	for i := range 5 {
		v := float64(i)
		p.Epochs = append(p.Epochs, Epoch{Epoch: i + 1, TrainLoss: 3 - v/3, ValLoss: 1e6, EMALoss: math.Inf(1), ValTop1: v / 5, LR: .1, ImagesPerSec: 100})
	}
	p.Worst = []Thumbnail{{Path: "a/<b>.jpg", JPEG: []byte{0xff, 0xd8}, Label: "x", Predicted: "y"}}
	return p
}

func TestPage(t *testing.T) {
	for _, classes := range []int{2, 10, 1000} {
		path := filepath.Join(t.TempDir(), "report.html")
		if err := page(classes).Write(path); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if len(text) > 1<<20 {
			t.Errorf("%d classes: %d bytes", classes, len(text))
		}
		for _, want := range []string{"run &lt;b&gt;1&lt;/b&gt;", "class &lt;1&gt;", "data:image/jpeg;base64,/9g=", "<td class=\"left\">0.1</td>", "a/&lt;b&gt;.jpg"} {
			if !strings.Contains(text, want) {
				t.Errorf("%d classes: no %s", classes, want)
			}
		}
		for _, bad := range []string{"<b>1", "http://", "https://", "src=\"/", "ZgotmplZ", "NaN"} {
			if strings.Contains(text, bad) {
				t.Errorf("%d classes: has %s", classes, bad)
			}
		}
		if n := strings.Count(text, "<svg"); n != 4 {
			t.Errorf("%d charts", n)
		}
	}
	if err := (&Page{Title: "nothing yet"}).Write(filepath.Join(t.TempDir(), "report.html")); err != nil {
		t.Error(err)
	}
}

// A browser lays the page out, where there is one.
func TestPageInABrowser(t *testing.T) {
	browser := os.Getenv("EFFNET_BROWSER")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && browser == "" {
			browser = path
		}
	}
	if browser == "" || os.Getenv("EFFNET_SHARED") == "" {
		t.Skip("no browser (EFFNET_BROWSER), or not the full tests (EFFNET_SHARED)")
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := page(10).Write(path); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "file://"+path).Output()
	if err != nil {
		t.Fatalf("%v", err)
	}
	dom := string(out)
	if strings.Count(dom, "<polyline") != 8 || strings.Count(dom, "<img") != 1 || !strings.Contains(dom, "<h2>Settings</h2>") {
		t.Errorf("the browser's page lacks something: %d curves", strings.Count(dom, "<polyline"))
	}
}

func TestChartBounds(t *testing.T) {
	lo, hi := bounds([]line{{y: []float64{2, 2.5, 3, 1e6, math.NaN()}}})
	if lo != 0 || hi != 9 {
		t.Errorf("%v to %v, want 0 to 9", lo, hi)
	}
	if lo, hi := bounds([]line{{y: slices.Repeat([]float64{5}, 3)}}); lo != 5 || hi <= 5 {
		t.Errorf("constant: %v to %v", lo, hi)
	}
}
