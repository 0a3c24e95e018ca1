package augment

// The operations of this file replace each value by one that depends on the
// value and on its channel's histogram. They are Pillow's ImageOps of the same
// name, and solarizeAdd the reference code's (tensorflow/tpu,
// models/official/efficientnet/autoaugment.py).

// A lookup is the new value of each value.
type lookup [256]uint8

// makeLookup returns f as a lookup.
func makeLookup(f func(v int) int) (t lookup) {
	for v := range t {
		t[v] = uint8(f(v))
	}
	return t
}

// apply replaces the values of all channels.
func (t *lookup) apply(m *Image) {
	for i, v := range m.Pix {
		m.Pix[i] = t[v]
	}
}

// applyEach replaces the values of each channel by its own lookup.
func applyEach(m *Image, t *[3]lookup) {
	r, g, b := &t[0], &t[1], &t[2]
	for p := m.Pix; len(p) >= 3; p = p[3:] {
		p[0], p[1], p[2] = r[p[0]], g[p[1]], b[p[2]]
	}
}

func invert(m *Image) {
	for i, v := range m.Pix {
		m.Pix[i] = 255 - v
	}
}

// solarize inverts the values from threshold on.
func solarize(m *Image, threshold int) {
	t := makeLookup(func(v int) int {
		if v < threshold {
			return v
		}
		return 255 - v
	})
	t.apply(m)
}

// solarizeAdd adds to the values below 128.
func solarizeAdd(m *Image, add int) {
	t := makeLookup(func(v int) int {
		if v < 128 {
			return min(max(v+add, 0), 255)
		}
		return v
	})
	t.apply(m)
}

// posterize keeps the upper bits of each value, at least 1 and at most all 8.
// Pillow refuses other numbers. With none the reference code keeps one, because
// TensorFlow's shifts of 8-bit values end at 7.
func posterize(m *Image, bits int) {
	mask := uint8(0xff << (8 - min(max(bits, 1), 8)))
	for i, v := range m.Pix {
		m.Pix[i] = v & mask
	}
}

// autoContrast stretches each channel to 0..255.
func autoContrast(m *Image) {
	counts := histograms(m)
	var t [3]lookup
	for c := range t {
		t[c] = stretch(&counts[c])
	}
	applyEach(m, &t)
}

// stretch maps the smallest value counted to 0 and the largest to 255, and
// changes nothing where there is only one.
func stretch(counts *[256]int) lookup {
	lo, hi := 0, 255
	for lo < 255 && counts[lo] == 0 {
		lo++
	}
	for hi > 0 && counts[hi] == 0 {
		hi--
	}
	if hi <= lo {
		return makeLookup(func(v int) int { return v })
	}
	scale := 255 / float64(hi-lo)
	offset := float64(float64(-lo) * scale)
	return makeLookup(func(v int) int {
		return min(max(int(float64(float64(v)*scale)+offset), 0), 255)
	})
}

// equalize makes each channel's histogram as flat as a lookup can.
func equalize(m *Image) {
	counts := histograms(m)
	var t [3]lookup
	for c := range t {
		t[c] = flatten(&counts[c])
	}
	applyEach(m, &t)
}

// flatten maps a value to the number of values below it, in steps of a 255th of
// all but the largest's. It changes nothing where that is no whole value.
func flatten(counts *[256]int) lookup {
	total, last := 0, 0
	for _, n := range counts {
		total += n
		if n != 0 {
			last = n
		}
	}
	step := (total - last) / 255
	if step == 0 {
		return makeLookup(func(v int) int { return v })
	}
	below := step / 2
	return makeLookup(func(v int) int {
		level := min(below/step, 255)
		below += counts[v]
		return level
	})
}

// histograms counts each channel's values.
func histograms(m *Image) (counts [3][256]int) {
	r, g, b := &counts[0], &counts[1], &counts[2]
	for p := m.Pix; len(p) >= 3; p = p[3:] {
		r[p[0]]++
		g[p[1]]++
		b[p[2]]++
	}
	return counts
}
