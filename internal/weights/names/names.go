// Package names is how programs call the tensors of EfficientNets, and how their
// frameworks lay them out.
package names

import (
	"strconv"
	"strings"

	"effnet/internal/scale"
)

// Convention is a program's way of naming a network's tensors.
type Convention struct {
	Program string
	Stem    string // how the name of the stem's weights ends
	Mark    string // another tensor that a file has, "" if the stem tells enough
	Torch   bool   // PyTorch's layouts and leaves; otherwise TensorFlow's

	outside   map[scale.Role]pair // of the layers in no block
	block     string              // what the names of a block's layers begin with
	inside    map[shape]map[scale.Role]pair
	depthwise []string            // TensorFlow: how the names of depthwise weights end, the usual first
	matrices  map[scale.Role]bool // which 1x1 convolutions of vectors are stored as matrices
}

// pair is the name of a layer and of the normalisation after it. Names may have
// {stage}, {stage+1}, {stage+7}, {index} in the stage, {letter} for it, {block} and {block+1}
// in the network, and {stages+1} for the network's number of stages and one.
type pair struct{ layer, norm string }

// shape says which layers a block has. A convention that names them alike in every
// block has one row, anyShape, and one that names the others alike with and without
// squeeze-and-excitation has no row for the blocks with it.
type shape string

const (
	anyShape shape = ""
	plain    shape = "plain"    // filter, project
	inverted shape = "inverted" // expand, filter, project
	fused    shape = "fused"    // expand by a whole convolution, project
	single   shape = "single"   // one whole convolution, whose role is to project

	plainSE    = plain + withSE
	invertedSE = inverted + withSE
	withSE     = " with squeeze-and-excitation"
)

func shapeOf(b *scale.Block) shape {
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

// leaves are TensorFlow's names of a normalisation's tensors.
var leaves = map[string]string{"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}

// Of lists what a network's tensor may be called, the usual name first; nothing if the
// program has no such layer.
func (c Convention) Of(a scale.Arch, t scale.Tensor) []string {
	layer := c.layer(a, t.Layer)
	norm := t.Layer.Op == scale.Normalise
	switch {
	case layer == "":
		return nil
	case c.Torch:
		return []string{layer + "." + t.Leaf}
	case norm:
		return []string{layer + "/" + leaves[t.Leaf]}
	case t.Leaf == "bias":
		return []string{layer + "/bias"}
	case t.Layer.Op == scale.Depthwise:
		all := make([]string, len(c.depthwise))
		for i, end := range c.depthwise {
			all[i] = layer + end
		}
		return all
	}
	return []string{layer + "/kernel"}
}

// layer is what the program calls a layer, "" if it has none such.
func (c Convention) layer(a scale.Arch, l scale.Layer) string {
	if c.outside == nil {
		return l.Name
	}
	rows, begin := c.outside, ""
	if l.InBlock() {
		begin = c.block
		if rows = c.inside[anyShape]; rows == nil {
			s := shapeOf(l.Block)
			if rows = c.inside[s+withSE]; rows == nil || l.Block.Squeeze == 0 {
				rows = c.inside[s]
			}
		}
	}
	name := rows[l.Role].layer
	if l.Op == scale.Normalise {
		name = rows[l.Role].norm
	}
	if name == "" {
		return ""
	}
	return places(a, l).Replace(begin + name)
}

// places fills in where a layer is.
func places(a scale.Arch, l scale.Layer) *strings.Replacer {
	pairs := []string{"{stages+1}", strconv.Itoa(len(a.Stages) + 1)}
	if b := l.Block; b != nil {
		pairs = append(pairs, "{stage}", strconv.Itoa(b.Stage), "{stage+1}", strconv.Itoa(b.Stage+1), "{stage+7}", strconv.Itoa(b.Stage+7), "{index}", strconv.Itoa(b.Index),
			"{letter}", string(rune('a'+b.Index)), "{block}", strconv.Itoa(b.Global), "{block+1}", strconv.Itoa(b.Global+1))
	}
	return strings.NewReplacer(pairs...)
}

// Axes says which of PyTorch's axes each of TensorFlow's axes of a weight is.
func Axes(t scale.Tensor) []int {
	switch {
	case len(t.Shape) == 1:
		return []int{0}
	case len(t.Shape) == 2: // [Out,In]
		return []int{1, 0}
	case t.Layer.Op == scale.Depthwise: // [C,1,K,K]
		return []int{2, 3, 0, 1}
	}
	return []int{2, 3, 1, 0} // [Out,In,K,K]
}

// Shape is the shape of a tensor as the convention's framework stores it.
func (c Convention) Shape(t scale.Tensor) []int {
	if c.Torch && c.matrices[t.Layer.Role] && t.Layer.Op == scale.Pointwise {
		return t.Shape[:min(2, len(t.Shape))]
	}
	if c.Torch {
		return t.Shape
	}
	stored := make([]int, 0, len(t.Shape))
	for _, axis := range Axes(t) {
		stored = append(stored, t.Shape[axis])
	}
	return stored
}
