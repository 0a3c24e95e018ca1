package cpu

import "effnet/internal/backend"

// maxPool makes every row of an output map a task.
func (b *Backend) maxPool(s backend.MaxPool, v [][]float32) backend.Launch {
	x, y := v[0], v[1]
	return b.images(s.N*s.OutH, func(row int) {
		image := x[row/s.OutH*s.H*s.W*s.In:][:s.H*s.W*s.In]
		for ow := range s.OutW {
			out := y[(row*s.OutW+ow)*s.In:][:s.In]
			w := windowOf(s, row%s.OutH, ow)
			copy(out, image[(w.top*s.W+w.left)*s.In:])
			for h := w.top; h < w.bottom; h++ {
				for at := h*s.W + w.left; at < h*s.W+w.right; at++ {
					for c, v := range image[at*s.In:][:s.In] {
						if v > out[c] || v != v {
							out[c] = v
						}
					}
				}
			}
		}
	})
}

// maxPoolGrad makes every image a task, as windows overlap.
func (b *Backend) maxPoolGrad(s backend.MaxPoolGrad, v [][]float32) backend.Launch {
	return b.images(s.N, func(n int) {
		in, out := s.H*s.W*s.In, s.OutH*s.OutW*s.In
		x, dy, dx := v[0][n*in:][:in], v[1][n*out:][:out], v[2][n*in:][:in]
		clear(dx)
		for oh := range s.OutH {
			for ow := range s.OutW {
				w := windowOf(s.MaxPool, oh, ow)
				for c, d := range dy[(oh*s.OutW+ow)*s.In:][:s.In] {
					dx[w.largest(x, s.W, s.In, c)] += d
				}
			}
		}
	})
}

// window is what an output pixel of a MaxPool sees: rows top up to bottom and
// columns left up to right of the image.
type window struct{ top, bottom, left, right int }

func windowOf(s backend.MaxPool, oh, ow int) window {
	top, left := oh*s.Stride-s.Top, ow*s.Stride-s.Left
	return window{max(top, 0), min(top+s.Kernel, s.H), max(left, 0), min(left+s.Kernel, s.W)}
}

// largest is where in an image [..,width,channels] the first of the largest values
// of a channel is.
func (w window) largest(x []float32, width, channels, c int) int {
	at := (w.top*width+w.left)*channels + c
	for h := w.top; h < w.bottom; h++ {
		for i := (h*width+w.left)*channels + c; i < (h*width+w.right)*channels; i += channels {
			if v := x[i]; v > x[at] || v != v && x[at] == x[at] {
				at = i
			}
		}
	}
	return at
}
