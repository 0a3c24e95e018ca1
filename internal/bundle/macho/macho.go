// Package macho puts data into a program for macOS, in a segment of its own, and signs
// the program ad hoc. It reads programs as Go's linker writes them, and refuses what it
// does not know: each offset into the file that a load command has must move with what
// it points to.
//
// The data is the segment before the last, __LINKEDIT, which has the symbols and ends
// with the signature: macOS takes nothing for signed that lies behind it. Addresses of
// code and of its data stay as they are.
package macho

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Magic begins a program for a 64-bit little-endian Mac.
const Magic = "\xcf\xfa\xed\xfe"

// Segment is the segment, and its section, that has the data.
const (
	Segment = "__EFFNET"
	section = "__network"
)

// The format's constants, from the headers mach-o/loader.h and mach/machine.h.
const (
	headerBytes  = 32
	segmentBytes = 72 // of a segment's command, before its sections
	sectionBytes = 80
	executable   = 2 // MH_EXECUTE
	readable     = 1 // VM_PROT_READ

	segment64     = 0x19
	codeSignature = 0x1d
)

const (
	maxCommands = 1 << 20 // bytes; Go's programs have some 3,000
	page        = 1 << 14 // of arm64, a multiple of amd64's
	maxFile     = 1<<32 - 1
)

// archs are the processors, by their cputype.
var archs = map[uint32]string{0x01000007: "amd64", 0x0100000c: "arm64"}

// offsets are where a load command has offsets into __LINKEDIT, by the command; those
// without are here because they have none.
var offsets = map[uint32][]int{
	segment64:     nil,                      // treated by itself
	0x2:           {8, 16},                  // LC_SYMTAB
	0x5:           nil,                      // LC_UNIXTHREAD
	0xb:           {32, 40, 48, 56, 64, 72}, // LC_DYSYMTAB
	0xc:           nil,                      // LC_LOAD_DYLIB
	0xe:           nil,                      // LC_LOAD_DYLINKER
	0x1b:          nil,                      // LC_UUID
	codeSignature: {8},                      // rewritten
	0x24:          nil,                      // LC_VERSION_MIN_MACOSX
	0x26:          {8},                      // LC_FUNCTION_STARTS
	0x29:          {8},                      // LC_DATA_IN_CODE
	0x2a:          nil,                      // LC_SOURCE_VERSION
	0x32:          nil,                      // LC_BUILD_VERSION
	0x80000018:    nil,                      // LC_LOAD_WEAK_DYLIB
	0x80000022:    {8, 16, 24, 32, 40},      // LC_DYLD_INFO_ONLY
	0x80000028:    nil,                      // LC_MAIN: its offset is in __TEXT
}

// An Image is a program's header and load commands.
type Image struct {
	Arch string // as Go calls it

	size     int64 // of the file
	header   []byte
	commands []command
	room     int64   // where the first section begins: commands end before
	text     command // __TEXT
	linkedit command
	data     command // Segment; nil where the program has none
	sign     command // LC_CODE_SIGNATURE; nil where the program is not signed
}

// A command is a load command's bytes.
type command []byte

var le = binary.LittleEndian

func (c command) id() uint32             { return le.Uint32(c) }
func (c command) at32(i int) int64       { return int64(le.Uint32(c[i:])) }
func (c command) at64(i int) int64       { return int64(le.Uint64(c[i:])) }
func (c command) set32(i int, v int64)   { le.PutUint32(c[i:], uint32(v)) }
func (c command) set64(i int, v int64)   { le.PutUint64(c[i:], uint64(v)) }
func (c command) is(segment string) bool { return c.id() == segment64 && name(c[8:24]) == segment }

// Of a segment's command.
func (c command) address() int64  { return c.at64(24) }
func (c command) memory() int64   { return c.at64(32) }
func (c command) offset() int64   { return c.at64(40) }
func (c command) length() int64   { return c.at64(48) }
func (c command) sections() int64 { return c.at32(64) }

func name(b []byte) string { return strings.TrimRight(string(b), "\x00") }

// Parse reads the header of a program of size bytes.
func Parse(r io.ReaderAt, size int64) (*Image, error) {
	m := &Image{size: size, header: make([]byte, headerBytes)}
	if _, err := r.ReadAt(m.header, 0); err != nil || string(m.header[:4]) != Magic {
		return nil, errors.New("is no 64-bit program for macOS")
	}
	m.Arch = archs[le.Uint32(m.header[4:])]
	if m.Arch == "" || le.Uint32(m.header[12:]) != executable {
		return nil, errors.New("is for macOS, but no program for amd64 or arm64")
	}
	length := int64(le.Uint32(m.header[20:]))
	if length > min(maxCommands, size-headerBytes) {
		return nil, fmt.Errorf("has %d bytes of load commands", length)
	}
	rest := make([]byte, length)
	if _, err := r.ReadAt(rest, headerBytes); err != nil {
		return nil, err
	}
	m.room = size
	for range le.Uint32(m.header[16:]) {
		if len(rest) < 8 || le.Uint32(rest[4:]) < 8 || int64(le.Uint32(rest[4:])) > int64(len(rest)) {
			return nil, errors.New("has malformed load commands")
		}
		n := le.Uint32(rest[4:])
		if err := m.add(rest[:n:n]); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return nil, errors.New("has malformed load commands")
	}
	return m, m.check()
}

// add takes the next load command.
func (m *Image) add(c command) error {
	places, known := offsets[c.id()]
	if !known {
		return fmt.Errorf("has a load command, %#x, that Go's linker does not write", c.id())
	}
	if len(places) > 0 && places[len(places)-1]+8 > len(c) {
		return errors.New("has a load command that is cut short")
	}
	m.commands = append(m.commands, c)
	switch {
	case c.id() == codeSignature:
		m.sign = c
	case c.id() != segment64:
	case len(c) < segmentBytes || int64(len(c)) < segmentBytes+sectionBytes*c.sections():
		return errors.New("has a segment that is cut short")
	case c.offset() < 0 || c.length() < 0 || c.offset() > m.size || c.length() > m.size-c.offset():
		return fmt.Errorf("is cut short: the segment %.16q ends behind the file", name(c[8:24]))
	case c.is("__TEXT"):
		m.text = c
		for i := range int(c.sections()) {
			if at := c.at32(segmentBytes + sectionBytes*i + 48); at > 0 {
				m.room = min(m.room, at)
			}
		}
	case c.is(Segment):
		m.data = c
	case c.is("__LINKEDIT"):
		m.linkedit = c
	}
	return nil
}

// check finds out whether the program is as Write expects it.
func (m *Image) check() error {
	end := func(c command) int64 { return c.offset() + c.length() }
	if m.text == nil || m.linkedit == nil || end(m.linkedit) != m.size {
		return errors.New("does not end with the segment __LINKEDIT")
	}
	if m.sign != nil && (m.sign.at32(8) < m.linkedit.offset() || m.sign.at32(8)+m.sign.at32(12) != m.size) {
		return errors.New("does not end with its signature")
	}
	if m.data != nil && (m.data.memory() < 0 || m.data.offset()+m.data.memory() != m.linkedit.offset() || m.data.address()+m.data.memory() != m.linkedit.address()) {
		return fmt.Errorf("has a segment %s that is not the one before __LINKEDIT", Segment)
	}
	for _, c := range m.commands {
		for _, i := range offsets[c.id()] {
			if at := c.at32(i); at != 0 && at < m.linkedit.offset() {
				return fmt.Errorf("has a load command, %#x, for something outside of __LINKEDIT", c.id())
			}
		}
	}
	return nil
}

// Begin is where code and data begin, behind the load commands.
func (m *Image) Begin() int64 { return m.room }

// Cut is where the data begins, or is to begin: all before it stays.
func (m *Image) Cut() int64 {
	if m.data != nil {
		return m.data.offset()
	}
	return m.linkedit.offset()
}

// padded is the length of a segment with that much data: whole pages.
func padded(length int64) int64 { return (length + page - 1) / page * page }

// A File is what Finish completes.
type File interface {
	io.ReaderAt
	io.WriterAt
}

// Finish completes a program: f has what base, which was parsed, has before Cut, and then
// length bytes of data.
func (m *Image) Finish(f File, base io.ReaderAt, length int64) error {
	begin := m.linkedit.offset()
	end := m.size // of what is copied
	if m.sign != nil {
		end = m.sign.at32(8)
	}
	moved := padded(length) - (begin - m.Cut()) // of __LINKEDIT; less than 0 where data is replaced by less
	limit, signature := end+moved, int64(0)
	if m.sign != nil {
		signature = signatureBytes(limit)
	}
	if limit+signature > maxFile {
		return errors.New("would have more than 4 GiB, which a program for macOS cannot")
	}
	commands := m.moved(length, moved, signature)
	if headerBytes+int64(len(commands)) > m.room {
		return errors.New("has no room for another load command")
	}
	if _, err := io.Copy(io.NewOffsetWriter(f, begin+moved), io.NewSectionReader(base, begin, end-begin)); err != nil {
		return err
	}
	if _, err := f.WriteAt(append(m.newHeader(len(commands)), commands...), 0); err != nil {
		return err
	}
	if m.sign == nil {
		return nil
	}
	return sign(f, limit, m.text)
}

// newHeader is the header of a program whose load commands have that many bytes.
func (m *Image) newHeader(commands int) []byte {
	h := slices.Clone(m.header)
	n := len(m.commands)
	if m.data == nil {
		n++
	}
	le.PutUint32(h[16:], uint32(n))
	le.PutUint32(h[20:], uint32(commands))
	return h
}

// moved are the load commands with length bytes of data, and with __LINKEDIT moved and
// ending with a signature of a given size, in place of the one before.
func (m *Image) moved(length, by, signature int64) (all []byte) {
	for _, old := range m.commands {
		c := slices.Clone(old)
		switch {
		case c.is(Segment):
			continue
		case c.is("__LINKEDIT"):
			all = append(all, m.segment(length)...)
			c.set64(24, c.address()+by)
			c.set64(40, c.offset()+by)
			if m.sign != nil {
				n := c.length() - m.sign.at32(12) + signature
				c.set64(32, n)
				c.set64(48, n)
			}
		}
		for _, i := range offsets[c.id()] {
			if at := c.at32(i); at != 0 {
				c.set32(i, at+by)
			}
		}
		if c.id() == codeSignature {
			c.set32(12, signature)
		}
		all = append(all, c...)
	}
	return all
}

// segment is the command of the segment with length bytes of data.
func (m *Image) segment(length int64) command {
	c := make(command, segmentBytes+sectionBytes)
	address := m.linkedit.address()
	if m.data != nil {
		address = m.data.address()
	}
	c.set32(0, segment64)
	c.set32(4, int64(len(c)))
	copy(c[8:], Segment)
	c.set64(24, address)
	c.set64(32, padded(length))
	c.set64(40, m.Cut())
	c.set64(48, padded(length))
	c.set32(56, readable) // at most
	c.set32(60, readable) // at first
	c.set32(64, 1)        // section
	s := c[segmentBytes:]
	copy(s, section)
	copy(s[16:], Segment)
	s.set64(32, address)
	s.set64(40, length)
	s.set32(48, m.Cut())
	return c
}
