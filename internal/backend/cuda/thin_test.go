package cuda

import (
	"slices"
	"strings"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// A network's first convolution, forward and backward, gathers no patches in the card's
// memory. One of more values, or of odd channels, does.
func TestStemGathersNothing(t *testing.T) {
	shape := func(in, out int) backend.ConvShape {
		return backend.ConvShape{N: 2, H: 12, W: 12, In: in, Kernel: 3, Stride: 2, Top: 1, Left: 1, OutH: 6, OutW: 6, Out: out}
	}
	for _, precision := range []driver.Precision{driver.FP32, driver.BF16} {
		b, e := onCPU(t)
		b.precision = precision
		for _, c := range []struct {
			shape    backend.ConvShape
			half     string // how the names of kernels end with bf16 maps
			gathered bool
		}{
			{shape(3, 32), "Pairs", false},
			{shape(3, 12), "", false},
			{shape(3, 10), "", true},
			{shape(4, 32), "", true},
		} {
			ending := ""
			if precision == driver.BF16 {
				ending = c.half
			}
			for spec, kernel := range map[backend.Spec]string{
				backend.Conv{ConvShape: c.shape}:           "thinConv" + ending,
				backend.ConvGradWeight{ConvShape: c.shape}: "thinGrad" + ending,
			} {
				if c.gathered {
					kernel = "gather"
				}
				p := programOf(t, b, spec)
				if got := launched(e, p.Run); !slices.Contains(got, kernel) {
					t.Errorf("%s: %T%+v launches %q, want %q among them", precision, spec, spec, strings.Join(got, " "), kernel)
				}
			}
		}
	}
}
