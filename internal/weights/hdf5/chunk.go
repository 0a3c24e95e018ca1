package hdf5

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"slices"
)

const slackChunk = 1 << 10 // bytes by which a compressed chunk may be longer than twice its values

// A filter is a step by which chunks were written.
type filter int

const (
	deflate filter = 1
	shuffle filter = 2
)

// others are filters that are not read, by their number
// (https://github.com/HDFGroup/hdf5_plugins).
var others = map[filter]string{3: "Fletcher32 checksum", 4: "szip compression", 5: "n-bit compression", 6: "scale-offset compression",
	32000: "LZF compression", 32001: "Blosc compression", 32004: "LZ4 compression", 32015: "Zstandard compression"}

// parseFilters reads a filter pipeline (IV.A.2.l).
func parseFilters(b []byte) ([]filter, error) {
	c := cursor{b: b}
	version, count := c.uint(1), c.int(1)
	if version != 1 && version != 2 {
		return nil, unsupportedf("a filter pipeline of version %d", version)
	}
	if version == 1 {
		c.skip(6)
	}
	var filters []filter
	for range count {
		id := filter(c.uint(2))
		nameBytes := 0
		if version == 1 || id >= 256 {
			nameBytes = c.int(2)
		}
		c.skip(2) // flags
		values := c.int(2)
		if version == 1 {
			nameBytes = (nameBytes + 7) &^ 7
			values = (values + 1) &^ 1
		}
		c.skip(nameBytes + 4*values)
		if name, ok := others[id]; ok {
			return nil, UnsupportedError(name)
		}
		if id != deflate && id != shuffle {
			return nil, unsupportedf("filter %d", id)
		}
		filters = append(filters, id)
	}
	return filters, c.err
}

// chunks returns the bytes of all values out of chunks that are as one index of
// a chunk after the other, with those at the far edges reaching over.
func (d *Dataset) chunks() ([]byte, error) {
	g, err := d.grid()
	if err != nil {
		return nil, err
	}
	if d.layout.at == undefined {
		return nil, errors.New("its values were never written")
	}
	if err := g.walk(d.layout.at, -1); err != nil {
		return nil, err
	}
	if g.missing > 0 {
		return nil, fmt.Errorf("%d of its chunks were never written", g.missing)
	}
	return g.out, nil
}

// grid is a dataset while its chunks are read.
type grid struct {
	*Dataset
	counts  []int  // of chunks along each dimension
	bytes   int    // of a chunk
	seen    []bool // by the chunk's index
	missing int
	out     []byte
}

// grid checks the shape of the chunks. What it allocates, and what walk does, is
// bounded by what it takes from the file's limit.
func (d *Dataset) grid() (*grid, error) {
	if len(d.layout.chunk) != len(d.Shape) || d.layout.size != uint64(d.kind.size) {
		return nil, errors.New("chunks of another rank or type")
	}
	g := &grid{Dataset: d}
	chunk, total := int64(1), int64(1) // values; chunks
	for i, size := range d.layout.chunk {
		if size < 1 || size > maxFloats || chunk*int64(size) > maxFloats {
			return nil, fmt.Errorf("chunks of shape %v", d.layout.chunk)
		}
		chunk *= int64(size)
		g.counts = append(g.counts, (d.Shape[i]+size-1)/size)
		total *= int64(g.counts[i])
	}
	if total*chunk > maxFloats {
		return nil, errors.New("too many chunks")
	}
	if d.f.data -= 4 * total * chunk; d.f.data < 0 {
		return nil, errors.New("chunks that make far more values than the file holds")
	}
	g.bytes = int(chunk) * d.kind.size
	g.seen, g.missing = make([]bool, total), int(total)
	g.out = make([]byte, d.n*int64(d.kind.size))
	return g, nil
}

// walk copies the chunks of a B-tree (III.A.1).
func (g *grid) walk(at uint64, level int) error {
	n, err := g.f.node(at, 1, level, 8+8*(len(g.Shape)+1))
	if err != nil {
		return err
	}
	for i, child := range n.children {
		if n.level > 0 {
			err = g.walk(child, n.level-1)
		} else {
			err = g.place(n.keys[i], child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// place copies a chunk to where its key says.
func (g *grid) place(key []byte, at uint64) error {
	c := cursor{b: key}
	stored, mask := c.uint(4), c.uint(4)
	origin, index := make([]int, len(g.Shape)), 0
	for i, size := range g.layout.chunk {
		offset := c.uint(8)
		if offset >= uint64(g.Shape[i]) || offset%uint64(size) != 0 {
			return errors.New("a chunk outside of its dataset")
		}
		origin[i] = int(offset)
		index = index*g.counts[i] + origin[i]/size
	}
	if g.seen[index] {
		return errors.New("a chunk twice")
	}
	g.seen[index] = true
	g.missing--
	if stored > 2*uint64(g.bytes)+slackChunk {
		return errors.New("a chunk of too many bytes")
	}
	b, err := g.f.readData(at, stored)
	if err == nil {
		b, err = g.undo(b, mask)
	}
	if err != nil {
		return fmt.Errorf("chunk %d: %w", index, err)
	}
	g.copy(b, origin, 0, 0, 0)
	return nil
}

// copy copies what of a chunk lies in the dataset: from the value from of the
// chunk to the value to of the dataset, in the dimensions from dim on.
func (g *grid) copy(b []byte, origin []int, dim, from, to int) {
	if dim == len(origin) {
		copy(g.out[to*g.kind.size:(to+1)*g.kind.size], b[from*g.kind.size:])
		return
	}
	n := min(g.layout.chunk[dim], g.Shape[dim]-origin[dim])
	from *= g.layout.chunk[dim]
	to = to*g.Shape[dim] + origin[dim]
	if dim == len(origin)-1 {
		copy(g.out[to*g.kind.size:(to+n)*g.kind.size], b[from*g.kind.size:])
		return
	}
	for i := range n {
		g.copy(b, origin, dim+1, from+i, to+i)
	}
}

// undo takes a chunk's filters back, but those in mask, the last first.
func (g *grid) undo(b []byte, mask uint64) ([]byte, error) {
	for i, f := range slices.Backward(g.filters) {
		if mask>>i&1 != 0 {
			continue
		}
		if f == shuffle {
			b = unshuffle(b, g.kind.size)
			continue
		}
		z, err := zlib.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		if b, err = io.ReadAll(io.LimitReader(z, int64(g.bytes)+1)); err != nil {
			return nil, err
		}
	}
	if len(b) != g.bytes {
		return nil, fmt.Errorf("%d bytes, not %d", len(b), g.bytes)
	}
	return b, nil
}

// unshuffle puts the bytes of each value together again: first come all first
// bytes, then all second ones. What is left over at the end lies as it was.
func unshuffle(b []byte, size int) []byte {
	out := append([]byte(nil), b...)
	n := len(b) / size
	for i := range n {
		for j := range size {
			out[i*size+j] = b[j*n+i]
		}
	}
	return out
}
