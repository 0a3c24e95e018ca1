package macho

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
)

// A signature ad hoc says of each page of the program what its SHA-256 is, and nothing of
// who made it; Macs with Apple's processors run no program without. It is a SuperBlob with
// one blob, a CodeDirectory, as Go's linker and Apple's write it. The numbers are from the
// header kern/cs_blobs.h of xnu.
const (
	embeddedSignature = 0xfade0cc0
	codeDirectory     = 0xfade0c02

	directoryVersion = 0x20400 // the first with a segment that is executed
	adHoc            = 0x2
	linkerSigned     = 0x20000 // codesign replaces such a signature unasked
	hashSHA256       = 2
	mainBinary       = 1
	pageBits         = 12

	identifier = "effnet\x00" // of the program; means nothing where nobody has signed
)

// directory is a CodeDirectory up to its identifier, big-endian.
type directory struct {
	Magic, Length, Version, Flags                       uint32
	HashOffset, IdentOffset, SpecialSlots, Slots, Limit uint32
	HashSize, HashType, Platform, PageBits              uint8
	Spare, ScatterOffset, TeamOffset, Spare2            uint32
	Limit64, TextOffset, TextLength, TextFlags          uint64
}

// superBlob is a SuperBlob with one blob, up to that, big-endian.
type superBlob struct{ Magic, Length, Count, Kind, Offset uint32 }

var (
	superBytes     = int64(binary.Size(superBlob{}))
	directoryBytes = int64(binary.Size(directory{}))
)

func pages(limit int64) int64 { return (limit + 1<<pageBits - 1) >> pageBits }

// signatureBytes is how long the signature of a program is that ends, but for it, at limit.
func signatureBytes(limit int64) int64 {
	return superBytes + directoryBytes + int64(len(identifier)) + pages(limit)*sha256.Size
}

// sign writes the signature of a program behind it, at limit.
func sign(f File, limit int64, text command) error {
	size, hashes := signatureBytes(limit), directoryBytes+int64(len(identifier))
	var b bytes.Buffer
	super := superBlob{Magic: embeddedSignature, Length: uint32(size), Count: 1, Offset: uint32(superBytes)}
	dir := directory{
		Magic: codeDirectory, Length: uint32(size - superBytes), Version: directoryVersion, Flags: adHoc | linkerSigned,
		HashOffset: uint32(hashes), IdentOffset: uint32(directoryBytes), Slots: uint32(pages(limit)), Limit: uint32(limit),
		HashSize: sha256.Size, HashType: hashSHA256, PageBits: pageBits,
		TextOffset: uint64(text.offset()), TextLength: uint64(text.length()), TextFlags: mainBinary,
	}
	if err := binary.Write(&b, binary.BigEndian, super); err != nil {
		return err
	}
	if err := binary.Write(&b, binary.BigEndian, dir); err != nil {
		return err
	}
	b.WriteString(identifier)
	r, buf := io.NewSectionReader(f, 0, limit), make([]byte, 1<<pageBits)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			sum := sha256.Sum256(buf[:n])
			b.Write(sum[:])
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	_, err := f.WriteAt(b.Bytes(), limit)
	return err
}
