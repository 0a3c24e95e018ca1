package report

import (
	"image"
	"image/color"
	imagedraw "image/draw"
	"image/png"
	"os"

	"golang.org/x/image/draw"
)

// WriteActivationPNG draws an image next to itself under a map of activations,
// [side,side]: blue where they are least, red where they are greatest.
func WriteActivationPNG(path string, m image.Image, activation []float32, side int) error {
	least, most := activation[0], activation[0]
	for _, v := range activation {
		least, most = min(least, v), max(most, v)
	}
	small := image.NewGray16(image.Rect(0, 0, side, side))
	for i, v := range activation {
		share := float64(v-least) / max(float64(most-least), 1e-30)
		small.SetGray16(i%side, i/side, color.Gray16{Y: uint16(share*0xffff + .5)})
	}
	size := m.Bounds().Size()
	large := image.NewGray16(image.Rectangle{Max: size})
	draw.BiLinear.Scale(large, large.Rect, small, small.Rect, draw.Src, nil)

	both := image.NewRGBA(image.Rect(0, 0, 2*size.X, size.Y))
	imagedraw.Draw(both, image.Rectangle{Max: size}, m, m.Bounds().Min, imagedraw.Src)
	for y := range size.Y {
		for x := range size.X {
			r, g, b, _ := m.At(m.Bounds().Min.X+x, m.Bounds().Min.Y+y).RGBA()
			h := heat(float64(large.Gray16At(x, y).Y) / 0xffff)
			mixed := func(v uint32, h uint8) uint8 { return uint8((v>>8 + uint32(h)) / 2) }
			both.SetRGBA(size.X+x, y, color.RGBA{mixed(r, h.R), mixed(g, h.G), mixed(b, h.B), 255})
		}
	}
	return write(path, func(f *os.File) error { return png.Encode(f, both) })
}

// heat runs from blue over cyan, yellow and red to dark red as share goes from 0
// to 1.
func heat(share float64) color.RGBA {
	ramp := func(centre float64) uint8 {
		d := share - centre
		if d < 0 {
			d = -d
		}
		return uint8(255 * min(max(1.5-4*d, 0), 1))
	}
	return color.RGBA{ramp(.75), ramp(.5), ramp(.25), 255}
}
