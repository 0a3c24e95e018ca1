package model

import (
	"fmt"

	"effnet/internal/backend"
)

// Activations is a compiled pass over one image that tells where in it classes are
// seen.
type Activations struct {
	Side int // of the maps

	net        *Network
	part       *part
	maps       []float32 // [Side,Side,Features], of the last Run
	classifier []float32 // [Features,Classes]
}

// CanActivate returns an error if the network's classifier does not read the means of
// maps, so that it has no Activations.
func (n *Network) CanActivate() error {
	if !n.Arch.HeadPooled {
		return nil
	}
	return fmt.Errorf("%s has no class activation maps: a layer comes between the pooling and the classifier, which then weighs no maps", n.Arch.Name)
}

// Activations compiles the pass, with the network's present weights.
func (n *Network) Activations() (*Activations, error) {
	if err := n.CanActivate(); err != nil {
		return nil, err
	}
	g, err := build(n.Arch, 1, false, 0)
	if err != nil {
		return nil, err
	}
	p, err := n.newPart(n.backend, g, nil, g.maps)
	if err != nil {
		return nil, err
	}
	p.machine.Prepare()
	a := &Activations{Side: g.maps.Shape()[1], net: n, part: p}
	a.maps = make([]float32, a.Side*a.Side*n.Arch.Features())
	a.classifier, err = n.download(n.param("classifier.weight"))
	return a, err
}

// Run computes the maps of an image, [R,R,3].
func (a *Activations) Run(image []float32) error {
	if err := a.net.backend.Upload(a.part.view(a.part.graph.images), image); err != nil {
		return err
	}
	if err := a.part.machine.RunPrepared(); err != nil {
		return err
	}
	return a.part.machine.Read(a.part.graph.maps, a.maps)
}

// Class is how much each place of the last image speaks for a class, [Side,Side]: the
// maps that are pooled, weighted as the classifier weighs their means (Zhou et al.
// 2016, "Learning Deep Features for Discriminative Localization"; the paper's
// figure 7). Its mean, with the class's bias, is the logit.
func (a *Activations) Class(class int) []float32 {
	features := a.net.Arch.Features()
	activation := make([]float32, a.Side*a.Side)
	for i := range activation {
		var sum float64
		for c, v := range a.maps[i*features:][:features] {
			sum += float64(v) * float64(a.classifier[c*a.net.Arch.Classes+class])
		}
		activation[i] = float32(sum)
	}
	return activation
}

func (n *Network) download(p Param) ([]float32, error) {
	values := make([]float32, p.Len())
	return values, n.backend.Download(values, backend.View{Buffer: n.Weights.Buffer, Offset: n.Weights.Offset + p.Offset, Len: p.Len()})
}
