package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The tests read models back and run them with the operators' definitions
// (https://github.com/onnx/onnx/blob/main/docs/Operators.md) in float64.

// fields are a message's by number: uint64, uint32 or []byte.
type fields map[protowire.Number][]any

func parse(b []byte) fields {
	f := fields{}
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		b = b[n:]
		var v any
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			v, n = protowire.ConsumeFixed32(b)
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(b)
		default:
			panic(fmt.Sprint("wire type ", kind))
		}
		b = b[n:]
		f[num] = append(f[num], v)
	}
	return f
}

func (f fields) texts(num protowire.Number) (all []string) {
	for _, v := range f[num] {
		all = append(all, string(v.([]byte)))
	}
	return all
}

func (f fields) text(num protowire.Number) string { return f.texts(num)[0] }

func (f fields) numbers(num protowire.Number) (all []int) {
	for _, v := range f[num] {
		all = append(all, int(v.(uint64)))
	}
	return all
}

func (f fields) messages(num protowire.Number) (all []fields) {
	for _, v := range f[num] {
		all = append(all, parse(v.([]byte)))
	}
	return all
}

// array is [N,C,H,W], or of fewer dimensions.
type array struct {
	dims []int
	v    []float64
}

func newArray(dims ...int) array {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return array{dims, make([]float64, n)}
}

// node of a graph that was read back.
type node struct {
	op     string
	in     []array
	ints   map[string][]int
	floats map[string]float64
}

// interpret runs a model on one input and returns every value by name.
func interpret(model fields, input string, x array) map[string]array {
	graph := model.messages(modelGraph)[0]
	values := map[string]array{input: x}
	for _, t := range graph.messages(graphInitializer) {
		a := newArray(t.numbers(tensorDims)...)
		raw := t[tensorRaw][0].([]byte)
		for i := range a.v {
			a.v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
		}
		values[t.text(tensorName)] = a
	}
	for _, m := range graph.messages(graphNode) {
		n := node{m.text(nodeOp), nil, map[string][]int{}, map[string]float64{}}
		for _, name := range m.texts(nodeInput) {
			v, ok := values[name]
			if !ok {
				panic("no value " + name)
			}
			n.in = append(n.in, v)
		}
		for _, a := range m.messages(nodeAttribute) {
			n.ints[a.text(attributeName)] = append(a.numbers(attributeInt), a.numbers(attributeInts)...)
			for _, bits := range a[attributeFloat] {
				n.floats[a.text(attributeName)] = float64(math.Float32frombits(bits.(uint32)))
			}
		}
		values[m.text(nodeOutput)] = n.run()
	}
	return values
}

func (n node) run() array {
	x := n.in[0]
	switch n.op {
	case "Cast":
		return x
	case "Sigmoid":
		return each(x, func(v float64) float64 { return 1 / (1 + math.Exp(-v)) })
	case "Clip":
		return each(x, func(v float64) float64 { return min(max(v, n.in[1].v[0]), n.in[2].v[0]) })
	case "HardSigmoid":
		return each(x, func(v float64) float64 { return min(max(n.floats["alpha"]*v+n.floats["beta"], 0), 1) })
	case "HardSwish":
		return each(x, func(v float64) float64 { return v * min(max(v/6+.5, 0), 1) })
	case "Relu":
		return each(x, func(v float64) float64 { return max(v, 0) })
	case "MaxPool":
		return n.maxPool()
	case "Add":
		return with(x, n.in[1], func(a, b float64) float64 { return a + b })
	case "Sub":
		return with(x, n.in[1], func(a, b float64) float64 { return a - b })
	case "Mul":
		return with(x, n.in[1], func(a, b float64) float64 { return a * b })
	case "Div":
		return with(x, n.in[1], func(a, b float64) float64 { return a / b })
	case "Flatten":
		return array{[]int{x.dims[0], len(x.v) / x.dims[0]}, x.v}
	case "Conv":
		return n.conv()
	case "BatchNormalization":
		return n.norm()
	case "GlobalAveragePool":
		y := newArray(x.dims[0], x.dims[1], 1, 1)
		area := x.dims[2] * x.dims[3]
		for i, v := range x.v {
			y.v[i/area] += v / float64(area)
		}
		return y
	case "Transpose":
		if !slices.Equal(n.ints["perm"], []int{0, 3, 1, 2}) {
			panic(n.ints)
		}
		y := newArray(x.dims[0], x.dims[3], x.dims[1], x.dims[2])
		c, area := x.dims[3], x.dims[1]*x.dims[2]
		for i, v := range x.v {
			y.v[i/(c*area)*c*area+i%c*area+i/c%area] = v
		}
		return y
	case "Gemm":
		w, bias := n.in[1], n.in[2] // transB: [out,in]
		y := newArray(x.dims[0], w.dims[0]*n.ints["transB"][0])
		for i := range y.v {
			row, o := i/w.dims[0], i%w.dims[0]
			y.v[i] = bias.v[o]
			for k := range w.dims[1] {
				y.v[i] += x.v[row*w.dims[1]+k] * w.v[o*w.dims[1]+k]
			}
		}
		return y
	}
	panic("unknown operator " + n.op)
}

func each(x array, f func(float64) float64) array {
	y := newArray(x.dims...)
	for i, v := range x.v {
		y.v[i] = f(v)
	}
	return y
}

// with broadcasts b to a: b is of a's shape, [N,C,1,1] or a vector for the last
// dimension.
func with(a, b array, f func(a, b float64) float64) array {
	y, index := newArray(a.dims...), func(i int) int { return i }
	switch {
	case slices.Equal(a.dims, b.dims):
	case len(b.dims) == 1 && b.dims[0] == a.dims[3]:
		index = func(i int) int { return i % b.dims[0] }
	case slices.Equal(b.dims, []int{a.dims[0], a.dims[1], 1, 1}):
		index = func(i int) int { return i / (a.dims[2] * a.dims[3]) }
	default:
		panic(fmt.Sprint("shapes ", a.dims, b.dims))
	}
	for i, v := range a.v {
		y.v[i] = f(v, b.v[index(i)])
	}
	return y
}

func (n node) norm() array {
	x, gamma, beta, mean, variance := n.in[0], n.in[1], n.in[2], n.in[3], n.in[4]
	y, area := newArray(x.dims...), x.dims[2]*x.dims[3]
	for i, v := range x.v {
		c := i / area % x.dims[1]
		y.v[i] = (v-mean.v[c])/math.Sqrt(variance.v[c]+n.floats["epsilon"])*gamma.v[c] + beta.v[c]
	}
	return y
}

func (n node) maxPool() array {
	x, k, stride, pads := n.in[0], n.ints["kernel_shape"][0], n.ints["strides"][0], n.ints["pads"]
	h, wide := (x.dims[2]+pads[0]+pads[2]-k)/stride+1, (x.dims[3]+pads[1]+pads[3]-k)/stride+1
	y := newArray(x.dims[0], x.dims[1], h, wide)
	for i := range y.v {
		plane, row, col := i/(h*wide)*x.dims[2]*x.dims[3], i/wide%h*stride-pads[0], i%wide*stride-pads[1]
		y.v[i] = math.Inf(-1)
		for r := max(0, row); r < min(row+k, x.dims[2]); r++ {
			for s := max(0, col); s < min(col+k, x.dims[3]); s++ {
				y.v[i] = max(y.v[i], x.v[plane+r*x.dims[3]+s])
			}
		}
	}
	return y
}

func (n node) conv() array {
	x, w := n.in[0], n.in[1]
	stride, pads, groups := 1, []int{0, 0, 0, 0}, 1
	if s := n.ints["strides"]; s != nil {
		stride, pads, groups = s[0], n.ints["pads"], n.ints["group"][0]
	}
	k, per, out := w.dims[2], w.dims[1], w.dims[0]
	if x.dims[1] != per*groups || !slices.Equal(n.ints["kernel_shape"], w.dims[2:]) {
		panic(fmt.Sprint("shapes ", x.dims, w.dims, n.ints))
	}
	h, wide := (x.dims[2]+pads[0]+pads[2]-k)/stride+1, (x.dims[3]+pads[1]+pads[3]-k)/stride+1
	y := newArray(x.dims[0], out, h, wide)
	for i := range y.v {
		image, o, row, col := i/(out*h*wide), i/(h*wide)%out, i/wide%h*stride-pads[0], i%wide*stride-pads[1]
		if len(n.in) > 2 {
			y.v[i] = n.in[2].v[o]
		}
		for c := range per {
			plane := (image*x.dims[1] + o/(out/groups)*per + c) * x.dims[2] * x.dims[3]
			for r := max(0, row); r < min(row+k, x.dims[2]); r++ {
				for s := max(0, col); s < min(col+k, x.dims[3]); s++ {
					y.v[i] += x.v[plane+r*x.dims[3]+s] * w.v[((o*per+c)*k+r-row)*k+s-col]
				}
			}
		}
	}
	return y
}
