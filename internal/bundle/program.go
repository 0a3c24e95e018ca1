package bundle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"effnet/internal/bundle/macho"
	"effnet/internal/version"
)

var le = binary.LittleEndian

// A Program is a file of effnet itself, for any system, with a network or without.
type Program struct {
	OS, Arch string // as Go calls them
	Loader   string // what the system must have to start it; "" where it needs nothing

	r    io.ReaderAt
	size int64
	slot *found
	mac  *macho.Image // for macOS
}

// Examine finds out whether a file of size bytes is a program that can be a bundle's base:
// effnet, of this version. The errors continue the file's name: "is no program".
func Examine(r io.ReaderAt, size int64) (*Program, error) {
	head := make([]byte, min(size, headBytes))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	p := &Program{r: r, size: size}
	for _, k := range kinds {
		if !strings.HasPrefix(string(head), k.magic) {
			continue
		}
		// Only a file that has the slot is read any further.
		var err error
		if p.slot, err = find(r, size); err != nil {
			return nil, err
		}
		if p.slot == nil {
			return nil, errors.New("is no program of effnet's, or of a version that makes other bundles than this one, or a packed one")
		}
		if p.slot.version != version.Number {
			return nil, fmt.Errorf("is effnet %s, and this is %s: take the same version", printable(p.slot.version), version.Number)
		}
		if s := p.slot.place; s.Size != 0 && (s.Size < 0 || s.Offset < 0 || s.Offset > size) {
			return nil, errors.New("is a damaged bundle")
		}
		if err := k.parse(p, r); err != nil {
			return nil, err
		}
		if p.slot.at < p.begin() || p.slot.at+int64(placeBytes) > p.cut() {
			return nil, errors.New("is a malformed program: its slot for a network is not in it")
		}
		return p, nil
	}
	return nil, errors.New("is no program for Linux, macOS or Windows")
}

// printable is a version's number as far as it can be printed.
func printable(number string) string { return strings.Trim(fmt.Sprintf("%q", number), `"`) }

// begin is where what a bundle leaves as it is begins.
func (p *Program) begin() int64 {
	if p.mac != nil {
		return p.mac.Begin()
	}
	return headBytes
}

// cut is how much of the file a bundle has before its note, but for padding.
func (p *Program) cut() int64 {
	switch {
	case p.mac != nil:
		return p.mac.Cut()
	case p.slot.place.Size > 0:
		return p.slot.place.Offset
	}
	return p.size
}

// The few fields of ELF and PE files that matter are read here: debug/elf and debug/pe
// take memory by what a header says, and not by the file's size. Offsets are those of the
// formats' definitions.

var errMalformed = errors.New("is a malformed program")

// machines are the processors, by the number that the format has for them.
var (
	elfMachines = map[uint16]string{0x3e: "amd64", 0xb7: "arm64"}
	peMachines  = map[uint16]string{0x8664: "amd64", 0xaa64: "arm64"}
)

func (p *Program) elf(r io.ReaderAt) error {
	const headerBytes, segmentBytes, interpreter, maxPath = 64, 56, 3, 1 << 12
	h := make([]byte, headerBytes)
	if _, err := r.ReadAt(h, 0); err != nil {
		return errMalformed
	}
	p.OS, p.Arch = "linux", elfMachines[le.Uint16(h[18:])]
	if h[4] != 2 || h[5] != 1 || p.Arch == "" {
		return errors.New("is for Linux, but no program for amd64 or arm64")
	}
	segment := make([]byte, segmentBytes)
	at := int64(le.Uint64(h[32:]))
	for range le.Uint16(h[56:]) {
		if at < 0 || at > p.size {
			return errMalformed
		}
		if _, err := r.ReadAt(segment, at); err != nil {
			return errMalformed
		}
		if le.Uint32(segment) == interpreter {
			path := make([]byte, min(le.Uint64(segment[32:]), maxPath, uint64(p.size)))
			if _, err := io.ReadFull(io.NewSectionReader(r, int64(le.Uint64(segment[8:])), int64(len(path))), path); err != nil {
				return errMalformed
			}
			p.Loader = strings.TrimRight(string(path), "\x00")
		}
		at += segmentBytes
	}
	return nil
}

func (p *Program) pe(r io.ReaderAt) error {
	const place, headerBytes, optional64, directories, security = 0x3c, 24 + 112 + 16*8, 0x20b, 24 + 108, 24 + 112 + 4*8
	at := make([]byte, 4)
	if _, err := r.ReadAt(at, place); err != nil {
		return errMalformed
	}
	h := make([]byte, headerBytes)
	if _, err := r.ReadAt(h, int64(le.Uint32(at))); err != nil || string(h[:4]) != "PE\x00\x00" {
		return errMalformed
	}
	p.OS, p.Arch = "windows", peMachines[le.Uint16(h[4:])]
	if le.Uint16(h[24:]) != optional64 || p.Arch == "" {
		return errors.New("is for Windows, but no program for amd64 or arm64")
	}
	if le.Uint32(h[directories:]) > 4 && le.Uint32(h[security+4:]) > 0 {
		return errors.New("is signed, and what is appended would break the signature: take a program that is not, and sign the bundle")
	}
	return nil
}

func (p *Program) macho(r io.ReaderAt) (err error) {
	if p.mac, err = macho.Parse(r, p.size); err == nil {
		p.OS, p.Arch = "darwin", p.mac.Arch
	}
	return err
}
