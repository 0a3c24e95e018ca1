package torchfile

import (
	"io"
)

// The stream begins with two pickles, a number each.
const (
	magic   = wide("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") // 0x1950a86a20f9469cfc6c
	version = int64(1001)
)

// stream is a file as torch.save wrote it before PyTorch 1.6: pickles of magic,
// version, a dict about the machine, the object and a list of the storages' keys;
// then for each key the number of values in 8 bytes, and the values.
type stream struct {
	r      io.ReaderAt
	places map[string]int64 // of the values in the file, by key
}

// openStream reads a stream's object.
func openStream(r io.ReaderAt, size int64) (any, container, error) {
	src := newSource(io.NewSectionReader(r, 0, size), size)
	if err := readPreamble(src); err != nil {
		return nil, nil, err
	}
	object, storages, err := unpickle(src)
	if err != nil {
		return nil, nil, err
	}
	keys, _, err := unpickle(src)
	if err != nil {
		return nil, nil, err
	}
	l, ok := keys.(*list)
	if !ok {
		return nil, nil, faultf("", "has %s where the keys of its storages should be", kind(keys))
	}
	s := &stream{r: r, places: map[string]int64{}}
	at := src.pos
	for _, key := range l.items {
		key, _ := key.(string)
		st := storages[key]
		if _, ok := s.places[key]; ok || st == nil {
			return nil, nil, faultf("", "has a storage %.80q that no tensor uses, or twice", key)
		}
		if at, err = s.place(st, at, size); err != nil {
			return nil, nil, err
		}
	}
	return object, s, nil
}

// readPreamble checks the pickles before the object.
func readPreamble(src *source) error {
	for _, want := range []any{magic, version} {
		got, _, err := unpickle(src)
		if err != nil {
			return err
		}
		switch got.(type) {
		case wide, int64:
		default:
			return faultf(resave, "is a pickle that torch.save did not write")
		}
		if got != want {
			return faultf(resave, "is a pickle that torch.save did not write, or of an unknown version")
		}
	}
	info, _, err := unpickle(src)
	if err != nil {
		return err
	}
	d, ok := info.(*dict)
	if !ok {
		return faultf("", "has %s where the machine that wrote it should be", kind(info))
	}
	for _, it := range d.items {
		if it.key == any("little_endian") && it.value == any(false) {
			return faultf("save it again on a machine with an x86 or ARM processor", "has byte order big, not little")
		}
	}
	return nil
}

// place notes that a storage is the next in the file, at byte at of size, and
// returns where the one after it begins.
func (s *stream) place(st *storage, at, size int64) (int64, error) {
	var b [8]byte
	if size-at < 8 {
		return 0, io.ErrUnexpectedEOF
	}
	if _, err := s.r.ReadAt(b[:], at); err != nil {
		return 0, err
	}
	at += 8
	if n := int64(le.Uint64(b[:])); n != st.n {
		return 0, faultf("", "has %d values in storage %.80q, not %d", n, st.key, st.n)
	}
	end := at + st.n*st.dtype.size
	if end > size {
		return 0, faultf(again, "is truncated: %d bytes of at least %d", size, end)
	}
	s.places[st.key] = at
	return end, nil
}

func (s *stream) bytes(st *storage) ([]byte, error) {
	at, ok := s.places[st.key]
	if !ok {
		return nil, faultf(again, "lacks its storage %.80q", st.key)
	}
	b := make([]byte, st.n*st.dtype.size)
	if _, err := s.r.ReadAt(b, at); err != nil {
		return nil, err
	}
	return b, nil
}
