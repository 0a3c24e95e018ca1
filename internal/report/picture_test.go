package report

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"effnet/internal/metrics"
)

func decodePNG(t *testing.T, path string) image.Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func at(m image.Image, x, y int) color.RGBA { return color.RGBAModel.Convert(m.At(x, y)).(color.RGBA) }

// evaluation is of images whose probability of the predicted class is about p.
func evaluation(classes int, pairs [][3]int) *metrics.Evaluation {
	c := metrics.NewCollector(classes, 0)
	logits := make([]float32, classes)
	for _, p := range pairs {
		clear(logits)
		logits[p[1]] = 20
		for range p[2] {
			c.Add(logits, p[0], 0)
		}
	}
	return c.Result()
}

func TestConfusionPNG(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.png")
	e := evaluation(3, [][3]int{{0, 0, 4}, {1, 1, 1}, {1, 2, 3}})
	if err := WriteConfusionPNG(path, []string{"a", "bb", "a very long name of a class"}, e); err != nil {
		t.Fatal(err)
	}
	m := decodePNG(t, path)
	const margin = 24*7 + 8
	if got, want := m.Bounds().Max, image.Pt(margin+3*40+8, 4+3*40+margin+4); got != want {
		t.Errorf("it has %v pixels, want %v", got, want)
	}
	want := [3][3]color.RGBA{
		{{80, 80, 255, 255}, {255, 255, 255, 255}, {255, 255, 255, 255}},
		{{255, 255, 255, 255}, {211, 211, 255, 255}, {255, 123, 123, 255}},
		{{255, 255, 255, 255}, {255, 255, 255, 255}, {255, 255, 255, 255}},
	}
	for label := range 3 {
		for predicted := range 3 {
			if got := at(m, margin+40*predicted+1, 4+40*label+1); got != want[label][predicted] {
				t.Errorf("cell (%d,%d) is %v, want %v", label, predicted, got, want[label][predicted])
			}
		}
	}
	dark := func(r image.Rectangle) (n int) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				if at(m, x, y) == (color.RGBA{0, 0, 0, 255}) {
					n++
				}
			}
		}
		return n
	}
	for c := range 3 { // a name beside each row and the same under its column
		row, column := dark(image.Rect(0, 4+40*c, margin, 44+40*c)), dark(image.Rect(margin+40*c, 124, margin+40*c+40, 124+margin))
		if row == 0 || row != column {
			t.Errorf("class %d: its name takes %d pixels beside the matrix and %d under it", c, row, column)
		}
	}
}

// However many classes, the picture stays one that can be looked at.
func TestConfusionPNGOfManyClasses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.png")
	classes := make([]string, 21841)
	e := evaluation(len(classes), [][3]int{{0, 21840, 1}, {21840, 21840, 1}})
	if err := WriteConfusionPNG(path, classes, e); err != nil {
		t.Fatal(err)
	}
	m := decodePNG(t, path)
	n := (len(classes) + 21) / 22
	if got, want := m.Bounds().Max, image.Pt(n+8, n+8); got != want {
		t.Fatalf("it has %v pixels, want %v", got, want)
	}
	for corner, want := range map[image.Point]color.RGBA{{n - 1, 4}: {255, 80, 80, 255}, {n - 1, 3 + n}: {80, 80, 255, 255}, {0, 3 + n}: {255, 255, 255, 255}} {
		if got := at(m, corner.X, corner.Y); got != want {
			t.Errorf("at %v it is %v, want %v", corner, got, want)
		}
	}
}

func TestReliabilityPNG(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.png")
	e := evaluation(2, [][3]int{{0, 0, 2}, {1, 0, 2}}) // sure of all, right in half
	if err := WriteReliabilityPNG(path, e); err != nil {
		t.Fatal(err)
	}
	m := decodePNG(t, path)
	bar := color.RGBA{60, 110, 200, 255}
	for y, want := range map[int]bool{20 + 220: false, 20 + 230: true, 20 + 440: true} {
		for _, x := range []int{40 + 14*30 + 5, 40 + 15*30 - 5} {
			if got := at(m, x, y) == bar; got != want {
				t.Errorf("the last bin has a bar at height %d: %v, want %v", 470-y, got, want)
			}
		}
	}
	if got := at(m, 40+13*30+15, 460); got == bar {
		t.Error("a bin without images has a bar")
	}
	if got := at(m, 40+225, 20+225); got != (color.RGBA{200, 60, 40, 255}) {
		t.Errorf("the diagonal's middle is %v", got)
	}
	if err := WriteReliabilityPNG(filepath.Join(t.TempDir(), "no", "r.png"), e); err == nil {
		t.Error("no error for a folder that is not there")
	}
}
