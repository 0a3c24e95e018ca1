package cpu

import "effnet/internal/backend"

// pixels does image n of a Pixels.
func pixels(s backend.Pixels, v [][]float32, n int) {
	size, mix := s.Side*s.Side*3, v[2]
	y, count := v[3][n*size:][:size], int(mix[0])
	if n >= count {
		clear(y)
		return
	}
	all := backend.Bytes(v[0])
	own, other := all[n*size:][:size], all[(count-1-n)*size:][:size]
	table := [3]*[256]float32{(*[256]float32)(v[1]), (*[256]float32)(v[1][256:]), (*[256]float32)(v[1][512:])}
	if mix[2] == 0 {
		for i := 0; i < size; i += 3 {
			y[i], y[i+1], y[i+2] = table[0][own[i]], table[1][own[i+1]], table[2][own[i+2]]
		}
	} else {
		for i := range y {
			t := table[i%3]
			y[i] = float32(mix[1]*t[own[i]]) + float32(mix[2]*t[other[i]])
		}
	}
	left, right := int(mix[3]), int(mix[5])
	for row := int(mix[4]); row < int(mix[6]); row++ {
		for i := 3 * (row*s.Side + left); i < 3*(row*s.Side+right); i++ {
			y[i] = table[i%3][other[i]]
		}
	}
}
