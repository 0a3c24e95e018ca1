//go:build goexperiment.simd

package pixel

const laneCount = 16

// layRowAVX512 lays t out in groups, or, where the pixels of one are too far
// apart, for AVX2.
func layRowAVX512(t *Taps) {
	t.groups, t.taps, t.reach = t.groups[:0], 0, 0
	for _, n := range t.Count {
		t.taps = max(t.taps, n)
	}
	values := 3 * len(t.Start)
	t.weight = grow(t.weight, (values+laneCount-1)/laneCount*laneCount*t.taps)
	clear(t.weight)
	for first := 0; first < values; first += laneCount {
		g := laneGroup{base: 3 * t.Start[first/3]}
		w := t.weight[first*t.taps:]
		for l := range min(laneCount, values-first) {
			i := (first + l) / 3
			at := 3*t.Start[i] + (first+l)%3 - g.base
			if at < 0 || at >= len(g.order) {
				t.groups = t.groups[:0]
				layRowAVX2(t)
				return
			}
			g.order[4*l] = uint8(at)
			for j, k := range t.Weight[i*t.Stride:][:t.Count[i]] {
				w[j*laneCount+l] = k
			}
		}
		t.groups = append(t.groups, g)
		t.reach = max(t.reach, g.base+3*(t.taps-1)+len(g.order))
	}
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
