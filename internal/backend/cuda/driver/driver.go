// Package driver talks to NVIDIA's GPUs: memory, kernels, graphs and matrix
// products. It opens NVIDIA's libraries when asked (libcuda for the device,
// libnvrtc to compile kernels, libcublasLt for products), so that one binary
// runs on machines with and without them, and needs no C compiler.
//
// The names, signatures and numbers are those of the headers cuda.h, nvrtc.h,
// cublasLt.h, cublas_api.h and library_types.h. What is used of them is the same
// from CUDA 12.0 to 13.5: headers_test.go compares.
package driver

import (
	"unsafe"

	"effnet/internal/dynlib"
)

// Pointer is an address in a device's memory.
type Pointer uint64

// Function is a kernel of a loaded module.
type Function uintptr

// Precision is what a product of float32 multiplies in. Sums are float32.
type Precision string

// The precisions: float32; TF32, with 10 bits of mantissa; bfloat16, with 7.
const (
	FP32 Precision = "fp32"
	TF32 Precision = "tf32"
	BF16 Precision = "bf16"
)

// Precisions are all, the usual one first.
var Precisions = []Precision{FP32, TF32, BF16}

// Type is what a matrix's values are: a cudaDataType of library_types.h.
type Type int32

// The types.
const (
	Float32  Type = 0  // CUDA_R_32F
	BFloat16 Type = 14 // CUDA_R_16BF
)

// types are the types' names and sizes in bytes.
var types = map[Type]struct {
	name string
	size int
}{Float32: {"float32", 4}, BFloat16: {"bfloat16", 2}}

func (t Type) String() string { return types[t].name }

// Size is the bytes of a value.
func (t Type) Size() int { return types[t].size }

// Matmul describes a product of row-major matrices,
// C[M,N] = op(A)·op(B), plus bias[N] on every row where Bias is set, plus a shortcut
// [M,N] where Residual is set.
type Matmul struct {
	M, N, K  int
	TransA   bool // A is [K,M] in memory, not [M,K]
	TransB   bool // B is [N,K] in memory, not [K,N]
	Bias     bool
	Residual bool
	In       Type // of A and B
	Out      Type // of C, the bias and the shortcut
	StrideA  int  // values from a row of A, as it is in memory, to the next; 0 if they follow each other
	Align    int  // what all operands' addresses are a multiple of, in bytes: a value or more

	Precision Precision
}

// Product is a Matmul made ready on a device.
type Product interface {
	// Run queues the product. bias and shortcut are not read where Matmul.Bias and
	// Matmul.Residual are not set. shortcut may be c.
	Run(a, b, bias, shortcut, c Pointer) error
	Close() error
}

// Reader brings bytes from a device while that does what is queued later.
type Reader interface {
	// Begin queues the copy of as many bytes as the Reader has, from src.
	Begin(src Pointer) error
	// Ready says whether Take has nothing to wait for.
	Ready() bool
	// Take waits for the bytes and copies them.
	Take(dst []byte) error
	Close() error
}

// Graph is a recorded sequence of launches.
type Graph interface {
	// Launch queues all of them, in their order and with their arguments.
	Launch() error
	Close() error
}

// entry is a function of a library, ready to be called.
type entry struct {
	name    string
	address uintptr
	status  func(code int32) string // the library's name for a result
}

// call calls the function and returns its result, 0 or an error code, as an
// error.
//
// A pointer to Go memory may be an argument if it is written
// uintptr(unsafe.Pointer(p)) right in the call: the directive then keeps what
// it points to alive, and on the heap, where it does not move. That holds until
// call returns, and no longer: C must not keep the address.
//
//go:uintptrescapes
func (e *entry) call(args ...uintptr) error {
	if code := int32(dynlib.Call(e.address, args...)); code != 0 {
		return &Error{Call: e.name, Name: e.status(code), Code: code}
	}
	return nil
}

// text is a C string as a Go one; nil is "".
func text(p *byte) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// textAt is text for an address that a C function returned. Reading the address
// as a pointer, rather than converting it, is what vet accepts: C's memory is
// none that Go could move.
func textAt(address uintptr) string {
	return text(*(**byte)(unsafe.Pointer(&address)))
}

// cString is s with the zero byte that C ends strings with.
func cString(s string) *byte {
	return unsafe.SliceData(append([]byte(s), 0))
}
