package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A whole convolution of a map by lines is its definition, in rings of any size, however
// many rows a call does.
func TestLines(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	each(t, func(t *testing.T, s *Set) {
		for _, k := range []int{3, 5} {
			for _, stride := range []int{1, 2} {
				for _, size := range []int{1, 2, 5, 7, 9, 14, 17, 28, 30} {
					for _, channels := range []int{8, 16, 21, 40} {
						testLines(t, s, r, k, stride, size, size+r.IntN(3), channels, acts[r.IntN(len(acts))], r.IntN(2) == 0)
					}
				}
			}
		}
	})
}

func testLines(t *testing.T, s *Set, r *rand.Rand, k, stride, height, width, channels int, act Act, norm bool) {
	name := fmt.Sprint(s.Name, " ", k, stride, height, width, channels, act, norm)
	outH, outW := (height+stride-1)/stride, (width+stride-1)/stride
	pad := k / 2
	_, x := guarded(r, height*width*channels)
	_, w := guarded(r, k*k*channels)
	n := &Norm{}
	for _, v := range []*[]float32{&n.Scale, &n.Shift, &n.Mean} {
		_, *v = guarded(r, channels)
	}
	if !norm {
		n = nil
	}
	out, _ := guarded(r, outH*outW*channels)
	got, gp := clone(out, outH*outW*channels)
	want, wp := clone(out, outH*outW*channels)
	stats, _ := guarded(r, 3*channels)
	gotStats, gs := clone(stats, 3*channels)
	wantStats, ws := clone(stats, 3*channels)
	rows := 1 + r.IntN(outH) // of each call
	ring := &Ring{Rows: (rows-1)*stride + k, Row: ((outW-1)*stride + k + 2) * LineChannels}
	for c := 0; c < channels; c += LineChannels {
		lines := make([]float32, k*k*LineChannels)
		for i := range k * k {
			copy(lines[i*LineChannels:][:LineChannels], w[i*channels+c:min((i+1)*channels, len(w))])
		}
		for _, do := range []struct {
			set         *Set
			y, stats    []float32
			fill, lines func([]float32, *Ring, *Fill, *Conv)
		}{
			{s, gp, gs, func(m []float32, g *Ring, f *Fill, _ *Conv) { s.FillLines(m, g, f, 0) }, func(m []float32, g *Ring, _ *Fill, v *Conv) { s.DepthwiseLines(m, g, v) }},
			{nil, wp, ws, func(m []float32, g *Ring, f *Fill, _ *Conv) { fillLinesGeneric(m, g, f) }, func(m []float32, g *Ring, _ *Fill, v *Conv) { depthwiseLinesGeneric(m, g, v) }},
		} {
			mem := make([]float32, ring.Rows*ring.Row+LineChannels)
			filled := 0
			for o := 0; o < outH; o += rows {
				count := min(rows, outH-o)
				last := min((o+count-1)*stride-pad+k-1, height-1)
				if fresh := last + 1 - filled; fresh > 0 {
					do.fill(mem[pad*LineChannels:], ring, &Fill{X: x[filled*width*channels+c:], First: filled, Count: fresh, Pixels: width, Step: channels, Row: width * channels, Norm: n, Act: act, Channel: c}, nil)
					filled = last + 1
				}
				do.lines(mem, ring, nil, &Conv{Kernel: k, Stride: stride, Top: pad, Height: height, W: lines, First: o, Count: count, Y: do.y[o*outW*channels+c:],
					Pixels: outW, Step: channels, Row: outW * channels, Channels: channels - c, Stats: do.stats[c:], SumsAt: channels})
			}
		}
	}
	same(t, name, got, want, outH*outW*channels, 1e-4)
	same(t, name+" sums", gotStats, wantStats, 3*channels, 1e-3*float64(outH*outW))
}

// Past the caches go the same bits.
func TestStreamedLines(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	each(t, func(t *testing.T, s *Set) {
		const pixels, rows = 30, 4
		ring := &Ring{Rows: rows + 2, Row: (pixels + 2) * LineChannels}
		_, mem := guarded(r, ring.Rows*ring.Row)
		_, w := guarded(r, 9*LineChannels)
		whole, y := aligned(r, rows*pixels*32)
		before := slices.Clone(whole)
		conv := Conv{Kernel: 3, Stride: 1, Top: 1, Height: rows, W: w, Count: rows, Y: y, Pixels: pixels, Step: 32, Row: 32 * pixels, Channels: 16}
		s.DepthwiseLines(mem, ring, &conv)
		stored := slices.Clone(whole)
		copy(whole, before)
		conv.Stream = true
		s.DepthwiseLines(mem, ring, &conv)
		if !slices.Equal(whole, stored) {
			t.Error("other values")
		}
	})
}
