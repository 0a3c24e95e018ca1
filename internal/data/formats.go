package data

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"effnet/internal/jpeg"
)

// orientation returns the EXIF orientation of a file, 1 to 8; 1, upright, where
// there is none.
func orientation(file []byte) int {
	switch {
	case jpeg.Is(file):
		return jpeg.Orientation(file)
	case isTIFF(file):
		return jpeg.ExifOrientation(file)
	case isPNG(file):
		for id, data := range pngChunks(file) {
			if id == "eXIf" {
				return jpeg.ExifOrientation(data)
			}
		}
	case isWebP(file):
		for id, data := range riffChunks(file[12:]) {
			if id == "EXIF" {
				return jpeg.ExifOrientation(bytes.TrimPrefix(data, []byte("Exif\x00\x00")))
			}
		}
	}
	return 1
}

// orientationTag is a JPEG segment with an EXIF orientation and nothing else: a TIFF
// header, and a directory of one entry (EXIF 2.32, section 4.6).
func orientationTag(orientation int) []byte {
	return []byte{0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8,
		0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, byte(orientation), 0, 0, 0, 0, 0, 0}
}

func isTIFF(file []byte) bool {
	return bytes.HasPrefix(file, []byte("II*\x00")) || bytes.HasPrefix(file, []byte("MM\x00*"))
}

// riffChunks yields the names and the contents of the chunks of WebP.
func riffChunks(rest []byte) func(yield func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for len(rest) >= 8 {
			n := int64(binary.LittleEndian.Uint32(rest[4:]))
			if n > int64(len(rest)-8) || !yield(string(rest[:4]), rest[8:8+n]) {
				return
			}
			rest = rest[min(8+n+n%2, int64(len(rest))):]
		}
	}
}

// foreign names the format of an image that cannot be read here, or returns "".
func foreign(file []byte) string {
	if bytes.HasPrefix(file, []byte("\xff\x0a")) || bytes.HasPrefix(file, []byte("\x00\x00\x00\x0cJXL \r\n\x87\n")) {
		return "JPEG XL"
	}
	if len(file) < 16 || string(file[4:8]) != "ftyp" {
		return ""
	}
	// The brands of ISO/IEC 14496-12: the major one, then those it is compatible with.
	end := min(int64(binary.BigEndian.Uint32(file)), int64(len(file)), 256)
	var brands []string
	for at := int64(8); at+4 <= end; at += 4 {
		brands = append(brands, string(file[at:at+4]))
	}
	switch {
	case slices.Contains(brands, "avif"), slices.Contains(brands, "avis"):
		return "AVIF"
	case slices.ContainsFunc(brands, func(b string) bool { return b == "mif1" || strings.HasPrefix(b, "hei") || strings.HasPrefix(b, "hev") }):
		return "HEIC"
	}
	return ""
}

// tiffFeature names a compression that the reader of TIFF refuses by its number.
func tiffFeature(text string) string {
	switch text {
	case "compression value 6", "compression value 7":
		return "JPEG compression"
	case "compression value 34925":
		return "LZMA compression"
	case "compression value 50000":
		return "Zstandard compression"
	case "compression value 50001":
		return "WebP compression"
	}
	return text
}

// misreadTIFF names a feature of a TIFF file that its reader would take for
// another, or returns "": CCITT compression (3 or 4) with 0 for black becomes a
// negative, and planes of colour, one after the other, are read as pixels.
func misreadTIFF(file []byte) string {
	if !isTIFF(file) || len(file) < 8 {
		return ""
	}
	var order binary.ByteOrder = binary.LittleEndian
	if file[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(file[4:]))
	if at+2 > int64(len(file)) {
		return ""
	}
	tags := map[uint16]uint16{}
	entries := file[at+2:]
	for range order.Uint16(file[at:]) {
		if len(entries) < 12 {
			break
		}
		tags[order.Uint16(entries)] = order.Uint16(entries[8:])
		entries = entries[12:]
	}
	const compression, photometric, samples, planar = 259, 262, 277, 284
	switch {
	case (tags[compression] == 3 || tags[compression] == 4) && tags[photometric] == 1:
		return "fax compression with 0 for black"
	case tags[planar] == 2 && tags[samples] > 1:
		return "colours in separate planes"
	}
	return ""
}
