package driver

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"unsafe"
)

// Compile compiles CUDA C++ by NVRTC. name is what messages call the source.
// Among the options is --gpu-architecture: with sm_XX the image is a cubin for
// that GPU and those of its major version after it, with compute_XX it is PTX.
// The error of a source that does not compile has the compiler's log.
func Compile(libraries *Libraries, name, source string, options ...string) (image []byte, err error) {
	if err := libraries.NVRTC.Err(); err != nil {
		return nil, err
	}
	n, err := bindNVRTC(&libraries.NVRTC)
	if err != nil {
		return nil, err
	}
	size, get, err := n.output(options)
	if err != nil {
		return nil, err
	}
	var program uintptr
	err = n.create.call(uintptr(unsafe.Pointer(&program)), uintptr(unsafe.Pointer(cString(source))),
		uintptr(unsafe.Pointer(cString(name))), 0, 0, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = n.destroy.call(uintptr(unsafe.Pointer(&program))) }()
	if err := n.compileWith(program, options); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", name, err, n.log(program))
	}
	return sized(program, size, get)
}

// output says which functions give what the options ask for.
func (n *nvrtc) output(options []string) (size, get *entry, err error) {
	for _, o := range options {
		switch _, architecture, _ := strings.Cut(o, "--gpu-architecture="); {
		case strings.HasPrefix(architecture, "sm_"):
			return &n.getCUBINSize, &n.getCUBIN, nil
		case strings.HasPrefix(architecture, "compute_"):
			return &n.getPTXSize, &n.getPTX, nil
		}
	}
	return nil, nil, fmt.Errorf("no --gpu-architecture=sm_XX or compute_XX among the compiler's options %q", options)
}

// compileWith runs the compiler. The options are pointers in memory that C
// reads, which is why they are pinned.
func (n *nvrtc) compileWith(program uintptr, options []string) error {
	var pins runtime.Pinner
	defer pins.Unpin()
	list := make([]*byte, len(options))
	for i, o := range options {
		list[i] = cString(o)
		pins.Pin(list[i])
	}
	return n.compile.call(program, uintptr(len(list)), uintptr(unsafe.Pointer(unsafe.SliceData(list))))
}

// log is what the compiler said, without the zero that ends it.
func (n *nvrtc) log(program uintptr) string {
	log, err := sized(program, &n.getLogSize, &n.getLog)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(bytes.TrimRight(log, "\x00")))
}

// sized reads what one function says the size of and another writes.
func sized(program uintptr, size, get *entry) ([]byte, error) {
	var n uint64
	if err := size.call(program, uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, err
	}
	out := make([]byte, max(n, 1))
	if err := get.call(program, uintptr(unsafe.Pointer(unsafe.SliceData(out)))); err != nil {
		return nil, err
	}
	return out[:n], nil
}
