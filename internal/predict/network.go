// Package predict opens a trained network and asks it about images.
//
// A Network belongs to one goroutine, which sweeps over sets of images with it. A
// Predictor makes one safe for many, whose images it computes together. Both go the
// same way, a Pass, so the same image gets the same bits from either.
package predict

import (
	"errors"
	"fmt"
	"image"

	"effnet/internal/augment"
	"effnet/internal/backend"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/model"
	"effnet/internal/named"
	"effnet/internal/weights"
)

// A Network is a trained network on a device. It is used by one goroutine at a time.
type Network struct {
	Meta checkpoint.Meta

	backend     backend.Backend
	net         *model.Network
	activations *model.Activations // nil before it was asked for
}

// Load brings weights that were read from path to a device, which the Network owns from
// then on, and closes, also where Load fails.
func Load(w *weights.Imported, path string, b backend.Backend) (*Network, error) {
	net, err := model.New(w.Meta.Arch, b)
	if err != nil {
		err = &checkpoint.Error{Path: path, Reason: "its network cannot be built", Err: err}
	} else if err = net.Load(w.Tensors); err != nil {
		if m, ok := errors.AsType[*named.Mismatch](err); ok {
			err = checkpoint.NotTheNetwork(path, m)
		}
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return &Network{Meta: w.Meta, backend: b, net: net}, nil
}

// Close closes the device.
func (n *Network) Close() error { return n.backend.Close() }

// Pipeline is how a checkpoint's network wants to see an image.
func Pipeline(p checkpoint.Preprocess) data.Pipeline {
	return data.Pipeline{
		Size: p.Resolution, Interpolation: augment.Interpolation(p.Interpolation), Upright: p.Orientation, OverMean: p.Transparency == checkpoint.Mean,
		Transform: augment.Eval{Crop: augment.Crop(p.Crop), CropPct: p.CropPct},
		Mean:      p.Mean, Std: p.Std,
	}
}

// Pipeline is how the network wants to see an image.
func (n *Network) Pipeline() data.Pipeline { return Pipeline(n.Meta.Preprocess) }

// Sweep asks the network about a set, read as opt says but for its Pipeline, which is
// the network's. look is one of ViewsNames.
func (n *Network) Sweep(set *data.Set, opt data.Options, look string) (*Sweep, error) {
	opt.Pipeline = n.Pipeline()
	views := views[look]
	if views == nil {
		return nil, fmt.Errorf("predict: unknown views %q (want %s)", look, ViewsNames)
	}
	return NewSweep(n.net, n.backend, set, opt, views(opt.Transform.(augment.Eval))...)
}

// pass compiles a pass of batches of a format.
func (n *Network) pass(f format) (*Pass, error) {
	return NewPass(n.net, n.backend, data.Options{Pipeline: n.Pipeline(), BatchSize: f.size, Pixels: f.pixels})
}

// An Activation is how much each place of an image speaks for a class; see
// model.Activations.
type Activation struct {
	Class  int
	Side   int
	Values []float32 // [Side,Side]
}

// CanActivate returns an error if the network has no Activations.
func (n *Network) CanActivate() error { return n.net.CanActivate() }

// Activations finds where an image, pixels [R,R,3] as the network sees it, shows
// classes.
func (n *Network) Activations(pixels []uint8, classes ...int) ([]Activation, error) {
	for _, class := range classes {
		if class < 0 || class >= len(n.Meta.Classes) {
			return nil, n.noClass(class)
		}
	}
	if n.activations == nil {
		a, err := n.net.Activations()
		if err != nil {
			return nil, err
		}
		n.activations = a
	}
	values, err := n.Pipeline().Normalised()
	if err != nil {
		return nil, err
	}
	x := make([]float32, len(pixels))
	for i, v := range pixels {
		x[i] = values[i%3*256+int(v)]
	}
	if err := n.activations.Run(x); err != nil {
		return nil, err
	}
	all := make([]Activation, len(classes))
	for i, class := range classes {
		all[i] = Activation{class, n.activations.Side, n.activations.Class(class)}
	}
	return all, nil
}

func (n *Network) noClass(class int) error {
	return fmt.Errorf("predict: there is no class %d: the network has %d, from 0", class, len(n.Meta.Classes))
}

// Show returns image i of a set as the network sees it, and where it shows a class.
func (n *Network) Show(set *data.Set, i, class int) (*image.RGBA, Activation, error) {
	p, err := n.Pipeline().NewPreparer()
	if err != nil {
		return nil, Activation{}, err
	}
	pixels := make([]uint8, n.values())
	if err := p.Set(pixels, set, i); err != nil {
		return nil, Activation{}, err
	}
	all, err := n.Activations(pixels, class)
	if err != nil {
		return nil, Activation{}, err
	}
	return n.picture(pixels), all[0], nil
}

// values is how many an image has.
func (n *Network) values() int { r := n.Meta.Preprocess.Resolution; return r * r * 3 }

// picture is an image, pixels [R,R,3] as the network sees it, for people.
func (n *Network) picture(pixels []uint8) *image.RGBA {
	side := n.Meta.Preprocess.Resolution
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range side * side {
		copy(m.Pix[4*i:], pixels[3*i:][:3])
		m.Pix[4*i+3] = 255
	}
	return m
}
