package model

import (
	"math"
	"math/rand/v2"

	"effnet/internal/scale"
)

// Kind says what a parameter is: how it lies in memory, how it is initialised
// and whether weight decay shrinks it.
type Kind uint8

// The kinds, with our layout and PyTorch's.
const (
	Conv      Kind = iota // [K,K,In,Out]; [Out,In,K,K]
	Depthwise             // [K,K,C]; [C,1,K,K]
	Pointwise             // [In,Out], a 1x1 convolution of one pixel; [Out,In,1,1]
	Linear                // [In,Out]; [Out,In]
	Bias                  // [C] in both, as all below
	Scale                 // batch normalisation's gamma
	Shift                 // batch normalisation's beta
)

// Param is one trainable tensor.
type Param struct {
	Name   string // timm's
	Layer  scale.Layer
	Kind   Kind
	Shape  []int // ours, see Kind
	Offset int   // in the flat buffer of all parameters
}

// Len is the number of values.
func (p Param) Len() int { return product(p.Shape) }

// Decayed says whether L2 regularisation applies: to all but batch
// normalisation, as in the reference (tensorflow/tpu main.py).
func (p Param) Decayed() bool { return p.Kind != Scale && p.Kind != Shift }

// Norm is one batch normalisation's running statistics.
type Norm struct {
	Name   string // timm's prefix
	C      int
	Rows   int // values a channel in a batch
	Offset int // in the flat buffer of running statistics: [2,C], means first
}

// line is what a parameter's offset is a multiple of: 64 bytes, on which all devices
// read fastest. What lies between stays zero.
const line = 16

// layout places parameters in one flat buffer, the decayed ones first, and
// returns its size and how much of it decays. A normalisation's shift and scale are
// neighbours, in this order and with nothing between them: so their gradients are where
// backend.NormActGradSums has them.
func layout(params []Param) (total, decayed int) {
	for _, want := range []bool{true, false} {
		for i := 0; i < len(params); i++ {
			if params[i].Decayed() != want {
				continue
			}
			params[i].Offset = total
			total += params[i].Len()
			if i+1 < len(params) && shifts(params[i], params[i+1]) {
				params[i].Offset, params[i+1].Offset = total, params[i].Offset
				total += params[i].Len()
				i++
			}
			total = (total + line - 1) / line * line
		}
		if want {
			decayed = total
		}
	}
	return total, decayed
}

// shifts says whether two parameters are the scale and the shift of a normalisation.
func shifts(scale, shift Param) bool {
	return scale.Kind == Scale && shift.Kind == Shift && scale.Layer.Name == shift.Layer.Name && scale.Len() == shift.Len()
}

// Layout is the number of layout's rules, by which states of runs say how their buffers are
// laid out. By those before, 0, every parameter began on a line.
const Layout = 1

// Relaid are values that are laid out as Weights were by the rules before Layout, as they
// are now; nil where there are more or fewer.
func (n *Network) Relaid(values []float32) []float32 {
	now, from := make([]float32, n.Weights.Len), 0
	for _, decayed := range []bool{true, false} {
		for _, p := range n.Params {
			if p.Decayed() != decayed {
				continue
			}
			if from+p.Len() > len(values) {
				return nil
			}
			copy(now[p.Offset:], values[from:from+p.Len()])
			from += (p.Len() + line - 1) / line * line
		}
	}
	if from != len(values) {
		return nil
	}
	return now
}

// TorchShape is the parameter's shape in a PyTorch state_dict.
func (p Param) TorchShape() []int {
	s := p.Shape
	switch p.Kind {
	case Conv:
		return []int{s[3], s[2], s[0], s[1]}
	case Depthwise:
		return []int{s[2], 1, s[0], s[1]}
	case Pointwise:
		return []int{s[1], s[0], 1, 1}
	case Linear:
		return []int{s[1], s[0]}
	default:
		return s
	}
}

// toTorch writes src, in our layout, in PyTorch's.
func (p Param) toTorch(dst, src []float32) {
	if p.Kind == Conv {
		area, in, out := p.Shape[0]*p.Shape[1], p.Shape[2], p.Shape[3]
		for k := range area {
			for i := range in {
				for o := range out {
					dst[(o*in+i)*area+k] = src[(k*in+i)*out+o]
				}
			}
		}
		return
	}
	rows, cols := p.matrix()
	transpose(dst, src, rows, cols)
}

// fromTorch undoes toTorch.
func (p Param) fromTorch(dst, src []float32) {
	if p.Kind == Conv {
		area, in, out := p.Shape[0]*p.Shape[1], p.Shape[2], p.Shape[3]
		for k := range area {
			for i := range in {
				for o := range out {
					dst[(k*in+i)*out+o] = src[(o*in+i)*area+k]
				}
			}
		}
		return
	}
	rows, cols := p.matrix()
	transpose(dst, src, cols, rows)
}

// matrix is all but a dense kernel as [rows,cols], which PyTorch transposes.
func (p Param) matrix() (rows, cols int) {
	cols = p.Shape[len(p.Shape)-1]
	return p.Len() / cols, cols
}

// transpose writes src [rows,cols] as [cols,rows].
func transpose(dst, src []float32, rows, cols int) {
	for r := range rows {
		for c := range cols {
			dst[c*rows+r] = src[r*cols+c]
		}
	}
}

// initialise fills a parameter as the reference does (tensorflow/tpu
// efficientnet_model.py): convolutions normal with variance 2/fan-out, where a
// depthwise filter's fan-out is its area; the classifier uniform within
// 1/sqrt(classes); biases 0, gamma 1, beta 0.
func (p Param) initialise(w []float32, r *rand.Rand) {
	switch p.Kind {
	case Conv, Depthwise, Pointwise:
		fanOut := 1
		switch p.Kind {
		case Conv:
			fanOut = p.Shape[0] * p.Shape[1] * p.Shape[3]
		case Depthwise:
			fanOut = p.Shape[0] * p.Shape[1]
		case Pointwise:
			fanOut = p.Shape[1]
		}
		std := math.Sqrt(2 / float64(fanOut))
		for i := range w {
			w[i] = float32(r.NormFloat64() * std)
		}
	case Linear:
		limit := 1 / math.Sqrt(float64(p.Shape[1]))
		for i := range w {
			w[i] = float32((2*r.Float64() - 1) * limit)
		}
	case Scale:
		for i := range w {
			w[i] = 1
		}
	default:
		clear(w)
	}
}

func product(s []int) int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}
