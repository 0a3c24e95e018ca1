package backendtest

import (
	"slices"

	"effnet/internal/backend"
)

// conv is the geometry of a padded convolution.
func conv(n, h, w, in, out, kernel, stride int, same bool) backend.ConvShape {
	s := backend.ConvShape{N: n, H: h, W: w, In: in, Out: out, Kernel: kernel, Stride: stride}
	if same {
		s.OutH, s.OutW = (h+stride-1)/stride, (w+stride-1)/stride
		s.Top = max((s.OutH-1)*stride+kernel-h, 0) / 2
		s.Left = max((s.OutW-1)*stride+kernel-w, 0) / 2
		return s
	}
	s.Top, s.Left = (kernel-1)/2, (kernel-1)/2
	s.OutH, s.OutW = (h+2*s.Top-kernel)/stride+1, (w+2*s.Left-kernel)/stride+1
	return s
}

// Light are the cases that take a quarter of the suite's time: those whose operands have
// few values. There are some of each type, for tests of what does not depend on sizes.
func Light() []backend.Spec {
	const most = 20_000
	return slices.DeleteFunc(Specs(), func(s backend.Spec) bool {
		values := 0
		for _, n := range backend.Sizes(s) {
			values += n
		}
		return values > most
	})
}

// Specs are the cases of the suite.
func Specs() []backend.Spec {
	var specs []backend.Spec
	for _, s := range []struct{ m, n, k int }{{1, 1, 1}, {2, 10, 5}, {7, 40, 16}, {50, 24, 96}, {33, 100, 300}, {3, 8, 600}} {
		specs = append(specs,
			backend.MatMul{M: s.m, N: s.n, K: s.k},
			backend.MatMul{M: s.m, N: s.n, K: s.k, Bias: true},
			backend.MatMul{M: s.m, N: s.n, K: s.k, TransB: true},
			backend.MatMul{M: s.m, N: s.n, K: s.k, TransA: true},
			backend.MatMul{M: s.k, N: s.n, K: 20 * s.m, TransA: true},
			backend.ColumnSum{Rows: s.m, Cols: s.n},
		)
	}
	for _, same := range []bool{true, false} {
		for _, kernel := range []int{1, 3, 5} {
			for _, stride := range []int{1, 2} {
				for _, size := range [][2]int{{1, 1}, {2, 3}, {8, 8}, {9, 13}} {
					d := conv(2, size[0], size[1], 24, 24, kernel, stride, same)
					c, even := conv(2, size[0], size[1], 3, 10, kernel, stride, same), conv(2, size[0], size[1], 6, 16, kernel, stride, same)
					specs = append(specs, backend.Depthwise{ConvShape: d}, backend.DepthwiseGradInput{ConvShape: d}, backend.DepthwiseGradWeight{ConvShape: d},
						backend.Conv{ConvShape: c}, backend.ConvGradInput{ConvShape: c}, backend.ConvGradWeight{ConvShape: c},
						backend.Conv{ConvShape: even}, backend.ConvGradInput{ConvShape: even}, backend.ConvGradWeight{ConvShape: even},
						backend.MaxPool{ConvShape: d}, backend.MaxPoolGrad{MaxPool: backend.MaxPool{ConvShape: d}})
				}
			}
		}
	}
	specs = append(specs, depthwiseSpecs()...)
	for _, act := range backend.Activations() {
		for _, s := range [][2]int{{1, 1}, {5, 7}, {300, 24}, {2100, 40}} {
			n := backend.NormAct{Rows: s[0], C: s[1], Eps: 1e-3, Act: act}
			specs = append(specs, n, backend.NormActGradSums{NormAct: n},
				backend.NormActGradInput{NormAct: n, BatchStats: true}, backend.NormActGradInput{NormAct: n},
				backend.Activate{N: s[0] * s[1], Act: act}, backend.ActivateGrad{Activate: backend.Activate{N: s[0] * s[1], Act: act}})
		}
	}
	for _, s := range [][3]int{{1, 1, 1}, {3, 49, 24}, {2, 9, 7}} {
		n, area, c := s[0], s[1], s[2]
		pool, mul := backend.GlobalAvgPool{N: n, Area: area, C: c}, backend.ChannelScale{N: n, Area: area, C: c}
		drop := backend.DropPath{Random: backend.Random{Seed: 7, Layer: 3}, N: n, Size: area * c, Survival: 0.6}
		specs = append(specs, backend.BatchStats{Rows: n * area, C: c}, pool, backend.GlobalAvgPoolGrad{GlobalAvgPool: pool},
			mul, backend.ChannelScaleGrad{ChannelScale: mul}, drop, backend.ResidualAdd{DropPath: drop},
			backend.Dropout{Random: drop.Random, N: n * area * c, P: 0.3}, backend.Add{N: n * area * c}, backend.Copy{N: n * area * c})
	}
	for _, s := range []backend.Pixels{{N: 1, Side: 1}, {N: 3, Side: 4}, {N: 4, Side: 7}, {N: 5, Side: 32}} {
		specs = append(specs, s)
	}
	for _, n := range []int{1, 23, 40000} {
		for _, decay := range []backend.Decay{{WeightDecay: 1e-2}, {WeightDecay: 1e-1, Decoupled: true}} {
			specs = append(specs, backend.RMSProp{N: n, Rho: .9, Momentum: .9, Eps: 1e-3, Decay: decay},
				backend.SGD{N: n, Momentum: .9, Decay: decay}, backend.Adam{N: n, Beta1: .9, Beta2: .99, Eps: 1e-2, Decay: decay})
		}
		specs = append(specs, backend.Guard{Groups: n%7 + 1}, backend.ClipNorm{N: n, Max: 0.5}, backend.ClipNorm{N: n, Max: 1e9}, backend.Average{N: n}, backend.RunningStats{N: n, Momentum: .1})
	}
	for _, s := range [][2]int{{1, 2}, {5, 10}, {3, 1000}} {
		ce := backend.SoftmaxCrossEntropy{N: s[0], K: s[1]}
		specs = append(specs, ce, backend.SoftmaxCrossEntropyGrad{SoftmaxCrossEntropy: ce})
	}
	return slices.Concat(specs, fusedSpecs(), foldedSpecs(), stemSpecs(), fewRows())
}

// stemSpecs are a network's first convolutions, of images, and others with windows of few
// values.
func stemSpecs() []backend.Spec {
	var specs []backend.Spec
	for _, same := range []bool{true, false} {
		for _, s := range []struct{ height, width, in, out, kernel, stride int }{{9, 13, 3, 8, 3, 2}, {33, 21, 3, 40, 3, 2}, {8, 8, 3, 12, 3, 2}, {6, 11, 8, 16, 2, 1}} {
			c := conv(3, s.height, s.width, s.in, s.out, s.kernel, s.stride, same)
			specs = append(specs, backend.Conv{ConvShape: c}, backend.ConvGradWeight{ConvShape: c})
		}
	}
	return specs
}

// fewRows are backward passes of normalisations over so few rows that the batch's sums weigh
// much in each.
func fewRows() []backend.Spec {
	norm := backend.Norm{Eps: 1e-3, Act: backend.Swish}
	return []backend.Spec{
		backend.ExpandGrad{M: 3, N: 96, K: 16, Norm: norm},
		backend.ExpandGrad{M: 3, N: 240, K: 40, Norm: norm},
		backend.ExpandGrad{M: 3, N: 136, K: 72, Norm: norm},
	}
}

// depthwiseSpecs are depthwise convolutions whose channels and widths fill no vector
// and no run of neighbours, some with rows shorter than the filter or than its half.
func depthwiseSpecs() []backend.Spec {
	var specs []backend.Spec
	for _, same := range []bool{true, false} {
		for _, k := range []struct{ kernel, stride int }{{3, 1}, {3, 2}, {5, 1}, {5, 2}, {7, 3}} {
			for _, size := range [][2]int{{3, 1}, {1, 2}, {6, 3}, {2, 5}, {7, 7}, {5, 10}, {4, 19}} {
				for _, channels := range []int{7, 12} {
					d := conv(3, size[0], size[1], channels, channels, k.kernel, k.stride, same)
					specs = append(specs, backend.Depthwise{ConvShape: d}, backend.DepthwiseGradInput{ConvShape: d}, backend.DepthwiseGradWeight{ConvShape: d})
				}
			}
		}
	}
	return specs
}

// ofMaps are the activations that follow convolutions.
var ofMaps = []backend.Activation{backend.Swish, backend.ReLU, backend.ReLU6, backend.HardSwish, backend.Identity}

// fusedSpecs are the fused Specs, with maps that take several blocks of a
// backend's rows and ones smaller than a filter.
func fusedSpecs() []backend.Spec {
	swish := backend.Norm{Eps: 1e-3, Act: backend.Swish}
	var specs []backend.Spec
	for _, images := range []int{3, 5} { // weights that are large for their maps
		specs = append(specs, backend.ProjectGrad{M: images * 49, N: 48, K: 1440, Read: backend.Gated, Norm: swish, Area: 49},
			backend.ProjectGrad{M: images * 49, N: 48, K: 1440, Read: backend.Normed, Norm: swish, Area: 49},
			backend.ExpandGrad{M: images * 49, N: 1440, K: 50, Norm: swish})
	}
	for _, k := range []struct{ kernel, stride int }{{3, 1}, {3, 2}, {5, 1}, {5, 2}} { // maps of several tiles
		for _, size := range [][2]int{{6, 5}, {33, 19}} {
			c := conv(5, size[0], size[1], 40, 40, k.kernel, k.stride, true)
			specs = append(specs,
				backend.NormDepthwise{ConvShape: c, Read: backend.Normed, Norm: swish, Stats: true},
				backend.DepthwiseGrad{ConvShape: c, Read: backend.Normed, Norm: swish, Out: swish, Gated: true})
		}
	}
	for _, s := range []struct{ images, area, n, k int }{{3, 81, 24, 72}, {5, 49, 40, 240}, {2, 196, 112, 136}, {1, 200, 136, 40}, {2, 99, 16, 96}, {1, 70, 32, 192}} { // whole vectors of channels
		m := s.images * s.area
		for _, read := range []backend.Reading{backend.Raw, backend.Normed, backend.Gated} {
			specs = append(specs, backend.NormMatMul{M: m, N: s.n, K: s.k, Read: read, Norm: swish, Area: s.area, Stats: read != backend.Normed})
			if read != backend.Raw {
				specs = append(specs, backend.ProjectGrad{M: m, N: s.n, K: s.k, Read: read, Norm: swish, Area: s.area})
			}
		}
		specs = append(specs, backend.ExpandGrad{M: m, N: s.k, K: s.n, Norm: swish})
	}
	for _, act := range ofMaps {
		norm := backend.Norm{Eps: 1e-3, Act: act}
		for _, s := range []struct{ images, area, n, k int }{{1, 1, 1, 1}, {3, 49, 24, 100}, {2, 900, 10, 40}} {
			m := s.images * s.area
			for _, read := range []backend.Reading{backend.Raw, backend.Normed, backend.Gated} {
				specs = append(specs, backend.NormMatMul{M: m, N: s.n, K: s.k, Read: read, Norm: norm, Area: s.area, Stats: true})
				if read != backend.Raw {
					specs = append(specs, backend.ProjectGrad{M: m, N: s.n, K: s.k, Read: read, Norm: norm, Area: s.area})
				}
			}
			specs = append(specs, backend.NormMatMul{M: m, N: s.n, K: s.k, Area: s.area},
				backend.ExpandGrad{M: m, N: s.k, K: s.n, Norm: norm},
				backend.NormPool{GlobalAvgPool: backend.GlobalAvgPool{N: s.images, Area: s.area, C: s.k}, Norm: norm},
				backend.GateGrads{GlobalAvgPool: backend.GlobalAvgPool{N: s.images, Area: s.area, C: s.k}, Norm: norm},
				backend.GatedGradSums{N: s.images, Area: s.area, C: s.k})
		}
		for _, same := range []bool{true, false} {
			for _, k := range []struct{ kernel, stride int }{{1, 1}, {1, 2}, {3, 1}, {3, 2}, {5, 1}, {5, 2}, {7, 3}} {
				for _, size := range [][2]int{{1, 1}, {2, 3}, {9, 13}} {
					c := conv(3, size[0], size[1], 24, 24, k.kernel, k.stride, same)
					specs = append(specs,
						backend.NormDepthwise{ConvShape: c, Read: backend.Normed, Norm: norm, Stats: true},
						backend.NormDepthwise{ConvShape: c, Read: backend.Raw, Stats: true},
						backend.DepthwiseGrad{ConvShape: c, Read: backend.Normed, Norm: norm, Out: norm, Gated: true},
						backend.DepthwiseGrad{ConvShape: c, Read: backend.Raw, Out: norm})
				}
			}
		}
	}
	return specs
}

// foldedSpecs are the folded Specs, with images of fewer and more rows than a
// backend's blocks, and channels that fill no vector.
func foldedSpecs() []backend.Spec {
	var specs []backend.Spec
	for _, act := range ofMaps {
		norm := backend.Norm{Eps: 1e-3, Act: act}
		for _, s := range []struct{ images, area, n, k int }{{1, 1, 1, 1}, {3, 49, 24, 100}, {2, 900, 10, 40}, {5, 9, 130, 70}, {3, 81, 136, 72}} {
			for _, gated := range []bool{false, true} {
				m := backend.FoldedMatMul{M: s.images * s.area, N: s.n, K: s.k, Norm: norm, Area: s.area, Gated: gated}
				specs = append(specs, m)
				m.Pool = true
				specs = append(specs, m)
				if act == backend.Identity {
					m.Pool, m.Residual = false, true
					specs = append(specs, m)
				}
			}
			specs = append(specs, backend.Linear{M: s.images, N: s.n, K: s.k},
				backend.SqueezeExcite{N: s.images, C: s.k, Squeeze: s.n, Act: act, Gate: backend.Sigmoid},
				backend.SqueezeExcite{N: s.images, C: s.k, Squeeze: s.n, Act: act, Gate: backend.HardSigmoid})
		}
		// One activation is tried on maps of every size, the others on one.
		sizes, channels := [][2]int{{9, 13}}, []int{24}
		if act == backend.Swish {
			sizes, channels = [][2]int{{1, 1}, {2, 3}, {9, 13}, {40, 33}}, []int{24, 120}
		}
		for _, same := range []bool{true, false} {
			for _, k := range []struct{ kernel, stride int }{{1, 1}, {3, 1}, {3, 2}, {5, 1}, {5, 2}, {7, 3}} {
				for _, size := range sizes {
					for _, c := range channels {
						specs = append(specs, foldedDepthwises(size, c, k.kernel, k.stride, same, norm)...)
					}
					specs = append(specs, backend.FoldedConv{ConvShape: conv(2, size[0], size[1], 3, 20, k.kernel, k.stride, same), Norm: norm},
						backend.FoldedConv{ConvShape: conv(2, size[0], size[1], 6, 20, k.kernel, k.stride, same), Norm: norm})
				}
			}
		}
	}
	return specs
}

// foldedDepthwises are depthwise convolutions of c channels: alone, after the pointwise
// convolution that expands, and, where c is a stem's, after the stem.
func foldedDepthwises(size [2]int, c, kernel, stride int, same bool, norm backend.Norm) []backend.Spec {
	alone := backend.FoldedDepthwise{ConvShape: conv(2, size[0], size[1], c, c, kernel, stride, same), Norm: norm, Pool: c == 24}
	expanded := alone
	expanded.Pool, expanded.BeforeNorm = !alone.Pool, backend.Norm{Eps: 1e-2, Act: norm.Act}
	expanded.Before = conv(2, size[0], size[1], 7+c/120, c, 1, 1, same)
	if c != 24 {
		return []backend.Spec{alone, expanded}
	}
	stem := expanded
	stem.Pool, stem.Before = true, conv(2, 2*size[0]+1, 2*size[1]-1, 3, c, 3, 2, same)
	stem.ConvShape = conv(2, stem.Before.OutH, stem.Before.OutW, c, c, kernel, stride, same)
	return []backend.Spec{alone, expanded, stem}
}
