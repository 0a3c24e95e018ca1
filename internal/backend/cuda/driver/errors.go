package driver

// Error is a call that NVIDIA's libraries refused.
type Error struct {
	Call string // the function: cuMemAlloc_v2
	Name string // the library's own name for the error: CUDA_ERROR_OUT_OF_MEMORY
	Code int32
}

func (e *Error) Error() string {
	s := e.Call + ": " + e.Name
	if advice := advices[e.Name]; advice != "" {
		s += " (" + advice + ")"
	}
	return s
}

const (
	lost  = "the GPU's work was lost and every later call fails: start again"
	older = "the driver is older than the compiler: update the driver, or put the folder of an older libnvrtc first in " + LibrariesEnv
)

// advices is what to do about errors whose names do not say it.
var advices = map[string]string{
	"CUDA_ERROR_NO_BINARY_FOR_GPU":       "the kernels were compiled for another GPU",
	"CUDA_ERROR_INVALID_IMAGE":           "no kernels that the driver can read: compile them again",
	"CUDA_ERROR_UNSUPPORTED_PTX_VERSION": older,
	"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH":  "the driver's library and its kernel module are of two versions: restart the machine",
	"CUDA_ERROR_STUB_LIBRARY":            "a toolkit's stub of libcuda was found, not the driver's: remove its folder from " + LibrariesEnv + " and LD_LIBRARY_PATH",
	"CUDA_ERROR_DEVICE_UNAVAILABLE":      "another process is using the GPU exclusively",

	"CUDA_ERROR_ECC_UNCORRECTABLE":  "the GPU's memory is faulty: " + lost,
	"CUDA_ERROR_ILLEGAL_ADDRESS":    lost,
	"CUDA_ERROR_LAUNCH_TIMEOUT":     lost,
	"CUDA_ERROR_ASSERT":             lost,
	"CUDA_ERROR_MISALIGNED_ADDRESS": lost,
	"CUDA_ERROR_LAUNCH_FAILED":      lost,
}

// Results that the package looks at (cuda.h, CUresult).
const (
	outOfMemory = 2   // CUDA_ERROR_OUT_OF_MEMORY
	stubLibrary = 34  // CUDA_ERROR_STUB_LIBRARY
	noDevice    = 100 // CUDA_ERROR_NO_DEVICE
	notFound    = 500 // CUDA_ERROR_NOT_FOUND
	notReady    = 600 // CUDA_ERROR_NOT_READY
)
