package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"effnet/internal/bundle/macho"
)

// The smallest programs of each system that have a slot.
func smallELF() []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	b[16], b[18], b[20] = 2, 62, 1
	b[52], b[54], b[58] = 64, 56, 64
	return slices.Concat(b, []byte(slot))
}

func smallPE() []byte {
	b := make([]byte, 64+24+240)
	copy(b, "MZ")
	b[0x3c] = 64
	copy(b[64:], "PE\x00\x00\x64\x86")
	b[64+20] = 240
	copy(b[64+24:], "\x0b\x02")
	b[64+24+108] = 16
	return slices.Concat(b, []byte(slot))
}

// smallMac has the segments __TEXT, with the slot in a section, and __LINKEDIT, with a
// symbol table, and a signature, if it is signed.
func smallMac(signed bool) []byte {
	const text, symbols = 4096, 64
	le := binary.LittleEndian
	segment := func(name string, address, size, offset, length uint64, sections int) []byte {
		c := le.AppendUint32(nil, 0x19)
		c = le.AppendUint32(c, uint32(72+80*sections))
		c = append(c, (name + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")[:16]...)
		for _, v := range []uint64{address, size, offset, length} {
			c = le.AppendUint64(c, v)
		}
		return append(c, 0, 0, 0, 0, 0, 0, 0, 0, byte(sections), 0, 0, 0, 0, 0, 0, 0)
	}
	signature := 0
	if signed {
		signature = 16
	}
	all := segment("__TEXT", 0, 2*text, 0, 2*text, 1)
	s := make([]byte, 80)
	le.PutUint32(s[48:], text)
	all = append(all, s...)
	all = append(all, segment("__LINKEDIT", 2*text, text, 2*text, uint64(symbols+signature), 0)...)
	for _, v := range []uint32{0x2, 24, 2 * text, 4, 2*text + 32, 32} {
		all = le.AppendUint32(all, v)
	}
	commands := uint32(3)
	if signed {
		commands++
		for _, v := range []uint32{0x1d, 16, 2*text + symbols, 16} {
			all = le.AppendUint32(all, v)
		}
	}
	b := []byte(macho.Magic)
	for _, v := range []uint32{0x0100000c, 0, 2, commands, uint32(len(all)), 0, 0} {
		b = le.AppendUint32(b, v)
	}
	b = append(b, all...)
	b = append(b, make([]byte, text-len(b))...)
	b = append(b, slot...)
	b = append(b, make([]byte, 2*text-len(b))...)
	return append(b, make([]byte, symbols+signature)...)
}

// Whatever a program's file holds, it is refused, or the network that is put into it is
// found again. Memory is bounded by the file.
func FuzzExamine(f *testing.F) {
	for _, b := range [][]byte{smallELF(), smallPE(), smallMac(false), smallMac(true), nil, []byte("MZ")} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := Examine(bytes.NewReader(file), int64(len(file)))
		runtime.ReadMemStats(&after)
		if used, limit := after.TotalAlloc-before.TotalAlloc, uint64(64*len(file)+1<<20); used > limit {
			t.Errorf("%d bytes for a file of %d", used, len(file))
		}
		if err != nil {
			return
		}
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if err := p.Write(out, Note{About: "about"}, func(w io.Writer) error {
			_, err := io.WriteString(w, "network")
			return err
		}); err != nil {
			return
		}
		b, err := Open(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		network, err := io.ReadAll(b.Network)
		if err != nil || string(network) != "network" || b.Note.About != "about" {
			t.Errorf("%q, %v; %+v", network, err, b.Note)
		}
		again, err := examine(t, out.Name())
		if err != nil || again.cut() != p.cut() && p.slot.place.Size != 0 {
			t.Errorf("the bundle is no base: %v", err)
		}
	})
}

// Whatever place a slot names, reading it fails, or stays inside the file.
func FuzzPlace(f *testing.F) {
	file := append(bytes.Repeat([]byte("x"), 64), `{"about":"a"}`...)
	f.Add(file, int64(64), int64(13), int64(13))
	f.Add(file, int64(0), int64(0), int64(64))
	f.Fuzz(func(t *testing.T, file []byte, offset, note, size int64) {
		p := place{Offset: offset, Note: note, Size: size}
		var b Bundle
		if err := b.read(bytes.NewReader(file), int64(len(file)), p); err == nil {
			t.Error("a checksum of zeros is that of some bytes")
		}
		if offset < 0 || size < 0 || offset > int64(len(file)) || size > int64(len(file))-offset {
			return
		}
		p.Sum = sha256.Sum256(file[offset : offset+size])
		if err := b.read(bytes.NewReader(file), int64(len(file)), p); err == nil && b.Network.Size() > int64(len(file)) {
			t.Error("a network larger than its file")
		}
	})
}

// The small programs are ones that Examine takes: otherwise the fuzzing begins nowhere.
func TestSmallPrograms(t *testing.T) {
	for name, b := range map[string][]byte{"linux": smallELF(), "windows": smallPE(), "darwin": smallMac(true)} {
		p, err := Examine(bytes.NewReader(b), int64(len(b)))
		if err != nil || p.OS != name {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}
