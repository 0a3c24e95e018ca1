package scale

// The networks that the paper's table 3 scales, at 224 px as there. They start, as
// every Arch does, with TensorFlow's conventions. Their rounding is this package's
// too: of the head, MobileNetV2's paper (section 6.1) rounds no width below 1, and
// here it is rounded like any other layer.
var (
	// Howard et al. (2017), table 1; ReLU6 as in the reference code,
	// tensorflow/models, research/slim/nets/mobilenet_v1.py.
	mobileNetV1 = Baseline{
		Name: "mobilenetv1", Resolution: 224, Stem: 32, Activation: ReLU6,
		Stages: []Stage{
			{Block: Separable, Kernel: 3, Stride: 1, Expansion: 1, Channels: 64, Repeats: 1},
			{Block: Separable, Kernel: 3, Stride: 2, Expansion: 1, Channels: 128, Repeats: 2},
			{Block: Separable, Kernel: 3, Stride: 2, Expansion: 1, Channels: 256, Repeats: 2},
			{Block: Separable, Kernel: 3, Stride: 2, Expansion: 1, Channels: 512, Repeats: 6},
			{Block: Separable, Kernel: 3, Stride: 2, Expansion: 1, Channels: 1024, Repeats: 2},
		},
	}
	// Sandler et al. (2018), table 2.
	mobileNetV2 = Baseline{
		Name: "mobilenetv2", Resolution: 224, Stem: 32, Head: 1280, Activation: ReLU6,
		Stages: []Stage{
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 16, Repeats: 1},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 24, Repeats: 2},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 32, Repeats: 3},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 64, Repeats: 4},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 96, Repeats: 3},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 160, Repeats: 3},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 320, Repeats: 1},
		},
	}
	// He et al. (2016), table 1.
	resNet50 = Baseline{
		Name: "resnet50", Resolution: 224, Stem: 64, StemKernel: 7, StemPool: true, Activation: ReLU,
		Stages: []Stage{
			{Block: Bottleneck, Kernel: 3, Stride: 1, Expansion: 4, Channels: 256, Repeats: 3},
			{Block: Bottleneck, Kernel: 3, Stride: 2, Expansion: 4, Channels: 512, Repeats: 4},
			{Block: Bottleneck, Kernel: 3, Stride: 2, Expansion: 4, Channels: 1024, Repeats: 6},
			{Block: Bottleneck, Kernel: 3, Stride: 2, Expansion: 4, Channels: 2048, Repeats: 3},
		},
	}
)
