package data

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"effnet/internal/jpeg"
	"effnet/internal/tiff"
)

// orientation returns the EXIF orientation of a file, 1 to 8; 1, upright, where
// there is none.
func orientation(file []byte) int {
	switch {
	case jpeg.Is(file):
		return jpeg.Orientation(file)
	case tiff.Is(file):
		return tiff.Orientation(file)
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
