package model

import "effnet/internal/backend"

// ClassActivation is how much each place of an image speaks for a class: the maps
// that are pooled, weighted as the classifier weighs their means (Zhou et al.
// 2016, "Learning Deep Features for Discriminative Localization"; the paper's
// figure 7). The image is [R,R,3], the result [side,side]; its mean, with the
// class's bias, is the logit.
func (n *Network) ClassActivation(image []float32, class int) (activation []float32, side int, err error) {
	g, err := build(n.Arch, 1, false, 0)
	if err != nil {
		return nil, 0, err
	}
	p, err := n.newPart(n.backend, g, nil, g.maps)
	if err != nil {
		return nil, 0, err
	}
	if err := n.backend.Upload(p.view(g.images), image); err != nil {
		return nil, 0, err
	}
	p.machine.Prepare()
	if err := p.machine.RunPrepared(); err != nil {
		return nil, 0, err
	}
	side, features := g.maps.Shape()[1], n.Arch.Features()
	maps := make([]float32, side*side*features)
	if err := p.machine.Read(g.maps, maps); err != nil {
		return nil, 0, err
	}
	weights, err := n.download(n.param("classifier.weight")) // [Features,Classes]
	if err != nil {
		return nil, 0, err
	}
	activation = make([]float32, side*side)
	for i := range activation {
		var sum float64
		for c, v := range maps[i*features:][:features] {
			sum += float64(v) * float64(weights[c*n.Arch.Classes+class])
		}
		activation[i] = float32(sum)
	}
	return activation, side, nil
}

func (n *Network) download(p Param) ([]float32, error) {
	values := make([]float32, p.Len())
	return values, n.backend.Download(values, backend.View{Buffer: n.Weights.Buffer, Offset: n.Weights.Offset + p.Offset, Len: p.Len()})
}
