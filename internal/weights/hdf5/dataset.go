package hdf5

import (
	"errors"
	"fmt"
)

// Dataset is an array of numbers in C order.
type Dataset struct {
	Shape []int

	f       *file
	n       int64 // values
	kind    number
	kindErr error // a type that is not read, reported with the values
	layout  layout
	filters []filter
}

// layout is where the values are (IV.A.2.i).
type layout struct {
	class   uint64
	compact []byte
	block          // of a contiguous layout; of chunks, the address of their B-tree
	chunk   []int  // the shape of a chunk
	size    uint64 // bytes of a value, as chunks give it
}

const (
	compactLayout    = 0
	contiguousLayout = 1
	chunkedLayout    = 2
)

// parse reads the messages of a dataset.
func (d *Dataset) parse(messages []message) (err error) {
	seen := map[int]bool{}
	for _, m := range messages {
		if m.shared && (m.kind == datatypeMessage || m.kind == dataspaceMessage || m.kind == filterMessage) {
			return UnsupportedError("a committed datatype")
		}
		switch m.kind {
		case dataspaceMessage:
			d.Shape, err = dataspace(m.data)
		case datatypeMessage:
			d.kind, d.kindErr = datatype(m.data)
		case layoutMessage:
			d.layout, err = parseLayout(m.data)
		case filterMessage:
			d.filters, err = parseFilters(m.data)
		case externalMessage:
			err = UnsupportedError("external storage")
		}
		if err != nil {
			return err
		}
		seen[m.kind] = true
	}
	if !seen[dataspaceMessage] || !seen[datatypeMessage] {
		return errors.New("it lacks its shape or its type")
	}
	d.n = 1
	for _, size := range d.Shape {
		d.n *= int64(size) // dataspace has bounded it
	}
	return nil
}

// dataspace returns a shape (IV.A.2.b); without values it has a zero.
func dataspace(b []byte) ([]int, error) {
	c := cursor{b: b}
	version, rank := c.uint(1), c.int(1)
	c.skip(1) // whether the greatest sizes follow
	const null = 2
	switch version {
	case 1:
		c.skip(5)
	case 2:
		if c.uint(1) == null {
			return []int{0}, c.err
		}
	default:
		return nil, unsupportedf("a shape of version %d", version)
	}
	if rank > maxRank {
		return nil, fmt.Errorf("%d dimensions", rank)
	}
	shape := make([]int, rank)
	n := uint64(1)
	for i := range shape {
		size := c.uint(8)
		if size > maxFloats || n*size > maxFloats {
			return nil, errors.New("a shape of too many values")
		}
		n *= max(size, 1)
		shape[i] = int(size)
	}
	return shape, c.err
}

func parseLayout(b []byte) (l layout, err error) {
	c := cursor{b: b}
	version := c.uint(1)
	if version != 3 && version != 4 {
		return l, unsupportedf("a layout of version %d", version)
	}
	switch l.class = c.uint(1); {
	case l.class == compactLayout:
		l.compact = c.bytes(c.int(2))
	case l.class == contiguousLayout:
		l.block = block{c.uint(8), c.uint(8)}
	case l.class == chunkedLayout && version == 3:
		rank := c.int(1) - 1
		l.at = c.uint(8)
		if rank < 0 || rank > maxRank {
			return l, fmt.Errorf("chunks of %d dimensions", rank)
		}
		for range rank {
			l.chunk = append(l.chunk, c.int(4))
		}
		l.size = c.uint(4)
	case l.class == chunkedLayout:
		return l, UnsupportedError("a chunk index of HDF5 1.10")
	default:
		return l, unsupportedf("a layout of class %d", l.class)
	}
	return l, c.err
}

// Float32 returns the values.
func (d *Dataset) Float32() ([]float32, error) {
	if d.kindErr != nil {
		return nil, d.kindErr
	}
	if d.f.data -= 4 * d.n; d.f.data < 0 {
		return nil, errors.New("its shape makes far more values than the file holds")
	}
	if d.n == 0 {
		return []float32{}, nil
	}
	b, err := d.bytes()
	if err != nil {
		return nil, err
	}
	values := make([]float32, d.n)
	for i := range values {
		values[i] = d.kind.float32(b[i*d.kind.size:])
	}
	return values, nil
}

// bytes returns those of all values.
func (d *Dataset) bytes() ([]byte, error) {
	want := uint64(d.n) * uint64(d.kind.size)
	if d.layout.class == chunkedLayout {
		return d.chunks()
	}
	if len(d.filters) > 0 {
		return nil, errors.New("filters on values that lie in one piece")
	}
	b := d.layout.compact
	if d.layout.class == contiguousLayout {
		if d.layout.at == undefined {
			return nil, errors.New("its values were never written")
		}
		var err error
		if b, err = d.f.readData(d.layout.at, want); err != nil {
			return nil, err
		}
	}
	if uint64(len(b)) < want || d.layout.class == contiguousLayout && d.layout.n < want {
		return nil, fmt.Errorf("too few bytes for the shape %v", d.Shape)
	}
	return b, nil
}
