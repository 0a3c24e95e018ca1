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

// WriteConfusionPNG draws the matrix: shares of each row, from white to dark.
func WriteConfusionPNG(path string, classes []string, e *metrics.Evaluation) error {
	n := len(classes)
	cell := min(max(600/n, 1), 40)
	margin := 0
	if cell >= 13 { // room for names
		for _, class := range classes {
			margin = max(margin, 7*len([]rune(class))+8)
		}
	}
	m := sheet(margin+n*cell+8, n*cell+8)
	for label := range n {
		y := 4 + label*cell
		if margin > 0 {
			text(m, 4, y+cell/2+4, classes[label], color.Black)
		}
		for predicted := range n {
			share := float64(e.Confusion.At(label, predicted)) / float64(max(e.Classes[label].Support, 1))
			shade := uint8(255 - 215*share)
			ink := color.RGBA{255, shade, shade, 255}
			if label == predicted {
				ink = color.RGBA{shade, shade, 255, 255}
			}
			box := image.Rect(margin+predicted*cell, y, margin+(predicted+1)*cell, y+cell)
			imagedraw.Draw(m, box, image.NewUniform(ink), image.Point{}, imagedraw.Src)
			if images := e.Confusion.At(label, predicted); images > 0 && cell >= 30 {
				text(m, box.Min.X+4, y+cell/2+4, strconv.Itoa(images), color.Black)
			}
		}
	}
	return write(path, func(f *os.File) error { return png.Encode(f, m) })
}

// WriteReliabilityPNG draws accuracy over confidence, a bar a bin, beside the
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

func write(path string, content func(f *os.File) error) error {
	if err := atomicfile.Write(path, content); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
