package npz

import (
	"fmt"

	"effnet/internal/checkpoint"
	"effnet/internal/scale"
)

// list is Keras' weights in Keras' order. After an error it takes nothing more.
type list struct {
	lookup *checkpoint.Lookup
	arrays []array
	err    error
}

// network takes every tensor of an architecture, by the names that
// keras/src/applications/efficientnet.py gives the layers.
func (l *list) network(a scale.Arch) error {
	if a.StemSide() != 3 || a.StemPool || a.Head == 0 {
		return fmt.Errorf("npz: %s has another stem or head than Keras' EfficientNetB0 to B7", a.Name)
	}
	l.conv("conv_stem", "stem_conv", 3, 3, a.Stem)
	l.norm("bn1", "stem_bn", a.Stem)
	for _, blk := range a.Blocks() {
		if kind := a.Stages[blk.Stage].Block; kind != scale.MBConv {
			return fmt.Errorf("npz: %s has a block of the kind %q: Keras' EfficientNetB0 to B7 have %q only", a.Name, kind, scale.MBConv)
		}
		l.mbconv(blk)
	}
	l.conv("conv_head", "top_conv", 1, a.Stages[len(a.Stages)-1].Channels, a.Head)
	l.norm("bn2", "top_bn", a.Head)
	l.add("classifier.weight", "predictions/kernel", []int{a.Classes, a.Head}, []int{a.Head, a.Classes})
	l.vector("classifier.bias", "predictions/bias", a.Classes)
	if l.err != nil {
		return l.err
	}
	return l.lookup.Rest()
}

// mbconv is a block: Keras numbers the stages from 1 and letters their blocks.
// timm numbers the normalisations of blocks without an expansion from the
// depthwise one.
func (l *list) mbconv(blk scale.Block) {
	timm := fmt.Sprintf("blocks.%d.%d.", blk.Stage, blk.Index)
	keras := fmt.Sprintf("block%d%c_", blk.Stage+1, 'a'+rune(blk.Index))
	bn, project := 1, "conv_pw"
	norm := func(name string, channels int) {
		l.norm(fmt.Sprintf("%sbn%d", timm, bn), keras+name, channels)
		bn++
	}
	if blk.Expand {
		l.conv(timm+"conv_pw", keras+"expand_conv", 1, blk.In, blk.Inner)
		norm("expand_bn", blk.Inner)
		project = "conv_pwl"
	}
	k := blk.Kernel
	l.add(timm+"conv_dw.weight", keras+"dwconv/kernel", []int{blk.Inner, 1, k, k}, []int{k, k, blk.Inner, 1})
	norm("bn", blk.Inner)
	if blk.Squeeze > 0 {
		l.conv(timm+"se.conv_reduce", keras+"se_reduce", 1, blk.Inner, blk.Squeeze)
		l.vector(timm+"se.conv_reduce.bias", keras+"se_reduce/bias", blk.Squeeze)
		l.conv(timm+"se.conv_expand", keras+"se_expand", 1, blk.Squeeze, blk.Inner)
		l.vector(timm+"se.conv_expand.bias", keras+"se_expand/bias", blk.Inner)
	}
	l.conv(timm+project, keras+"project_conv", 1, blk.Inner, blk.Out)
	norm("project_bn", blk.Out)
}

func (l *list) conv(timm, keras string, kernel, in, out int) {
	l.add(timm+".weight", keras+"/kernel", []int{out, in, kernel, kernel}, []int{kernel, kernel, in, out})
}

func (l *list) norm(timm, keras string, channels int) {
	l.vector(timm+".weight", keras+"/gamma", channels)
	l.vector(timm+".bias", keras+"/beta", channels)
	l.vector(timm+".running_mean", keras+"/moving_mean", channels)
	l.vector(timm+".running_var", keras+"/moving_variance", channels)
}

func (l *list) vector(timm, keras string, n int) { l.add(timm, keras, []int{n}, []int{n}) }

// add takes a tensor of shape [out], [out,in] or [out,in,K,K] for an array of
// another shape with the same number of values.
func (l *list) add(timm, keras string, from, to []int) {
	if l.err != nil {
		return
	}
	data, err := l.lookup.Take(timm, from...)
	if err != nil {
		l.err = err
		return
	}
	a := array{name: keras, shape: to, data: data, out: from[0], in: 1, area: 1}
	if len(from) > 1 {
		a.in = from[1]
	}
	if len(from) > 2 {
		a.area = from[2] * from[3]
	}
	l.arrays = append(l.arrays, a)
}
