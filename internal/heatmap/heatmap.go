// Package heatmap draws class activation maps: over an image, blue where a network sees
// least of a class and red where it sees most.
package heatmap

import (
	"image"
	"image/color"

	"golang.org/x/image/draw"
)

// Over draws an image under a map of activations, [side,side], from the least of them to
// the greatest. Its bounds begin at 0.
func Over(m image.Image, activation []float32, side int) *image.RGBA {
	least, most := activation[0], activation[0]
	for _, v := range activation {
		least, most = min(least, v), max(most, v)
	}
	small := image.NewGray16(image.Rect(0, 0, side, side))
	for i, v := range activation {
		share := float64(v-least) / max(float64(most-least), 1e-30)
		small.SetGray16(i%side, i/side, color.Gray16{Y: uint16(share*0xffff + .5)})
	}
	large := image.NewGray16(image.Rectangle{Max: m.Bounds().Size()})
	draw.BiLinear.Scale(large, large.Rect, small, small.Rect, draw.Src, nil)

	over := image.NewRGBA(large.Rect)
	for y := range large.Rect.Max.Y {
		for x := range large.Rect.Max.X {
			r, g, b, _ := m.At(m.Bounds().Min.X+x, m.Bounds().Min.Y+y).RGBA()
			h := heat(float64(large.Gray16At(x, y).Y) / 0xffff)
			mixed := func(v uint32, h uint8) uint8 { return uint8((v>>8 + uint32(h)) / 2) }
			over.SetRGBA(x, y, color.RGBA{mixed(r, h.R), mixed(g, h.G), mixed(b, h.B), 255})
		}
	}
	return over
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
