package data

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf8"
)

// A pack is one file with the images of a data set's splits. Its numbers are
// little-endian:
//
//	header    64 bytes, a packHeader
//	metadata  JSON, a packMeta
//	index     48 bytes an image, a packEntry
//	names     of the images within their splits, one after the other
//	zeros     up to the data's start
//	data      the images, each from the next multiple of 64 bytes on
//
// What lies before the data is its head. It has a checksum, as each image has.
const (
	packMagic   = "EFFNPACK"
	packVersion = 1
	headerBytes = 64
	entryBytes  = 48
	packAlign   = 64
)

// castagnoli is the polynomial of CRC-32C, which processors have an instruction
// for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// aligned returns the next multiple of packAlign from n on.
func aligned(n int64) int64 { return (n + packAlign - 1) &^ (packAlign - 1) }

// A packHeader is a pack's first 64 bytes: the magic and the fields in their
// order, each an 8-byte number but the 4-byte checksums.
type packHeader struct {
	version int64
	length  int64  // of the file, bytes
	meta    int64  // length of the metadata, bytes
	images  int64  // number of entries in the index
	names   int64  // length of the names, bytes
	data    int64  // where the data begins
	headCRC uint32 // CRC-32C of the head from the metadata on
	crc     uint32 // of the header's bytes before it
}

func (h packHeader) encode() []byte {
	b := append(make([]byte, 0, headerBytes), packMagic...)
	for _, v := range []int64{h.version, h.length, h.meta, h.images, h.names, h.data} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	b = binary.LittleEndian.AppendUint32(b, h.headCRC)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// IsPack says whether a file begins as packs do.
func IsPack(path string) bool {
	f, _, err := openRegular(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [headerBytes]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return false
	}
	_, ok := parseHeader(b[:])
	return ok
}

// parseHeader is the inverse of encode; it checks the magic only.
func parseHeader(b []byte) (h packHeader, ok bool) {
	if len(b) < headerBytes || string(b[:len(packMagic)]) != packMagic {
		return h, false
	}
	for i, field := range []*int64{&h.version, &h.length, &h.meta, &h.images, &h.names, &h.data} {
		*field = int64(binary.LittleEndian.Uint64(b[len(packMagic)+8*i:]))
	}
	h.headCRC = binary.LittleEndian.Uint32(b[headerBytes-8:])
	h.crc = binary.LittleEndian.Uint32(b[headerBytes-4:])
	return h, true
}

// A packEntry is the place of an image in a pack: three 8-byte numbers and six
// of 4 bytes.
type packEntry struct {
	off, size    int64 // of the data, bytes
	name         int64 // where it begins in the names
	nameLen      int32
	w, h         int32 // of packed RGB pixels; 0 for an image file
	label, split int32 // indices in the metadata's lists
	crc          uint32
}

func (e packEntry) append(b []byte) []byte {
	for _, v := range []int64{e.off, e.size, e.name} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	for _, v := range []int32{e.nameLen, e.w, e.h, e.label, e.split} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return binary.LittleEndian.AppendUint32(b, e.crc)
}

func parseEntry(b []byte) packEntry {
	u64 := func(at int) int64 { return int64(binary.LittleEndian.Uint64(b[at:])) }
	u32 := func(at int) int32 { return int32(binary.LittleEndian.Uint32(b[at:])) }
	return packEntry{off: u64(0), size: u64(8), name: u64(16),
		nameLen: u32(24), w: u32(28), h: u32(32), label: u32(36), split: u32(40), crc: uint32(u32(44))}
}

// packMeta says what a pack holds and how it was made.
type packMeta struct {
	Source  fileName    `json:"source"` // absolute path of the folder
	Options PackOptions `json:"options"`
	Classes []fileName  `json:"classes"`
	Splits  []packSplit `json:"splits"`

	// Oriented says that copies have their files' EXIF orientation, which those of
	// older packs and raw pixels have not.
	Oriented bool `json:"oriented,omitempty"`
}

type packSplit struct {
	Name        string `json:"name"` // of the folder; "" for the source itself
	Images      int    `json:"images"`
	Skipped     int    `json:"left_out"`    // unusable images of the source
	Fingerprint string `json:"fingerprint"` // of the source; see fingerprint
}

// command returns the command line that makes the pack at path again.
func (m packMeta) command(path string) string {
	args := []string{"effnet data pack", string(m.Source), path}
	if m.Options.Size > 0 {
		args = append(args, fmt.Sprintf("--size %d", m.Options.Size))
	}
	if m.Options.Raw {
		args = append(args, "--raw")
	} else if m.Options.Size > 0 {
		args = append(args, fmt.Sprintf("--quality %d", m.Options.Quality))
	}
	if m.Options.Crop {
		args = append(args, "--crop")
	}
	if m.Options.Background != nil && m.Options.Size > 0 {
		args = append(args, "--transparency mean")
	}
	return strings.Join(args, " ")
}

// A fileName is bytes, as file systems have it. In JSON it is a string, or, where
// it is not UTF-8, an array of the base64 of its bytes.
type fileName string

// MarshalJSON implements json.Marshaler.
func (n fileName) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal([][]byte{[]byte(n)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *fileName) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(n))
	}
	var bytes [1][]byte
	err := json.Unmarshal(b, &bytes)
	*n = fileName(bytes[0])
	return err
}
