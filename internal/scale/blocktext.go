package scale

import (
	"fmt"
	"strings"
)

// BlockText is the stages in the notation of the reference code's block strings
// (efficientnet_builder.py, BlockDecoder), as timm extends it: ir for mbconv, er for
// fused, ds for separable, bt for bottleneck, then repeats, kernel, stride, expansion,
// channels and squeeze-and-excitation, as in ir_r2_k3_s2_e6_c24_se0.25.
func (a Arch) BlockText() string {
	all := make([]string, len(a.Stages))
	for i, s := range a.Stages {
		kind := kindOf(s.Block)
		text := fmt.Sprintf("%s_r%d_k%d_s%d", kind.short, s.Repeats, s.Kernel, s.Stride)
		if kind.expansion != noExpansion {
			text += fmt.Sprintf("_e%g", s.Expansion)
		}
		text += fmt.Sprintf("_c%d", s.Channels)
		if s.SERatio > 0 {
			text += fmt.Sprintf("_se%g", s.SERatio)
		}
		if s.NoShortcut {
			text += "_noskip"
		}
		all[i] = text
	}
	return strings.Join(all, " ")
}
