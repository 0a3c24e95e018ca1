// Package hdf5 reads what of HDF5 files Keras writes weights with: groups,
// datasets of numbers, and attributes that are a string. It follows the "HDF5 File
// Format Specification Version 3.0" of the HDF Group, whose section numbers the
// comments give.
//
// What it lacks is an error that names the feature: dense links and attributes,
// chunk indexes other than version 1 B-trees, filters other than deflate and
// shuffle, big-endian numbers, external files.
package hdf5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Limits that no EfficientNet reaches; every other allocation is bounded by the
// file's size.
const (
	maxFloats   = 1 << 31  // of all datasets; L2 has 0.48e9
	maxDepth    = 32       // groups inside each other
	maxName     = 1 << 10  // bytes, of a link and an attribute
	maxText     = 16 << 20 // bytes, of an attribute's string: Keras' description of a model
	maxRank     = 8        // of a dataset
	maxBlock    = 1 << 20  // bytes, of an object's header and of a B-tree's node
	maxMessages = 1 << 12  // of an object's header
	maxRatio    = 16       // bytes of values, as float32, to the file's size
	maxReads    = 4        // how often all of the file may be read for its structure
	slack       = 1 << 20  // bytes that the two limits above leave to small files
)

// Magic is what a file begins with.
const Magic = "\x89HDF\r\n\x1a\n"

// UnsupportedError is a feature of the format that is not read.
type UnsupportedError string

func (e UnsupportedError) Error() string { return string(e) + " is not supported" }

func unsupportedf(format string, args ...any) error {
	return UnsupportedError(fmt.Sprintf(format, args...))
}

// Object is a group or a dataset.
type Object struct {
	Name       string            // of the link to it; "" for the root
	Objects    []*Object         // of a group, in the file's order
	Dataset    *Dataset          // nil for a group
	Attributes map[string]string // those that are one string
}

// Find returns the object at a path of names below o, or nil.
func (o *Object) Find(names ...string) *Object {
	for _, name := range names {
		var next *Object
		for _, child := range o.Objects {
			if child.Name == name {
				next = child
			}
		}
		if next == nil {
			return nil
		}
		o = next
	}
	return o
}

var le = binary.LittleEndian

// undefined is the address of what is not there.
const undefined = math.MaxUint64

// file is what is being read. Addresses count from base.
type file struct {
	r    io.ReaderAt
	size int64
	base int64
	meta int64 // bytes of structure that may still be read
	data int64 // bytes of values, as float32, that may still be made
}

// Read returns the tree of objects in a file of size bytes; no dataset's values
// are read.
func Read(r io.ReaderAt, size int64) (*Object, error) {
	f := &file{r: r, size: size, meta: maxReads*size + slack, data: min(maxRatio*size+slack, 4*maxFloats)}
	root, err := f.superblock()
	if err != nil {
		return nil, err
	}
	return f.object("", root, 0)
}

// superblock returns the address of the root's header (II.A). Files with the
// superblock elsewhere than at their begin are not read.
func (f *file) superblock() (uint64, error) {
	b, err := f.read(0, 9)
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(b, []byte(Magic)) {
		return 0, errors.New("it does not begin as HDF5 does")
	}
	c := cursor{}
	switch version := b[8]; version {
	case 0, 1:
		if c.b, err = f.read(0, 100); err != nil {
			return 0, err
		}
		c.skip(13)
		if err := sizes(c.uint(1), c.uint(1)); err != nil {
			return 0, err
		}
		c.skip(9)
		if version == 1 {
			c.skip(4)
		}
		f.base = int64(c.uint(8))
		c.skip(8)
		if err := f.whole(c.uint(8)); err != nil {
			return 0, err
		}
		c.skip(8 + 8)
	case 2, 3:
		if c.b, err = f.read(0, 48); err != nil {
			return 0, err
		}
		c.skip(9)
		if err := sizes(c.uint(1), c.uint(1)); err != nil {
			return 0, err
		}
		c.skip(1)
		f.base = int64(c.uint(8))
		c.skip(8)
		if err := f.whole(c.uint(8)); err != nil {
			return 0, err
		}
	default:
		return 0, unsupportedf("a superblock of version %d", version)
	}
	return c.uint(8), c.err
}

func sizes(offset, length uint64) error {
	if offset != 8 || length != 8 {
		return unsupportedf("a file with offsets of %d and lengths of %d bytes", offset, length)
	}
	return nil
}

// whole checks the file's size by the address of its end.
func (f *file) whole(end uint64) error {
	if f.base != 0 {
		return unsupportedf("a base address of %d", f.base)
	}
	if end > uint64(f.size) {
		return fmt.Errorf("it is truncated: %d bytes of %d", f.size, end)
	}
	return nil
}

// read returns n bytes of the file's structure.
func (f *file) read(at uint64, n int) ([]byte, error) {
	if n > maxBlock {
		return nil, fmt.Errorf("a block of %d bytes at byte %d", n, at)
	}
	if f.meta -= int64(n); f.meta < 0 {
		return nil, errors.New("its structure points in circles")
	}
	return f.readData(at, uint64(n))
}

// readData returns n bytes of values.
func (f *file) readData(at, n uint64) ([]byte, error) {
	if at > uint64(f.size) || n > uint64(f.size)-at {
		return nil, fmt.Errorf("%d bytes at byte %d, which the file does not have", n, at)
	}
	b := make([]byte, n)
	_, err := f.r.ReadAt(b, int64(at))
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// text returns a string that ends in a zero byte.
func (f *file) text(at uint64) (string, error) {
	var name []byte
	for len(name) <= maxName && at+uint64(len(name)) < uint64(f.size) {
		from := at + uint64(len(name))
		b, err := f.read(from, int(min(32, uint64(f.size)-from)))
		if err != nil {
			return "", err
		}
		before, _, found := bytes.Cut(b, []byte{0})
		if name = append(name, before...); found {
			return string(name), nil
		}
	}
	return "", fmt.Errorf("a name at byte %d that does not end", at)
}
