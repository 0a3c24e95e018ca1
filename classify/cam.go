package classify

import (
	"context"
	"image"

	"effnet/internal/heatmap"
	"effnet/internal/predict"
)

// Likeliest in place of a class's index is the class that the network thinks likeliest.
const Likeliest = predict.Likeliest

// CAM is a class activation map (Zhou et al. 2016): how much each place of an image speaks
// for a class.
type CAM struct {
	Prediction Prediction
	Picture    *image.RGBA // the image as the network sees it: cropped and resized
	Side       int         // of the map; Picture is larger
	Values     []float32   // [Side,Side], row by row
}

// Overlay is the picture under the map: blue where the network sees least of the class,
// red where it sees most.
func (c *CAM) Overlay() *image.RGBA { return heatmap.Over(c.Picture, c.Values, c.Side) }

// CAM shows where an image shows a class, by its index or Likeliest. Networks with a layer
// between pooling and classifier (MobileNetV3's) have no such maps: an *OptionError.
func (c *Classifier) CAM(ctx context.Context, m Image, class int) (*CAM, error) {
	a, err := c.predictor.Classify(ctx, predict.Request{Image: m.image, Activations: []int{class}})
	if err != nil {
		return nil, public(err)
	}
	found := a.Activations[0]
	p := result(a)
	name := c.Classes()[found.Class]
	return &CAM{Prediction{name, p.Probabilities[found.Class]}, a.Picture, found.Side, found.Values}, nil
}
