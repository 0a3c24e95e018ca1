package weights

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"effnet/internal/named"
	"effnet/internal/weights/keras"
	"effnet/internal/weights/names"
)

// kerasStd is IMAGENET_STDDEV_RGB of keras.applications' efficientnet.py, whose networks
// with ImageNet's weights have it as the variance of their Normalization, and divide by its
// root once more in the layer after that.
var kerasStd = [3]float64{0.229, 0.224, 0.225}

// unchanged are the layers before a network that images pass as they are in inference,
// besides those that begin with Random.
var unchanged = []string{"InputLayer", "ZeroPadding2D", "Resizing", "CenterCrop", "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout",
	"Identity", "AugMix", "CutMix", "MixUp", "RandAugment", "ActivityRegularization", "AutoContrast"}

// prepares says whether a tensor is of Keras' Normalization, which k.keras reads.
func (s *source) prepares(t named.Tensor) bool {
	layer, leaf := t.Name, ""
	if at := strings.LastIndexByte(t.Name, '/'); at >= 0 {
		layer, leaf = t.Name[:at], t.Name[at+1:]
	}
	return s.Program == names.Keras.Program && slices.Contains([]string{"mean", "variance", "count"}, leaf) && has(s.tensors, layer+"/variance")
}

// foreign are layers without weights of which the networks have none.
var foreign = []string{"GlobalMaxPooling2D", "GlobalMaxPool2D", "MaxPooling2D", "AveragePooling2D", "UpSampling2D", "Lambda", "TFOpLambda", "UnitNormalization",
	"Concatenate", "Average", "Maximum", "Minimum", "Subtract", "Dot", "Permute", "Rescaling", "Normalization"}

// checkLayers refuses a Keras network with a layer that tensors do not show.
func checkLayers(f *file) error {
	if f.keras == nil {
		return nil
	}
	i := slices.IndexFunc(f.keras.After, func(l keras.Layer) bool { return slices.Contains(foreign, l.Class) })
	if i < 0 {
		return nil
	}
	l := f.keras.After[i]
	return hinted{fmt.Errorf("has a layer %s (%s), which the published network does not have: without it it would compute something else", l.Name, l.Class),
		"only the published networks with one dense layer after global average pooling are known"}
}

// keras sets the mean and the standard deviation of a Keras network by the layers that
// prepare its images, as far as the file has them. Those of a file that lists no layers
// are guessed.
func (k *conditions) keras(f *file, o Overrides) error {
	if f.keras == nil || o.Mean != nil && o.Std != nil {
		return nil
	}
	stored := map[string][]float64{}
	for _, t := range f.tensors {
		for _, v := range t.Data {
			if len(t.Data) <= 3 {
				stored[t.Name] = append(stored[t.Name], float64(v))
			}
		}
	}
	if !f.keras.Listed {
		return k.unlisted(f.tensors, stored)
	}
	x, some := identity, false
	for _, l := range f.keras.Before {
		var ok bool
		switch {
		case l.Class == "Rescaling":
			x, ok = x.rescale(l.Scale, l.Offset)
			some = true
		case l.Class == "Normalization" && len(l.Variance) > 0:
			x, ok = x.normalise(l.Mean, l.Variance)
			some = true
		case l.Class == "Normalization":
			x, ok = x.normalise(stored[l.Name+"/mean"], stored[l.Name+"/variance"])
			some = true
		default:
			ok = strings.HasPrefix(l.Class, "Random") || slices.Contains(unchanged, l.Class)
		}
		if !ok {
			return hinted{fmt.Errorf("has a layer %s (%s) before the network that cannot be read", l.Name, l.Class), givePixels}
		}
	}
	if !some {
		return nil
	}
	k.meanBy, k.meanOK = "by the layers before the network", true
	return k.set(x)
}

const givePixels = "use --mean and --std to say how pixels of 0 to 255 are normalised"

// unlisted is for a file without a list of layers: Rescaling(1/255) comes first.
func (k *conditions) unlisted(tensors []named.Tensor, stored map[string][]float64) error {
	i := slices.IndexFunc(tensors, func(t named.Tensor) bool {
		layer, is := strings.CutSuffix(t.Name, "/variance")
		return is && len(t.Data) == 3 && len(stored[layer+"/mean"]) == 3
	})
	if i < 0 {
		return nil
	}
	v, m := stored[tensors[i].Name], stored[strings.TrimSuffix(tensors[i].Name, "variance")+"mean"]
	x, _ := identity.rescale([]float64{1. / 255}, []float64{0})
	x, ok := x.normalise(m, v)
	if !ok {
		return hinted{fmt.Errorf("has a normalization of mean %v and variance %v", m, v), givePixels}
	}
	published, again := true, make([]float64, 3)
	for c, std := range kerasStd {
		published = published && math.Abs(v[c]-std) < 1e-3
		again[c] = 1 / math.Sqrt(std)
	}
	k.meanBy, k.meanOK = "by the stored normalization alone, as of a network built with weights=None: the file lists no layers", false
	if published {
		x, _ = x.rescale(again, []float64{0})
		k.meanBy, k.meanOK = "by the stored normalization, which is that of Keras' ImageNet weights", true
	}
	return k.set(x)
}

// set takes the mean and the standard deviation from what layers do.
func (k *conditions) set(x affine) error {
	for c := range x {
		mean, std := -x[c].add/x[c].by, 1/x[c].by
		if !(std > 0) || math.IsInf(std, 0) || mean-mean != 0 {
			return hinted{fmt.Errorf("has layers before the network that make %v*x%+v of a pixel x", x[c].by, x[c].add), givePixels}
		}
		k.prep.Mean[c], k.prep.Std[c] = digits(mean), digits(std)
	}
	return nil
}

// digits rounds to those that a float32 has.
func digits(v float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 7, 64), 64)
	if err != nil || short == 0 {
		return 0
	}
	return short
}

// affine is what layers make of red, green and blue: by*x + add.
type affine [3]struct{ by, add float64 }

var identity = affine{{1, 0}, {1, 0}, {1, 0}}

// rescale multiplies and adds; one number stands for three.
func (a affine) rescale(scale, offset []float64) (affine, bool) {
	if len(offset) == 0 {
		offset = []float64{0}
	}
	for c := range a {
		by, ok := channel(scale, c)
		add, okAdd := channel(offset, c)
		if !ok || !okAdd {
			return a, false
		}
		a[c].by, a[c].add = a[c].by*by, a[c].add*by+add
	}
	return a, true
}

// normalise subtracts a mean and divides by the root of a variance.
func (a affine) normalise(mean, variance []float64) (affine, bool) {
	for c := range a {
		m, ok := channel(mean, c)
		v, okVariance := channel(variance, c)
		if !ok || !okVariance || !(v >= 0) {
			return a, false
		}
		root := max(math.Sqrt(v), 1e-7) // Keras' epsilon
		a[c].by, a[c].add = a[c].by/root, (a[c].add-m)/root
	}
	return a, true
}

func channel(values []float64, c int) (float64, bool) {
	switch len(values) {
	case 1:
		return values[0], true
	case 3:
		return values[c], true
	}
	return 0, false
}
