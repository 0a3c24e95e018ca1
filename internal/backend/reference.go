package backend

import (
	"fmt"
	"math"
)

// Reference computes a Spec by its definition: Basic.Reference, or what a fused Spec
// stands for. It is what every backend is tested against and what an op's Do runs.
func Reference(spec Spec, v [][]float32) error {
	if err := check(spec); err != nil {
		return err
	}
	for i, n := range Sizes(spec) {
		if len(v[i]) != n {
			return fmt.Errorf("backend: %T: operand %d has %d values, want %d", spec, i, len(v[i]), n)
		}
	}
	if s, ok := spec.(Fused); ok {
		temporary := func(_, size int) ([]float32, error) { return make([]float32, size), nil }
		return EachStep(s.Unfused(), v, temporary, Reference)
	}
	spec.(Basic).Reference(v)
	return nil
}

func (s Copy) Reference(v [][]float32) { copy(v[1], v[0]) }

func (s MatMul) Reference(v [][]float32) {
	a, b, c := v[0], v[1], v[len(v)-1]
	ars, acs, brs, bcs := s.K, 1, s.N, 1
	if s.TransA {
		ars, acs = 1, s.M
	}
	if s.TransB {
		brs, bcs = 1, s.K
	}
	for i := range s.M {
		for j := range s.N {
			var sum float64
			if s.Bias {
				sum = float64(v[2][j])
			}
			for k := range s.K {
				sum += float64(a[i*ars+k*acs]) * float64(b[k*brs+j*bcs])
			}
			c[i*s.N+j] = float32(sum)
		}
	}
}

func (s ColumnSum) Reference(v [][]float32) {
	for c := range s.Cols {
		var sum float64
		for r := range s.Rows {
			sum += float64(v[0][r*s.Cols+c])
		}
		v[1][c] = float32(sum)
	}
}

func (s Conv) Reference(v [][]float32) {
	s.eachDense(func(x, w, y int) { v[2][y] += v[0][x] * v[1][w] }, v[2])
}

func (s ConvGradInput) Reference(v [][]float32) {
	s.eachDense(func(x, w, y int) { v[2][x] += v[0][y] * v[1][w] }, v[2])
}

func (s ConvGradWeight) Reference(v [][]float32) {
	s.eachDense(func(x, w, y int) { v[2][w] += v[0][x] * v[1][y] }, v[2])
}

func (s Depthwise) Reference(v [][]float32) {
	s.eachDepthwise(func(x, w, y int) { v[2][y] += v[0][x] * v[1][w] }, v[2])
}

func (s DepthwiseGradInput) Reference(v [][]float32) {
	s.eachDepthwise(func(x, w, y int) { v[2][x] += v[0][y] * v[1][w] }, v[2])
}

func (s DepthwiseGradWeight) Reference(v [][]float32) {
	s.eachDepthwise(func(x, w, y int) { v[2][w] += v[0][x] * v[1][y] }, v[2])
}

func (s MaxPool) Reference(v [][]float32) {
	s.eachLargest(v[0], func(x, y int) { v[1][y] = v[0][x] })
}

func (s MaxPoolGrad) Reference(v [][]float32) {
	clear(v[2])
	s.eachLargest(v[0], func(x, y int) { v[2][x] += v[1][y] })
}

func (s BatchStats) Reference(v [][]float32) {
	x, stats := v[0], v[1]
	for c := range s.C {
		var mean, variance float64
		for r := range s.Rows {
			mean += float64(x[r*s.C+c]) / float64(s.Rows)
		}
		for r := range s.Rows {
			d := float64(x[r*s.C+c]) - mean
			variance += d * d / float64(s.Rows)
		}
		stats[c], stats[s.C+c] = float32(mean), float32(variance)
	}
}

func (s NormAct) Reference(v [][]float32) {
	for i, x := range v[0] {
		_, z := s.at(v, i, x)
		v[4][i] = float32(act(s.Act, z))
	}
}

func (s NormActGradSums) Reference(v [][]float32) {
	sums := make([]float64, 2*s.C)
	for i, x := range v[0] {
		xhat, z := s.at(v, i, x)
		dz := float64(v[4][i]) * actGrad(s.Act, z)
		sums[i%s.C] += dz
		sums[s.C+i%s.C] += dz * xhat
	}
	for i, sum := range sums {
		v[5][i] = float32(sum)
	}
}

func (s NormActGradInput) Reference(v [][]float32) {
	for i, x := range v[0] {
		c := i % s.C
		xhat, z := s.at(v, i, x)
		d := float64(v[4][i]) * actGrad(s.Act, z)
		if s.BatchStats {
			d -= (float64(v[5][c]) + xhat*float64(v[5][s.C+c])) / float64(s.Rows)
		}
		v[6][i] = float32(float64(v[2][c]) / s.std(v, c) * d)
	}
}

func (s GateGrads) Reference(v [][]float32) {
	norm := s.Norm.over(s.N*s.Area, s.C)
	parts := make([]float64, 5*s.N*s.C)
	for i, x := range v[0] {
		at := i/(s.Area*s.C)*s.C + i%s.C
		xhat, z := norm.at(v, i, x)
		da, slope := float64(v[4][i]), actGrad(s.Norm.Act, z)
		for k, part := range []float64{act(s.Norm.Act, z) * da, da * slope, slope, da * slope * xhat, slope * xhat} {
			parts[k*s.N*s.C+at] += part
		}
	}
	for i, p := range parts {
		v[5][i] = float32(p)
	}
}

func (s GatedGradSums) Reference(v [][]float32) {
	parts, gate, dpool, sums := v[0], v[1], v[2], v[3]
	clear(sums)
	size := s.N * s.C
	for i := range size {
		g, d := gate[i], dpool[i]/float32(s.Area)
		sums[i%s.C] += g*parts[size+i] + d*parts[2*size+i]
		sums[s.C+i%s.C] += g*parts[3*size+i] + d*parts[4*size+i]
	}
}

func (s Add) Reference(v [][]float32) {
	for i := range v[2] {
		v[2][i] = v[0][i] + v[1][i]
	}
}

func (s Activate) Reference(v [][]float32) {
	for i, x := range v[0] {
		v[1][i] = float32(act(s.Act, float64(x)))
	}
}

func (s ActivateGrad) Reference(v [][]float32) {
	for i, x := range v[0] {
		v[2][i] = float32(float64(v[1][i]) * actGrad(s.Act, float64(x)))
	}
}

func (s GlobalAvgPool) Reference(v [][]float32) {
	for i := range v[1] {
		n, c := i/s.C, i%s.C
		var sum float64
		for p := range s.Area {
			sum += float64(v[0][(n*s.Area+p)*s.C+c])
		}
		v[1][i] = float32(sum / float64(s.Area))
	}
}

func (s GlobalAvgPoolGrad) Reference(v [][]float32) {
	for i := range v[1] {
		v[1][i] = v[0][i/(s.Area*s.C)*s.C+i%s.C] / float32(s.Area)
	}
}

func (s ChannelScale) Reference(v [][]float32) {
	for i, x := range v[0] {
		v[2][i] = x * v[1][i/(s.Area*s.C)*s.C+i%s.C]
	}
}

func (s ChannelScaleGrad) Reference(v [][]float32) {
	for i := range v[2] {
		n, c := i/s.C, i%s.C
		var sum float64
		for p := range s.Area {
			at := (n*s.Area+p)*s.C + c
			sum += float64(v[0][at]) * float64(v[1][at])
		}
		v[2][i] = float32(sum)
	}
}

func (s DropPath) Reference(v [][]float32) {
	for i, x := range v[0] {
		v[2][i] = s.keep(v[1], i/s.Size) * x
	}
}

func (s ResidualAdd) Reference(v [][]float32) {
	for i, x := range v[0] {
		v[3][i] = s.keep(v[2], i/s.Size)*x + v[1][i]
	}
}

func (s Dropout) Reference(v [][]float32) {
	for i, x := range v[0] {
		v[2][i] = 0
		if s.Uniform(StepOf(v[1]), i) >= s.P {
			v[2][i] = x / (1 - s.P)
		}
	}
}

func (s Pixels) Reference(v [][]float32) {
	mix, size := v[2], s.Side*s.Side*3
	count := int(mix[0])
	at := func(n, i int) float32 {
		k := n*size + i
		value := math.Float32bits(v[0][k/4]) >> (8 * (k % 4)) & 0xff
		return v[1][256*(i%3)+int(value)]
	}
	for k := range v[3] {
		n, i := k/size, k%size
		switch {
		case n >= count:
			v[3][k] = 0
		case s.within(mix, i):
			v[3][k] = at(count-1-n, i)
		case mix[2] == 0:
			v[3][k] = at(n, i)
		default:
			v[3][k] = float32(mix[1]*at(n, i)) + float32(mix[2]*at(count-1-n, i))
		}
	}
}

func (s SoftmaxCrossEntropy) Reference(v [][]float32) {
	var loss float64
	for i, t := range v[1] {
		loss -= float64(t) * math.Log(softmax(v[0], i, s.K))
	}
	v[2][0] = float32(loss / float64(s.N))
}

func (s SoftmaxCrossEntropyGrad) Reference(v [][]float32) {
	for i, t := range v[1] {
		var total float64
		for _, t := range v[1][i/s.K*s.K:][:s.K] {
			total += float64(t)
		}
		v[3][i] = v[2][0] * float32((softmax(v[0], i, s.K)*total-float64(t))/float64(s.N))
	}
}

func (s RMSProp) Reference(v [][]float32) {
	w, ms, buf := v[2], v[3], v[4]
	s.each(v, func(i int, d float32) {
		ms[i] = s.Rho*ms[i] + (1-s.Rho)*d*d
		buf[i] = s.Momentum*buf[i] + v[1][0]*d/float32(math.Sqrt(float64(ms[i]+s.Eps)))
		w[i] -= buf[i]
	})
}

func (s SGD) Reference(v [][]float32) {
	w, buf := v[2], v[3]
	s.each(v, func(i int, d float32) {
		buf[i] = s.Momentum*buf[i] + d
		w[i] -= v[1][0] * buf[i]
	})
}

func (s Adam) Reference(v [][]float32) {
	w, m, sq := v[2], v[3], v[4]
	s.each(v, func(i int, d float32) {
		m[i] = float32(s.Beta1)*m[i] + float32(1-s.Beta1)*d
		sq[i] = float32(s.Beta2)*sq[i] + float32(1-s.Beta2)*d*d
		w[i] -= v[1][0] * v[1][2] * m[i] / (float32(math.Sqrt(float64(sq[i])))*v[1][3] + s.Eps)
	})
}

func (s Guard) Reference(v [][]float32) { s.Hold(v[0][0], v[1]) }

func (s ClipNorm) Reference(v [][]float32) {
	sum := 0.0
	for _, g := range v[0] {
		sum += float64(g) * float64(g)
	}
	s.Clip(v[1], v[2], sum)
}

func (s Average) Reference(v [][]float32) {
	for i, x := range v[0] {
		v[2][i] = x + v[1][0]*(v[2][i]-x)
	}
}

func (s RunningStats) Reference(v [][]float32) {
	for i, batch := range v[0] {
		v[2][i] += s.Momentum * (batch*v[1][i] - v[2][i])
	}
}

// each calls update with every weight's index and gradient, after the decay;
// operands are those of an update rule.
func (s Decay) each(v [][]float32, update func(i int, d float32)) {
	g, rates, w := v[0], v[1], v[2]
	if rates[1] != rates[1] {
		return
	}
	for i := range w {
		d := rates[1] * g[i]
		if s.Decoupled {
			w[i] -= rates[0] * s.WeightDecay * w[i]
		} else {
			d += s.WeightDecay * w[i]
		}
		update(i, d)
	}
}

// Hold is Guard.
func (s Guard) Hold(loss float32, rates []float32) {
	if loss-loss == 0 { // not of NaN and infinities
		return
	}
	for i := range s.Groups {
		rates[4*i+1] = float32(math.NaN())
	}
}

// Clip is ClipNorm, of a gradient whose squares' sum is known.
func (s ClipNorm) Clip(rates, norm []float32, sum float64) {
	length := float64(rates[1]) * math.Sqrt(sum)
	norm[0] = float32(length)
	if coefficient := float64(s.Max) / (length + 1e-6); coefficient < 1 {
		rates[1] *= float32(coefficient)
	}
}

// eachPixel calls f for every output pixel, weight position and the input pixel
// they meet at: positions in [N*OutH*OutW], [Kernel*Kernel] and [N*H*W].
func (c ConvShape) eachPixel(f func(x, w, y int)) {
	for n := range c.N {
		for oh := range c.OutH {
			for ow := range c.OutW {
				for kh := range c.Kernel {
					for kw := range c.Kernel {
						ih, iw := oh*c.Stride-c.Top+kh, ow*c.Stride-c.Left+kw
						if ih >= 0 && ih < c.H && iw >= 0 && iw < c.W {
							f((n*c.H+ih)*c.W+iw, kh*c.Kernel+kw, (n*c.OutH+oh)*c.OutW+ow)
						}
					}
				}
			}
		}
	}
}

// eachDense clears out, then calls f with the values of x, w and y that a dense
// convolution multiplies and adds.
func (c ConvShape) eachDense(f func(x, w, y int), out []float32) {
	clear(out)
	c.eachPixel(func(x, w, y int) {
		for i := range c.In {
			for o := range c.Out {
				f(x*c.In+i, (w*c.In+i)*c.Out+o, y*c.Out+o)
			}
		}
	})
}

// eachDepthwise is eachDense for a depthwise convolution.
func (c ConvShape) eachDepthwise(f func(x, w, y int), out []float32) {
	clear(out)
	c.eachPixel(func(x, w, y int) {
		for i := range c.In {
			f(x*c.In+i, w*c.In+i, y*c.In+i)
		}
	})
}

// eachLargest calls f for every output value and the first of the largest values
// of its window of x.
func (s MaxPool) eachLargest(x []float32, f func(x, y int)) {
	largest := make([]int, s.output())
	for i := range largest {
		largest[i] = -1
	}
	s.eachPixel(func(at, _, out int) {
		for c := range s.In {
			k, o := at*s.In+c, out*s.In+c
			if l := largest[o]; l < 0 || x[k] > x[l] || x[k] != x[k] && x[l] == x[l] {
				largest[o] = k
			}
		}
	})
	for o, l := range largest {
		f(l, o)
	}
}

// at returns xhat and z of value i of x.
func (s NormAct) at(v [][]float32, i int, x float32) (xhat, z float64) {
	c := i % s.C
	xhat = (float64(x) - float64(v[1][c])) / s.std(v, c)
	return xhat, float64(v[2][c])*xhat + float64(v[3][c])
}

func (s NormAct) std(v [][]float32, c int) float64 {
	return math.Sqrt(float64(v[1][s.C+c]) + float64(s.Eps))
}

func act(a Activation, z float64) float64 {
	switch a {
	case Swish:
		return z / (1 + math.Exp(-z))
	case ReLU:
		return max(z, 0)
	case ReLU6:
		return min(max(z, 0), 6)
	case Sigmoid:
		return 1 / (1 + math.Exp(-z))
	case HardSwish:
		return z * act(HardSigmoid, z)
	case HardSigmoid:
		return min(max(z+3, 0), 6) / 6
	default:
		return z
	}
}

func actGrad(a Activation, z float64) float64 {
	s := 1 / (1 + math.Exp(-z))
	switch a {
	case Swish:
		return s * (1 + z*(1-s))
	case ReLU:
		if z > 0 {
			return 1
		}
		return 0
	case ReLU6:
		if z > 0 && z < 6 {
			return 1
		}
		return 0
	case Sigmoid:
		return s * (1 - s)
	case HardSwish:
		switch {
		case z <= -3:
			return 0
		case z >= 3:
			return 1
		}
		return z/3 + 0.5
	case HardSigmoid:
		if z > -3 && z < 3 {
			return 1. / 6
		}
		return 0
	default:
		return 1
	}
}

func (s DropPath) keep(step []float32, n int) float32 {
	if s.Survival >= 1 {
		return 1
	}
	if s.Uniform(StepOf(step), n) < s.Survival {
		return 1 / s.Survival
	}
	return 0
}

// softmax is value i of the softmax of its row of k.
func softmax(logits []float32, i, k int) float64 {
	row := logits[i/k*k:][:k]
	top := math.Inf(-1)
	for _, z := range row {
		top = math.Max(top, float64(z))
	}
	var sum float64
	for _, z := range row {
		sum += math.Exp(float64(z) - top)
	}
	return math.Exp(float64(logits[i])-top) / sum
}
