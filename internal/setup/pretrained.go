package setup

import (
	"effnet/internal/augment"
	"effnet/internal/checkpoint"
	"effnet/internal/config"
	"effnet/internal/scale"
	"effnet/internal/train"
	"effnet/internal/weights"
)

// Prepared is how pretrained weights want images prepared, as settings to lay over others.
func Prepared(cfg config.Config, m checkpoint.Meta) map[string]any {
	p := m.Preprocess
	values := map[string]any{
		"padding": string(m.Arch.Padding), "bn-eps": m.Arch.BNEps, "mean": p.Mean, "std": p.Std,
		"interpolation": p.Interpolation, "crop": p.Crop, "crop-pct": p.CropPct, "exif-orientation": p.Orientation,
		"transparency": p.Transparency,
	}
	if p.Crop == string(augment.CropTF) { // which has no use for it
		delete(values, "crop-pct")
	}
	if cfg.ImgSize == 0 {
		values["img-size"] = p.Resolution
	}
	return values
}

// Prepares says whether Prepared may lay a setting.
func Prepares(key string) bool {
	_, ok := Prepared(config.Default(), checkpoint.Meta{})[key]
	return ok
}

// Pretrained is the network of pretrained weights, for another number of classes and with
// the settings' resolution and regularisation.
func Pretrained(cfg config.Config, a scale.Arch, classes int) (scale.Arch, error) {
	a.Classes, a.Resolution = classes, cfg.ImgSize
	if cfg.Drop >= 0 {
		a.Dropout = cfg.Drop
	}
	a.StochasticDepth, a.BNMomentum = cfg.DropPath, cfg.BNMomentum
	if _, stages, err := cfg.FrozenStages(); err == nil && stages > len(a.Stages) {
		return a, fault("--freeze %s: the network has %d stages", cfg.Freeze, len(a.Stages))
	}
	return a, a.Validate()
}

// Start makes options begin with pretrained weights: with their classifier if its classes
// are those that are trained on, in whatever order.
func Start(o *train.Options, w *weights.Imported, classes []string) {
	have := w.Meta.Classes
	if w.Headless {
		have = nil
	}
	var moved bool
	o.Start, moved = train.HeadFor(w.Tensors, have, classes)
	if moved {
		o.Notes = append(o.Notes, "the weights' classes are in a different order: the classifier was reordered to match the images'")
	}
}
