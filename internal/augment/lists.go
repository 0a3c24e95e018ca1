package augment

// lists are the operations that RandAugment draws from, by version. A draw is an index
// into a list, so a list never changes: a different one is a new version, which a recipe
// has to ask for.
var lists = [...][]Op{
	// tensorflow/tpu, models/official/efficientnet/autoaugment.py, in this package's order.
	0: {AutoContrast, Equalize, Invert, Rotate, Posterize, Solarize, SolarizeAdd, Color, Contrast, Brightness, Sharpness,
		ShearX, ShearY, TranslateX, TranslateY, Cutout},
}
