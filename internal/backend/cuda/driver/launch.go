package driver

import (
	"errors"
	"fmt"
	"unsafe"
)

// Load loads compiled kernels: PTX or a cubin. It may be called several times.
func (d *Device) Load(image []byte) error {
	if len(image) == 0 {
		return errors.New("no kernels to load")
	}
	ended := append(append(make([]byte, 0, len(image)+1), image...), 0) // PTX is a C string
	var module uintptr
	if err := d.do(&d.cuda.moduleLoadData, uintptr(unsafe.Pointer(&module)), uintptr(unsafe.Pointer(unsafe.SliceData(ended)))); err != nil {
		return err
	}
	d.modules = append(d.modules, module)
	return nil
}

// Function returns the loaded kernel that was declared extern "C" with a name.
// Of several with one name it is the first that was loaded.
func (d *Device) Function(name string) (Function, error) {
	for _, module := range d.modules {
		var f Function
		err := d.do(&d.cuda.moduleGetFunction, uintptr(unsafe.Pointer(&f)), module, uintptr(unsafe.Pointer(cString(name))))
		var refused *Error
		switch {
		case err == nil:
			return f, nil
		case !errors.As(err, &refused) || refused.Code != notFound:
			return 0, fmt.Errorf("kernel %s: %w", name, err)
		}
	}
	return 0, fmt.Errorf("no kernel %s is loaded", name)
}

// Launch queues a kernel: grid blocks of block threads, each block with shared
// bytes of dynamic shared memory. args point to the values of its parameters,
// which CUDA copies before Launch returns.
//
// args is itself the array of pointers that cuLaunchKernel takes. While the device
// has it, it and what it points to are alive and on the heap, where they stay.
func (d *Device) Launch(f Function, grid, block [3]uint32, shared uint32, args []unsafe.Pointer) error {
	d.args = args
	d.words = [...]uintptr{
		uintptr(f),
		uintptr(grid[0]), uintptr(grid[1]), uintptr(grid[2]),
		uintptr(block[0]), uintptr(block[1]), uintptr(block[2]),
		uintptr(shared), d.stream, uintptr(unsafe.Pointer(unsafe.SliceData(d.args))), 0,
	}
	err := d.do(&d.cuda.launchKernel, d.words[:]...)
	d.args = nil
	return err
}

// Record calls run and keeps what it queues, which is not done now, as a graph.
// run may launch kernels, run products, copy within the device and clear; what
// waits or passes through host memory is an error. What is recorded should have
// run once before: CUDA loads kernels when they are first used.
func (d *Device) Record(run func() error) (Graph, error) {
	if err := d.outsideRecord("record"); err != nil {
		return nil, err
	}
	if err := d.do(&d.cuda.streamBeginCapture, d.stream, captureRelaxed); err != nil {
		return nil, err
	}
	d.recording = true
	err := run()
	d.recording = false
	var recorded uintptr
	if endErr := d.do(&d.cuda.streamEndCapture, d.stream, uintptr(unsafe.Pointer(&recorded))); err == nil {
		err = endErr
	}
	g := &graph{device: d}
	if err == nil {
		err = d.do(&d.cuda.graphInstantiate, uintptr(unsafe.Pointer(&g.instance)), recorded, 0)
	}
	if recorded != 0 {
		if destroyErr := d.do(&d.cuda.graphDestroy, recorded); err == nil {
			err = destroyErr
		}
	}
	if err != nil {
		_ = g.Close() // err came first
		return nil, err
	}
	return g, nil
}

// outsideRecord is an error while a graph is recorded.
func (d *Device) outsideRecord(what string) error {
	if d.recording {
		return fmt.Errorf("cannot %s while a graph is recorded", what)
	}
	return nil
}

// graph is a Graph that the driver has made ready to launch.
type graph struct {
	device   *Device
	instance uintptr
}

// Launch implements Graph.
func (g *graph) Launch() error {
	return g.device.do(&g.device.cuda.graphLaunch, g.instance, g.device.stream)
}

// Close implements Graph.
func (g *graph) Close() error {
	if g.instance == 0 {
		return nil
	}
	err := g.device.do(&g.device.cuda.graphExecDestroy, g.instance)
	g.instance = 0
	return err
}

// Time calls each of some functions, which queue launches, and returns how long what
// each queued took the device, in seconds: from the end of what the one before queued.
// It waits for all of it.
func (d *Device) Time(queue []func()) (seconds []float64, err error) {
	if err := d.outsideRecord("time launches"); err != nil {
		return nil, err
	}
	events := make([]uintptr, len(queue)+1)
	defer func() {
		for _, e := range events {
			if e != 0 {
				err = errors.Join(err, d.do(&d.cuda.eventDestroy, e))
			}
		}
	}()
	for i := range events {
		if err := d.do(&d.cuda.eventCreate, uintptr(unsafe.Pointer(&events[i])), eventTiming); err != nil {
			return nil, err
		}
	}
	for i, e := range events {
		if i > 0 {
			queue[i-1]()
		}
		if err := d.do(&d.cuda.eventRecord, e, d.stream); err != nil {
			return nil, err
		}
	}
	if err := d.Sync(); err != nil {
		return nil, err
	}
	seconds = make([]float64, len(queue))
	for i := range seconds {
		var milliseconds float32
		if err := d.do(&d.cuda.eventElapsedTime, uintptr(unsafe.Pointer(&milliseconds)), events[i], events[i+1]); err != nil {
			return nil, err
		}
		seconds[i] = float64(milliseconds) / 1e3
	}
	return seconds, nil
}
