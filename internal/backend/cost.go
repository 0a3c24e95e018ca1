package backend

// Cost is what a Spec asks of a machine, to set its time against the machine's
// peaks. flops counts two for each of its MultiplyAdds and nothing else. bytes is each
// operand once, in its type (nil: all are float32), or twice if it is both read and
// written; packed copies and what a cache spares are not in it. A fused Spec has the
// flops of what it stands for and the bytes of its own operands.
func Cost(spec Spec, types []DType) (flops, bytes int64) {
	for i, o := range spec.Operands() {
		room := o.Size
		if types != nil {
			room = types[i].Room(o.Size)
		}
		if o.Role.Reads() && o.Role.Writes() {
			room *= 2
		}
		bytes += int64(Float32.Size()) * int64(room)
	}
	return 2 * multiplyAdds(spec), bytes
}

// multiplyAdds is Basic.MultiplyAdds, or of what a fused Spec stands for.
func multiplyAdds(spec Spec) (count int64) {
	switch s := spec.(type) {
	case Fused:
		for _, step := range s.Unfused() {
			count += multiplyAdds(step.Spec)
		}
	case Basic:
		count = int64(s.MultiplyAdds())
	}
	return count
}

// products of a convolution: dense, and depthwise.
func (c ConvShape) denseProducts() int { return c.output() * c.Kernel * c.Kernel * c.In }
func (c ConvShape) deepProducts() int  { return c.output() * c.Kernel * c.Kernel }

func (s MatMul) MultiplyAdds() int              { return s.M * s.N * s.K }
func (s Conv) MultiplyAdds() int                { return s.denseProducts() }
func (s ConvGradInput) MultiplyAdds() int       { return s.denseProducts() }
func (s ConvGradWeight) MultiplyAdds() int      { return s.denseProducts() }
func (s Depthwise) MultiplyAdds() int           { return s.deepProducts() }
func (s DepthwiseGradInput) MultiplyAdds() int  { return s.deepProducts() }
func (s DepthwiseGradWeight) MultiplyAdds() int { return s.deepProducts() }

func (Copy) MultiplyAdds() int                    { return 0 }
func (ColumnSum) MultiplyAdds() int               { return 0 }
func (MaxPool) MultiplyAdds() int                 { return 0 }
func (MaxPoolGrad) MultiplyAdds() int             { return 0 }
func (BatchStats) MultiplyAdds() int              { return 0 }
func (NormAct) MultiplyAdds() int                 { return 0 }
func (NormActGradSums) MultiplyAdds() int         { return 0 }
func (NormActGradInput) MultiplyAdds() int        { return 0 }
func (GateGrads) MultiplyAdds() int               { return 0 }
func (GatedGradSums) MultiplyAdds() int           { return 0 }
func (Activate) MultiplyAdds() int                { return 0 }
func (ActivateGrad) MultiplyAdds() int            { return 0 }
func (GlobalAvgPool) MultiplyAdds() int           { return 0 }
func (GlobalAvgPoolGrad) MultiplyAdds() int       { return 0 }
func (ChannelScale) MultiplyAdds() int            { return 0 }
func (ChannelScaleGrad) MultiplyAdds() int        { return 0 }
func (Add) MultiplyAdds() int                     { return 0 }
func (DropPath) MultiplyAdds() int                { return 0 }
func (ResidualAdd) MultiplyAdds() int             { return 0 }
func (Dropout) MultiplyAdds() int                 { return 0 }
func (Pixels) MultiplyAdds() int                  { return 0 }
func (SoftmaxCrossEntropy) MultiplyAdds() int     { return 0 }
func (SoftmaxCrossEntropyGrad) MultiplyAdds() int { return 0 }
func (RMSProp) MultiplyAdds() int                 { return 0 }
func (SGD) MultiplyAdds() int                     { return 0 }
func (Adam) MultiplyAdds() int                    { return 0 }
func (Guard) MultiplyAdds() int                   { return 0 }
func (ClipNorm) MultiplyAdds() int                { return 0 }
func (Average) MultiplyAdds() int                 { return 0 }
func (RunningStats) MultiplyAdds() int            { return 0 }
