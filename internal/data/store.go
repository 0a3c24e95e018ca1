package data

import (
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"runtime/debug"

	"effnet/internal/augment"
)

// A store holds the images of a Set. Goroutines may share it.
type store interface {
	// path names image i for people.
	path(i int) string
	// read returns image i, valid until buf is used again. Errors are *Error.
	read(buf *buffer, i int) (record, error)
}

// A record is one image of a store: an encoded image file or, when w is not 0,
// packed RGB pixels, [h, w, 3]. Its data must not be changed.
type record struct {
	data []byte
	w, h int // pixels
}

// A buffer is memory for one file at a time; a goroutine has its own.
type buffer struct{ b []byte }

const maxKept = 16 << 20 // bytes that a buffer holds on to

// take returns n bytes of unspecified content, valid until the next take.
func (b *buffer) take(n int) []byte {
	if n > maxKept {
		return make([]byte, n)
	}
	b.b = grow(b.b, n)
	return b.b
}

// openRegular opens a regular file. Others are refused before they are opened,
// since opening a named pipe waits for its writer.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, &Error{Path: path, Reason: "not a regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, unreadable(path, err)
	}
	return f, info, nil
}

// checkSize refuses an image file of size bytes before memory is allocated for it.
func checkSize(path string, size int64) error {
	switch {
	case size == 0:
		return &Error{Path: path, Reason: "empty file", Hint: replaceHint}
	case size > MaxFileBytes:
		return &Error{Path: path, Hint: replaceHint,
			Reason: fmt.Sprintf("%d MB, more than the %d MB an image may have", size>>20, MaxFileBytes>>20)}
	}
	return nil
}

// readFile returns the image file at path, whose memory is buf's.
func readFile(buf *buffer, path string) ([]byte, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkSize(path, info.Size()); err != nil {
		return nil, err
	}
	return readRange(buf, f, path, 0, info.Size())
}

// readRange returns n bytes of f from off; path is for errors.
func readRange(buf *buffer, f io.ReaderAt, path string, off, n int64) ([]byte, error) {
	b := buf.take(int(n))
	switch got, err := f.ReadAt(b, off); {
	case got == len(b):
		return b, nil
	case errors.Is(err, io.EOF):
		return nil, &Error{Path: path, Reason: "became shorter while it was read", Hint: replaceHint, Err: err}
	default:
		return nil, unreadable(path, err)
	}
}

// load reads image i of a set and returns its size. Errors are *Error.
func (d *decoder) load(set *Set, i int) (w, h int, err error) {
	rec, err := set.store.read(&d.file, set.at(i))
	if err != nil {
		return 0, 0, err
	}
	return d.hold(rec, set.Path(i))
}

// hold makes a record what image decodes, and returns its size.
func (d *decoder) hold(rec record, path string) (w, h int, err error) {
	d.bare, d.encoded = rec, nil
	if rec.w > 0 {
		return rec.w, rec.h, nil
	}
	return d.open(rec.data, path)
}

// image returns what load has read. It fills dst, at least the region of it, or
// returns an Image that is read in place and must not be changed.
func (d *decoder) image(dst *augment.Image, region image.Rectangle) (*augment.Image, error) {
	if r := d.bare; r.w > 0 {
		return &augment.Image{W: r.w, H: r.h, Pix: r.data}, nil
	}
	return dst, d.pixels(dst, region)
}

// read returns the whole of image i, as image does.
func (d *decoder) read(dst *augment.Image, set *Set, i int) (*augment.Image, error) {
	w, h, err := d.load(set, i)
	if err != nil {
		return nil, err
	}
	return d.image(dst, image.Rect(0, 0, w, h))
}

// guard makes an *Error of the fault that reading a mapped file raises when the
// file has become shorter. It is called as defer guard(set, i, &err)().
func guard(set *Set, i int, err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		switch p := recover(); {
		case p == nil:
		case isFault(p):
			*err = &Error{Path: set.Path(i), Reason: "cannot be read: its file became shorter or its disk failed", Hint: "copy the file again"}
		default:
			panic(p)
		}
	}
}

// isFault reports whether a panic is a memory fault, as package runtime marks it.
func isFault(p any) bool {
	_, ok := p.(interface{ Addr() uintptr })
	return ok
}
