package cuda

import (
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cuda/driver"
)

// A depthwise convolution adds a bias and activates, as a normalisation after it whose
// constants are folded into its weights needs.
func TestDepthwiseEpilogue(t *testing.T) {
	for precision, limit := range limits(2e-5, 1./256) {
		b, _ := onCPU(t)
		b.precision = precision
		for i, act := range backend.Activations() {
			for _, k := range []struct{ kernel, stride int }{{3, 1}, {3, 2}, {5, 1}, {5, 2}, {7, 3}} {
				s := backend.ConvShape{N: 2, H: 9, W: 13, In: 24, Out: 24, Kernel: k.kernel, Stride: k.stride, Top: 1, Left: 1,
					OutH: (11-k.kernel)/k.stride + 1, OutW: (15-k.kernel)/k.stride + 1}
				o := backendtest.Operands(backend.Depthwise{ConvShape: s}, uint64(i))
				if precision != driver.FP32 {
					rounded(o[0], b.Maps())
				}
				bias := backendtest.Operands(backend.Add{N: s.Out}, 1)[0]
				got := epilogue(t, b, s, act, o[0], o[1], bias, len(o[2]))
				if err := backend.Reference(backend.Depthwise{ConvShape: s}, o); err != nil {
					t.Fatal(err)
				}
				for j := range o[2] {
					o[2][j] += bias[j%s.Out]
				}
				if err := backend.Reference(backend.Activate{N: len(o[2]), Act: act}, [][]float32{o[2], o[2]}); err != nil {
					t.Fatal(err)
				}
				if e := backendtest.RelError(got, o[2]); !(e <= limit) {
					t.Errorf("%dx%d at stride %d, activation %v, in %s: relative error %.2g", k.kernel, k.kernel, k.stride, act, precision, e)
				}
			}
		}
	}
}

// epilogue is act(x*w + bias) by a backend, n values.
func epilogue(t *testing.T, b *Backend, s backend.ConvShape, act backend.Activation, x, w, bias []float32, n int) []float32 {
	t.Helper()
	views := make([]backend.View, 4)
	for i, values := range [][]float32{x, w, bias, make([]float32, n)} {
		dtype := backend.Float32
		if i == 0 || i == 3 {
			dtype = b.Maps()
		}
		v, err := backend.NewViewOf(b, len(values), dtype)
		if err == nil {
			err = b.Upload(v, values)
		}
		if err != nil {
			t.Fatal(err)
		}
		views[i] = v
	}
	c, v := &compiler{Backend: b}, places(views)
	if err := c.depthwise(s, v[0], v[1], v[2], act, v[3]); err != nil {
		t.Fatal(err)
	}
	launch, err := c.launch("depthwise", c.steps)
	if err != nil {
		t.Fatal(err)
	}
	launch()
	got := make([]float32, n)
	if err := b.Download(got, views[3]); err != nil {
		t.Fatal(err)
	}
	return got
}

// Blocks of depthwiseGradWeight are no larger than Threads says, which the emulation
// checks.
func TestGradWeightThreads(t *testing.T) {
	b, _ := onCPU(t)
	b.threads = maxThreads
	for maps, suffix := range Suffixes() {
		for _, k := range [][2]int{{3, 1}, {3, 2}, {5, 1}, {5, 2}, {7, 2}} {
			s := backend.ConvShape{N: 2, H: 9, W: 9, In: 64, Out: 64, Kernel: k[0], Stride: k[1], OutH: (9-k[0])/k[1] + 1, OutW: (9-k[0])/k[1] + 1}
			spec := backend.DepthwiseGradWeight{ConvShape: s}
			views := make([]backend.View, 3)
			for i, n := range backend.Sizes(spec) {
				v, err := backend.NewView(b, n)
				if err != nil {
					t.Fatal(err)
				}
				if i < 2 {
					v.DType = backend.DType(maps)
				}
				views[i] = v
			}
			c := &compiler{Backend: b}
			v := places(views)
			if err := c.depthwiseGradWeight(s, v[0], v[1], v[2]); err != nil {
				t.Fatal(err)
			}
			launch, err := c.launch("depthwiseGradWeight", c.steps)
			if err != nil {
				t.Fatal(err)
			}
			launch()
			if err := b.Sync(); err != nil {
				t.Error(err)
			}
		}
		want := maxThreads / 2
		if suffix == "" {
			want = maxThreads
		}
		if got := Threads("depthwiseGradWeight5" + suffix); got != want {
			t.Errorf("%q: %d threads, want %d", suffix, got, want)
		}
	}
}
