package jpeg

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Orientation returns the EXIF orientation of a JPEG file of any kind, 1 to 8; 1,
// upright, where there is none. EXIF data may be in several segments, of which the
// later ones continue the first.
func Orientation(file []byte) int {
	const header = "Exif\x00\x00"
	if !Is(file) {
		return 1
	}
	var exif []byte
	for rest := file[2:]; ; {
		mark, segment, after, err := nextSegment(rest)
		if err != nil || mark == markSOS {
			return ExifOrientation(exif)
		}
		if mark == markAPP1 && bytes.HasPrefix(segment, []byte(header)) {
			if exif == nil {
				for bytes.HasPrefix(segment, []byte(header)) {
					segment = segment[len(header):]
				}
				exif = slices.Clip(segment) // appending copies
			} else {
				exif = append(exif, segment[len(header):]...)
			}
		}
		rest = after
	}
}

// ExifOrientation returns the orientation, 1 to 8, in EXIF data, which begin as a
// TIFF file does; 1 where there is none (EXIF 2.32, section 4.6; the tag is 0x112
// of the first directory).
func ExifOrientation(exif []byte) int {
	if len(exif) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(exif[:2]) {
	case "II":
		order = binary.LittleEndian
	case "MM":
		order = binary.BigEndian
	default:
		return 1
	}
	at := int64(order.Uint32(exif[4:]))
	if at+2 > int64(len(exif)) {
		return 1
	}
	const size = 12 // of an entry: tag, type, count, value
	found := 1
	entries := exif[at+2:]
	for range order.Uint16(exif[at:]) {
		if len(entries) < size {
			break
		}
		if order.Uint16(entries) == 0x112 {
			if v := firstValue(exif, entries, order); v >= 1 && v <= 8 {
				found = int(v)
			}
		}
		entries = entries[size:]
	}
	return found
}

// firstValue returns the first of an entry's integers; 0 if it has none. Those that
// take more than four bytes lie elsewhere.
func firstValue(exif, entry []byte, order binary.ByteOrder) uint32 {
	kind, count, value := order.Uint16(entry[2:]), int64(order.Uint32(entry[4:])), entry[8:12]
	size := int64(4)
	switch kind {
	case 3, 8: // SHORT, SSHORT
		size = 2
	case 4, 9, 13: // LONG, SLONG, IFD
	default:
		return 0
	}
	if total := size * count; total > 4 {
		at := int64(order.Uint32(value))
		if at+total > int64(len(exif)) {
			return 0
		}
		value = exif[at:]
	}
	switch {
	case count == 0:
		return 0
	case size == 2:
		return uint32(order.Uint16(value))
	}
	return order.Uint32(value)
}
