package cuda

import (
	"fmt"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// reader is a backend.Reader.
type reader struct {
	backend *Backend
	values  int
	device  *owned[driver.Reader]
}

// NewReader implements backend.Backend.
func (b *Backend) NewReader(n int) (backend.Reader, error) {
	r, err := b.device.NewReader(4 * n)
	if err != nil {
		return nil, b.error("prepare to read", err)
	}
	return &reader{b, n, own(b, r)}, nil
}

// Begin implements backend.Reader, of float32.
func (r *reader) Begin(src backend.View) error {
	if src.Len != r.values || src.DType != backend.Float32 {
		return fmt.Errorf("cuda: a reader of %d float32 for %d of %v", r.values, src.Len, src.DType)
	}
	if r.backend.failed != nil {
		return r.backend.failed
	}
	if err := r.device.it.Begin(address(src)); err != nil {
		return r.backend.error("read", err)
	}
	return nil
}

// Ready implements backend.Reader.
func (r *reader) Ready() bool { return r.device.it.Ready() }

// Take implements backend.Reader.
func (r *reader) Take(dst []float32) error {
	if r.backend.failed != nil {
		return r.backend.failed
	}
	if err := r.device.it.Take(backend.Bytes(dst)); err != nil {
		return r.backend.error("read", err)
	}
	return nil
}
