package bundle

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// pageBytes is what the note's place in a file is a multiple of, where the program's format
// does not say.
const pageBytes = 1 << 12

// Write writes a bundle of a program, a note and a network, whose checkpoint a function
// writes, into an empty file. The same gives the same bytes, also where the program is a
// bundle, whose network is replaced.
func (p *Program) Write(f *os.File, note Note, network func(io.Writer) error) error {
	if _, err := io.Copy(f, io.NewSectionReader(p.r, 0, p.cut())); err != nil {
		return err
	}
	at := p.cut()
	if p.mac == nil {
		at = (at + pageBytes - 1) / pageBytes * pageBytes
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	place, err := writeNetwork(f, note, network)
	if err != nil {
		return err
	}
	place.Offset = at
	if _, err := f.WriteAt(place.encode(), p.slot.at); err != nil {
		return err
	}
	if p.mac == nil {
		return nil
	}
	return p.mac.Finish(f, p.r, place.Size)
}

// writeNetwork writes the note and the network, and says what they are.
func writeNetwork(f io.Writer, note Note, network func(io.Writer) error) (p place, err error) {
	text, err := json.Marshal(note)
	if err != nil {
		return p, err
	}
	if len(text) > maxNote {
		return p, fmt.Errorf("what is said about the network has %d bytes, and may have %d", len(text), maxNote)
	}
	p.Note = int64(len(text))
	text = append(text, make([]byte, networkAt(p.Note)-p.Note)...)
	h := sha256.New()
	counted := &counter{w: io.MultiWriter(f, h)}
	w := bufio.NewWriter(counted)
	if _, err := w.Write(text); err != nil {
		return p, err
	}
	if err := network(w); err != nil {
		return p, err
	}
	if err := w.Flush(); err != nil {
		return p, err
	}
	p.Size, p.Sum = counted.n, [sha256.Size]byte(h.Sum(nil))
	return p, nil
}

// counter counts the bytes that it passes on.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
