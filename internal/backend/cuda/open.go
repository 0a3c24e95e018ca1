package cuda

import (
	"errors"
	"fmt"
	"os"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// oldestArchitecture is what kernels are compiled for if not for the GPU itself.
const oldestArchitecture = "compute_80"

// Open opens the GPU that driver.DeviceEnv names, and compiles the kernels for it
// unless that was done before. precision is one of driver.Precisions.
func Open(precision string) (*Backend, error) {
	wrap := func(err error) error { return &backend.Error{Device: "cuda", Op: "open", Err: err} }
	libraries := driver.Find()
	d, err := driver.Open(libraries)
	if err != nil {
		return nil, wrap(err)
	}
	free, _, err := d.Memory()
	if err != nil {
		return nil, wrap(errors.Join(err, d.Close()))
	}
	compile := func(source string, options []string) ([]byte, error) {
		return driver.Compile(libraries, "effnet.cu", source, options...)
	}
	types := []backend.DType{backend.Float32}
	if maps := mapTypes[driver.Precision(precision)]; maps != backend.Float32 {
		types = append(types, maps)
	}
	for _, t := range types {
		kernels, err := image(cacheFolder(), d.Architecture(), libraries.NVRTC.Version, t, compile)
		if err != nil { // a GPU newer than the compiler: for an older one, which the driver translates
			var older error
			if kernels, older = image(cacheFolder(), oldestArchitecture, libraries.NVRTC.Version, t, compile); older == nil {
				err = nil
			}
		}
		if err == nil {
			err = d.Load(kernels)
		}
		if err != nil {
			return nil, wrap(errors.Join(err, d.Close()))
		}
	}
	b := newBackend(d, driver.Precision(precision))
	b.careful, b.opened, b.folder = os.Getenv(CarefulEnv) != "", free, cacheFolder()
	if os.Getenv(ChoiceEnv) != "" {
		b.choices, b.warning = newChoices(d, b.folder)
	}
	return b, nil
}

// Warning is what somebody should know of how the backend was opened; nil for nothing.
func (b *Backend) Warning() error { return b.warning }

// Memory is the bytes of the GPU that are free.
func Memory() (int64, error) {
	d, err := driver.Open(driver.Find())
	if err != nil {
		return 0, &backend.Error{Device: "cuda", Op: "open", Err: err}
	}
	free, _, err := d.Memory()
	return free, errors.Join(err, d.Close())
}

// Found says what was found of CUDA, libraries and GPUs, and what is missing and what to
// do about it: texts for people. Lines of a text after the first are details.
func Found() (found, missing []string) {
	all := driver.Find()
	for _, l := range []*driver.Library{&all.Driver, &all.NVRTC, &all.CublasLt} {
		if err := l.Err(); err != nil {
			text := err.Error()
			if driver.Compiled() == nil {
				text += "\n" + l.Where()
			}
			missing = append(missing, text)
			if l == &all.Driver {
				break // without it, the others are of no use
			}
		} else {
			found = append(found, l.String())
		}
	}
	gpus, err := driver.GPUs(all)
	if err != nil && all.Driver.Err() == nil {
		missing = append(missing, err.Error())
	}
	for i, g := range gpus {
		found = append(found, fmt.Sprintf("GPU %d: %s, %.1f GiB", i, g.Name, gib(g.Memory)))
	}
	return found, missing
}
