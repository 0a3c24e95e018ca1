// Package classify asks a trained network what images show, from any Go program and
// without cgo.
//
//	c, err := classify.Open("runs/first/best.safetensors", classify.Options{})
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	results, err := c.Classify(ctx, classify.File("cat.jpg"))
//	if err != nil {
//		return err
//	}
//	fmt.Println(results[0].Best().Name)
//
// A network is a checkpoint that effnet train or finetune wrote, a file of weights that
// effnet import takes (safetensors, PyTorch, Keras, TensorFlow), or the name of published
// weights, as effnet weights list shows them, which are downloaded once. The file says how
// images are cropped, resized and normalised, so that a program need not.
//
// A Classifier is safe for concurrent use, and faster that way: images that come at the
// same time are computed together. Whatever is computed together, an image gets the same
// bits, which are those of effnet predict: on a CPU, for one set of kernels.
//
// # Errors
//
// An *ImageError is an image that cannot be used, a *NetworkError a network, an
// *OptionError an option and a *DeviceError a device: errors.As tells them apart. ErrFull
// and ErrClosed are found by errors.Is, and so are the errors of a context that ends.
//
// # Compatibility
//
// This is the only package of the module that other modules can import. What is exported
// here stays until version 2: names may be added, and so may fields, so write composite
// literals with field names. Checkpoints stay readable. Probabilities may change in the
// last digits from one version to the next, between sets of kernels, and between devices;
// what the text of an error says may change too.
package classify
