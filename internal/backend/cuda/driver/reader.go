package driver

import (
	"errors"
	"unsafe"
)

// reader is a Reader with pinned memory of its own.
type reader struct {
	device *Device
	memory unsafe.Pointer // C's
	bytes  []byte         // the same
	event  uintptr        // happens when the copy is done
}

// NewReader returns a Reader of a number of bytes, which must be closed before the
// Device.
func (d *Device) NewReader(bytes int) (Reader, error) {
	r := &reader{device: d}
	err := d.do(&d.cuda.memHostAlloc, uintptr(unsafe.Pointer(&r.memory)), uintptr(bytes), 0)
	if err == nil {
		r.bytes = unsafe.Slice((*byte)(r.memory), bytes)
		err = d.do(&d.cuda.eventCreate, uintptr(unsafe.Pointer(&r.event)), eventNoTiming)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Begin implements Reader.
func (r *reader) Begin(src Pointer) error {
	d := r.device
	if err := d.outsideRecord("read"); err != nil {
		return err
	}
	if err := d.do(&d.cuda.memcpyDtoH, uintptr(r.memory), uintptr(src), uintptr(len(r.bytes)), d.stream); err != nil {
		return err
	}
	return d.do(&d.cuda.eventRecord, r.event, d.stream)
}

// Ready implements Reader. An error is Take's to say.
func (r *reader) Ready() bool {
	var refused *Error
	err := r.device.do(&r.device.cuda.eventQuery, r.event)
	return !errors.As(err, &refused) || refused.Code != notReady
}

// Take implements Reader.
func (r *reader) Take(dst []byte) error {
	if err := r.device.do(&r.device.cuda.eventSynchronize, r.event); err != nil {
		return err
	}
	copy(dst, r.bytes)
	return nil
}

// Close implements Reader.
func (r *reader) Close() (err error) {
	cuda := r.device.cuda
	if r.event != 0 {
		err = r.device.do(&cuda.eventDestroy, r.event)
	}
	if r.memory != nil {
		err = errors.Join(err, r.device.do(&cuda.memFreeHost, uintptr(r.memory)))
	}
	*r = reader{device: r.device}
	return err
}
