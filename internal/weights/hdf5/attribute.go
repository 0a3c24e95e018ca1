package hdf5

import (
	"bytes"
	"errors"
	"fmt"
)

// attribute adds an attribute that is one string (IV.A.2.m), and skips others.
func (f *file) attribute(o *Object, m message) error {
	c := cursor{b: m.data}
	version := c.uint(1)
	flags := c.uint(1)
	if c.err == nil && (version < 1 || version > 3) {
		return unsupportedf("version %d", version)
	}
	if m.shared || version > 1 && flags != 0 {
		return nil // of a type that has a name
	}
	nameBytes, typeBytes, spaceBytes := c.int(2), c.int(2), c.int(2)
	if version == 3 {
		c.skip(1) // the character set
	}
	take := func(n int) []byte {
		b := c.bytes(n)
		if version == 1 {
			c.skip(-n & 7)
		}
		return b
	}
	name, _, _ := bytes.Cut(take(nameBytes), []byte{0})
	kind, space := take(typeBytes), take(spaceBytes)
	if c.err != nil {
		return c.err
	}
	shape, err := dataspace(space)
	if err != nil || len(shape) > 0 || len(name) > maxName || len(kind) < 8 {
		return nil //nolint:nilerr // only strings are of interest
	}
	value, ok, err := f.stringValue(kind, c.b)
	if ok {
		o.Attributes[string(name)] = value
	}
	return err
}

// stringValue returns a string, of fixed or of any length (IV.A.2.d).
func (f *file) stringValue(kind, data []byte) (value string, ok bool, err error) {
	const fixed, variable = 3, 9
	class, size := kind[0]&15, le.Uint32(kind[4:])
	switch {
	case class == fixed && size <= maxText && int(size) <= len(data):
		data = data[:size]
	case class == variable && kind[1]&15 == 1 && len(data) >= 16:
		n := le.Uint32(data)
		if n == 0 || n > maxText {
			return "", false, nil
		}
		if data, err = f.global(le.Uint64(data[4:]), le.Uint32(data[12:])); err != nil {
			return "", false, err
		}
		data = data[:min(int(n), len(data))]
	default:
		return "", false, nil
	}
	data, _, _ = bytes.Cut(data, []byte{0})
	return string(data), true, nil
}

// global returns an object of a global heap, of at most maxText bytes (III.E).
func (f *file) global(at uint64, index uint32) ([]byte, error) {
	b, err := f.read(at, 16)
	if err != nil {
		return nil, err
	}
	c := cursor{b: b}
	if !c.magic("GCOL") {
		return nil, fmt.Errorf("no global heap at byte %d", at)
	}
	c.skip(4)
	end := at + min(c.uint(8), maxText+maxBlock)
	for at += 16; at+16 <= end; {
		if c.b, err = f.read(at, 16); err != nil {
			return nil, err
		}
		found := c.uint(2)
		c.skip(6)
		n := c.uint(8)
		if found == 0 || n > maxText {
			break // the free space
		}
		if at += 16; found == uint64(index) {
			return f.readText(at, n)
		}
		at += (n + 7) &^ 7
	}
	return nil, fmt.Errorf("a global heap without its object %d", index)
}

// readText returns the bytes of a string, which may be longer than other structure.
func (f *file) readText(at, n uint64) ([]byte, error) {
	if f.meta -= int64(n); f.meta < 0 {
		return nil, errors.New("its structure points in circles")
	}
	return f.readData(at, n)
}
