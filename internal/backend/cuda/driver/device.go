package driver

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"unsafe"
)

// DeviceEnv names the GPU to use, by its number; 0 where it is not set.
const DeviceEnv = "EFFNET_CUDA_DEVICE"

// Numbers of cuda.h.
const (
	attributeMajor    = 75 // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
	attributeMinor    = 76
	streamNonBlocking = 1 // CU_STREAM_NON_BLOCKING
	eventNoTiming     = 2 // CU_EVENT_DISABLE_TIMING
	captureRelaxed    = 2 // CU_STREAM_CAPTURE_MODE_RELAXED
)

// Staging: pinned memory that copies between Go's and the device's pass through.
const (
	stages     = 2
	stageBytes = 4 << 20
)

// Device is a GPU with one stream, on which all work is queued in order. It is used
// by one goroutine at a time, which may move between threads: each method makes the
// device's context current on the thread it runs on.
type Device struct {
	cuda    *cuda
	lt      *cublasLt
	context uintptr
	number  int32
	stream  uintptr
	name    string
	arch    string
	modules []uintptr
	staging [stages]stage
	next    int // of staging

	blas      uintptr // cuBLASLt's handle
	workspace Pointer // of its products
}

// stage is a piece of pinned memory.
type stage struct {
	host  uintptr
	event uintptr // after the last copy from it
	busy  bool    // whether there is one
}

// Open opens the GPU that DeviceEnv names.
func Open(libraries *Libraries) (d *Device, err error) {
	for _, l := range []*Library{&libraries.Driver, &libraries.CublasLt} {
		if err := l.Err(); err != nil {
			return nil, err
		}
	}
	d = &Device{}
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

// find takes hold of the GPU and reads what it is.
func (d *Device) find() error {
	var count int32
	err := d.cuda.init.call(0)
	if err == nil {
		err = d.cuda.deviceGetCount.call(uintptr(unsafe.Pointer(&count)))
	}
	var e *Error
	if errors.As(err, &e) && e.Code == noDevice || err == nil && count == 0 {
		return errors.New("the driver finds no GPU (is it in the machine, and nvidia-smi lists it?)")
	}
	if err != nil {
		return err
	}
	number := 0
	if text := os.Getenv(DeviceEnv); text != "" {
		if number, err = strconv.Atoi(text); err != nil || number < 0 || number >= int(count) {
			return fmt.Errorf("%s is %s: there are %d GPUs, from 0", DeviceEnv, text, count)
		}
	}
	if err := d.cuda.deviceGet.call(uintptr(unsafe.Pointer(&d.number)), uintptr(number)); err != nil {
		return err
	}
	name := make([]byte, 256)
	if err := d.cuda.deviceGetName.call(uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)), uintptr(d.number)); err != nil {
		return err
	}
	var major, minor int32
	if err := d.cuda.deviceGetAttr.call(uintptr(unsafe.Pointer(&major)), attributeMajor, uintptr(d.number)); err != nil {
		return err
	}
	if err := d.cuda.deviceGetAttr.call(uintptr(unsafe.Pointer(&minor)), attributeMinor, uintptr(d.number)); err != nil {
		return err
	}
	d.name, d.arch = text(&name[0]), fmt.Sprintf("sm_%d%d", major, minor)
	return nil
}

// prepare makes what a device works with.
func (d *Device) prepare() error {
	if err := d.cuda.primaryCtxRetain.call(uintptr(unsafe.Pointer(&d.context)), uintptr(d.number)); err != nil {
		return err
	}
	if err := d.enter(); err != nil {
		return err
	}
	if err := d.cuda.streamCreate.call(uintptr(unsafe.Pointer(&d.stream)), streamNonBlocking); err != nil {
		return err
	}
	for i := range d.staging {
		s := &d.staging[i]
		if err := d.cuda.memHostAlloc.call(uintptr(unsafe.Pointer(&s.host)), stageBytes, 0); err != nil {
			return err
		}
		if err := d.cuda.eventCreate.call(uintptr(unsafe.Pointer(&s.event)), eventNoTiming); err != nil {
			return err
		}
	}
	if err := d.lt.create.call(uintptr(unsafe.Pointer(&d.blas))); err != nil {
		return err
	}
	var err error
	d.workspace, err = d.Alloc(workspaceBytes)
	return err
}

// enter makes the device's context the thread's.
func (d *Device) enter() error { return d.cuda.ctxSetCurrent.call(d.context) }

// do enters and calls.
func (d *Device) do(e *entry, args ...uintptr) error {
	if err := d.enter(); err != nil {
		return err
	}
	return e.call(args...)
}

// Name is the GPU's: "NVIDIA H100 80GB HBM3".
func (d *Device) Name() string { return d.name }

// Architecture is what to compile kernels for: "sm_90".
func (d *Device) Architecture() string { return d.arch }

// Memory is the bytes that are free, and all of them.
func (d *Device) Memory() (free, total int64, err error) {
	if err := d.enter(); err != nil {
		return 0, 0, err
	}
	err = d.cuda.memGetInfo.call(uintptr(unsafe.Pointer(&free)), uintptr(unsafe.Pointer(&total)))
	return free, total, err
}

// Alloc allocates so many bytes, aligned to 256. They hold anything.
func (d *Device) Alloc(bytes int64) (p Pointer, err error) {
	if err := d.enter(); err != nil {
		return 0, err
	}
	err = d.cuda.memAlloc.call(uintptr(unsafe.Pointer(&p)), uintptr(bytes))
	return p, err
}

// Free frees what Alloc gave, after all that was queued.
func (d *Device) Free(p Pointer) error { return d.do(&d.cuda.memFree, uintptr(p)) }

// Clear queues the writing of zeros.
func (d *Device) Clear(dst Pointer, bytes int64) error {
	return d.do(&d.cuda.memsetD8, uintptr(dst), 0, uintptr(bytes), d.stream)
}

// Copy queues a copy within the device's memory.
func (d *Device) Copy(dst, src Pointer, bytes int64) error {
	return d.do(&d.cuda.memcpyDtoD, uintptr(dst), uintptr(src), uintptr(bytes), d.stream)
}

// pinned is the memory of a stage.
func (s *stage) pinned(n int) []byte {
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&s.host)), n) // see textAt
}

// Upload queues a copy to the device. src may change when it returns.
func (d *Device) Upload(dst Pointer, src []byte) error {
	if err := d.enter(); err != nil {
		return err
	}
	for len(src) > 0 {
		s := &d.staging[d.next]
		d.next = (d.next + 1) % stages
		if s.busy {
			if err := d.cuda.eventSynchronize.call(s.event); err != nil {
				return err
			}
		}
		n := copy(s.pinned(stageBytes), src)
		if err := d.cuda.memcpyHtoD.call(uintptr(dst), s.host, uintptr(n), d.stream); err != nil {
			return err
		}
		if err := d.cuda.eventRecord.call(s.event, d.stream); err != nil {
			return err
		}
		s.busy = true
		src, dst = src[n:], dst+Pointer(n)
	}
	return nil
}

// Download copies from the device, after all that was queued.
func (d *Device) Download(dst []byte, src Pointer) error {
	if err := d.Sync(); err != nil { // uploads too: the stage is free
		return err
	}
	s := &d.staging[0]
	for len(dst) > 0 {
		n := min(len(dst), stageBytes)
		if err := d.cuda.memcpyDtoH.call(s.host, uintptr(src), uintptr(n), d.stream); err != nil {
			return err
		}
		if err := d.Sync(); err != nil {
			return err
		}
		copy(dst, s.pinned(n))
		dst, src = dst[n:], src+Pointer(n)
	}
	return nil
}

// Sync waits for all that was queued, and returns the first error of any of it.
func (d *Device) Sync() error { return d.do(&d.cuda.streamSynchronize, d.stream) }

// Load loads kernels: a cubin or PTX of Compile.
func (d *Device) Load(image []byte) error {
	if len(image) == 0 {
		return errors.New("no kernels to load")
	}
	if err := d.enter(); err != nil {
		return err
	}
	image = append(slices.Clip(image), 0) // PTX is a C string
	var module uintptr
	if err := d.cuda.moduleLoadData.call(uintptr(unsafe.Pointer(&module)), uintptr(unsafe.Pointer(&image[0]))); err != nil {
		return err
	}
	d.modules = append(d.modules, module)
	return nil
}

// Function finds a kernel, by its extern "C" name, in what was loaded.
func (d *Device) Function(name string) (f Function, err error) {
	if err := d.enter(); err != nil {
		return 0, err
	}
	for _, m := range d.modules {
		err = d.cuda.moduleGetFunction.call(uintptr(unsafe.Pointer(&f)), m, uintptr(unsafe.Pointer(cString(name))))
		var e *Error
		if !errors.As(err, &e) || e.Code != notFound {
			return f, err
		}
	}
	return 0, fmt.Errorf("no kernel %s is loaded", name)
}

// Launch queues a kernel. args point to the arguments' values, in Go's memory: CUDA
// copies them before it returns.
func (d *Device) Launch(f Function, grid, block [3]uint32, shared uint32, args []unsafe.Pointer) error {
	if err := d.enter(); err != nil {
		return err
	}
	err := d.cuda.launchKernel.call(uintptr(f), uintptr(grid[0]), uintptr(grid[1]), uintptr(grid[2]),
		uintptr(block[0]), uintptr(block[1]), uintptr(block[2]), uintptr(shared), d.stream, uintptr(unsafe.Pointer(unsafe.SliceData(args))), 0)
	runtime.KeepAlive(args)
	return err
}

// recorded is a Graph.
type recorded struct {
	d     *Device
	graph uintptr
	exec  uintptr
}

// Record makes a graph of what run queues, which is not done yet when Record
// returns. Nothing that run queues may allocate, upload, download or wait.
func (d *Device) Record(run func() error) (g Graph, err error) {
	runtime.LockOSThread() // a capture belongs to a thread
	defer runtime.UnlockOSThread()
	if err := d.do(&d.cuda.streamBeginCapture, d.stream, captureRelaxed); err != nil {
		return nil, err
	}
	r := &recorded{d: d}
	err = run()
	if end := d.cuda.streamEndCapture.call(d.stream, uintptr(unsafe.Pointer(&r.graph))); err == nil {
		err = end
	}
	if err == nil {
		err = d.cuda.graphInstantiate.call(uintptr(unsafe.Pointer(&r.exec)), r.graph, 0)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Launch implements Graph.
func (r *recorded) Launch() error { return r.d.do(&r.d.cuda.graphLaunch, r.exec, r.d.stream) }

// Close implements Graph.
func (r *recorded) Close() (err error) {
	if r.exec != 0 {
		err = r.d.do(&r.d.cuda.graphExecDestroy, r.exec)
	}
	if r.graph != 0 {
		err = errors.Join(err, r.d.do(&r.d.cuda.graphDestroy, r.graph))
	}
	r.exec, r.graph = 0, 0
	return err
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
	if d.stream != 0 {
		err = d.Sync()
	}
	workspace := uintptr(d.workspace)
	free(&workspace, &d.cuda.memFree)
	d.workspace = 0
	free(&d.blas, &d.lt.destroy)
	for i := range d.staging {
		free(&d.staging[i].host, &d.cuda.memFreeHost)
		free(&d.staging[i].event, &d.cuda.eventDestroy)
	}
	for i := range d.modules {
		free(&d.modules[i], &d.cuda.moduleUnload)
	}
	free(&d.stream, &d.cuda.streamDestroy)
	err = errors.Join(err, d.cuda.primaryCtxRelease.call(uintptr(d.number)))
	d.context = 0
	return err
}
