// Package bundle makes one file of a program and a trained network, and finds the network
// in it. The file is the program, with the network behind it, or, for macOS, in a segment
// of its own:
//
//	the program, in whose slot (slot.go) are the place and the SHA-256 of what follows
//	a note: what is said of the network, as JSON
//	the network: a checkpoint, at a multiple of 64 bytes from the note's beginning
//
// It is read where it is: no file is unpacked.
package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"effnet/internal/bundle/macho"
	"effnet/internal/checkpoint"
)

const (
	align   = 64      // of the network, bytes
	maxNote = 1 << 16 // bytes

	headBytes = 4 // that show what kind of program a file may be
)

// A Note is what is said of a bundle's network, beside what its checkpoint has.
type Note struct {
	Source string `json:"source,omitempty"` // the name of published weights
	About  string `json:"about,omitempty"`  // in the words of who made the bundle
}

// A Bundle is a program's file with a network.
type Bundle struct {
	Path    string
	Note    Note
	Network *io.SectionReader // the checkpoint

	close func() error
}

// Close closes the file, but for the program's own, which stays open.
func (b *Bundle) Close() error { return b.close() }

// Own is the bundle that this program is, nil if it is none: then no file was opened.
// Its network is read once, and compared with its checksum. Errors are
// *checkpoint.Error.
var Own = sync.OnceValues(func() (*Bundle, error) {
	p := own()
	if p.Size == 0 {
		return nil, nil //nolint:nilnil // no bundle
	}
	path, err := Executable()
	if err != nil {
		return nil, &checkpoint.Error{Path: os.Args[0], Reason: "does not find its own file, which has its network", Err: err}
	}
	f, size, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := open(f, path, size, p)
	if err == nil {
		b.close = func() error { return nil }
	}
	return b, err
})

// Executable is the path of this program's file.
func Executable() (string, error) {
	path, err := os.Executable()
	if err == nil {
		return path, nil
	}
	// Linux says so in /proc, which an empty root may lack. Whoever started the program
	// told it how.
	if path, _ = exec.LookPath(os.Args[0]); path == "" {
		return "", err
	}
	return filepath.Abs(path)
}

// IsProgram says whether a file that begins with head may be a program.
func IsProgram(head []byte) bool {
	for _, k := range kinds {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return true
		}
	}
	return false
}

// Open opens a bundle and compares its network with its checksum. Errors are
// *checkpoint.Error.
func Open(path string) (*Bundle, error) {
	if b, err := Own(); err == nil && b != nil && b.Path == path {
		return b, nil
	}
	f, size, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	head := make([]byte, min(size, headBytes))
	var s *found
	if _, err = f.ReadAt(head, 0); err == nil && IsProgram(head) {
		s, err = find(f, size)
	}
	switch {
	case err != nil:
		err = &checkpoint.Error{Path: path, Reason: "cannot be read", Err: err}
	case s == nil || s.place.Size == 0:
		err = &checkpoint.Error{Path: path, Reason: "is no program with a network", Hint: "effnet bundle makes them"}
	default:
		return open(f, path, size, s.place)
	}
	return nil, errors.Join(err, f.Close())
}

// open opens a bundle whose place is known, and closes f if it is damaged.
func open(f *os.File, path string, size int64, p place) (*Bundle, error) {
	b := &Bundle{Path: path, close: f.Close}
	if err := b.read(f, size, p); err != nil {
		_ = f.Close()
		if e, ok := errors.AsType[*checkpoint.Error](err); ok {
			e.Path = path
		}
		return nil, err
	}
	return b, nil
}

// read finds the bundle's parts. Its errors are *checkpoint.Error without a path.
func (b *Bundle) read(f io.ReaderAt, size int64, p place) error {
	const again = "copy or download it again"
	if p.Offset < 0 || p.Size < 0 || p.Note < 0 || p.Note > min(p.Size, maxNote) || networkAt(p.Note) > p.Size {
		return &checkpoint.Error{Reason: "has a place for its network that cannot be", Hint: again}
	}
	if p.Offset > size || p.Size > size-p.Offset {
		return &checkpoint.Error{Reason: "is cut short: the end of its network is missing", Hint: again}
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, p.Offset, p.Size)); err != nil {
		return &checkpoint.Error{Reason: "cannot be read", Err: err}
	}
	if [sha256.Size]byte(h.Sum(nil)) != p.Sum {
		return &checkpoint.Error{Reason: "is damaged: its network does not have the checksum that it was made with", Hint: again}
	}
	note := make([]byte, p.Note)
	if _, err := f.ReadAt(note, p.Offset); err != nil {
		return &checkpoint.Error{Reason: "cannot be read", Err: err}
	}
	if err := json.Unmarshal(note, &b.Note); err != nil {
		return &checkpoint.Error{Reason: "has a malformed note", Err: err}
	}
	b.Network = io.NewSectionReader(f, p.Offset+networkAt(p.Note), p.Size-networkAt(p.Note))
	return nil
}

// networkAt is where the network is behind a note of that length.
func networkAt(note int64) int64 { return (note + align - 1) / align * align }

// Meta is what the network's checkpoint says of it. Errors are *checkpoint.Error.
func (b *Bundle) Meta() (*checkpoint.Meta, error) {
	meta, err := checkpoint.Describe(b.Network, b.Network.Size(), b.Path)
	if err == nil && meta == nil {
		err = &checkpoint.Error{Path: b.Path, Reason: "has a network that does not say what it is"}
	}
	return meta, err
}

// kinds are the kinds of programs, by their first bytes.
var kinds = []struct {
	magic string
	parse func(p *Program, r io.ReaderAt) error
}{
	{"\x7fELF", (*Program).elf},
	{"MZ", (*Program).pe},
	{macho.Magic, (*Program).macho},
}
