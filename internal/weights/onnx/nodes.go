package onnx

import "math"

// inputs are the names of a node's inputs.
type inputs []string

// node adds a node and returns its name, which is its output's too.
func (b *builder) node(op, name string, in inputs, attributes ...attribute) string {
	var m message
	for _, input := range in {
		m.text(nodeInput, input)
	}
	m.text(nodeOutput, name)
	m.text(nodeName, name)
	m.text(nodeOp, op)
	for _, a := range attributes {
		m.embed(nodeAttribute, a.encode())
	}
	b.nodes.embed(graphNode, m)
	return name
}

// constant adds one of the network's tensors as it is.
func (b *builder) constant(name string, dims ...int) {
	b.add(initializer{name: name, dims: dims, data: b.take(name, dims...)})
}

// scalar adds a number, once, and returns its name.
func (b *builder) scalar(name string, v float32) string {
	for _, i := range b.initializers {
		if i.name == name {
			return name
		}
	}
	b.add(initializer{name: name, data: []float32{v}})
	return name
}

func (b *builder) add(i initializer) { b.initializers = append(b.initializers, i) }

// take returns one of the network's tensors, nil after an error.
func (b *builder) take(name string, dims ...int) []float32 {
	if b.err != nil {
		return nil
	}
	data, err := b.lookup.Take(name, dims...)
	b.fail(err)
	return data
}

func (b *builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// fold is a normalisation as a factor for each channel and what is added after.
func (b *builder) fold(norm string, channels int) (factors []float64, bias []float32) {
	gamma, beta := b.take(norm+".weight", channels), b.take(norm+".bias", channels)
	mean, variance := b.take(norm+".running_mean", channels), b.take(norm+".running_var", channels)
	if b.err != nil {
		return nil, nil
	}
	factors, bias = make([]float64, channels), make([]float32, channels)
	for c := range factors {
		factors[c] = float64(gamma[c]) / math.Sqrt(float64(variance[c])+b.arch.BNEps)
		bias[c] = float32(float64(beta[c]) - float64(mean[c])*factors[c])
	}
	return factors, bias
}

func toFloat32(v []float64) []float32 {
	out := make([]float32, len(v))
	for i := range v {
		out[i] = float32(v[i])
	}
	return out
}
