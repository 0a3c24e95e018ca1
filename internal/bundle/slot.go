package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"

	"effnet/internal/version"
)

// The slot is bytes that the linker puts into every program of effnet, once: a mark, a
// place, and the version's number, which ends with a zero. Write finds them in the
// program's file and writes the place there, so a program that starts knows without
// looking whether it has a network. The number in the mark rises when a bundle's layout,
// or what a program must be to run its network, becomes another.
const (
	mark       = "effnet's slot for a network, no 1"
	empty      = "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + zeroSum
	zeroSum    = "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00"
	maxVersion = 64 // bytes
)

// slot is this program's. It is a variable, and never changed, so that the compiler reads
// it as it is in memory.
var slot = mark + empty + version.Number + "\x00"

// place is where a program's file has its network.
type place struct {
	Offset int64             // of the note; the network follows, see align
	Note   int64             // bytes
	Size   int64             // of both, bytes; 0 where there is none
	Sum    [sha256.Size]byte // of both
}

var placeBytes = binary.Size(place{})

func (p place) encode() []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, p) // to memory, of fixed size
	return b.Bytes()
}

func decodePlace(b []byte) (p place) {
	_ = binary.Read(bytes.NewReader(b), binary.LittleEndian, &p) // b has placeBytes
	return p
}

// own is the place of this program's network.
func own() place { return decodePlace([]byte(slot[len(mark):])) }

// found is a slot in a file.
type found struct {
	at      int64 // of the place
	place   place
	version string
}

// find looks for the slot of a program's file of size bytes; it is nil where there is
// none. A file with two is an error: one of them is not the program's.
func find(r io.ReaderAt, size int64) (*found, error) {
	pattern := []byte(slot[:len(mark)])
	at, err := index(r, 0, size, pattern)
	if at < 0 || err != nil {
		return nil, err
	}
	s := &found{at: at + int64(len(mark))}
	rest := make([]byte, placeBytes+maxVersion)
	n, err := r.ReadAt(rest, s.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	number, _, ended := bytes.Cut(rest[min(n, placeBytes):n], []byte{0})
	if !ended {
		return nil, nil
	}
	s.place, s.version = decodePlace(rest[:placeBytes]), string(number)
	end := size
	if s.place.Size > 0 {
		end = min(size, s.place.Offset)
	}
	again, err := index(r, s.at, end, pattern)
	if err == nil && again >= 0 {
		err = errors.New("has two slots for a network")
	}
	return s, err
}

// index is where a pattern first is in a part of a file, -1 where it is not.
func index(r io.ReaderAt, from, to int64, pattern []byte) (int64, error) {
	const chunk = 1 << 20
	buf := make([]byte, max(0, min(to-from, chunk)))
	for at := from; at+int64(len(pattern)) <= to; at += int64(len(buf) - len(pattern) + 1) {
		b := buf[:min(to-at, int64(len(buf)))]
		if _, err := r.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
			return -1, err
		}
		if i := bytes.Index(b, pattern); i >= 0 {
			return at + int64(i), nil
		}
	}
	return -1, nil
}
