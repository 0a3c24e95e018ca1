package tfcheckpoint

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
)

const chunk = 1 << 20 // bytes that are read at once

// data are the files with the values, which are opened when they are needed.
type data struct {
	prefix string
	count  int64
	files  map[int64]*shard
	buf    []byte
}

// shard is one of them.
type shard struct {
	*os.File
	path string
	size int64
	left int64 // bytes that variables may still take: they do not overlap
}

func (d *data) close() {
	for _, s := range d.files {
		_ = s.Close()
	}
}

func (d *data) shard(i int64) (*shard, error) {
	if s := d.files[i]; s != nil {
		return s, nil
	}
	if i < 0 || i >= d.count {
		return nil, fmt.Errorf("it lies in data file %d of %d", i, d.count)
	}
	path := fmt.Sprintf("%s.data-%05d-of-%05d", d.prefix, i, d.count)
	f, size, err := open(path)
	if err != nil {
		return nil, err
	}
	d.files[i] = &shard{f, path, size, size}
	return d.files[i], nil
}

// tensor reads a variable.
func (d *data) tensor(e entry) (named.Tensor, error) {
	t := named.Tensor{Name: e.name, Shape: make([]int, len(e.shape))}
	for i, size := range e.shape {
		t.Shape[i] = int(size)
	}
	wrong := func(path string, err error) (named.Tensor, error) {
		if c := (*checkpoint.Error)(nil); errors.As(err, &c) {
			return t, c
		}
		return t, &checkpoint.Error{Path: path, Reason: fmt.Sprintf("variable %.80q cannot be read", e.name), Hint: again, Err: err}
	}
	s, err := d.shard(e.shard)
	if err != nil {
		return wrong("", err)
	}
	if e.offset < 0 || e.offset > s.size || e.size > s.size-e.offset {
		return wrong(s.path, fmt.Errorf("%d bytes at byte %d of %d", e.size, e.offset, s.size))
	}
	if s.left -= e.size; s.left < 0 {
		return wrong(s.path, errors.New("it overlaps others"))
	}
	if d.buf == nil {
		d.buf = make([]byte, chunk)
	}
	t.Data = make([]float32, 0, e.n)
	kind, crc := dtypes[e.dtype], uint32(0)
	for r := io.NewSectionReader(s, e.offset, e.size); ; {
		n, err := io.ReadFull(r, d.buf)
		crc = crc32.Update(crc, castagnoli, d.buf[:n])
		for b := d.buf[:n]; int64(len(b)) >= kind.size; b = b[kind.size:] {
			t.Data = append(t.Data, kind.float32(b))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return wrong(s.path, err)
		}
	}
	if int64(len(t.Data)) != e.n {
		return wrong(s.path, io.ErrUnexpectedEOF)
	}
	if mask(crc) != e.crc {
		return wrong(s.path, errors.New("it does not have its checksum"))
	}
	return t, nil
}
