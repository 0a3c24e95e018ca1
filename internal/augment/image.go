// Package augment turns decoded photographs into network input: it crops,
// resizes, flips and normalises them. For training it also changes them more, by
// AutoAugment or RandAugment before they are normalised, by random erasing after,
// and by mixup or CutMix in batches.
//
// The arithmetic is Pillow's and the geometry that of the reference code each
// recipe comes from, so that weights trained elsewhere see the pixels they were
// trained on. Whatever is random takes its generator as an argument.
package augment

import "slices"

// An Image is packed 8-bit RGB: Pix is [H, W, 3], row-major, no padding.
type Image struct {
	W, H int
	Pix  []uint8
}

// Reset makes m a w x h image of unspecified content, reusing its memory when
// it is large enough.
func (m *Image) Reset(w, h int) {
	m.W, m.H = w, h
	m.Pix = grow(m.Pix, 3*w*h)
}

// FlipHorizontal mirrors m left to right, in place.
func FlipHorizontal(m *Image) {
	for row := range slices.Chunk(m.Pix, max(3*m.W, 1)) {
		for l, r := 0, len(row)-3; l < r; l, r = l+3, r-3 {
			row[l], row[r] = row[r], row[l]
			row[l+1], row[r+1] = row[r+1], row[l+1]
			row[l+2], row[r+2] = row[r+2], row[l+2]
		}
	}
}

// grow returns s with length n and unspecified content, reusing its memory
// when it is large enough.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
