package report

import (
	"encoding/csv"
	"fmt"
	"image"
	"image/color"
	imagedraw "image/draw"
	"image/png"
	"os"
	"strconv"

	"effnet/internal/atomicfile"
	"effnet/internal/metrics"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// WriteConfusionCSV writes the matrix: a row a class, a column a prediction.
func WriteConfusionCSV(path string, classes []string, m *metrics.Confusion) error {
	return write(path, func(f *os.File) error {
		w := csv.NewWriter(f)
		if err := w.Write(append([]string{"class"}, classes...)); err != nil {
			return err
		}
		for label, class := range classes {
			row := []string{class}
			for predicted := range classes {
				row = append(row, strconv.Itoa(m.At(label, predicted)))
			}
			if err := w.Write(row); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	})
}

// mostCells is how many cells a side a picture of the matrix has; of more
// classes, neighbours share one.
const mostCells = 1000

// WriteConfusionPNG draws the matrix: shares of each row, from white to dark.
// Rows are the classes, columns, in the same order, the classes they were predicted as.
func WriteConfusionPNG(path string, classes []string, e *metrics.Evaluation) error {
	share := (len(classes) + mostCells - 1) / mostCells // classes a cell
	n := (len(classes) + share - 1) / share
	cell := min(max(600/n, 1), 40)
	margin := 0
	if cell >= 13 { // room for names
		for _, class := range classes {
			margin = max(margin, 7*len([]rune(short(class)))+8)
		}
	}
	m := sheet(margin+n*cell+8, 4+n*cell+margin+4)
	counts := cells(e.Confusion, n, share)
	for label := range n {
		y := 4 + label*cell
		if margin > 0 {
			text(m, 4, y+cell/2+4, short(classes[label]), color.Black)
			upright(m, margin+label*cell+cell/2-6, 4+n*cell+4, short(classes[label]))
		}
		images := 0
		for _, count := range counts[label] {
			images += count
		}
		for predicted, count := range counts[label] {
			box := image.Rect(margin+predicted*cell, y, margin+(predicted+1)*cell, y+cell)
			part := float64(count) / float64(max(images, 1))
			ink := shade(part, label == predicted)
			imagedraw.Draw(m, box, image.NewUniform(ink), image.Point{}, imagedraw.Src)
			if count > 0 && cell >= 30 {
				text(m, box.Min.X+max((cell-7*len(strconv.Itoa(count)))/2, 0), y+cell/2+4, strconv.Itoa(count), legible(part))
			}
		}
	}
	return write(path, func(f *os.File) error { return png.Encode(f, m) })
}

// cells sums the matrix into n x n cells of share classes a side.
func cells(m *metrics.Confusion, n, share int) [][]int {
	counts := make([][]int, n)
	for i := range counts {
		counts[i] = make([]int, n)
	}
	for _, p := range m.Pairs() {
		counts[p.Label/share][p.Predicted/share] += p.Images
	}
	return counts
}

// shade is white for a share of 0, blue for 1 if the images are right, and red
// if they are wrong.
func shade(share float64, right bool) color.RGBA {
	v := uint8(255 - 175*share)
	if right {
		return color.RGBA{v, v, 255, 255}
	}
	return color.RGBA{255, v, v, 255}
}

// legible is the colour of text on a shade.
func legible(share float64) color.Color {
	if share > 0.5 {
		return color.White
	}
	return color.Black
}

// short is a name of at most 24 characters.
func short(name string) string {
	if r := []rune(name); len(r) > 24 {
		return string(r[:22]) + ".." // the font has no ellipsis
	}
	return name
}

// WriteReliabilityPNG draws accuracy over confidence, a bar a bin, and the
// diagonal that a calibrated network is on.
func WriteReliabilityPNG(path string, e *metrics.Evaluation) error {
	const side, left, bottom = 450, 40, 40
	m := sheet(left+side+20, side+bottom+20)
	bar := side / metrics.Bins
	for i, b := range e.Reliability {
		if b.Images == 0 {
			continue
		}
		top := 20 + side - int(b.Accuracy*side)
		box := image.Rect(left+i*bar+1, top, left+(i+1)*bar-1, 20+side)
		imagedraw.Draw(m, box, image.NewUniform(color.RGBA{60, 110, 200, 255}), image.Point{}, imagedraw.Src)
	}
	for i := range side {
		m.Set(left+i, 20+side-i, color.RGBA{200, 60, 40, 255})
		m.Set(left, 20+i, color.Black)
		m.Set(left+i, 20+side, color.Black)
	}
	text(m, left, 14, fmt.Sprintf("accuracy over confidence; expected calibration error %.2f%%", 100*e.ECE), color.Black)
	text(m, left-4, side+36, "0", color.Black)
	text(m, left+side-20, side+36, "100%", color.Black)
	text(m, 4, 30, "100%", color.Black)
	return write(path, func(f *os.File) error { return png.Encode(f, m) })
}

func sheet(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	imagedraw.Draw(m, m.Rect, image.White, image.Point{}, imagedraw.Src)
	return m
}

func text(m *image.RGBA, x, y int, s string, ink color.Color) {
	d := font.Drawer{Dst: m, Src: image.NewUniform(ink), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(s)
}

// upright draws s from (x,y) downwards, to be read with the head to the right.
func upright(m *image.RGBA, x, y int, s string) {
	line := sheet(7*len([]rune(s)), 13)
	text(line, 0, 11, s, color.Black)
	for i := range line.Rect.Dx() {
		for j := range 13 {
			m.Set(x+12-j, y+i, line.At(i, j))
		}
	}
}

func write(path string, content func(f *os.File) error) error {
	if err := atomicfile.Write(path, content); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
