package tiff

import (
	"math"
	"sync"
)

// labGrid is the number of values of L*, a* and b* in the table of colours.
const labGrid = 33

// labColours has sRGB of 16 bits at evenly spaced values of L*, a* and b*. Pillow
// converts with LittleCMS, which makes such a table from its two profiles and
// interpolates in it (cmsopt.c, OptimizeByResampling).
var labColours = sync.OnceValue(func() *[labGrid][labGrid][labGrid][3]int32 {
	t := new([labGrid][labGrid][labGrid][3]int32)
	for i := range labGrid {
		for j := range labGrid {
			for k := range labGrid {
				for c, v := range labToRGB(grid16(i)*100/65535, grid16(j)/257-128, grid16(k)/257-128) {
					t[i][j][k][c] = int32(math.Floor(v*65535 + 0.5))
				}
			}
		}
	}
	return t
})

// grid16 returns value i of the grid in 65535ths.
func grid16(i int) float64 { return math.Floor(float64(i)*65535/(labGrid-1) + 0.5) }

// labToRGB converts CIE L*a*b* under D50 to sRGB, 0 to 1.
func labToRGB(l, a, b float64) (rgb [3]float64) {
	cube := func(t float64) float64 {
		if t <= 24.0/116 {
			return 108.0 / 841 * (t - 16.0/116)
		}
		return t * t * t
	}
	y := (l + 16) / 116
	xyz := [3]float64{cube(y+0.002*a) * 0.9642, cube(y), cube(y-0.005*b) * 0.8249}
	for c, row := range xyzToRGB {
		v := min(max(row[0]*xyz[0]+row[1]*xyz[1]+row[2]*xyz[2], 0), 1)
		if v <= 0.0031308 {
			rgb[c] = 12.92 * v
		} else {
			rgb[c] = 1.055*math.Pow(v, 1/2.4) - 0.055
		}
	}
	return rgb
}

// xyzToRGB is the inverse of the colorants, adapted to D50, of LittleCMS' profile.
var xyzToRGB = [3][3]float64{
	{3.134186364236820, -1.617208958998275, -0.490694064006384},
	{-0.978748504190694, 1.916130096773586, 0.033433399159996},
	{0.071963927802247, -0.228993873453203, 1.405753732896444},
}

// fromLab converts a pixel, a* and b* in two's complement, as LittleCMS interpolates:
// from the corner of a cell of the grid along its edges, first that of the largest
// part of a cell (cmsintrp.c, Eval3Inputs).
func fromLab(p []uint8) {
	table := labColours()
	var at, part [3]int32 // the cell, and where in it, in 65536ths
	for i, v := range [3]uint8{p[0], p[1] ^ 128, p[2] ^ 128} {
		fixed := int32(v) * 257 * (labGrid - 1)
		fixed += (fixed + 0x7fff) / 0xffff
		at[i], part[i] = fixed>>16, fixed&0xffff
	}
	first := table[at[0]][at[1]][at[2]]
	rest := [3]int32{0x8001, 0x8001, 0x8001}
	before := first
	for _, axis := range descending(part) {
		at[axis] = min(at[axis]+1, labGrid-1)
		corner := table[at[0]][at[1]][at[2]]
		for c := range rest {
			rest[c] += (corner[c] - before[c]) * part[axis]
		}
		before = corner
	}
	for c := range rest {
		v := first[c] + (rest[c]+rest[c]>>16)>>16
		p[c] = uint8((uint32(v)*65281 + 8388608) >> 24)
	}
}

// descending returns the axes from that of the largest part to that of the smallest.
func descending(part [3]int32) [3]int {
	order := [3]int{0, 1, 2}
	swap := func(i, j int) {
		if part[order[i]] < part[order[j]] {
			order[i], order[j] = order[j], order[i]
		}
	}
	swap(0, 1)
	swap(1, 2)
	swap(0, 1)
	return order
}
