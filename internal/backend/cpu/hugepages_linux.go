package cpu

import (
	"syscall"
	"unsafe"
)

// hugePage is the size that Linux gives on amd64 and most others.
const hugePage = 2 << 20

// adviseHuge asks for huge pages under x: maps are gone through from end to end,
// and every page's end stops the processor's prefetching. It is advice; what the
// kernel does about it does not matter to the values.
func adviseHuge(x []float32) {
	first := uintptr(unsafe.Pointer(unsafe.SliceData(x)))
	skip := (hugePage - first%hugePage) % hugePage
	size := (uintptr(len(x))*4 - min(skip, uintptr(len(x))*4)) / hugePage * hugePage
	if size == 0 {
		return
	}
	_ = syscall.Madvise(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(x)), skip)), size), syscall.MADV_HUGEPAGE)
}
