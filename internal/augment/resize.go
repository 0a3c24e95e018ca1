package augment

import (
	"fmt"
	"image"
	"math"
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
	kernel kernel
	x, y   taps
	rows   []uint8 // [source rows needed, output width, 3]
	acc    []int32 // [output width, 3]
}

// NewResizer returns a Resizer with the given interpolation, or an error if
// there is none of that name.
func NewResizer(i Interpolation) (*Resizer, error) {
	switch i {
	case Bilinear:
		return &Resizer{kernel: kernel{bilinear, 1}}, nil
	case Bicubic:
		return &Resizer{kernel: kernel{bicubic, 2}}, nil
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
	z.resample(dst, src,
		axis{size: src.W, in0: box.X0, in1: box.X1, out: dst.W, n: dst.W},
		axis{size: src.H, in0: box.Y0, in1: box.Y1, out: dst.H, n: dst.H})
	return nil
}

// Draw fills dst, whose size the caller has set, with the view v of src:
// Pillow's src.crop(v.Crop).resize((v.W, v.H)) and then the crop of dst's size
// at v.X, v.Y, of which only what dst shows is computed.
func (z *Resizer) Draw(dst, src *Image, v View) {
	crop := v.Crop.Intersect(image.Rect(0, 0, src.W, src.H))
	z.resample(dst, src,
		axis{origin: crop.Min.X, size: crop.Dx(), in1: float32(crop.Dx()), out: v.W, first: v.X, n: dst.W},
		axis{origin: crop.Min.Y, size: crop.Dy(), in1: float32(crop.Dy()), out: v.H, first: v.Y, n: dst.H})
}

func (z *Resizer) resample(dst, src *Image, x, y axis) {
	if dst.W == 0 || dst.H == 0 {
		return
	}
	z.x.plan(x, z.kernel)
	z.y.plan(y, z.kernel)

	stride := 3 * dst.W
	first := z.y.start[0]
	last := z.y.start[dst.H-1] + z.y.count[dst.H-1]
	z.rows = grow(z.rows, (last-first)*stride)
	for i := range last - first {
		z.x.alongRow(z.rows[i*stride:][:stride], src.Pix[(first+i)*3*src.W:][:3*src.W])
	}
	z.acc = grow(z.acc, stride)
	for i := range dst.H {
		top := z.rows[(z.y.start[i]-first)*stride:]
		acrossRows(dst.Pix[i*stride:][:stride], top, z.y.weights(i), z.acc)
	}
}
