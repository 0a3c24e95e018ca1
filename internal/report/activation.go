package report

import (
	"image"
	imagedraw "image/draw"
	"image/png"
	"os"

	"effnet/internal/heatmap"
)

// WriteActivationPNG draws an image next to itself under a map of activations,
// [side,side].
func WriteActivationPNG(path string, m image.Image, activation []float32, side int) error {
	size := m.Bounds().Size()
	both := image.NewRGBA(image.Rect(0, 0, 2*size.X, size.Y))
	imagedraw.Draw(both, image.Rectangle{Max: size}, m, m.Bounds().Min, imagedraw.Src)
	imagedraw.Draw(both, image.Rect(size.X, 0, 2*size.X, size.Y), heatmap.Over(m, activation, side), image.Point{}, imagedraw.Src)
	return write(path, func(f *os.File) error { return png.Encode(f, both) })
}
