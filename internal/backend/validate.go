package backend

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Check reports an error unless a Spec is valid and has one operand of the right size
// for each that it describes. Backends call it first in Compile and rely on it.
func Check(spec Spec, operands []View) error {
	if err := check(spec); err != nil {
		return err
	}
	sizes := Sizes(spec)
	if len(operands) != len(sizes) {
		return fmt.Errorf("backend: %T has %d operands, want %d", spec, len(operands), len(sizes))
	}
	for i, n := range sizes {
		v := operands[i]
		if v.Len != n {
			return fmt.Errorf("backend: %T: operand %d has %d values, want %d", spec, i, v.Len, n)
		}
		if v.Buffer == nil || v.Offset < 0 || v.Offset+v.DType.Room(v.Len) > v.Buffer.Len() {
			return fmt.Errorf("backend: %T: operand %d lies outside its buffer", spec, i)
		}
	}
	return nil
}

// check reports an error unless a Spec is valid.
func check(spec Spec) error {
	switch spec.(type) {
	case Fused, Basic:
	default:
		return fmt.Errorf("backend: %T is neither a Basic nor a Fused Spec", spec)
	}
	if err := spec.Validate(); err != nil {
		return fmt.Errorf("backend: invalid %T%+v: %w", spec, spec, err)
	}
	return nil
}

// positive reports the first dimension that is not.
func positive(dimensions ...int) error {
	for _, d := range dimensions {
		if d < 1 {
			return fmt.Errorf("dimension %d, want 1 or more", d)
		}
	}
	return nil
}

// images reports an error unless rows make whole images of an area.
func images(rows, area int) error {
	if err := positive(rows, area); err != nil {
		return err
	}
	if rows%area != 0 {
		return fmt.Errorf("%d rows do not make whole images of %d", rows, area)
	}
	return nil
}

// reading reports an error unless r is among those allowed.
func reading(r Reading, allowed ...Reading) error {
	if !slices.Contains(allowed, r) {
		return fmt.Errorf("unsupported reading %d of a map", r)
	}
	return nil
}

// Validate returns an error if there is no such activation.
func (a Activation) Validate() error {
	if int(a) >= len(activationNames) {
		return fmt.Errorf("unknown activation %d", uint8(a))
	}
	return nil
}

// Validate returns an error if there is no such normalisation.
func (n Norm) Validate() error { return n.Act.Validate() }

// Validate returns an error if there is no such convolution, dense or depthwise.
func (c ConvShape) Validate() error {
	if c.Top < 0 || c.Left < 0 {
		return fmt.Errorf("negative padding: %d rows, %d columns", c.Top, c.Left)
	}
	return positive(c.N, c.H, c.W, c.In, c.Kernel, c.Stride, c.OutH, c.OutW, c.Out)
}

// validateDeep is Validate for filters of one channel each.
func (c ConvShape) validateDeep() error {
	if c.Out != c.In {
		return fmt.Errorf("%d channels of %d inputs: each channel has a filter of its own", c.Out, c.In)
	}
	return c.Validate()
}

// probability reports an error unless p is one.
func probability(p float32) error {
	if !(0 <= p && p <= 1) {
		return fmt.Errorf("probability %v, want 0 to 1", p)
	}
	return nil
}

func (s Copy) Validate() error { return positive(s.N) }
func (s MatMul) Validate() error {
	if s.TransA && (s.TransB || s.Bias) {
		return errors.New("a transposed A goes with neither a transposed B nor a bias")
	}
	return positive(s.M, s.N, s.K)
}
func (s ColumnSum) Validate() error           { return positive(s.Rows, s.Cols) }
func (s Depthwise) Validate() error           { return s.validateDeep() }
func (s DepthwiseGradInput) Validate() error  { return s.validateDeep() }
func (s DepthwiseGradWeight) Validate() error { return s.validateDeep() }
func (s MaxPool) Validate() error {
	if err := s.validateDeep(); err != nil {
		return err
	}
	if s.Top >= s.Kernel || s.Left >= s.Kernel || (s.OutH-1)*s.Stride-s.Top >= s.H || (s.OutW-1)*s.Stride-s.Left >= s.W {
		return errors.New("a window meets no pixel")
	}
	return nil
}
func (s BatchStats) Validate() error    { return positive(s.Rows, s.C) }
func (s NormAct) Validate() error       { return cmp.Or(positive(s.Rows, s.C), s.Act.Validate()) }
func (s Activate) Validate() error      { return cmp.Or(positive(s.N), s.Act.Validate()) }
func (s GlobalAvgPool) Validate() error { return positive(s.N, s.Area, s.C) }
func (s ChannelScale) Validate() error  { return positive(s.N, s.Area, s.C) }
func (s Add) Validate() error           { return positive(s.N) }
func (s DropPath) Validate() error      { return cmp.Or(positive(s.N, s.Size), probability(s.Survival)) }
func (s Dropout) Validate() error       { return cmp.Or(positive(s.N), probability(s.P)) }
func (s Pixels) Validate() error        { return positive(s.N, s.Side) }
func (s SoftmaxCrossEntropy) Validate() error {
	return positive(s.N, s.K)
}
func (s RMSProp) Validate() error      { return positive(s.N) }
func (s SGD) Validate() error          { return positive(s.N) }
func (s Adam) Validate() error         { return positive(s.N) }
func (s Guard) Validate() error        { return positive(s.Groups) }
func (s ClipNorm) Validate() error     { return positive(s.N) }
func (s Average) Validate() error      { return positive(s.N) }
func (s RunningStats) Validate() error { return positive(s.N) }

func (s NormMatMul) Validate() error {
	return cmp.Or(positive(s.N, s.K), images(s.M, s.Area), reading(s.Read, Raw, Normed, Gated), s.Norm.Validate())
}
func (s NormDepthwise) Validate() error {
	return cmp.Or(s.validateDeep(), reading(s.Read, Raw, Normed), s.Norm.Validate())
}
func (s NormPool) Validate() error  { return cmp.Or(s.GlobalAvgPool.Validate(), s.Norm.Validate()) }
func (s GateGrads) Validate() error { return cmp.Or(s.GlobalAvgPool.Validate(), s.Norm.Validate()) }
func (s GatedGradSums) Validate() error {
	return positive(s.N, s.Area, s.C)
}
func (s ProjectGrad) Validate() error {
	return cmp.Or(positive(s.N, s.K), images(s.M, s.Area), reading(s.Read, Normed, Gated), s.Norm.Validate())
}
func (s DepthwiseGrad) Validate() error {
	return cmp.Or(s.validateDeep(), reading(s.Read, Raw, Normed), s.Norm.Validate(), s.Out.Validate())
}
func (s ExpandGrad) Validate() error { return cmp.Or(positive(s.M, s.N, s.K), s.Norm.Validate()) }
func (s FoldedMatMul) Validate() error {
	if s.Residual && (s.Pool || s.Norm.Act != Identity) {
		return errors.New("a shortcut goes with neither an activation nor pooling")
	}
	return cmp.Or(positive(s.N, s.K), images(s.M, s.Area), s.Norm.Validate())
}
func (s FoldedConv) Validate() error { return cmp.Or(s.ConvShape.Validate(), s.Norm.Validate()) }
func (s FoldedDepthwise) Validate() error {
	err := cmp.Or(s.validateDeep(), s.Norm.Validate(), s.BeforeNorm.Validate())
	if b := s.Before; b != (ConvShape{}) {
		if b.N != s.N || b.OutH != s.H || b.OutW != s.W || b.Out != s.In {
			err = cmp.Or(err, errors.New("the output of the first convolution is not the input of the second"))
		}
		err = cmp.Or(err, b.Validate())
	}
	return err
}
func (s SqueezeExcite) Validate() error {
	return cmp.Or(positive(s.N, s.C, s.Squeeze), s.Act.Validate(), s.Gate.Validate())
}
func (s Linear) Validate() error { return positive(s.M, s.N, s.K) }
