package kernel

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// work is what a call of each kernel does, of its integer arguments in their order:
// multiply-adds of those that only multiply, values of the others, eight for one.
var work = map[string]func(n []int) int{
	"gemm":    func(n []int) int { return n[0] * n[1] * n[5] },
	"dot":     func(n []int) int { return n[0] * n[1] * n[5] }, // two, as fast as one
	"pairs":   func(n []int) int { return 2 * n[0] * n[1] * n[5] },
	"zipRows": func(n []int) int { return 4 * n[2] * n[3] },
	"narrow":  flatWork, "widen": flatWork,
	"packRows":            func(n []int) int { return 8 * n[0] * n[2] },
	"gather":              func(n []int) int { return 8 * n[2] * n[3] },
	"peak":                func(n []int) int { return n[0] * peakSums },
	"column":              func(n []int) int { return 8 * n[0] * n[1] },
	"mul":                 func(n []int) int { return 8 * n[0] * n[1] },
	"normAct":             func(n []int) int { return 8 * n[0] * n[1] },
	"slopeSums":           func(n []int) int { return 8 * n[0] * n[1] },
	"gateGrad":            func(n []int) int { return 8 * n[0] * n[1] },
	"biasAct":             func(n []int) int { return 8 * n[1] * n[2] },
	"depthwise":           func(n []int) int { return n[0] * n[len(n)-2] * n[len(n)-1] },
	"depthwiseGradWeight": func(n []int) int { return n[0] * n[len(n)-2] * n[len(n)-1] },
	"copyLines":           func(n []int) int { return 8 * n[1] * n[2] * LineChannels },
	"normLines":           func(n []int) int { return 8 * n[1] * n[2] * LineChannels },
	"lines3":              func(n []int) int { return n[1] * n[4] * LineChannels * 9 },
	"lines5":              func(n []int) int { return n[1] * n[4] * LineChannels * 25 },
	"add":                 flatWork, "scaleAdd": flatWork, "scale": flatWork, "average": flatWork, "exp": flatWork,
	"rmsProp": flatWork, "sgd": flatWork, "adam": flatWork,
}

func flatWork(n []int) int { return 8 * n[0] }

// workOf finds a kernel's formula by the longest name that it begins with.
func workOf(field string) func([]int) int {
	best := ""
	for name := range work {
		if strings.HasPrefix(field, name) && len(name) > len(best) {
			best = name
		}
	}
	return work[best]
}

// watched is a set whose every call of assembly is shown to seen: its kernel, its work,
// and how long it took.
func watched(t testing.TB, s *Set, seen func(name string, work int, took time.Duration)) *Set {
	t.Helper()
	c := *s.c
	w := &Set{Name: s.Name, lanes: s.lanes, c: &c}
	watch := func(name string, f reflect.Value) reflect.Value {
		count := workOf(name)
		if count == nil {
			t.Fatalf("the work of a call of %s is not known here", name)
		}
		return reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
			var ints []int
			for _, a := range args {
				if a.Kind() == reflect.Int {
					ints = append(ints, int(a.Int()))
				}
			}
			start := time.Now()
			f.Call(args)
			seen(name, count(ints), time.Since(start))
			return nil
		})
	}
	all := reflect.ValueOf(&c).Elem()
	for i := range all.NumField() {
		name := all.Type().Field(i).Name
		// The fields are not exported, which reflection minds and unsafe does not.
		field := reflect.NewAt(all.Field(i).Type(), unsafe.Pointer(all.Field(i).UnsafeAddr())).Elem()
		if field.Kind() == reflect.Array {
			for k := range field.Len() {
				field.Index(k).Set(watch(name, reflect.ValueOf(field.Index(k).Interface())))
			}
		} else if !field.IsNil() {
			field.Set(watch(name, reflect.ValueOf(field.Interface())))
		}
	}
	w.half = s.half
	for _, tile := range s.tiles {
		tile.run = watch("gemm", reflect.ValueOf(tile.run)).Interface().(gemmFunc)
		w.tiles = append(w.tiles, tile)
	}
	kind := "pairs"
	if s.half {
		kind = "dot"
	}
	for _, tile := range s.pairs {
		tile.run = watch(kind, reflect.ValueOf(tile.run)).Interface().(gemmFunc)
		w.pairs = append(w.pairs, tile)
	}
	return w
}

// large runs every method on operands far larger than a call may be.
func large(s *Set) {
	r := rand.New(rand.NewPCG(23, 24))
	const n = 1 << 20
	var m [4][]float32
	for i := range m {
		_, m[i] = guarded(r, n+Tail)
		m[i] = m[i][:n]
	}
	x, y, z, u := m[0], m[1], m[2], m[3]
	for _, cols := range []int{8, 100, 1280} {
		size := n / cols * cols
		norm := &Norm{Scale: z[:cols], Shift: u[:cols], Mean: z[cols:][:cols]}
		x, y, z, u := x[:size], y[:size], z[:size], u[:size]
		c := func() []float32 { return make([]float32, 5*cols+Tail) }
		s.ColumnSum(c(), x, cols)
		s.ColumnMoments(c(), c(), x, z[:cols], cols)
		s.ColumnDot(c(), x, y, cols)
		s.MulColumns(y, x, z[:cols], cols)
		s.MulAddColumns(y, x, z[:cols], u[:cols], cols)
		for _, act := range acts {
			s.NormAct(y, x, norm, act, cols)
			s.NormActSum(c(), x, norm, act, cols)
			s.NormActGradSums(c(), c(), x, y, norm, act, cols)
			s.NormActGradInput(z, x, y, &Norm{Scale: c(), Shift: c(), Mean: c()}, c(), c(), act, cols)
			s.NormActSlope(y, z, x, &Norm{Scale: c(), Shift: c(), Mean: c()}, act, cols)
			s.BiasAct(c(), y, cols, x, c(), act, cols)
		}
		s.SlopeSums(c(), c(), x, y, z, c(), cols)
		s.GateGrad(y, c(), x, z, u, c(), c(), cols)
		taps := depthwiseTaps(3, 3, 100, cols)
		pixels := (size - 300*cols) / cols
		s.Depthwise(y, cols, x, 0, cols, make([]float32, 9*cols+Tail), taps, 3, pixels, cols)
		s.DepthwiseGradWeight(make([]float32, 9*cols+Tail), x, 0, cols, y, cols, taps, 3, pixels, cols)
		p := s.NewPacking(800, cols)
		packed := make([]float32, p.Size()+Tail)
		for i := range p.Blocks() {
			s.PackBlock(packed, p, i, x[:800*cols], cols, 1)
		}
		s.Gemm(200, x, 800, 1, p, packed, y, cols, false)
		largeHalf(s, Halves(x)[:size], Halves(y)[:size], z, u, cols)
	}
	ring := &Ring{Rows: 40, Row: 130 * LineChannels}
	mem := make([]float32, ring.Rows*ring.Row+Tail)
	for _, norm := range []*Norm{nil, {Scale: z[:16], Shift: u[:16]}} {
		s.FillLines(mem[LineChannels:], ring, &Fill{X: x, Count: 38, Pixels: 128, Step: 64, Row: 64 * 128, Norm: norm, Act: Swish}, 0)
	}
	for _, k := range []int{3, 5} {
		s.DepthwiseLines(mem, ring, &Conv{Kernel: k, Stride: 1, Top: k / 2, Height: 38, W: z, Count: 36, Y: y, Pixels: 126, Step: 16, Row: 16 * 126, Channels: 16})
	}
	s.Gather(y, 27, x, 6, n/32, 27)
	s.Peak(make([]float32, PeakValues), 1_000_000)
	s.PeakPairs(make([]float32, PeakValues), 1_000_000)
	s.Add(y, x, z)
	s.ScaleAdd(y, x, z, 2)
	s.Scale(y, x, 2)
	s.Average(y, x, .5)
	s.Exp(y, x, 4)
	s.RMSProp(y, x, z, u, &RMSPropRule{})
	s.SGD(y, x, z, &SGDRule{})
	s.Adam(y, x, z, u, &AdamRule{})
}

// largeHalf is large for maps of bfloat16.
func largeHalf(s *Set, x, y []BF16, z, u []float32, cols int) {
	c := func() []float32 { return make([]float32, 5*cols+Tail) }
	norm := &Norm{Scale: c(), Shift: c(), Mean: c()}
	s.Narrow(y, z)
	s.Widen(z, y)
	s.AddHalf(y, x, y)
	s.ScaleAddHalf(y, x, y, 2)
	s.ScaleHalf(y, x, 2)
	s.MulAddColumnsHalf(z, x, c(), c(), cols)
	for _, act := range acts {
		s.NormActHalf(y, x, norm, act, c(), cols)
		s.NormActSumHalf(c(), x, norm, act, cols)
		s.NormActGradSumsHalf(c(), c(), x, y, norm, act, cols)
		s.NormActGradInputHalf(y, x, y, norm, c(), c(), act, cols)
		s.NormActGradInputFrom(z, x, u, norm, c(), c(), act, cols)
		s.NormActSlopeHalf(z, u, x, norm, act, cols)
		s.BiasActHalf(c(), y, cols, z, c(), act, cols)
	}
	s.SlopeSumsHalf(c(), c(), x, z, u, c(), cols)
	s.GateGradHalf(y, z, c(), x, x, u, c(), c(), cols)
	s.ZipRows(z, cols, x, cols, len(x)/cols, cols)
	p := s.NewPairPacking(3840, cols)
	packed := make([]float32, p.Size()+Tail)
	s.GemmHalf(100, z, 1920, 1, p, packed, y, cols, &Store{})
	s.GemmTo(100, z, 1920, 1, p, packed, u, cols, &Store{})
	ring := &Ring{Rows: 40, Row: 130 * LineChannels}
	mem := make([]float32, ring.Rows*ring.Row+Tail)
	for _, norm := range []*Norm{nil, {Scale: c(), Shift: c()}} {
		s.FillLines(mem[LineChannels:], ring, &Fill{Half: x, Count: 38, Pixels: 128, Step: 64, Row: 64 * 128, Norm: norm, Act: Swish}, 0)
	}
	for _, k := range []int{3, 5} {
		s.DepthwiseLines(mem, ring, &Conv{Kernel: k, Stride: 1, Top: k / 2, Height: 38, W: z, Count: 36, Half: y, Pixels: 126, Step: 16, Row: 16 * 126, Channels: 16})
	}
}

// The runtime cannot stop a goroutine in assembly, so no call does more than a bounded
// work, whatever the operands' size.
func TestCallsAreBounded(t *testing.T) {
	each(t, func(t *testing.T, s *Set) {
		most, calls := map[string]int{}, 0
		large(watched(t, s, func(name string, work int, _ time.Duration) {
			most[name] = max(most[name], work)
			calls++
		}))
		for name, n := range most {
			limit := 2 * callProducts
			if name == "dot" || name == "pairs" {
				limit *= 6 // a sum stays in registers: of 3840 values, as many as the largest network's
			}
			if n > limit {
				t.Errorf("a call of %s does the work of %d multiply-adds, more than %d", name, n, limit)
			}
		}
		if calls == 0 {
			t.Error("no call of assembly")
		}
	})
}

// BenchmarkLongestCall gives the longest that the runtime may wait for a goroutine in
// each set's kernels.
func BenchmarkLongestCall(b *testing.B) {
	for _, s := range Available() {
		if s.c == nil {
			continue
		}
		b.Run(s.Name, func(b *testing.B) {
			var longest time.Duration
			name := ""
			best := map[string]time.Duration{} // of each kernel's largest calls, the quickest: others have the processor too
			for b.Loop() {
				worst := map[string]time.Duration{}
				large(watched(b, s, func(name string, _ int, took time.Duration) { worst[name] = max(worst[name], took) }))
				for name, took := range worst {
					if old, ok := best[name]; !ok || took < old {
						best[name] = took
					}
				}
			}
			for n, took := range best {
				if took > longest {
					longest, name = took, n
				}
			}
			b.ReportMetric(longest.Seconds()*1e6, fmt.Sprintf("us:%s", name))
		})
	}
}
