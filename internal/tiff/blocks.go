package tiff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
)

// A reader makes an image of a file.
type reader struct {
	*layout
	scratch
	file []byte // with the bits of each byte reversed if the layout says so

	pix     []uint8 // [h, w, channels], samples of 8 bits
	channel []int   // of each sample of a pixel; samples beyond these are skipped
	n       int     // channels
	row     []byte  // of a strip or tile
	spare   []byte  // likewise
	work    int64   // what was spent
}

// newImage allocates the pixels. An image of one sample a pixel has one channel,
// others four, of which the last is opacity or black ink.
func (r *reader) newImage() {
	r.n, r.channel = 4, []int{0, 1, 2, 3}[:r.colours]
	if r.opacity != opaque {
		r.channel = append(r.channel, 3)
	}
	if len(r.channel) == 1 {
		r.n = 1
	}
	r.pix = make([]uint8, r.w*r.h*r.n)
	if r.n == 4 && len(r.channel) == 3 {
		for i := 3; i < len(r.pix); i += 4 {
			r.pix[i] = 255
		}
	}
}

// perBlock returns the samples of a pixel that lie together.
func (l *layout) perBlock() int {
	if l.planar {
		return 1
	}
	return l.samples
}

// blocks reads all strips or tiles, of every plane that is needed.
func (r *reader) blocks() error {
	planes := 1
	if r.planar {
		planes = len(r.channel)
	}
	for i := range planes * r.down * r.across {
		plane, y, x := i/(r.down*r.across), i/r.across%r.down*r.blockH, i%r.across*r.blockW
		data, err := r.block(i)
		if err != nil {
			return err
		}
		area := image.Rect(x, y, min(x+r.blockW, r.w), min(y+r.blockH, r.h))
		channels := r.channel
		if r.planar {
			channels = r.channel[plane:][:1]
		}
		if err := r.readBlock(data, area, channels); err != nil {
			if errors.Is(err, io.EOF) {
				err = errTruncated
			}
			return err
		}
	}
	return nil
}

// block returns the data of strip or tile i, up to the end of the file if the file
// does not give its size.
func (r *reader) block(i int) ([]byte, error) {
	if r.compression == oldJPEG {
		at, ok := cut(r.file, r.uint(tagJPEGInterchange, math.MaxUint64), 0)
		if i > 0 || !ok || r.tiled || r.planar || r.down > 1 {
			return nil, UnsupportedError("old-style JPEG compression without a whole JPEG file")
		}
		return at, nil
	}
	if i >= r.offsets.count {
		return nil, fmt.Errorf("tiff: it has %d strips or tiles and needs more", r.offsets.count)
	}
	offset, ok := r.at(r.offsets, i)
	if !ok {
		return nil, errNoOffsets
	}
	data, ok := cut(r.file, offset, 0)
	if !ok {
		return nil, errTruncated
	}
	if r.compression != raw && i < r.sizes.count {
		if n, ok := r.at(r.sizes, i); ok && n > 0 && n < uint64(len(data)) {
			data = data[:n]
		}
	}
	return data, nil
}

// readBlock reads area, the part of a strip or tile that is in the image, into
// channels.
func (r *reader) readBlock(data []byte, area image.Rectangle, channels []int) error {
	full := r.blockH
	if !r.tiled {
		full = area.Dy()
	}
	src, err := r.expand(data, area.Dy(), full)
	if err != nil {
		return err
	}
	if err := r.readRows(src, area, channels); err != nil {
		return err
	}
	return r.spend(len(data) - r.src.Len())
}

// spend counts the bytes that are read from strips and tiles and those that they become,
// and refuses a file with many times more of them than its image needs. Strips and tiles
// may share data, as blank ones do, so a small file could otherwise take hours.
func (r *reader) spend(bytes int) error {
	r.work += int64(bytes)
	most := workPerByte*(int64(len(r.file))+int64(len(r.pix))) + minWork
	if r.work > most {
		return fmt.Errorf("tiff: its strips or tiles hold more than %d bytes, too many for %dx%d pixels", most, r.w, r.h)
	}
	return nil
}

// readRows reads the rows of area from src, the samples of a strip or tile, into
// channels.
func (r *reader) readRows(src io.Reader, area image.Rectangle, channels []int) error {
	if r.subsampling != [2]int{1, 1} {
		return r.clumps(src, area)
	}
	n := r.perBlock()
	r.row = grow(r.row, (r.blockW*n*r.bits+7)/8)
	if err := r.spend(area.Dy() * len(r.row)); err != nil {
		return err
	}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		if _, err := io.ReadFull(src, r.row); err != nil {
			return err
		}
		switch r.predictor {
		case 2:
			r.accumulate(r.row, n)
		case 3:
			r.accumulateBytes(r.row, n)
		}
		r.unpack(r.pix[r.n*(y*r.w+area.Min.X):], area.Dx(), n, channels)
	}
	return nil
}

// clumps reads subsampled Y'CbCr: each group of pixels has its luma, row by row, then
// one Cb and one Cr (TIFF 6.0, section 21).
func (r *reader) clumps(src io.Reader, area image.Rectangle) error {
	across, down := r.subsampling[0], r.subsampling[1]
	size := across*down + 2
	r.row = grow(r.row, divideUp(r.blockW, across)*size)
	if err := r.spend(divideUp(area.Dy(), down) * len(r.row)); err != nil {
		return err
	}
	for top := area.Min.Y; top < area.Max.Y; top += down {
		if _, err := io.ReadFull(src, r.row); err != nil {
			return err
		}
		if r.predictor == 2 {
			r.accumulate(r.row, r.samples)
		}
		for y := top; y < min(top+down, area.Max.Y); y++ {
			for x := range area.Dx() {
				clump := r.row[x/across*size:][:size]
				q := r.pix[4*(y*r.w+area.Min.X+x):][:3]
				q[0], q[1], q[2] = clump[(y-top)*across+x%across], clump[size-2], clump[size-1]
			}
		}
	}
	return nil
}

// accumulate undoes horizontal differencing of a row of pixels of n samples.
func (r *reader) accumulate(row []byte, n int) {
	switch r.bits {
	case 8:
		for i := n; i < len(row); i++ {
			row[i] += row[i-n]
		}
	case 16:
		for i := 2 * n; i < len(row); i += 2 {
			r.order.PutUint16(row[i:], r.order.Uint16(row[i:])+r.order.Uint16(row[i-2*n:]))
		}
	case 32:
		for i := 4 * n; i < len(row); i += 4 {
			r.order.PutUint32(row[i:], r.order.Uint32(row[i:])+r.order.Uint32(row[i-4*n:]))
		}
	}
}

// accumulateBytes undoes the floating-point predictor: differences of bytes, first the
// highest byte of every sample of the row, last the lowest (libtiff's tif_predict.c,
// fpAcc).
func (r *reader) accumulateBytes(row []byte, n int) {
	for i := n; i < len(row); i++ {
		row[i] += row[i-n]
	}
	r.spare = append(r.spare[:0], row...)
	count := len(row) / 4
	for i := range count {
		b := [4]byte{r.spare[i], r.spare[count+i], r.spare[2*count+i], r.spare[3*count+i]}
		r.order.PutUint32(row[4*i:], binary.BigEndian.Uint32(b[:]))
	}
}

// unpack writes w pixels of the row, of n samples each, to channels of dst.
func (r *reader) unpack(dst []uint8, w, n int, channels []int) {
	sample := r.sampler()
	for i, c := range channels {
		for x := range w {
			dst[r.n*x+c] = sample(r.row, x*n+i)
		}
	}
}

func grow(s []byte, n int) []byte {
	if cap(s) < n {
		return make([]byte, n)
	}
	return s[:n]
}
