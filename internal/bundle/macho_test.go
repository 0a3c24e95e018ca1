package bundle

import (
	"crypto/sha256"
	"debug/macho"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	ours "effnet/internal/bundle/macho"
)

// checkMac compares a bundle for macOS with its program, by debug/macho, and its signature
// with its pages.
func checkMac(t *testing.T, program, bundle string, signed bool) {
	t.Helper()
	was, is := openMac(t, program), openMac(t, bundle)
	if !reflect.DeepEqual(was.Symtab.Syms, is.Symtab.Syms) || !reflect.DeepEqual(was.Dysymtab.IndirectSyms, is.Dysymtab.IndirectSyms) {
		t.Error("other symbols")
	}
	had, err := was.ImportedSymbols()
	have, err2 := is.ImportedSymbols()
	if err != nil || err2 != nil || !slices.Equal(had, have) {
		t.Errorf("%v, %v: other imports", err, err2)
	}
	var segments []*macho.Segment
	for _, l := range is.Loads {
		if s, ok := l.(*macho.Segment); ok && s.Memsz > 0 {
			segments = append(segments, s)
		}
	}
	for i, s := range segments[1:] {
		if s.Addr < segments[i].Addr+segments[i].Memsz || s.Offset < segments[i].Offset+segments[i].Filesz || s.Filesz > s.Memsz || s.Offset%(1<<12) != 0 {
			t.Errorf("%s: %+v after %+v", s.Name, s.SegmentHeader, segments[i].SegmentHeader)
		}
	}
	last, data := segments[len(segments)-1], segments[len(segments)-2]
	if last.Name != "__LINKEDIT" || data.Name != ours.Segment || data.Addr+data.Memsz != last.Addr || data.Offset+data.Filesz != last.Offset {
		t.Errorf("%+v, %+v", data, last)
	}
	file := content(t, bundle)
	if last.Offset+last.Filesz != uint64(len(file)) {
		t.Errorf("__LINKEDIT ends at %d of %d", last.Offset+last.Filesz, len(file))
	}
	if pages := checkSignature(t, is, file); (pages > 0) != signed {
		t.Errorf("%d signed pages", pages)
	}
}

func openMac(t *testing.T, path string) *macho.File {
	t.Helper()
	f, err := macho.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// checkSignature compares a program's pages with its signature, whose places are the
// header kern/cs_blobs.h's, and returns how many there are.
func checkSignature(t *testing.T, f *macho.File, file []byte) int {
	t.Helper()
	for _, l := range f.Loads {
		raw := l.Raw()
		if f.ByteOrder.Uint32(raw) != 0x1d {
			continue
		}
		at, size := f.ByteOrder.Uint32(raw[8:]), f.ByteOrder.Uint32(raw[12:])
		if int(at+size) != len(file) || at%16 != 0 {
			t.Fatalf("a signature of %d bytes at %d of %d", size, at, len(file))
		}
		be := binary.BigEndian
		directory := file[at+be.Uint32(file[at+16:]):]
		hashes, slots, limit := be.Uint32(directory[16:]), be.Uint32(directory[28:]), be.Uint32(directory[32:])
		if limit != at || slots != (at+4095)/4096 || int(hashes+slots*sha256.Size) != len(directory) {
			t.Fatalf("%d pages up to %d, want those up to %d", slots, limit, at)
		}
		for i := range slots {
			page := file[i*4096 : min((i+1)*4096, at)]
			if sha256.Sum256(page) != [sha256.Size]byte(directory[hashes+i*sha256.Size:]) {
				t.Errorf("page %d", i)
			}
		}
		return int(slots)
	}
	return 0
}
