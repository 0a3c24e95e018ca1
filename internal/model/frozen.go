package model

import (
	"fmt"
	"strings"
)

// Frozen says which layers a training leaves as they are: their parameters do not
// change, their normalisation is by the running statistics, which do not move
// either, and their blocks are never dropped. The zero value trains everything.
type Frozen struct {
	Stages int  // the stem and so many stages; 0 for none
	Body   bool // all but the classifier
	Norms  bool // every batch normalisation
}

// layer says whether a layer, by timm's name, is frozen.
func (f Frozen) layer(name string) bool {
	if strings.HasPrefix(name, "classifier") {
		return false
	}
	var stage int
	if _, err := fmt.Sscanf(name, "blocks.%d.", &stage); err == nil {
		return f.Body || stage < f.Stages
	}
	return f.Body || f.Stages > 0 && !strings.HasPrefix(name, "conv_head") && !strings.HasPrefix(name, "bn2")
}

// norm says whether a batch normalisation is by the running statistics.
func (f Frozen) norm(name string) bool { return f.Norms || f.layer(name) }

// Param says whether a parameter stays as it is.
func (f Frozen) Param(p Param) bool {
	if p.Kind == Scale || p.Kind == Shift {
		return f.norm(p.Name)
	}
	return f.layer(p.Name)
}
