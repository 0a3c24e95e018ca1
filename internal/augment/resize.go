package augment

import (
	"fmt"
	"image"
	"math"

	"effnet/internal/pixel"
)

// Interpolation names the kernel an image is resized with.
type Interpolation string

// The interpolations the published networks use. Both widen with the scale when
// they shrink an image, as Pillow's do (antialiasing).
const (
	Bilinear Interpolation = "bilinear"
	Bicubic  Interpolation = "bicubic" // a = -0.5
)

// A kernel weighs a source pixel by its distance from the output's centre, in
// output pixels when shrinking and source pixels when enlarging.
type kernel struct {
	weight  func(distance float64) float64
	support float64 // weight is 0 from this distance on
}

// The conversions to float64 below keep a compiler from fusing a product with
// a sum: the weights are the same bits on every architecture.

func bilinear(x float64) float64 { return max(1-math.Abs(x), 0) }

func bicubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64((float64((a+2)*x)-(a+3))*x*x) + 1
	case x < 2:
		return (float64((float64((x-5)*x)+8)*x) - 4) * a
	}
	return 0
}

// A View says what an output shows of a source image: the rectangle Crop of the
// source, scaled to W x H pixels, from which the output is the window with its
// top-left corner at X, Y. Nothing outside Crop is read.
type View struct {
	Crop image.Rectangle
	W, H int
	X, Y int
}

// A Box is a rectangle of a source image, in pixels; edges may be fractional.
type Box struct{ X0, Y0, X1, Y1 float32 }

// A Resizer resizes images exactly as Pillow's Image.resize does: separably,
// rows first, in 22-bit fixed point with 8 bits kept between the passes
// (src/libImaging/Resample.c). It keeps its scratch memory from one image to
// the next, so a goroutine has its own.
type Resizer struct {
	set    *pixel.Set
	kernel kernel
	x, y   taps
	rows   []uint8 // [source rows needed, output width, 3]
}

// NewResizer returns a Resizer with the given interpolation, or an error if
// there is none of that name.
func NewResizer(i Interpolation) (*Resizer, error) {
	switch i {
	case Bilinear:
		return &Resizer{set: pixel.Best(), kernel: kernel{bilinear, 1}}, nil
	case Bicubic:
		return &Resizer{set: pixel.Best(), kernel: kernel{bicubic, 2}}, nil
	}
	return nil, fmt.Errorf("augment: unknown interpolation %q (want %s or %s)", i, Bilinear, Bicubic)
}

// Resize scales box of src to the whole of dst, whose size the caller has set:
// Pillow's src.resize((dst.W, dst.H), box=box). As there, pixels around the box
// contribute to the output's edge. A box that is empty or leaves src is an error.
func (z *Resizer) Resize(dst, src *Image, box Box) error {
	inside := box.X0 >= 0 && box.Y0 >= 0 && box.X1 <= float32(src.W) && box.Y1 <= float32(src.H)
	if !inside || !(box.X0 < box.X1 && box.Y0 < box.Y1) {
		return fmt.Errorf("augment: resize: box %v is empty or not inside the %dx%d image", box, src.W, src.H)
	}
	z.prepare(
		axis{size: src.W, in0: box.X0, in1: box.X1, out: dst.W, n: dst.W},
		axis{size: src.H, in0: box.Y0, in1: box.Y1, out: dst.H, n: dst.H})
	z.Draw(dst, src)
	return nil
}

// Prepare makes ready for Draw to fill an image of w x h pixels with the view v of one
// of srcW x srcH, and returns the part of that one which Draw will read.
func (z *Resizer) Prepare(v View, srcW, srcH, w, h int) image.Rectangle {
	crop := v.Crop.Intersect(image.Rect(0, 0, srcW, srcH))
	return z.prepare(
		axis{origin: crop.Min.X, size: crop.Dx(), in1: float32(crop.Dx()), out: v.W, first: v.X, n: w},
		axis{origin: crop.Min.Y, size: crop.Dy(), in1: float32(crop.Dy()), out: v.H, first: v.Y, n: h})
}

func (z *Resizer) prepare(x, y axis) image.Rectangle {
	z.x.weigh(x, z.kernel)
	z.y.weigh(y, z.kernel)
	if x.n == 0 || y.n == 0 {
		return image.Rectangle{}
	}
	if !z.x.plain {
		z.set.LayRow(&z.x.Taps)
	}
	x0, x1 := z.x.span()
	y0, y1 := z.y.span()
	return image.Rect(x0, y0, x1, y1)
}

// Draw fills dst as Prepare was told, whose sizes those of dst and src are: Pillow's
// src.crop(v.Crop).resize((v.W, v.H)) and then the crop of dst's size at v.X,
// v.Y, of which only what dst shows is computed.
func (z *Resizer) Draw(dst, src *Image) {
	if dst.W == 0 || dst.H == 0 {
		return
	}
	stride := 3 * dst.W
	first, last := z.y.span()
	rows := dst.Pix
	if !z.y.plain {
		z.rows = grow(z.rows, (last-first)*stride)
		rows = z.rows
	}
	for i := range last - first {
		row, from := rows[i*stride:][:stride], src.Pix[(first+i)*3*src.W:][:3*src.W]
		if z.x.plain {
			copy(row, from[3*z.x.Start[0]:])
		} else {
			z.set.AlongRow(row, from, &z.x.Taps)
		}
	}
	if z.y.plain {
		return
	}
	for i := range dst.H {
		z.set.AcrossRows(dst.Pix[i*stride:][:stride], rows[(z.y.Start[i]-first)*stride:], stride, z.y.weights(i))
	}
}
