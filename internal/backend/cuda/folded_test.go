package cuda

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cuda/driver"
	"effnet/internal/model"
)

// prepares says whether a Spec has something to prepare.
func prepares(spec backend.Spec) bool {
	switch spec.(type) {
	case backend.FoldedMatMul, backend.FoldedConv, backend.FoldedDepthwise, backend.Linear:
		return true
	}
	return false
}

// pools says whether a folded Spec's last result is means.
func pools(spec backend.Spec) (alone, beside bool) {
	switch s := spec.(type) {
	case backend.FoldedMatMul:
		return s.Pool, false
	case backend.FoldedDepthwise:
		return false, s.Pool
	}
	return false, false
}

// The folded Specs with maps and weights of 16 bits.
func TestHalfFolded(t *testing.T) {
	inHalves(t, func(t *testing.T, b *Backend) { testHalfFolded(t, b, 5) })
}

// testHalfFolded runs one of every few folded Specs with a precision's maps and weights:
// maps are of its type, means and logits not, and both nearly the reference's.
func testHalfFolded(t *testing.T, b *Backend, every int) {
	t.Helper()
	backendtest.Each(t, b, backendtest.Specs(), func(t *testing.T, i int, spec backend.Spec) float64 {
		if !prepares(spec) || i%every > 0 {
			return 0
		}
		want := backendtest.Operands(spec, uint64(i))
		got, types := backendtest.RunHalf(t, b, b.Maps(), spec, want, false)
		_, linear := spec.(backend.Linear)
		alone, beside := pools(spec)
		last := len(want) - 1
		half := func(i int) bool { return types[i] == b.Maps() }
		if half(last) == (alone || beside || linear) || beside && !half(last-1) {
			t.Errorf("%T%+v: operands of types %v", spec, spec, types)
		}
		return backendtest.Compare(t, spec, got, want, backendtest.FusedLimit(spec))
	})
}

// launched are the kernels that run launches.
func launched(e *emulation, run func()) (names []string) {
	e.refuse = func(name string) error {
		for _, suffix := range Suffixes() {
			name = strings.TrimSuffix(name, suffix)
		}
		names = append(names, name)
		return nil
	}
	run()
	e.refuse = nil
	return names
}

// programOf compiles a Spec, of maps as layers before it leave them.
func programOf(t *testing.T, b *Backend, spec backend.Spec) backend.Program {
	t.Helper()
	types := make([]backend.DType, len(backend.Sizes(spec)))
	for _, i := range backendtest.MapsRead(spec) {
		types[i] = b.Maps()
	}
	b.Types(spec, types)
	var views []backend.View
	for i, n := range backend.Sizes(spec) {
		v, err := backend.NewViewOf(b, n, types[i])
		if err != nil {
			t.Fatal(err)
		}
		views = append(views, v)
	}
	p, err := b.Compile(spec, views...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The two Specs of this package are what they stand for.
func TestGated(t *testing.T) {
	b, _ := onCPU(t)
	norm := backend.NormAct{Rows: 18, C: 24, Eps: 1e-3, Act: backend.Swish}
	specs := []backend.Spec{normGate{norm, 2, 9}, gatedGradInput{norm, 2, 9}}
	for _, spec := range specs {
		want := backendtest.Operands(spec, 1)
		for i := range norm.C { // variances
			want[1][norm.C+i] = 1 + want[1][norm.C+i]/4
		}
		got, err := backendtest.Run(b, spec, want)
		if err != nil {
			t.Fatal(err)
		}
		backendtest.Compare(t, spec, got, want, 2e-5)
	}
}

// What is made of weights is made by Prepare, what remains is as few passes over maps
// as there can be, and a pass that only sums writes no map.
func TestFoldedLaunches(t *testing.T) {
	c := backend.ConvShape{N: 1, H: 3, W: 3, In: 8, Kernel: 3, Stride: 1, Top: 1, Left: 1, OutH: 3, OutW: 3, Out: 8}
	pointwise := backend.ConvShape{N: 1, H: 3, W: 3, In: 8, Kernel: 1, Stride: 1, OutH: 3, OutW: 3, Out: 8}
	wide := backend.ConvShape{N: 1, H: 7, W: 7, In: 8, Kernel: 7, Stride: 1, Top: 3, Left: 3, OutH: 7, OutW: 7, Out: 8}
	none, swish := backend.Norm{Eps: 1e-3, Act: backend.Identity}, backend.Norm{Eps: 1e-3, Act: backend.Swish}
	product := backend.FoldedMatMul{M: 9, N: 8, K: 8, Area: 9, Norm: none}
	residual, gated, active := product, product, product
	residual.Residual, gated.Gated, active.Norm = true, true, swish
	pool := active
	pool.Pool = true
	for _, precision := range append(halfPrecisions(), driver.FP32) {
		b, e := onCPU(t)
		b.precision = precision
		for _, c := range []struct {
			spec backend.Spec
			want string
			half string // with maps of 16 bits, where tensor cores have whole products
		}{
			{product, "", "foldedMatMul"},
			{residual, "", "foldedMatMul"},
			{gated, "channelScale", "foldedMatMul"},
			{active, "biasAct", "foldedMatMul"},
			{pool, "sumBiasAct", "sumBiasAct"},
			{backend.FoldedConv{ConvShape: c, Norm: none}, "gather", "gather"},
			{backend.FoldedConv{ConvShape: c, Norm: swish}, "gather biasAct", "gather biasAct"},
			{backend.FoldedConv{ConvShape: pointwise, Norm: swish}, "biasAct", "foldedMatMul"},
			{backend.FoldedDepthwise{ConvShape: c, Norm: swish, Before: pointwise, BeforeNorm: swish, Pool: true}, "foldedDepthwise3Small", "expandDepthwise3Small"},
			{backend.FoldedDepthwise{ConvShape: wide, Norm: swish, Pool: true}, "depthwise sumRows", "depthwise sumRows"},
			{backend.Linear{M: 1, N: 8, K: 8}, "", "toMap"}, // of x
		} {
			if precision != driver.FP32 {
				c.want = c.half
			}
			p := programOf(t, b, c.spec)
			if got := strings.Join(launched(e, p.Run), " "); got != c.want {
				t.Errorf("%s: %T%+v launches %q, want %q", precision, c.spec, c.spec, got, c.want)
			}
			if p.Prepare == nil {
				p.Prepare = func() {}
			}
			if got := launched(e, p.Prepare); slices.ContainsFunc(got, func(name string) bool { return name != "fold" && name != "toMap" }) {
				t.Errorf("%s: %T prepares by %q", precision, c.spec, got)
			}
		}
	}
}

// Every kernel of folded tiles is what its Spec says, at the edges of maps and of channels
// and between images.
func TestFoldedTiles(t *testing.T) {
	shape := func(n, side, in, kernel, stride, out int) backend.ConvShape {
		s := backend.ConvShape{N: n, H: side, W: side, In: in, Kernel: kernel, Stride: stride, Out: out, OutH: (side + stride - 1) / stride, OutW: (side + stride - 1) / stride}
		s.Top, s.Left = (kernel-1)/2, (kernel-stride)/2
		return s
	}
	swish := backend.Norm{Eps: 1e-3, Act: backend.Swish}
	var specs []backend.Spec
	seen := map[string]bool{}
	for _, kernel := range []int{3, 5} {
		for _, c := range []struct{ n, side, stride, k, channels int }{{2, 17, 1, 24, 40}, {1, 14, 1, 16, 32}, {5, 7, 1, 40, 8}, {3, 5, 1, 8, 48}, {2, 15, 2, 24, 40}, {1, 33, 2, 8, 16}, {2, 9, 1, 12, 20}, {2, 9, 1, 7, 9}} {
			deep := shape(c.n, c.side, c.channels, kernel, c.stride, c.channels)
			for _, before := range []backend.ConvShape{{}, shape(c.n, c.side, c.k, 1, 1, c.channels), shape(c.n, 2*c.side, 3, 3, 2, c.channels)} {
				norm := backend.Norm{Eps: 1e-3, Act: backend.HardSwish}
				if before.Kernel == 0 {
					norm = backend.Norm{}
				}
				specs = append(specs, backend.FoldedDepthwise{ConvShape: deep, Norm: swish, Pool: c.side != 9, Before: before, BeforeNorm: norm})
			}
		}
	}
	for precision, limit := range limits(2e-5, 1./32) {
		b, e := onCPU(t)
		b.precision = precision
		for i, spec := range specs {
			want := backendtest.Operands(spec, uint64(i))
			var got [][]float32
			names := launched(e, func() {
				if precision == driver.FP32 {
					var err error
					if got, err = backendtest.Run(b, spec, want); err != nil {
						t.Fatal(err)
					}
				} else {
					got, _ = backendtest.RunHalf(t, b, b.Maps(), spec, want, false)
				}
			})
			for _, name := range names {
				seen[name] = true
			}
			backendtest.Compare(t, spec, got, want, limit)
		}
	}
	for name := range signatures() {
		name = strings.TrimSuffix(name, "_bf16")
		if (strings.HasPrefix(name, "foldedDepthwise") || strings.HasPrefix(name, "expandDepthwise") || strings.HasPrefix(name, "stemDepthwise")) && !seen[name] {
			t.Errorf("%s is not tested", name)
		}
	}
}

// A shortcut that has no activation after it is all that FoldedMatMul can add.
func TestFoldedRefuses(t *testing.T) {
	b, _ := onCPU(t)
	s := backend.FoldedMatMul{M: 4, N: 4, K: 4, Area: 2, Residual: true, Norm: backend.Norm{Eps: 1e-3, Act: backend.Swish}}
	if _, err := backendtest.Run(b, s, backendtest.Operands(s, 1)); err == nil {
		t.Error("a shortcut with an activation is allowed")
	}
}

// What programs keep is freed with them.
func TestFoldedMemory(t *testing.T) {
	b, e := onCPU(t)
	e.limit = 5 << 20
	s := backend.FoldedMatMul{M: 1, N: 512, K: 512, Area: 1, Norm: backend.Norm{Eps: 1e-3}} // 1 MiB
	operands := backendtest.Operands(s, 1)
	for i := range 20 {
		if _, err := backendtest.Run(b, s, operands); err != nil {
			t.Fatalf("program %d: %v", i, err)
		}
	}
	var views []backend.View
	for i, o := range operands {
		v, err := backend.NewView(b, len(o))
		if err == nil {
			err = b.Upload(v, operands[i])
		}
		if err != nil {
			t.Fatal(err)
		}
		views = append(views, v)
	}
	p, err := b.Compile(s, views...)
	if err != nil {
		t.Fatal(err)
	}
	p.Prepare()
	for range 3 { // a program keeps what was prepared
		runtime.GC()
		time.Sleep(time.Millisecond)
		if err := b.reclaim(); err != nil {
			t.Fatal(err)
		}
		p.Run()
	}
	if err := b.Sync(); err != nil {
		t.Error(err)
	}
}

// answers are a network's logits by inference: of two batches, of the first again, and
// of that with other weights.
func answers(t *testing.T, b backend.Backend) (all [][]float32) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const batch, seed = 3, 5
	arch := small()
	net, err := model.New(arch, b)
	check(err)
	check(net.Initialise(seed))
	random := func(layer uint32, i int) float32 { return backend.Random{Seed: seed, Layer: layer}.Uniform(0, i) }
	running := make([]float32, net.Running.Len) // means, and variances about 1
	for _, n := range net.Norms {
		for i := range 2 * n.C {
			running[n.Offset+i] = random(1, n.Offset+i) - 0.5
			if i >= n.C {
				running[n.Offset+i]++
			}
		}
	}
	check(b.Upload(net.Running, running))
	inference, err := net.Inference(batch)
	check(err)
	run := func(layer uint32) {
		images := make([]float32, inference.Images.Len)
		for i := range images {
			images[i] = 2*random(layer, i) - 1
		}
		check(b.Upload(inference.Images, images))
		check(inference.Run())
		logits := make([]float32, batch*arch.Classes)
		check(inference.Logits(logits))
		all = append(all, logits)
	}
	run(2)
	run(3)
	run(2)
	weights := make([]float32, net.Weights.Len)
	check(b.Download(weights, net.Weights))
	for i := range weights {
		weights[i] *= 0.5 + random(4, i)
	}
	check(b.Upload(net.Weights, weights))
	inference.Update()
	run(2)
	return all
}

// A network answers on the emulation as on the CPU, in recorded launches too, which
// take other weights at an Update.
func TestNetworkAnswersAsOnTheCPU(t *testing.T) {
	host, err := cpu.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	for precision, limit := range limits(1e-5, 0.03) {
		b, _ := onCPU(t)
		b.precision = precision
		compareAnswers(t, b, host, limit)
	}
}

// compareAnswers compares what inference gives on two backends.
func compareAnswers(t *testing.T, b *Backend, reference backend.Backend, limit float64) {
	t.Helper()
	got, want := answers(t, b), answers(t, reference)
	for i := range want {
		e := backendtest.RelError(got[i], want[i])
		t.Logf("%s: logits %d: relative error %.2g", b.precision, i, e)
		if !(e <= limit) {
			t.Errorf("%s: that is more than %g", b.precision, limit)
		}
	}
	if !slices.Equal(got[0], got[2]) {
		t.Errorf("%s: logits of the same images differ", b.precision)
	}
	if e := backendtest.RelError(got[3], got[2]); e < 10*limit {
		t.Errorf("%s: Update makes a relative difference of %.2g", b.precision, e)
	}
}
