package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"
)

// A pack is the store of a pack's images, of all splits.
type pack struct {
	name    string // path of the file
	meta    packMeta
	entries []packEntry
	names   []byte

	mapped []byte   // the file's content; nil where it is not mapped
	file   *os.File // read from then
}

const repackHint = "copy it again, or make it again with effnet data pack"

// readPack reads the head of the pack at path. Errors are *Error.
func readPack(path string) (*pack, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	p, err := parsePack(f, info.Size(), path)
	if err != nil {
		f.Close()
		return nil, err
	}
	p.file = f
	if p.mapped, err = mapFile(f, info.Size()); err == nil {
		unmapWith(p)
		p.file = nil
		f.Close()
	}
	return p, nil
}

// parsePack reads a pack's head from a file of the given size. No more memory is
// allocated than the file has bytes, up to a constant factor.
func parsePack(f io.ReaderAt, size int64, path string) (*pack, error) {
	h, err := readHeader(f, size, path)
	if err != nil {
		return nil, err
	}
	head := make([]byte, h.data-headerBytes)
	if _, err := f.ReadAt(head, headerBytes); err != nil {
		return nil, unreadable(path, err)
	}
	if crc32.Checksum(head, castagnoli) != h.headCRC {
		return nil, damaged(path, "its index does not match its recorded checksum")
	}
	p := &pack{name: path}
	meta, rest := head[:h.meta], head[h.meta:]
	if err := json.Unmarshal(meta, &p.meta); err != nil {
		return nil, damaged(path, "its metadata: "+err.Error())
	}
	index := rest[:h.images*entryBytes]
	p.names = bytes.Clone(rest[len(index):][:h.names])
	p.entries = make([]packEntry, h.images)
	for i := range p.entries {
		p.entries[i] = parseEntry(index[i*entryBytes:])
	}
	if err := p.check(h); err != nil {
		return nil, damaged(path, err.Error())
	}
	return p, nil
}

// readHeader returns a header whose lengths agree with each other and with the
// size of the file.
func readHeader(f io.ReaderAt, size int64, path string) (h packHeader, err error) {
	if size == 0 {
		return h, &Error{Path: path, Reason: "empty file", Hint: repackHint}
	}
	b := make([]byte, min(size, headerBytes))
	if _, err := f.ReadAt(b, 0); err != nil {
		return h, unreadable(path, err)
	}
	h, ok := parseHeader(b)
	if !ok && strings.HasPrefix(packMagic, string(b[:min(len(b), len(packMagic))])) {
		return h, damaged(path, fmt.Sprintf("truncated: %d bytes of at least %d", size, headerBytes))
	}
	switch {
	case !ok:
		return h, &Error{Path: path, Reason: "neither a folder nor a pack", Hint: "effnet data pack makes packs"}
	case h.version != packVersion:
		return h, &Error{Path: path, Reason: fmt.Sprintf("a pack of version %d; this program reads version %d", h.version, packVersion),
			Hint: "make it again with this program's effnet data pack"}
	case crc32.Checksum(b[:headerBytes-4], castagnoli) != h.crc:
		return h, damaged(path, "its header does not match its recorded checksum")
	case size < h.length:
		return h, damaged(path, fmt.Sprintf("truncated: %d bytes of %d", size, h.length))
	case size > h.length:
		return h, damaged(path, fmt.Sprintf("%d bytes follow its end", size-h.length))
	}
	// Each is within the file before it is used to bound the next.
	left := h.data - headerBytes
	for _, part := range []struct{ count, bytes int64 }{{h.meta, 1}, {h.names, 1}, {h.images, entryBytes}} {
		if h.data > size || part.count < 0 || left < 0 || part.count > left/part.bytes {
			return h, damaged(path, "its header claims more than the file holds")
		}
		left -= part.count * part.bytes
	}
	return h, nil
}

// check returns an error that says which part of the head contradicts another.
func (p *pack) check(h packHeader) error {
	if n := len(p.meta.Classes); n < 1 || n > maxClasses {
		return fmt.Errorf("%d classes", n)
	}
	if len(p.entries) == 0 {
		return errors.New("no images")
	}
	end, count := h.data, make([]int, len(p.meta.Splits))
	for i, e := range p.entries {
		if err := p.checkEntry(e, end, h); err != nil {
			return fmt.Errorf("image %d: %w", i, err)
		}
		end = e.off + e.size
		count[e.split]++
	}
	if end != h.length {
		return fmt.Errorf("its images end at byte %d of %d", end, h.length)
	}
	known := append(evalSplits(), trainSplit, "")
	for i, s := range p.meta.Splits {
		k := slices.Index(known, s.Name)
		if k < 0 {
			return fmt.Errorf("split %q is unknown or appears twice", s.Name)
		}
		known = slices.Delete(known, k, k+1)
		if s.Images != count[i] || count[i] == 0 {
			return fmt.Errorf("%d images in split %q, which should have %d", count[i], s.Name, s.Images)
		}
	}
	return nil
}

// checkEntry checks an entry by itself; the image before it ends at byte end.
func (p *pack) checkEntry(e packEntry, end int64, h packHeader) error {
	pixels := int64(e.w) * int64(e.h)
	switch {
	case e.off != aligned(end) || e.size < 1 || e.off > h.length || e.size > h.length-e.off:
		return fmt.Errorf("bytes %d to %d of %d, after byte %d", e.off, e.off+e.size, h.length, end)
	case e.w < 0 || e.h < 0 || e.w > MaxSide || e.h > MaxSide || pixels > MaxPixels:
		return fmt.Errorf("%dx%d pixels", e.w, e.h)
	case (e.w > 0 || e.h > 0) && 3*pixels != e.size:
		return fmt.Errorf("%d bytes for %dx%d pixels", e.size, e.w, e.h)
	case e.w == 0 && e.size > MaxFileBytes:
		return fmt.Errorf("a file of %d bytes", e.size)
	case e.label < 0 || int(e.label) >= len(p.meta.Classes):
		return fmt.Errorf("class %d of %d", e.label, len(p.meta.Classes))
	case e.split < 0 || int(e.split) >= len(p.meta.Splits):
		return fmt.Errorf("split %d of %d", e.split, len(p.meta.Splits))
	case e.name < 0 || e.nameLen < 0 || e.name > int64(len(p.names)) || int64(e.nameLen) > int64(len(p.names))-e.name:
		return errors.New("a name outside the names")
	}
	return nil
}

func damaged(path, reason string) *Error {
	return &Error{Path: path, Reason: "a damaged pack: " + reason, Hint: repackHint}
}

func (p *pack) has(split string) bool {
	return slices.ContainsFunc(p.meta.Splits, func(s packSplit) bool { return s.Name == split })
}

// open returns the images of a split, unless the folder that they were taken
// from has others by now.
func (p *pack) open(split string) (*Set, error) {
	k := slices.IndexFunc(p.meta.Splits, func(s packSplit) bool { return s.Name == split })
	if k < 0 {
		return nil, &Error{Path: p.name, Reason: "a pack without " + split + " images", Hint: "pack a folder that has a folder " + split}
	}
	if err := p.fresh(p.meta.Splits[k]); err != nil {
		return nil, err
	}
	s := &Set{Dir: join(p.name, split), store: p, images: make([]entry, 0, p.meta.Splits[k].Images)}
	for _, class := range p.meta.Classes {
		s.Classes = append(s.Classes, string(class))
	}
	for i, e := range p.entries {
		if int(e.split) == k {
			s.images = append(s.images, entry{int32(i), e.label})
		}
	}
	return s, nil
}

// join returns the name of something within a file.
func join(path, inside string) string { return strings.TrimSuffix(path+"/"+inside, "/") }

func (p *pack) path(i int) string {
	e := p.entries[i]
	return join(p.name, p.meta.Splits[e.split].Name) + "/" + string(p.names[e.name:][:e.nameLen])
}

func (p *pack) read(buf *buffer, i int) (record, error) {
	e := p.entries[i]
	var data []byte
	if p.mapped != nil {
		data = p.mapped[e.off : e.off+e.size : e.off+e.size]
	} else {
		var err error
		if data, err = readRange(buf, p.file, p.path(i), e.off, e.size); err != nil {
			return record{}, err
		}
	}
	if crc32.Checksum(data, castagnoli) != e.crc {
		return record{}, &Error{Path: p.path(i), Reason: "damaged: its bytes do not match their recorded checksum", Hint: repackHint}
	}
	return record{data, int(e.w), int(e.h)}, nil
}

// isPack tells whether a file begins as packs do.
func isPack(path string) bool {
	f, _, err := openRegular(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, len(packMagic))
	_, err = f.ReadAt(b, 0)
	return err == nil && bytes.Equal(b, []byte(packMagic))
}
