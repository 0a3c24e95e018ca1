package jpeg

import "image"

// Of a progressive file whose scans stop early, libjpeg estimates a block's first
// AC coefficients from the DC coefficients of the 5x5 blocks around it (jdcoefct.c,
// decompress_smooth_data, with the kernels of libjpeg-turbo 2.1 and later).

// estimated is how many coefficients are, in the order of the file, DC among them.
const estimated = 10

// A kernel weighs the DC coefficients of 5x5 blocks, row by row; their sum is in
// 256ths.
type kernel [25]int8

// sharpKernels are for blocks some of whose AC coefficients are known.
var sharpKernels = [estimated]kernel{
	1: {10: -7, 50, 0, -50, 7},
	2: {2: -7, 7: 50, 17: -50, 22: 7},
	3: {2: -1, 7: 13, 12: -24, 17: 13, 22: -1},
	4: {
		0, -1, 0, 1, 0,
		-1, 10, 0, -10, 1,
		0, 0, 0, 0, 0,
		1, -10, 0, 10, -1,
		0, 1, 0, -1, 0,
	},
	5: {10: -1, 13, -24, 13, -1},
}

// softKernels are for blocks of which only DC is known, and smooth that too.
var softKernels = [estimated]kernel{
	0: {
		-2, -6, -8, -6, -2,
		-6, 6, 42, 6, -6,
		-8, 42, 0, 42, -8, // and 152, which is no int8, in the middle
		-6, 6, 42, 6, -6,
		-2, -6, -8, -6, -2,
	},
	1: {
		-1, -1, 0, 1, 1,
		-3, 13, 0, -13, 3,
		-3, 38, 0, -38, 3,
		-3, 13, 0, -13, 3,
		-1, -1, 0, 1, 1,
	},
	2: {
		-1, -3, -3, -3, -1,
		-1, 13, 38, 13, -1,
		0, 0, 0, 0, 0,
		1, -13, -38, -13, 1,
		1, 3, 3, 3, 1,
	},
	3: {
		0, 0, 1, 0, 0,
		0, 2, 7, 2, 0,
		0, -5, -14, -5, 0,
		0, 2, 7, 2, 0,
		0, 0, 1, 0, 0,
	},
	4: {
		-1, 0, 0, 0, 1,
		0, 9, 0, -9, 0,
		0, 0, 0, 0, 0,
		0, -9, 0, 9, 0,
		1, 0, 0, 0, -1,
	},
	5: {
		0, 0, 0, 0, 0,
		0, 2, -5, 2, 0,
		1, 7, -14, 7, 1,
		0, 2, -5, 2, 0,
		0, 0, 0, 0, 0,
	},
	6: {6: 1, 8: -1, 11: 2, 13: -2, 16: 1, 18: -1},
	7: {6: 1, -3, 1, 16: -1, 3, -1},
	8: {6: 1, 8: -1, 11: -3, 13: 3, 16: 1, 18: -1},
	9: {6: 1, 2, 1, 16: -1, -2, -1},
}

// softMiddle is the weight of a block's own DC coefficient.
const softMiddle = 152

// smoothing says whether the scans of a progressive file left something to
// estimate, and enough to estimate it from.
func (d *Decoder) smoothing() bool {
	useful := false
	for i := range d.components {
		c := &d.components[i]
		if !d.progressive || c.missing[0] == allBits {
			return false
		}
		for k := range estimated {
			if c.table[k] == 0 {
				return false
			}
			useful = useful || k > 0 && c.missing[k] != 0
		}
	}
	return useful
}

// smooth estimates coefficients that are zero and not fully known, in row y of a
// component's MCUs, of the columns in m, and writes them to its blocks.
func (d *Decoder) smooth(c *component, y int, m image.Rectangle) {
	kernels, soft := &sharpKernels, true
	for k := 1; k < estimated; k++ {
		soft = soft && c.missing[k] == allBits
	}
	if soft {
		kernels = &softKernels
	}
	rows := c.v // that show
	if y == d.mcus.Y-1 && c.size.Y%c.v != 0 {
		rows = c.size.Y % c.v
	}
	across := m.Dx() * c.h
	for v := range rows {
		window := c.window(y*c.v+v, y*rows+v, d.mcus.Y*rows)
		for x := m.Min.X * c.h; x < min(m.Max.X*c.h, c.size.X); x++ {
			at := v*across + x - m.Min.X*c.h
			dst := (*[64]int16)(c.blocks[64*at:])
			own := (*[64]int16)(c.coefficients[64*(window[2]+x):])
			c.estimate(dst, own, c.around(&window, x), kernels, soft)
			c.flat[at] = false
		}
	}
}

// window returns where the five rows of blocks around row y begin: at the image's
// edges its rows repeat. As in libjpeg, number y's place among how many is counted
// by the rows of these MCUs that show.
func (c *component) window(y, number, many int) (begin [5]int) {
	rows := [5]int{y, y, y, y, y}
	if number > 0 {
		rows[0], rows[1] = y-1, y-1
	}
	if number > 1 {
		rows[0] = y - 2
	}
	if number < many-1 {
		rows[3], rows[4] = y+1, y+1
	}
	if number < many-2 {
		rows[4] = y + 2
	}
	for i, r := range rows {
		begin[i] = r * c.across
	}
	return begin
}

// around returns the DC coefficients of the 5x5 blocks around column x.
func (c *component) around(window *[5]int, x int) (dc [25]int64) {
	for i := range dc {
		column := min(max(x+i%5-2, 0), c.size.X-1)
		dc[i] = int64(c.coefficients[64*(window[i/5]+column)])
	}
	return dc
}

// estimate writes the estimates for a block, own, to dst, dequantised.
func (c *component) estimate(dst, own *[64]int16, dc [25]int64, kernels *[estimated]kernel, soft bool) {
	scale := int64(uint16(c.table[0]))
	for k := range estimated {
		at := order[k]
		if k == 0 && !soft || k > 0 && (c.missing[k] == 0 || own[at] != 0) || !soft && k > 5 {
			continue
		}
		sum := int64(0)
		for i, w := range kernels[k] {
			sum += int64(w) * dc[i]
		}
		if k == 0 {
			sum += softMiddle * dc[12]
		}
		limit := int64(-1)
		if k > 0 && c.missing[k] != allBits {
			limit = 1<<c.missing[k] - 1
		}
		v := roundedQuotient(sum*scale, int64(uint16(c.table[k])), limit)
		dst[at] = int16(v) * c.table[k]
	}
}

// roundedQuotient is sum/256/quant, rounded, from -limit to limit unless limit is
// negative.
func roundedQuotient(sum, quant, limit int64) int64 {
	v := (quant<<7 + max(sum, -sum)) / (quant << 8)
	if limit >= 0 {
		v = min(v, limit)
	}
	if sum < 0 {
		return -v
	}
	return v
}
