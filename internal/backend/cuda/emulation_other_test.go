//go:build !(darwin || linux)

package cuda

import "errors"

// addKernels is not called here, as emulated.Available says.
func addKernels(string) error { return errors.ErrUnsupported }
