package names

import "effnet/internal/scale"

// Timm is timm's, and this program's.
var Timm = Convention{Program: "timm", Stem: "conv_stem.weight", Torch: true}

// Torchvision names layers by their place in nested sequences
// (torchvision.models.efficientnet).
var Torchvision = Convention{
	Program: "torchvision", Stem: "features.0.0.weight", Torch: true,
	outside: map[scale.Role]pair{
		scale.StemRole: {"features.0.0", "features.0.1"}, scale.HeadRole: {"features.{stages+1}.0", "features.{stages+1}.1"}, scale.ClassifierRole: {"classifier.1", ""},
	},
	block: "features.{stage+1}.{index}.block.",
	inside: map[shape]map[scale.Role]pair{
		plain:    {scale.FilterRole: {"0.0", "0.1"}, scale.SqueezeRole: {"1.fc1", ""}, scale.ExciteRole: {"1.fc2", ""}, scale.ProjectRole: {"2.0", "2.1"}},
		inverted: {scale.ExpandRole: {"0.0", "0.1"}, scale.FilterRole: {"1.0", "1.1"}, scale.SqueezeRole: {"2.fc1", ""}, scale.ExciteRole: {"2.fc2", ""}, scale.ProjectRole: {"3.0", "3.1"}},
		fused:    {scale.ExpandRole: {"0.0", "0.1"}, scale.ProjectRole: {"1.0", "1.1"}},
		single:   {scale.ProjectRole: {"0.0", "0.1"}},
	},
}

// TorchvisionMobileNetV3 names layers as torchvision.models.mobilenetv3 does: blocks
// counted through the network, and a head that is a matrix of the classifier.
var TorchvisionMobileNetV3 = Convention{
	Program: "torchvision", Stem: "features.0.0.weight", Mark: "features.1.block.0.0.weight", Torch: true,
	outside: map[scale.Role]pair{
		scale.StemRole: {"features.0.0", "features.0.1"}, scale.HeadRole: {"classifier.0", ""}, scale.ClassifierRole: {"classifier.3", ""},
	},
	block: "features.{block+1}.",
	inside: map[shape]map[scale.Role]pair{
		plain: {
			scale.FilterRole: {"block.0.0", "block.0.1"}, scale.ProjectRole: {"block.1.0", "block.1.1"},
		},
		plainSE: {
			scale.FilterRole: {"block.0.0", "block.0.1"}, scale.SqueezeRole: {"block.1.fc1", ""}, scale.ExciteRole: {"block.1.fc2", ""},
			scale.ProjectRole: {"block.2.0", "block.2.1"},
		},
		inverted: {
			scale.ExpandRole: {"block.0.0", "block.0.1"}, scale.FilterRole: {"block.1.0", "block.1.1"}, scale.ProjectRole: {"block.2.0", "block.2.1"},
		},
		invertedSE: {
			scale.ExpandRole: {"block.0.0", "block.0.1"}, scale.FilterRole: {"block.1.0", "block.1.1"},
			scale.SqueezeRole: {"block.2.fc1", ""}, scale.ExciteRole: {"block.2.fc2", ""}, scale.ProjectRole: {"block.3.0", "block.3.1"},
		},
		single: {scale.ProjectRole: {"0", "1"}},
	},
	matrices: map[scale.Role]bool{scale.HeadRole: true},
}

// TorchvisionMnasNet names layers as torchvision.models.mnasnet does.
var TorchvisionMnasNet = Convention{
	Program: "torchvision", Stem: "layers.0.weight", Torch: true,
	outside: map[scale.Role]pair{
		scale.StemRole: {"layers.0", "layers.1"}, scale.HeadRole: {"layers.14", "layers.15"}, scale.ClassifierRole: {"classifier.1", ""},
	},
	inside: map[shape]map[scale.Role]pair{
		plain: {scale.FilterRole: {"layers.3", "layers.4"}, scale.ProjectRole: {"layers.6", "layers.7"}},
		inverted: {
			scale.ExpandRole:  {"layers.{stage+7}.{index}.layers.0", "layers.{stage+7}.{index}.layers.1"},
			scale.FilterRole:  {"layers.{stage+7}.{index}.layers.3", "layers.{stage+7}.{index}.layers.4"},
			scale.ProjectRole: {"layers.{stage+7}.{index}.layers.6", "layers.{stage+7}.{index}.layers.7"},
		},
	},
}

// Lukemelas names layers as efficientnet_pytorch/model.py does, blocks counted through
// the network.
var Lukemelas = Convention{
	Program: "lukemelas/EfficientNet-PyTorch", Stem: "_conv_stem.weight", Torch: true,
	outside: map[scale.Role]pair{scale.StemRole: {"_conv_stem", "_bn0"}, scale.HeadRole: {"_conv_head", "_bn1"}, scale.ClassifierRole: {"_fc", ""}},
	block:   "_blocks.{block}.",
	inside: map[shape]map[scale.Role]pair{anyShape: {
		scale.ExpandRole: {"_expand_conv", "_bn0"}, scale.FilterRole: {"_depthwise_conv", "_bn1"},
		scale.SqueezeRole: {"_se_reduce", ""}, scale.ExciteRole: {"_se_expand", ""}, scale.ProjectRole: {"_project_conv", "_bn2"},
	}},
}

// Keras names layers as keras.applications' efficientnet.py and efficientnet_v2.py do,
// blocks of a stage by letters. Depthwise weights are called one thing by Keras 3 and
// another by Keras 2, and the layer itself is dwconv2 in EfficientNetV2.
var Keras = Convention{
	Program: "Keras", Stem: "stem_conv/kernel",
	outside: map[scale.Role]pair{scale.StemRole: {"stem_conv", "stem_bn"}, scale.HeadRole: {"top_conv", "top_bn"}, scale.ClassifierRole: {"predictions", ""}},
	block:   "block{stage+1}{letter}_",
	inside: map[shape]map[scale.Role]pair{anyShape: {
		scale.ExpandRole: {"expand_conv", "expand_bn"}, scale.FilterRole: {"dwconv", "bn"},
		scale.SqueezeRole: {"se_reduce", ""}, scale.ExciteRole: {"se_expand", ""}, scale.ProjectRole: {"project_conv", "project_bn"},
	}},
	depthwise: []string{"/kernel", "/depthwise_kernel", "2/depthwise_kernel", "2/kernel"},
}

// TPU names layers as tensorflow/tpu's efficientnet_model.py does, where a block's
// layers of a kind are counted.
var TPU = Convention{
	Program: "tensorflow/tpu", Stem: "stem/conv2d/kernel",
	outside: map[scale.Role]pair{
		scale.StemRole: {"stem/conv2d", "stem/tpu_batch_normalization"}, scale.HeadRole: {"head/conv2d", "head/tpu_batch_normalization"}, scale.ClassifierRole: {"head/dense", ""},
	},
	block: "blocks_{block}/",
	inside: map[shape]map[scale.Role]pair{
		plain: {
			scale.FilterRole:  {"depthwise_conv2d", "tpu_batch_normalization"},
			scale.SqueezeRole: {"se/conv2d", ""}, scale.ExciteRole: {"se/conv2d_1", ""}, scale.ProjectRole: {"conv2d", "tpu_batch_normalization_1"},
		},
		inverted: {
			scale.ExpandRole: {"conv2d", "tpu_batch_normalization"}, scale.FilterRole: {"depthwise_conv2d", "tpu_batch_normalization_1"},
			scale.SqueezeRole: {"se/conv2d", ""}, scale.ExciteRole: {"se/conv2d_1", ""}, scale.ProjectRole: {"conv2d_1", "tpu_batch_normalization_2"},
		},
		fused:  {scale.ExpandRole: {"conv2d", "tpu_batch_normalization"}, scale.ProjectRole: {"conv2d_1", "tpu_batch_normalization_1"}},
		single: {scale.ProjectRole: {"conv2d", "tpu_batch_normalization"}},
	},
	depthwise: []string{"/depthwise_kernel"},
}

// All are those that files are read by. Timm's is first, for files of ours, and one with
// a Mark comes before one with the same stem.
var All = []Convention{Timm, TorchvisionMobileNetV3, Torchvision, TorchvisionMnasNet, Lukemelas, Keras, TPU}
