package tiff

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The tags that matter (TIFF 6.0, appendix A; JPEGTables: Technical Note 2).
const (
	tagWidth           = 256
	tagHeight          = 257
	tagBits            = 258
	tagCompression     = 259
	tagPhotometric     = 262
	tagFillOrder       = 266
	tagStripOffsets    = 273
	tagOrientation     = 274
	tagSamples         = 277
	tagRowsPerStrip    = 278
	tagStripBytes      = 279
	tagPlanar          = 284
	tagT4Options       = 292
	tagPredictor       = 317
	tagColourMap       = 320
	tagTileWidth       = 322
	tagTileHeight      = 323
	tagTileOffsets     = 324
	tagTileBytes       = 325
	tagExtraSamples    = 338
	tagFormat          = 339
	tagJPEGTables      = 347
	tagJPEGInterchange = 513
	tagCoefficients    = 529
	tagSubsampling     = 530
	tagReference       = 532
)

// A directory is the fields of an image (TIFF 6.0, section 2).
type directory struct {
	order  binary.ByteOrder
	fields map[uint16]field
}

// A field has the values of a tag as they are stored in the file.
type field struct {
	kind  uint16 // the type of the values
	count int
	data  []byte // of count values
}

// valueSizes are the sizes of a value by its type, in bytes; 0 where there is no such type.
var valueSizes = [...]int{0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8}

// readDirectory reads the first directory of a file. Fields that lie outside the
// file are skipped, and of two with the same tag the first counts, as in Pillow.
func readDirectory(file []byte) (*directory, error) {
	if len(file) < 8 || !Is(file) {
		return nil, errTruncated
	}
	d := &directory{order: binary.LittleEndian, fields: map[uint16]field{}}
	if file[0] == 'M' {
		d.order = binary.BigEndian
	}
	// The sizes, in bytes, of an offset and of the number of fields.
	word, countSize, big := 4, 2, file[2] == 43 || file[3] == 43
	if big {
		word, countSize = 8, 8
	}
	number := func(b []byte) uint64 {
		if big {
			return d.order.Uint64(b)
		}
		return uint64(d.order.Uint32(b))
	}
	if len(file) < 2*word {
		return nil, errTruncated
	}
	entries, ok := cut(file, number(file[word:]), uint64(countSize))
	if !ok {
		return nil, errTruncated
	}
	n := uint64(d.order.Uint16(entries))
	if big {
		n = d.order.Uint64(entries)
	}
	entries = entries[countSize:]
	for size := 4 + 2*word; n > 0; n-- {
		if len(entries) < size {
			return nil, errTruncated
		}
		tag, kind := d.order.Uint16(entries), d.order.Uint16(entries[2:])
		count, value := number(entries[4:]), entries[4+word:size]
		entries = entries[size:]
		if _, has := d.fields[tag]; has || int(kind) >= len(valueSizes) || valueSizes[kind] == 0 || count > uint64(len(file)) {
			continue
		}
		total := count * uint64(valueSizes[kind])
		if total > uint64(word) {
			if value, ok = cut(file, number(value), total); !ok {
				continue
			}
		}
		d.fields[tag] = field{kind, int(count), value[:total]}
	}
	return d, nil
}

// cut returns the file from byte at on, if at least n bytes of it are there.
func cut(file []byte, at, n uint64) ([]byte, bool) {
	if at > uint64(len(file)) || n > uint64(len(file))-at {
		return nil, false
	}
	return file[at:], true
}

// has says whether there is a field with values.
func (d *directory) has(tag uint16) bool { return d.fields[tag].count > 0 }

// uint returns the first value of a field of integers; none if the field is missing.
func (d *directory) uint(tag uint16, none uint64) uint64 {
	if f := d.fields[tag]; f.count > 0 {
		if v, ok := d.at(f, 0); ok {
			return v
		}
	}
	return none
}

// at returns value i of a field of integers that are not negative.
func (d *directory) at(f field, i int) (uint64, bool) {
	switch b := f.data[i*valueSizes[f.kind]:]; f.kind {
	case 1, 7: // BYTE, UNDEFINED
		return uint64(b[0]), true
	case 3: // SHORT
		return uint64(d.order.Uint16(b)), true
	case 4, 13: // LONG, IFD
		return uint64(d.order.Uint32(b)), true
	case 16, 18: // LONG8, IFD8
		return d.order.Uint64(b), true
	case 8: // SSHORT
		v := int16(d.order.Uint16(b))
		return uint64(v), v >= 0
	case 9: // SLONG
		v := int32(d.order.Uint32(b))
		return uint64(v), v >= 0
	}
	return 0, false
}

// floats returns the values of a field of fractions or floating-point numbers, as many
// as none has; none itself if the field is missing or too short.
func (d *directory) floats(tag uint16, none ...float32) []float32 {
	f := d.fields[tag]
	if f.count < len(none) {
		return none
	}
	values := make([]float32, len(none))
	for i := range values {
		switch b := f.data[i*valueSizes[f.kind]:]; f.kind {
		case 5: // RATIONAL
			values[i] = float32(float64(d.order.Uint32(b)) / float64(d.order.Uint32(b[4:])))
		case 11: // FLOAT
			values[i] = math.Float32frombits(d.order.Uint32(b))
		case 12: // DOUBLE
			values[i] = float32(math.Float64frombits(d.order.Uint64(b)))
		default:
			v, ok := d.at(f, i)
			if !ok {
				return none
			}
			values[i] = float32(v)
		}
	}
	return values
}

// same returns the value that the first n of a field share, none if the field is
// missing, and an error if they differ.
func (d *directory) same(tag uint16, n int, none uint64) (uint64, error) {
	f := d.fields[tag]
	first := d.uint(tag, none)
	for i := range min(f.count, n) {
		if v, ok := d.at(f, i); !ok || v != first {
			return 0, UnsupportedError(fmt.Sprintf("an image whose samples differ (field %d)", tag))
		}
	}
	return first, nil
}
