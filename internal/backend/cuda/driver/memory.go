package driver

import "unsafe"

// Memory is the bytes that are free, and all of them.
func (d *Device) Memory() (free, total int64, err error) {
	err = d.do(&d.cuda.memGetInfo, uintptr(unsafe.Pointer(&free)), uintptr(unsafe.Pointer(&total)))
	return free, total, err
}

// Alloc allocates memory of a number of bytes, aligned to 256. Its contents are
// undefined.
func (d *Device) Alloc(bytes int64) (p Pointer, err error) {
	err = d.do(&d.cuda.memAlloc, uintptr(unsafe.Pointer(&p)), uintptr(bytes))
	return p, err
}

// Free frees what Alloc gave, after all that was queued.
func (d *Device) Free(p Pointer) error { return d.do(&d.cuda.memFree, uintptr(p)) }

// Upload copies src to the device, after what is queued. When it returns, src
// may change; the copy may still be under way. It waits only for room in the
// pinned memory that the bytes pass through.
func (d *Device) Upload(dst Pointer, src []byte) error {
	_, err := d.upload(dst, src, &d.staging, d.stream)
	return err
}

// Send is Upload while queued work runs, which must not use what is at dst. What is
// queued later comes after the copy.
func (d *Device) Send(dst Pointer, src []byte) error {
	last, err := d.upload(dst, src, &d.arrival, d.copies)
	if err != nil || last == 0 {
		return err
	}
	return d.do(&d.cuda.streamWaitEvent, d.stream, last, 0)
}

// upload queues copies on a stream, through the stream's own staging memory, and returns
// the event of the last, which belongs to that memory.
func (d *Device) upload(dst Pointer, src []byte, staging *staging, stream uintptr) (last uintptr, err error) {
	if err := d.outsideRecord("upload"); err != nil {
		return 0, err
	}
	for len(src) > 0 {
		s, err := staging.take(min(len(src), staging.chunk()))
		if err != nil {
			return 0, err
		}
		n := copy(staging.bytes[s.start:s.end], src)
		if err := staging.queue(s, stream, &d.cuda.memcpyHtoD, uintptr(dst), staging.at(s), uintptr(n), stream); err != nil {
			return 0, err
		}
		dst, src, last = dst+Pointer(n), src[n:], s.event
	}
	return last, nil
}

// Download copies from the device to dst, after what is queued, and waits for
// it. While one part is copied out of pinned memory the next comes in.
func (d *Device) Download(dst []byte, src Pointer) error {
	if err := d.outsideRecord("download"); err != nil {
		return err
	}
	var coming span // of pinned memory; its bytes go to into
	var into []byte
	for len(dst) > 0 {
		n := min(len(dst), d.staging.chunk())
		s, err := d.staging.take(n)
		if err != nil {
			return err
		}
		if err := d.staging.queue(s, d.stream, &d.cuda.memcpyDtoH, d.staging.at(s), uintptr(src), uintptr(n), d.stream); err != nil {
			return err
		}
		if err := d.staging.copyOut(into, coming); err != nil {
			return err
		}
		coming, into = s, dst[:n]
		dst, src = dst[n:], src+Pointer(n)
	}
	return d.staging.copyOut(into, coming)
}

// Clear queues writing zeros.
func (d *Device) Clear(dst Pointer, bytes int64) error {
	return d.do(&d.cuda.memsetD8, uintptr(dst), 0, uintptr(bytes), d.stream)
}

// Copy queues a copy within the device's memory. The two must not overlap.
func (d *Device) Copy(dst, src Pointer, bytes int64) error {
	return d.do(&d.cuda.memcpyDtoD, uintptr(dst), uintptr(src), uintptr(bytes), d.stream)
}
