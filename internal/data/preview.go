package data

import (
	"fmt"
	"image"
	"image/color"
	imagedraw "image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Preview draws a sheet of rows x cols images, each Size pixels: a photograph a
// row, first as evaluation sees it, then as the first epochs of training see
// it, one a column. Photographs are of classes as far apart as there are, drawn by
// the training's seed. A column is mixed as if it were a batch.
func Preview(set *Set, training, evaluation Options, rows, cols int) (*image.RGBA, error) {
	size := training.Size
	train, err := training.newRenderer()
	if err != nil {
		return nil, err
	}
	eval, err := evaluation.newRenderer()
	if err != nil {
		return nil, err
	}
	picks := pick(set, rows, training.Seed)
	sheet := image.NewRGBA(image.Rect(0, 0, cols*size, rows*size))
	n := size * size * 3
	column := make([]float32, rows*n)
	for c := range cols {
		for r, i := range picks {
			side, s := train, stream{training.Seed, uint64(c - 1), uint64(i)}
			if c == 0 {
				side, s = eval, stream{}
			}
			if err := side.read(column[r*n:][:n], set, i, s); err != nil {
				return nil, err
			}
		}
		if c > 0 {
			rng := stream{training.Seed, uint64(c - 1), mixIndex}.rand()
			mixed, _ := training.Mix.Draw(size, size, rng)
			mixed.Apply(column, rows, size)
		}
		for r := range rows {
			imagedraw.Draw(sheet, image.Rect(c*size, r*size, (c+1)*size, (r+1)*size), training.Picture(column[r*n:][:n]), image.Point{}, imagedraw.Src)
		}
	}
	for r, i := range picks {
		label(sheet, image.Pt(0, r*size), size, set.Classes[set.Label(i)])
	}
	return sheet, nil
}

// pick chooses n images.
func pick(set *Set, n int, seed uint64) []int {
	byClass := make([][]int, len(set.Classes))
	for i := range set.Len() {
		byClass[set.Label(i)] = append(byClass[set.Label(i)], i)
	}
	rng := stream{seed, 0, subsetIndex}.rand()
	picks := make([]int, n)
	for r := range picks {
		class := r % len(byClass)
		if n < len(byClass) {
			class = r * len(byClass) / n
		}
		images := byClass[class]
		picks[r] = images[rng.IntN(len(images))]
	}
	return picks
}

// label writes a class's name over the upper edge of an image.
func label(sheet *image.RGBA, at image.Point, size int, name string) {
	face := basicfont.Face7x13
	if most := max(size/face.Advance, 1); len([]rune(name)) > most {
		name = string([]rune(name)[:most])
	}
	band := image.Rect(at.X, at.Y, at.X+face.Advance*len([]rune(name)), at.Y+face.Height+2).Intersect(sheet.Rect)
	imagedraw.Draw(sheet, band, image.NewUniform(color.RGBA{0, 0, 0, 160}), image.Point{}, imagedraw.Over)
	d := font.Drawer{Dst: sheet, Src: image.White, Face: face, Dot: fixed.P(at.X, at.Y+face.Ascent+1)}
	d.DrawString(name)
}

// CheckSheet returns an error for a sheet that Preview should not draw.
func CheckSheet(rows, cols, size int) error {
	const most = 1 << 14 // pixels a side
	if rows < 1 || cols < 1 || rows > most/size || cols > most/size {
		return fmt.Errorf("data: a sheet of %d x %d images of %d pixels: want 1 x 1 to %d x %d", rows, cols, size, most/size, most/size)
	}
	return nil
}
