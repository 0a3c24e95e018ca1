package scale

// mobileNetV3SE is MobileNetV3's squeeze-and-excitation.
var mobileNetV3SE = SE{OfInner: true, Activation: ReLU, Gate: HardSigmoid}

// Relatives of EfficientNet: searched for like it, of the same blocks, and in timm.
// They start, as every Arch does, with TensorFlow's conventions.
var (
	// Tan et al. (2019), "MnasNet: Platform-Aware Neural Architecture Search for Mobile",
	// figure 7; of A1 and B1 the tables of timm's _gen_mnasnet_a1 and _gen_mnasnet_b1.
	mnasNetA1 = Baseline{
		Name: "mnasnet-a1", Resolution: 224, Stem: 32, Head: 1280, Activation: ReLU,
		Stages: []Stage{
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 16, Repeats: 1, NoShortcut: true},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 24, Repeats: 2},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 3, Channels: 40, Repeats: 3, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 80, Repeats: 4},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 112, Repeats: 2, SERatio: 0.25},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 6, Channels: 160, Repeats: 3, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 320, Repeats: 1},
		},
	}
	mnasNetB1 = Baseline{
		Name: "mnasnet-b1", Resolution: 224, Stem: 32, Head: 1280, Activation: ReLU,
		Stages: []Stage{
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 16, Repeats: 1, NoShortcut: true},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 3, Channels: 24, Repeats: 3},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 3, Channels: 40, Repeats: 3},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 6, Channels: 80, Repeats: 3},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 96, Repeats: 2},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 6, Channels: 192, Repeats: 4},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 320, Repeats: 1, NoShortcut: true},
		},
	}
	// EfficientNet-EdgeTPU-S (Gupta & Tan, 2019); the table of tensorflow/tpu's
	// efficientnet_edgetpu_builder.py, whose first stage expands 24 channels though its
	// input has 32.
	edgeTPU = Baseline{
		Name: "efficientnet-edgetpu-s", Resolution: 224, Stem: 32, Head: 1280, Activation: ReLU,
		Stages: []Stage{
			{Block: Fused, Kernel: 3, Stride: 1, Expansion: 4, Channels: 24, Repeats: 1, NoShortcut: true, ExpandFrom: 24},
			{Block: Fused, Kernel: 3, Stride: 2, Expansion: 8, Channels: 32, Repeats: 2},
			{Block: Fused, Kernel: 3, Stride: 2, Expansion: 8, Channels: 48, Repeats: 4},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 8, Channels: 96, Repeats: 5},
			{Block: MBConv, Kernel: 5, Stride: 1, Expansion: 8, Channels: 144, Repeats: 4},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 8, Channels: 192, Repeats: 2},
		},
	}
	// TinyNet (Han et al., 2020, "Model Rubik's Cube") scales EfficientNet-B0 down by
	// rules of its own: timm's _gen_tinynet.
	tinyNet = Baseline{
		Name: "tinynet", Resolution: 224, Stem: 32, Stages: withSE(table1, 0.25), Head: 1280, Activation: Swish,
		FixedStem: true, LeastHead: true, RoundRepeats: true,
	}
	// MobileNetV3 (Howard et al., 2019, "Searching for MobileNetV3", tables 1 and 2); the
	// rows of timm's _gen_mobilenet_v3. The fractional expansions give the papers' inner
	// channels. Below a width of 0.75 timm leaves the stem as it is, which is not said here.
	mobileNetV3Large = Baseline{
		Name: "mobilenetv3-large", Resolution: 224, Stem: 16, Head: 1280, HeadPooled: true, Activation: HardSwish, SE: mobileNetV3SE,
		Stages: []Stage{
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 1, Channels: 16, Repeats: 1, Activation: ReLU},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 4, Channels: 24, Repeats: 1, Activation: ReLU},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 3, Channels: 24, Repeats: 1, Activation: ReLU, Joined: true},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 3, Channels: 40, Repeats: 3, SERatio: 0.25, Activation: ReLU},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 80, Repeats: 1},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 2.5, Channels: 80, Repeats: 1, Joined: true},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 2.3, Channels: 80, Repeats: 2, Joined: true},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 112, Repeats: 2, SERatio: 0.25},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 6, Channels: 160, Repeats: 3, SERatio: 0.25},
			{Block: Fused, Kernel: 1, Stride: 1, Expansion: 1, Channels: 960, Repeats: 1},
		},
	}
	mobileNetV3Small = Baseline{
		Name: "mobilenetv3-small", Resolution: 224, Stem: 16, Head: 1024, HeadPooled: true, Activation: HardSwish, SE: mobileNetV3SE,
		Stages: []Stage{
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 1, Channels: 16, Repeats: 1, SERatio: 0.25, Activation: ReLU},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 4.5, Channels: 24, Repeats: 1, Activation: ReLU},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 3.67, Channels: 24, Repeats: 1, Activation: ReLU, Joined: true},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 4, Channels: 40, Repeats: 1, SERatio: 0.25},
			{Block: MBConv, Kernel: 5, Stride: 1, Expansion: 6, Channels: 40, Repeats: 2, SERatio: 0.25, Joined: true},
			{Block: MBConv, Kernel: 5, Stride: 1, Expansion: 3, Channels: 48, Repeats: 2, SERatio: 0.25},
			{Block: MBConv, Kernel: 5, Stride: 2, Expansion: 6, Channels: 96, Repeats: 3, SERatio: 0.25},
			{Block: Fused, Kernel: 1, Stride: 1, Expansion: 1, Channels: 576, Repeats: 1},
		},
	}
	// EfficientNetV2-B0 (Tan & Le, 2021; the reference code's effnetv2_configs.py), whose
	// channels are rounded to the nearest multiple of 8, whatever that loses.
	efficientNetV2B0 = Baseline{
		Name: "efficientnetv2-b0", Resolution: 224, Stem: 32, Head: 1280, Activation: Swish, LoseChannels: true,
		Stages: []Stage{
			{Block: Fused, Kernel: 3, Stride: 1, Expansion: 1, Channels: 16, Repeats: 1},
			{Block: Fused, Kernel: 3, Stride: 2, Expansion: 4, Channels: 32, Repeats: 2},
			{Block: Fused, Kernel: 3, Stride: 2, Expansion: 4, Channels: 48, Repeats: 2},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 4, Channels: 96, Repeats: 3, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 1, Expansion: 6, Channels: 112, Repeats: 5, SERatio: 0.25},
			{Block: MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 192, Repeats: 8, SERatio: 0.25},
		},
	}
)
