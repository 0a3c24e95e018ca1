package scale

// EfficientNetV2's tables (Tan & Le, 2021, table 4; M and L by the reference code,
// google/automl, efficientnetv2/effnetv2_configs.py). Its sizes are no scalings of
// each other, and the resolution is that of its evaluation.
var (
	efficientNetV2S = Baseline{
		Name: "efficientnetv2-s", Resolution: 384, Stem: 24, Head: 1280, Activation: Swish,
		Stages: []Stage{
			{Block: Fused, Kernel: 3, Stride: 1, Expansion: 1, Channels: 24, Repeats: 2},
			{Block: Fused, Kernel: 3, Stride: 2, Expansion: 4, Channels: 48, Repeats: 4},
			{Block: Fused, Kernel: 3, Stride: 2, Expansion: 4, Channels: 64, Repeats: 4},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 4, Channels: 128, Repeats: 6, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 160, Repeats: 9, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 256, Repeats: 15, SERatio: 0.25},
		},
	}
	efficientNetV2M = Baseline{
		Name: "efficientnetv2-m", Resolution: 480, Stem: 24, Head: 1280, Activation: Swish,
		Stages: []Stage{
			{Block: Fused, Kernel: 3, Stride: 1, Expansion: 1, Channels: 24, Repeats: 3},
			{Block: Fused, Kernel: 3, Stride: 2, Expansion: 4, Channels: 48, Repeats: 5},
			{Block: Fused, Kernel: 3, Stride: 2, Expansion: 4, Channels: 80, Repeats: 5},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 4, Channels: 160, Repeats: 7, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 176, Repeats: 14, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 304, Repeats: 18, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 512, Repeats: 5, SERatio: 0.25},
		},
	}
	efficientNetV2L = Baseline{
		Name: "efficientnetv2-l", Resolution: 480, Stem: 32, Head: 1280, Activation: Swish,
		Stages: []Stage{
			{Block: Fused, Kernel: 3, Stride: 1, Expansion: 1, Channels: 32, Repeats: 4},
			{Block: Fused, Kernel: 3, Stride: 2, Expansion: 4, Channels: 64, Repeats: 7},
			{Block: Fused, Kernel: 3, Stride: 2, Expansion: 4, Channels: 96, Repeats: 7},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 4, Channels: 192, Repeats: 10, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 224, Repeats: 19, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 384, Repeats: 25, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 640, Repeats: 7, SERatio: 0.25},
		},
	}
)
