package driver

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"unsafe"
)

// DeviceEnv names the GPU to use, by its number; where it is not set that is Assign's, or 0.
const DeviceEnv = "EFFNET_CUDA_DEVICE"

// assigned is Assign's.
var assigned atomic.Int32

// Assign has Open open GPU n where DeviceEnv is not set, counted again from the first after
// the last: ranks of one host take one each, whether the launcher shows all GPUs to all of
// them or to each its own.
func Assign(n int) { assigned.Store(int32(n)) }

// Numbers of cuda.h.
const (
	attributeMajor    = 75 // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
	attributeMinor    = 76
	streamNonBlocking = 1 // CU_STREAM_NON_BLOCKING
	eventTiming       = 0 // CU_EVENT_DEFAULT
	eventNoTiming     = 2 // CU_EVENT_DISABLE_TIMING
	captureRelaxed    = 2 // CU_STREAM_CAPTURE_MODE_RELAXED
)

// Device is a GPU with one stream, on which all work is queued in order, and another
// for Send's copies. It is used by one goroutine at a time, which may move between
// threads.
type Device struct {
	cuda    *cuda
	lt      *cublasLt
	context uintptr
	number  int32
	stream  uintptr
	copies  uintptr // the stream of Send
	name    string
	arch    string
	modules []uintptr
	staging staging // of Upload and Download
	arrival staging // of Send, which must not wait for what the others copy

	recording bool

	// Launch passes these, and allocates nothing: a list of arguments written in a call
	// is on the heap each time.
	current [1]uintptr       // the context
	words   [11]uintptr      // cuLaunchKernel's arguments
	args    []unsafe.Pointer // the kernel's

	blas      uintptr // cuBLASLt's handle
	workspace Pointer // of its products
}

// Open opens the GPU that DeviceEnv names.
func Open(libraries *Libraries) (d *Device, err error) {
	for _, l := range []*Library{&libraries.Driver, &libraries.CublasLt} {
		if err := l.Err(); err != nil {
			return nil, err
		}
	}
	d = &Device{}
	d.staging.device, d.arrival.device = d, d
	if d.cuda, err = bindCUDA(&libraries.Driver); err != nil {
		return nil, err
	}
	if d.lt, err = bindCublasLt(&libraries.CublasLt); err != nil {
		return nil, err
	}
	if libraries.Driver.major < oldestCUDA {
		return nil, fmt.Errorf("the driver is for CUDA %s: %d.0 or later is needed (install %s)", libraries.Driver.Version, oldestCUDA, libraries.Driver.Install)
	}
	if err = d.find(); err == nil {
		err = d.prepare()
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// GPU is one of a machine.
type GPU struct {
	Name   string
	Memory int64 // bytes
}

// GPUs lists those that the driver finds, by their numbers.
func GPUs(libraries *Libraries) ([]GPU, error) {
	if err := libraries.Driver.Err(); err != nil {
		return nil, err
	}
	c, err := bindCUDA(&libraries.Driver)
	if err != nil {
		return nil, err
	}
	count, err := c.count()
	all := make([]GPU, count)
	for i := range all {
		var handle int32
		if err := c.deviceGet.call(uintptr(unsafe.Pointer(&handle)), uintptr(i)); err != nil {
			return nil, err
		}
		if all[i].Name, err = c.name(handle); err != nil {
			return nil, err
		}
		if err := c.deviceTotalMem.call(uintptr(unsafe.Pointer(&all[i].Memory)), uintptr(handle)); err != nil {
			return nil, err
		}
	}
	return all, err
}

// count is how many GPUs there are; none is an error.
func (c *cuda) count() (int, error) {
	var count int32
	err := c.init.call(0)
	if err == nil {
		err = c.deviceGetCount.call(uintptr(unsafe.Pointer(&count)))
	}
	var e *Error
	if errors.As(err, &e) && e.Code == noDevice || err == nil && count == 0 {
		return 0, errors.New("the driver finds no GPU (does nvidia-smi list one?)")
	}
	return int(count), err
}

func (c *cuda) name(handle int32) (string, error) {
	name := make([]byte, 256)
	err := c.deviceGetName.call(uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)), uintptr(handle))
	return text(&name[0]), err
}

// find takes hold of the GPU and reads what it is.
func (d *Device) find() error {
	count, err := d.cuda.count()
	if err != nil {
		return err
	}
	number := int(assigned.Load()) % max(count, 1)
	if text := os.Getenv(DeviceEnv); text != "" {
		if number, err = strconv.Atoi(text); err != nil || number < 0 || number >= count {
			return fmt.Errorf("%s is %s: there are %d GPUs, from 0", DeviceEnv, text, count)
		}
	}
	if err := d.cuda.deviceGet.call(uintptr(unsafe.Pointer(&d.number)), uintptr(number)); err != nil {
		return err
	}
	if d.name, err = d.cuda.name(d.number); err != nil {
		return err
	}
	var major, minor int32
	if err := d.cuda.deviceGetAttr.call(uintptr(unsafe.Pointer(&major)), attributeMajor, uintptr(d.number)); err != nil {
		return err
	}
	if err := d.cuda.deviceGetAttr.call(uintptr(unsafe.Pointer(&minor)), attributeMinor, uintptr(d.number)); err != nil {
		return err
	}
	d.arch = fmt.Sprintf("sm_%d%d", major, minor)
	return nil
}

// prepare makes what a device works with.
func (d *Device) prepare() error {
	if err := d.cuda.primaryCtxRetain.call(uintptr(unsafe.Pointer(&d.context)), uintptr(d.number)); err != nil {
		return err
	}
	d.current[0] = d.context
	if err := d.do(&d.cuda.streamCreate, uintptr(unsafe.Pointer(&d.stream)), streamNonBlocking); err != nil {
		return err
	}
	if err := d.do(&d.cuda.streamCreate, uintptr(unsafe.Pointer(&d.copies)), streamNonBlocking); err != nil {
		return err
	}
	for _, s := range []*staging{&d.staging, &d.arrival} {
		if err := s.open(stagingBytes); err != nil {
			return err
		}
	}
	if err := d.do(&d.lt.create, uintptr(unsafe.Pointer(&d.blas))); err != nil {
		return err
	}
	var err error
	d.workspace, err = d.Alloc(WorkspaceBytes)
	return err
}

// do calls a function that works in the device's context. A context is current on a
// thread, and a goroutine moves between threads, above all after it waited in C: so
// the context is made current for each call, and the goroutine stays on its thread
// from there to the call's end. Pointers may be arguments as entry.call says.
//
//go:uintptrescapes
func (d *Device) do(e *entry, args ...uintptr) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := d.cuda.ctxSetCurrent.call(d.current[:]...); err != nil {
		return err
	}
	return e.call(args...)
}

// Name is the GPU's: "NVIDIA H100 80GB HBM3".
func (d *Device) Name() string { return d.name }

// Architecture is what to compile kernels for: "sm_90".
func (d *Device) Architecture() string { return d.arch }

// Sync waits for all that was queued, and returns the first error of any of it.
func (d *Device) Sync() error {
	if err := d.outsideRecord("wait"); err != nil {
		return err
	}
	return d.do(&d.cuda.streamSynchronize, d.stream)
}

// Close gives back what the device has; products and graphs must be closed before.
func (d *Device) Close() (err error) {
	if d.context == 0 {
		return nil
	}
	free := func(handle *uintptr, e *entry) {
		if *handle != 0 {
			err = errors.Join(err, d.do(e, *handle))
			*handle = 0
		}
	}
	if d.copies != 0 {
		err = errors.Join(d.Sync(), d.do(&d.cuda.streamSynchronize, d.copies))
	}
	workspace := uintptr(d.workspace)
	free(&workspace, &d.cuda.memFree)
	d.workspace = 0
	free(&d.blas, &d.lt.destroy)
	err = errors.Join(err, d.staging.close(), d.arrival.close())
	for i := range d.modules {
		free(&d.modules[i], &d.cuda.moduleUnload)
	}
	free(&d.copies, &d.cuda.streamDestroy)
	free(&d.stream, &d.cuda.streamDestroy)
	err = errors.Join(err, d.cuda.primaryCtxRelease.call(uintptr(d.number)))
	d.context = 0
	return err
}
