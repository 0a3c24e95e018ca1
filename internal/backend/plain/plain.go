// Package plain is the smallest possible backend, and the one to read first: buffers
// are slices, and a launch is backend.Reference. It is slow, and its launches allocate,
// which those of a real backend do not; but it runs every Spec: a network can train with
// a new operation before any kernel for it is written, and the suite of the other
// backends is itself tested on it.
//
// A backend for a new device can start as a copy of this one and replace the definitions
// by kernels one at a time: see backendtest, and "Adding things" in ARCHITECTURE.md.
package plain

import (
	"fmt"

	"effnet/internal/backend"
)

// Backend keeps values in Go slices. Its zero value is ready to use.
type Backend struct{}

var _ backend.Backend = Backend{}

// Name implements backend.Backend.
func (Backend) Name() string { return "plain" }

// buffer is a backend.Buffer.
type buffer struct{ values []float32 }

func (b *buffer) Len() int { return len(b.values) }

// Alloc implements backend.Backend.
func (Backend) Alloc(n int) (backend.Buffer, error) {
	if n < 0 {
		return nil, &backend.Error{Device: "plain", Op: "allocate", Err: fmt.Errorf("%d values", n)}
	}
	return &buffer{make([]float32, n)}, nil
}

// values are the memory of a view. It is no Typer, so they are float32.
func values(v backend.View) []float32 { return v.Buffer.(*buffer).values[v.Offset:][:v.Len] }

// Upload implements backend.Backend.
func (Backend) Upload(dst backend.View, src []float32) error {
	if len(src) != dst.Len {
		return fmt.Errorf("plain: upload of %d values to %d", len(src), dst.Len)
	}
	copy(values(dst), src)
	return nil
}

// Send implements backend.Backend. No launch is ever under way.
func (Backend) Send(dst backend.View, src []byte) error {
	if len(src) > len(backend.Bytes(values(dst))) {
		return fmt.Errorf("plain: %d bytes for %d values", len(src), dst.Len)
	}
	copy(backend.Bytes(values(dst)), src)
	return nil
}

// Download implements backend.Backend.
func (Backend) Download(dst []float32, src backend.View) error {
	if len(dst) != src.Len {
		return fmt.Errorf("plain: download of %d values from %d", len(dst), src.Len)
	}
	copy(dst, values(src))
	return nil
}

// reader is a backend.Reader: what it reads is there when it begins.
type reader []float32

// NewReader implements backend.Backend.
func (Backend) NewReader(n int) (backend.Reader, error) { return make(reader, n), nil }

func (r reader) Begin(src backend.View) error { return Backend{}.Download(r, src) }
func (r reader) Ready() bool                  { return true }
func (r reader) Take(dst []float32) error     { copy(dst, r); return nil }

// Compile implements backend.Backend. Check has found nothing wrong with the operation
// and its operands, so the launch cannot fail.
func (Backend) Compile(spec backend.Spec, operands ...backend.View) (backend.Program, error) {
	if err := backend.Check(spec, operands); err != nil {
		return backend.Program{}, err
	}
	v := make([][]float32, len(operands))
	for i, o := range operands {
		v[i] = values(o)
	}
	return backend.Program{Run: func() {
		if err := backend.Reference(spec, v); err != nil {
			panic(err)
		}
	}}, nil
}

// Sync implements backend.Backend: launches are done when they return.
func (Backend) Sync() error { return nil }

// Close implements backend.Backend.
func (Backend) Close() error { return nil }
