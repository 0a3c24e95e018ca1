package weights

import (
	"fmt"
	"strings"

	"effnet/internal/scale"
)

// A part is a tensor of a network, by what it does.
type part struct {
	timm   string // its name there
	role   role
	leaf   string // weight, bias, running_mean or running_var
	norm   bool   // of a batch normalisation
	block  *scale.Block
	kind   blockKind
	stages int // of the network
}

// A role is a layer's place in the network or, where the part has a block, in that.
type role int

const (
	stem role = iota
	stemNorm
	head
	headNorm
	classifier
	expand
	expandNorm
	depthwise
	depthwiseNorm
	squeeze
	excite
	project
	projectNorm
)

// A blockKind says which layers a block has.
type blockKind int

const (
	plain    blockKind = iota // depthwise, project
	inverted                  // expand, depthwise, project
	fused                     // expand by a whole convolution, project
	single                    // one whole convolution, which is called project here
)

// ends are timm's names of the layers outside blocks.
var ends = map[string]role{"conv_stem": stem, "bn1": stemNorm, "conv_head": head, "bn2": headNorm, "classifier": classifier}

// inside are timm's names of a block's layers.
var inside = map[blockKind]map[string]role{
	plain: {"conv_dw": depthwise, "bn1": depthwiseNorm, "se.conv_reduce": squeeze, "se.conv_expand": excite, "conv_pw": project, "bn2": projectNorm},
	inverted: {"conv_pw": expand, "bn1": expandNorm, "conv_dw": depthwise, "bn2": depthwiseNorm, "se.conv_reduce": squeeze, "se.conv_expand": excite,
		"conv_pwl": project, "bn3": projectNorm},
	fused:  {"conv_exp": expand, "bn1": expandNorm, "conv_pwl": project, "bn2": projectNorm},
	single: {"conv": project, "bn1": projectNorm},
}

// parse says which part of a network has a name in timm.
func parse(name string, arch scale.Arch, blocks map[[2]int]*scale.Block) (part, error) {
	dot := strings.LastIndexByte(name, '.')
	p := part{timm: name, leaf: name[dot+1:], stages: len(arch.Stages)}
	layer := name[:dot]
	var ok bool
	if rest, inBlock := strings.CutPrefix(layer, "blocks."); inBlock {
		var stage, index int
		if _, err := fmt.Sscanf(rest, "%d.%d.%s", &stage, &index, &layer); err != nil {
			return p, fmt.Errorf("weights: %s: %w", name, err)
		}
		p.block = blocks[[2]int{stage, index}]
		p.kind = kindOf(p.block)
		p.role, ok = inside[p.kind][layer]
	} else {
		p.role, ok = ends[layer]
	}
	if !ok {
		return p, fmt.Errorf("weights: no convention knows %s", name)
	}
	switch p.role {
	case stemNorm, headNorm, expandNorm, depthwiseNorm, projectNorm:
		p.norm = true
	}
	return p, nil
}

func kindOf(b *scale.Block) blockKind {
	switch {
	case b.Kind == scale.Fused && b.Expand:
		return fused
	case b.Kind == scale.Fused:
		return single
	case b.Expand:
		return inverted
	}
	return plain
}

// A convention is how a program names the parts of an EfficientNet, and by which
// framework's layouts it stores them.
type convention struct {
	program string
	stem    string // how the name of the stem's weights ends
	torch   bool   // PyTorch's layouts and leaves; otherwise TensorFlow's
	layer   func(p part) string
}

// conventions are those that are read. timm's is first, for files of ours.
var conventions = []convention{
	{"timm", "conv_stem.weight", true, func(p part) string { return strings.TrimSuffix(p.timm, "."+p.leaf) }},
	{"torchvision", "features.0.0.weight", true, visionLayer},
	{"lukemelas/EfficientNet-PyTorch", "_conv_stem.weight", true, lukemelasLayer},
	{"Keras", "stem_conv/kernel", false, kerasLayer},
	{"tensorflow/tpu", "stem/conv2d/kernel", false, tpuLayer},
}

// visionLayer names layers by their place in nested sequences
// (torchvision.models.efficientnet).
func visionLayer(p part) string {
	if p.block == nil {
		return map[role]string{stem: "features.0.0", stemNorm: "features.0.1", head: fmt.Sprintf("features.%d.0", p.stages+1),
			headNorm: fmt.Sprintf("features.%d.1", p.stages+1), classifier: "classifier.1"}[p.role]
	}
	place := map[blockKind]map[role]string{
		plain: {depthwise: "0.0", depthwiseNorm: "0.1", squeeze: "1.fc1", excite: "1.fc2", project: "2.0", projectNorm: "2.1"},
		inverted: {expand: "0.0", expandNorm: "0.1", depthwise: "1.0", depthwiseNorm: "1.1", squeeze: "2.fc1", excite: "2.fc2",
			project: "3.0", projectNorm: "3.1"},
		fused:  {expand: "0.0", expandNorm: "0.1", project: "1.0", projectNorm: "1.1"},
		single: {project: "0.0", projectNorm: "0.1"},
	}[p.kind][p.role]
	return fmt.Sprintf("features.%d.%d.block.%s", p.block.Stage+1, p.block.Index, place)
}

// lukemelasLayer names layers as efficientnet_pytorch/model.py does, blocks counted
// through the network.
func lukemelasLayer(p part) string {
	layer := map[role]string{stem: "_conv_stem", stemNorm: "_bn0", head: "_conv_head", headNorm: "_bn1", classifier: "_fc",
		expand: "_expand_conv", expandNorm: "_bn0", depthwise: "_depthwise_conv", depthwiseNorm: "_bn1", squeeze: "_se_reduce", excite: "_se_expand",
		project: "_project_conv", projectNorm: "_bn2"}[p.role]
	if p.block == nil {
		return layer
	}
	return fmt.Sprintf("_blocks.%d.%s", p.block.Global, layer)
}

// kerasLayer names layers as keras.applications' efficientnet.py and
// efficientnet_v2.py do, blocks of a stage by letters.
func kerasLayer(p part) string {
	layer := map[role]string{stem: "stem_conv", stemNorm: "stem_bn", head: "top_conv", headNorm: "top_bn", classifier: "predictions",
		expand: "expand_conv", expandNorm: "expand_bn", depthwise: "dwconv", depthwiseNorm: "bn", squeeze: "se_reduce", excite: "se_expand",
		project: "project_conv", projectNorm: "project_bn"}[p.role]
	if p.block == nil {
		return layer
	}
	return fmt.Sprintf("block%d%c_%s", p.block.Stage+1, 'a'+p.block.Index, layer)
}

// tpuLayer names layers as tensorflow/tpu's efficientnet_model.py does, where
// a block's layers of a kind are counted.
func tpuLayer(p part) string {
	if p.block == nil {
		return map[role]string{stem: "stem/conv2d", stemNorm: "stem/tpu_batch_normalization", head: "head/conv2d", headNorm: "head/tpu_batch_normalization",
			classifier: "head/dense"}[p.role]
	}
	const conv, norm = "conv2d", "tpu_batch_normalization"
	layer := map[blockKind]map[role]string{
		plain: {depthwise: "depthwise_conv2d", depthwiseNorm: norm, squeeze: "se/conv2d", excite: "se/conv2d_1", project: conv, projectNorm: norm + "_1"},
		inverted: {expand: conv, expandNorm: norm, depthwise: "depthwise_conv2d", depthwiseNorm: norm + "_1", squeeze: "se/conv2d", excite: "se/conv2d_1",
			project: conv + "_1", projectNorm: norm + "_2"},
		fused:  {expand: conv, expandNorm: norm, project: conv + "_1", projectNorm: norm + "_1"},
		single: {project: conv, projectNorm: norm},
	}[p.kind][p.role]
	return fmt.Sprintf("blocks_%d/%s", p.block.Global, layer)
}

// names are what a part may be called, the usual first.
func (c convention) names(p part) []string {
	layer := c.layer(p)
	if c.torch {
		return []string{layer + "." + p.leaf}
	}
	if p.norm {
		return []string{layer + "/" + map[string]string{"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}[p.leaf]}
	}
	if p.leaf == "bias" {
		return []string{layer + "/bias"}
	}
	if p.role == depthwise {
		// Keras 2 and tensorflow/tpu; Keras 3; and EfficientNetV2's layer there.
		return []string{layer + "/depthwise_kernel", layer + "/kernel", layer + "2/depthwise_kernel", layer + "2/kernel"}
	}
	return []string{layer + "/kernel"}
}
