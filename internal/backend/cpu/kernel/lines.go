package kernel

import "unsafe"

// LineChannels is how many channels of a pixel a line holds: the values of a cache line.
const LineChannels = line

// Ring is how rows of lines lie in a ring: row r begins at r modulo Rows times Row values,
// which a line's pixels follow one another in.
type Ring struct{ Rows, Row int }

// Fill is what FillLines reads: Count rows from row First on of a map's channels, of which
// those of a line count, if there are as many. X begins at the first of them; its pixels
// are Step values apart and its rows Row.
type Fill struct {
	X            []float32
	Half         []BF16 // in place of X, of a map of bfloat16
	First, Count int
	Pixels       int
	Step, Row    int
	Norm         *Norm // of all channels; nil to copy
	Act          Act
	Channel      int // the line's first
}

// HasLines is whether there are kernels for lines with filters of k taps a row at a
// stride.
func (s *Set) HasLines(k, stride int) bool { return s.linesFor(k, stride) != nil }

// FillLines is fillLinesGeneric. What lies a number of values ahead of X is fetched
// meanwhile.
func (s *Set) FillLines(ring []float32, to *Ring, f *Fill, ahead int) {
	if s.c == nil {
		fillLinesGeneric(ring, to, f)
		return
	}
	if f.Count == 0 || f.Pixels == 0 {
		return
	}
	last := (f.Count-1)*f.Row + (f.Pixels-1)*f.Step
	_ = ring[(to.Rows-1)*to.Row+f.Pixels*line-1]
	most := callRows(f.Pixels*line) / (f.Pixels * line)
	copied, normed := s.c.copyLines, &s.c.normLines
	if f.Half != nil {
		_ = f.Half[last]
		copied, normed = s.c.copyLinesHalf, &s.c.normLinesHalf
	} else {
		_ = f.X[last]
	}
	for r := 0; r < f.Count; r += most {
		first, rows := f.First+r, min(most, f.Count-r)
		var x unsafe.Pointer
		if f.Half != nil {
			x = hp(f.Half[r*f.Row:])
		} else {
			x = p(f.X[r*f.Row:])
		}
		if f.Norm == nil {
			copied(p(ring), unsafe.Pointer(to), x, first, rows, f.Pixels, f.Step, f.Row, ahead)
			continue
		}
		normed[f.Act](p(ring), unsafe.Pointer(to), x, p(f.Norm.Scale[f.Channel:]), p(f.Norm.Shift[f.Channel:]),
			first, rows, f.Pixels, f.Step, f.Row, ahead)
	}
}

// fillLinesGeneric puts rows of a map into a ring, normalised and activated:
//
//	ring[(First+r)%to.Rows*to.Row + p*16 + c] = act(X[r*Row+p*Step+c]*scale[Channel+c] + shift[Channel+c])
//
// for r in 0..Count, p in 0..Pixels, c in 0..16. Where the map has fewer channels than a
// line, the rest of the line is anything.
func fillLinesGeneric(ring []float32, to *Ring, f *Fill) {
	if f.Half != nil {
		wide := *f
		wide.X, wide.Half = widened(f.Half), nil
		f = &wide
	}
	for r := range f.Count {
		for p := range f.Pixels {
			for c := range line {
				at := r*f.Row + p*f.Step + c
				if at >= len(f.X) {
					break
				}
				v := f.X[at]
				if n := f.Norm; n != nil && f.Channel+c < len(n.Scale) {
					v = activate(f.Act, v*n.Scale[f.Channel+c]+n.Shift[f.Channel+c])
				}
				ring[(f.First+r)%to.Rows*to.Row+p*line+c] = v
			}
		}
	}
}

// Conv is what DepthwiseLines computes: Count rows from row First on of a depthwise
// convolution of Kernel x Kernel taps, for a line's channels. W holds the taps' lines. An
// output row o meets the input rows o*Stride-Top and following, of which 0..Height are
// there. Y begins at the first row's first channel; its pixels are Step values apart and
// its rows Row, and Channels of the line are stored.
type Conv struct {
	Kernel, Stride, Top, Height int
	W                           []float32
	First, Count                int
	Y                           []float32
	Half                        []BF16 // in place of Y, of a map of bfloat16
	Pixels                      int
	Step, Row                   int
	Channels                    int
	Stream                      bool // past the caches: Y begins on a cache line, and Step is of whole ones

	// Stats, unless nil, is the channels' pivots; SumsAt values on come the sums of their
	// differences from them, and as far again the sums of the differences' squares, to
	// which Y's are added.
	Stats  []float32
	SumsAt int
}

// DepthwiseLines is depthwiseLinesGeneric.
func (s *Set) DepthwiseLines(ring []float32, from *Ring, v *Conv) {
	if v.Count == 0 || v.Pixels == 0 {
		return
	}
	last := (v.Count-1)*v.Row + (v.Pixels-1)*v.Step + v.Channels - 1
	if v.Half != nil {
		_ = v.Half[last]
	} else {
		_ = v.Y[last]
	}
	_ = v.W[v.Kernel*v.Kernel*line-1]
	if v.Stats != nil {
		_ = v.Stats[2*v.SumsAt+min(v.Channels, line)-1]
	}
	run := s.linesFor(v.Kernel, v.Stride)
	if run == nil {
		depthwiseLinesGeneric(ring, from, v)
		return
	}
	y, size := p(v.Y), 4
	if v.Half != nil {
		y, size, run = hp(v.Half), 2, s.halfLinesFor(v.Kernel, v.Stride)
	}
	stream := 0
	if v.Stream && v.Channels >= line && v.Step%line == 0 && uintptr(y)%uintptr(size*line) == 0 {
		stream = 1
	}
	most := max(1, callProducts/(v.Pixels*line*v.Kernel*v.Kernel))
	for r := 0; r < v.Count; r += most {
		run(unsafe.Add(y, size*r*v.Row), p(ring), unsafe.Pointer(from), p(v.W), v.First+r, min(most, v.Count-r), v.Top, v.Height, v.Pixels,
			v.Step, v.Row, min(v.Channels, line), stream, p(v.Stats), v.SumsAt, nil, 0, 0, 0)
	}
}

// linesFor is the kernel for filters of k taps a row at a stride; nil if there is none.
func (s *Set) linesFor(k, stride int) linesFunc {
	if s.c == nil {
		return nil
	}
	return ofFilter(k, stride, s.c.lines3x1, s.c.lines3x2, s.c.lines5x1, s.c.lines5x2)
}

// halfLinesFor is linesFor for results of bfloat16.
func (s *Set) halfLinesFor(k, stride int) linesFunc {
	return ofFilter(k, stride, s.c.lines3x1Half, s.c.lines3x2Half, s.c.lines5x1Half, s.c.lines5x2Half)
}

func ofFilter(k, stride int, f3x1, f3x2, f5x1, f5x2 linesFunc) linesFunc {
	switch [2]int{k, stride} {
	case [2]int{3, 1}:
		return f3x1
	case [2]int{3, 2}:
		return f3x2
	case [2]int{5, 1}:
		return f5x1
	case [2]int{5, 2}:
		return f5x2
	}
	return nil
}

// depthwiseLinesGeneric is, for o in First..First+Count, p in 0..Pixels, c in 0..Channels:
//
//	Y[(o-First)*Row+p*Step+c] = sum over kh, kw of row(o*Stride-Top+kh)[(p*Stride+kw)*16+c] * W[(kh*Kernel+kw)*16+c]
//
// where row(r) is the ring's, for the r of 0..Height.
func depthwiseLinesGeneric(ring []float32, from *Ring, v *Conv) {
	if v.Half != nil {
		wide := *v
		wide.Half = nil
		throughFloats(v.Half, func(y []float32) {
			wide.Y = y
			depthwiseLinesGeneric(ring, from, &wide)
		})
		return
	}
	for o := v.First; o < v.First+v.Count; o++ {
		for p := range v.Pixels {
			y := v.Y[(o-v.First)*v.Row+p*v.Step:]
			for c := range min(v.Channels, line) {
				var sum float32
				for kh := range v.Kernel {
					r := o*v.Stride - v.Top + kh
					if r < 0 || r >= v.Height {
						continue
					}
					x := ring[r%from.Rows*from.Row+p*v.Stride*line+c:]
					for kw := range v.Kernel {
						sum += x[kw*line] * v.W[(kh*v.Kernel+kw)*line+c]
					}
				}
				y[c] = sum
				if v.Stats != nil {
					d := sum - v.Stats[c]
					v.Stats[v.SumsAt+c] += d
					v.Stats[2*v.SumsAt+c] += d * d
				}
			}
		}
	}
}
