package backend

// Cost is what a Spec asks of a machine, to set its time against the machine's
// peaks. flops counts two for each multiply-add of a product or convolution
// (also those with the zeros around an image) and nothing else: what is done
// value by value is bound by memory, and counts 0. bytes is each operand once,
// in its type (nil: all are float32), or twice if it is both read and written; packed
// copies and what a cache spares are not in it. A fused Spec has the flops of what it stands
// for and the bytes of its own operands.
//
// A Spec that the switch does not name has no flops, and its operands are read
// or written once.
func Cost(spec Spec, types []DType) (flops, bytes int64) {
	values := 0 // of 4 bytes
	for i, n := range spec.Sizes() {
		if types != nil {
			n = types[i].Room(n)
		}
		values += n
	}
	madds := 0
	switch s := spec.(type) {
	case MatMul:
		madds = s.M * s.N * s.K
	case Conv:
		madds = s.output() * s.Kernel * s.Kernel * s.In
	case ConvGradInput:
		madds = s.output() * s.Kernel * s.Kernel * s.In
	case ConvGradWeight:
		madds = s.output() * s.Kernel * s.Kernel * s.In
	case Depthwise:
		madds = s.output() * s.Kernel * s.Kernel
	case DepthwiseGradInput:
		madds = s.output() * s.Kernel * s.Kernel
	case DepthwiseGradWeight:
		madds = s.output() * s.Kernel * s.Kernel
	case Fused:
		for _, step := range s.Unfused() {
			f, _ := Cost(step.Spec, nil)
			flops += f
		}
	case RMSProp:
		values += 3 * s.N // w, ms and buf are written too
	case SGD:
		values += 2 * s.N // w and buf
	case Adam:
		values += 3 * s.N // w, m and v
	case Average:
		values += s.N // avg
	case RunningStats:
		values += s.N // running
	}
	return flops + 2*int64(madds), 4 * int64(values)
}
