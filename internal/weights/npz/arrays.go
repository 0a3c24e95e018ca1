package npz

import (
	"fmt"

	"effnet/internal/named"
	"effnet/internal/scale"
	"effnet/internal/weights/names"
)

// list is Keras' weights in Keras' order.
type list struct {
	lookup *named.Lookup
	arrays []array
}

// normalization adds what Keras' layer of that name normalises by, of pixels of 0 to 1:
// means, variances and a count, which nothing reads.
func (l *list) normalization(mean, std [3]float64) {
	means, variances := make([]float32, 3), make([]float32, 3)
	for i := range means {
		means[i], variances[i] = float32(mean[i]/255), float32(std[i]/255*(std[i]/255))
	}
	for _, a := range []array{{name: "mean", shape: []int{3}, data: means, out: 3}, {name: "variance", shape: []int{3}, data: variances, out: 3},
		{name: "count", data: []float32{0}, out: 1}} {
		a.name, a.in, a.area = "normalization/"+a.name, 1, 1
		l.arrays = append(l.arrays, a)
	}
}

// network takes every tensor of an architecture, in the order of its layers.
func (l *list) network(a scale.Arch) error {
	if v, err := scale.LookupVariant(a.Name); err == nil && v.Baseline.Name != "efficientnet-b0" && v.Baseline.Name != "efficientnet-lite0" {
		return fmt.Errorf("npz: %s has no network in Keras that this file could be for: EfficientNetB0 to B7 have one", a.Name)
	}
	if a.StemSide() != 3 || a.StemPool || a.Head == 0 || a.HeadPooled {
		return fmt.Errorf("npz: %s has another stem or head than Keras' EfficientNetB0 to B7", a.Name)
	}
	if a.Activation != scale.Swish {
		return fmt.Errorf("npz: %s has the activation %s, as lite networks do: Keras' EfficientNetB0 to B7 have %s", a.Name, a.Activation, scale.Swish)
	}
	for _, layer := range a.Layers() {
		if b := layer.Block; b != nil && b.Kind != scale.MBConv {
			return fmt.Errorf("npz: %s has a block of the kind %q: Keras' EfficientNetB0 to B7 have %q only", a.Name, b.Kind, scale.MBConv)
		}
		for _, t := range layer.Tensors() {
			if err := l.add(a, t); err != nil {
				return err
			}
		}
	}
	return l.lookup.Rest()
}

// add takes a tensor of shape [out], [out,in] or [out,in,K,K] for Keras' array of
// another shape with the same number of values.
func (l *list) add(arch scale.Arch, t scale.Tensor) error {
	data, err := l.lookup.Take(t.Name(), t.Shape...)
	if err != nil {
		return err
	}
	a := array{name: names.Keras.Of(arch, t)[0], shape: names.Keras.Shape(t), data: data, out: t.Shape[0], in: 1, area: 1}
	if len(t.Shape) > 1 {
		a.in = t.Shape[1]
	}
	if len(t.Shape) > 2 {
		a.area = t.Shape[2] * t.Shape[3]
	}
	l.arrays = append(l.arrays, a)
	return nil
}
