package model

import "effnet/internal/scale"

// Frozen says which layers training leaves as they are: their parameters do not
// change, their normalisation is by the running statistics, which do not move
// either, and their blocks are never dropped. The zero value trains everything.
type Frozen struct {
	Stages int  // the stem and the first Stages stages; 0 for none
	Body   bool // all but the classifier
	Norms  bool // every batch normalisation
}

// layer says whether a layer is frozen, but for Norms.
func (f Frozen) layer(l scale.Layer) bool {
	switch {
	case l.Role == scale.ClassifierRole:
		return false
	case l.InBlock():
		return f.Body || l.Block.Stage < f.Stages
	}
	return f.Body || l.Role == scale.StemRole && f.Stages > 0
}

// norm says whether a batch normalisation is by the running statistics.
func (f Frozen) norm(l scale.Layer) bool { return f.Norms || f.layer(l) }

// Param says whether a parameter stays as it is.
func (f Frozen) Param(p Param) bool {
	if p.Layer.Op == scale.Normalise {
		return f.norm(p.Layer)
	}
	return f.layer(p.Layer)
}
