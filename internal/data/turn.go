package data

import "effnet/internal/augment"

// swapsSides reports whether turning by an EXIF orientation makes rows columns.
func swapsSides(orientation int) bool { return orientation >= 5 }

// turn sets dst to src turned upright: orientation says, as EXIF does, where the
// first row and the first column of src belong (EXIF 2.32, table 6).
func turn(dst, src *augment.Image, orientation int) {
	w, h := src.W, src.H
	if swapsSides(orientation) {
		w, h = h, w
	}
	dst.Reset(w, h)
	right, down := 3, 3*src.W // steps in src for one in dst
	if swapsSides(orientation) {
		right, down = down, right
	}
	fromRight := orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7
	fromBelow := orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8
	start := 0
	if fromRight {
		start += (w - 1) * right
		right = -right
	}
	if fromBelow {
		start += (h - 1) * down
		down = -down
	}
	q := dst.Pix
	for range h {
		p := start
		for range w {
			q[0], q[1], q[2] = src.Pix[p], src.Pix[p+1], src.Pix[p+2]
			q, p = q[3:], p+right
		}
		start += down
	}
}
