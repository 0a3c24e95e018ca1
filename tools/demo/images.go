package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// write turns the split's files in cache into dir/CLASS/NNNNN.png.
func (s split) write(ctx context.Context, cache, dir string) error {
	images, err := s.images.read(cache, s.n, side, side)
	if err != nil {
		return err
	}
	labels, err := s.labels.read(cache, s.n)
	if err != nil {
		return err
	}
	for _, class := range classes {
		if err := os.MkdirAll(filepath.Join(dir, class), 0o755); err != nil {
			return err
		}
	}
	errs := make([]error, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for i := w; i < s.n && errs[w] == nil; i += len(errs) {
				path := filepath.Join(dir, classes[labels[i]], fmt.Sprintf("%05d.png", i))
				errs[w] = errors.Join(ctx.Err(), writePNG(path, images[i*side*side:][:side*side]))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// writePNG stores side x side grey pixels.
func writePNG(path string, pixels []byte) error {
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	img := &image.Gray{Pix: pixels, Stride: side, Rect: image.Rect(0, 0, side, side)}
	if err := encoder.Encode(&b, img); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// read returns the source's array of shape dims, having checked every byte of it.
func (s source) read(dir string, dims ...int) ([]byte, error) {
	path := filepath.Join(dir, s.name)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	sum := sha256.New()
	data, err := readIDX(io.TeeReader(z, sum), dims...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != s.sha256 {
		return nil, fmt.Errorf("%s: SHA-256 of the data is %s, not %s", path, got, s.sha256)
	}
	return data, nil
}

// readIDX reads an IDX array of bytes (http://yann.lecun.com/exdb/mnist): two
// zeros, the type (8 is uint8), the rank, each dimension in 4 bytes big-endian,
// the elements in C order. The shape must be dims, and nothing may follow.
func readIDX(r io.Reader, dims ...int) ([]byte, error) {
	want := []byte{0, 0, 8, byte(len(dims))}
	n := 1
	for _, d := range dims {
		want = binary.BigEndian.AppendUint32(want, uint32(d))
		n *= d
	}
	header := make([]byte, len(want))
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("IDX header: %w", err)
	}
	if !bytes.Equal(header, want) {
		return nil, fmt.Errorf("IDX header is % x, not % x (bytes of shape %v)", header, want, dims)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("IDX data: %w", err)
	}
	switch n, err := r.Read(make([]byte, 1)); {
	case n != 0:
		return nil, fmt.Errorf("data after an IDX array of shape %v", dims)
	case err != io.EOF:
		return nil, fmt.Errorf("after an IDX array of shape %v: %w", dims, err)
	}
	return data, nil
}
