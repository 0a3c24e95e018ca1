package data

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxClasses bounds the class numbers of tar files, as package scale does the
// classes of a network.
const maxClasses = 1 << 20

// A shards is the store of images in tar files, in WebDataset's layout: an image
// KEY.jpg (or .png, ...) and its class, a decimal number, in KEY.cls. A key may have
// dots.
type shards struct {
	dir   string
	tars  []tarFile
	files []member
}

// A tarFile is a tar as it was when its index was made.
type tarFile struct {
	name     string
	size     int64
	modified time.Time
}

// A member is an image file in a tar.
type member struct {
	tar       int32
	name      string
	off, size int64 // bytes
}

func (s *shards) path(i int) string {
	m := s.files[i]
	return filepath.Join(s.dir, s.tars[m.tar].name) + "/" + m.name
}

func (s *shards) read(buf *buffer, i int) (record, error) {
	m := s.files[i]
	if err := checkSize(s.path(i), m.size); err != nil {
		return record{}, err
	}
	tar := s.tars[m.tar]
	f, info, err := openRegular(filepath.Join(s.dir, tar.name))
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	if info.Size() != tar.size || !info.ModTime().Equal(tar.modified) {
		return record{}, &Error{Path: f.Name(), Reason: "has changed since it was listed", Hint: "start again"}
	}
	data, err := readRange(buf, f, s.path(i), m.off, m.size)
	return record{data: data}, err
}

func (s *shards) stamp(h hash.Hash) error {
	for _, tar := range s.tars {
		info, err := os.Stat(filepath.Join(s.dir, tar.name))
		if err != nil {
			return unreadable(filepath.Join(s.dir, tar.name), err)
		}
		writeStamp(h, tar.name, info)
	}
	return nil
}

// listShards reads the headers of tar files, and their classes. It returns what in them
// is not read, too.
func listShards(dir string, tars []string) (s *Set, strays []Stray, err error) {
	store := &shards{dir: dir}
	s = &Set{Dir: dir, store: store}
	most := -1
	for i, name := range tars {
		f, info, err := openRegular(filepath.Join(dir, name))
		if err != nil {
			return nil, nil, err
		}
		x := tarIndex{path: f.Name(), samples: map[string]*sample{}}
		members, labels, err := x.read(f, info.Size())
		f.Close()
		if err != nil {
			return nil, nil, err
		}
		for _, name := range x.unused {
			strays = append(strays, Stray{Kind: NoImage, Path: f.Name() + "/" + name})
		}
		store.tars = append(store.tars, tarFile{name, info.Size(), info.ModTime()})
		for k, m := range members {
			m.tar = int32(i)
			store.files = append(store.files, m)
			s.add(labels[k])
			most = max(most, labels[k])
		}
	}
	if s.Len() == 0 {
		return nil, nil, &Error{Path: dir, Reason: "no images in its tar files", Hint: "they must be named KEY.jpg next to KEY.cls, a class number"}
	}
	s.Classes, err = shardClasses(dir, most)
	return s, strays, err
}

// read lists the images of a tar of size bytes in their order, and their classes.
// Images are not read. Errors are *Error that name a file within x.path.
func (x *tarIndex) read(f io.ReadSeeker, size int64) ([]member, []int, error) {
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if isGzip(f) {
				return nil, nil, &Error{Path: x.path, Reason: "a gzip file named .tar", Hint: gunzipHint}
			}
			return nil, nil, badTar(x.path, err)
		}
		off, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, nil, unreadable(x.path, err)
		}
		if h.Size < 0 || h.Size > size-off {
			return nil, nil, badTar(x.path, io.ErrUnexpectedEOF)
		}
		if err := x.add(h, t, off); err != nil {
			return nil, nil, err
		}
	}
	if err := checkEnd(f, x.path); err != nil {
		return nil, nil, err
	}
	return x.pair()
}

// isGzip says whether a file begins as gzip's do.
func isGzip(f io.ReadSeeker) bool {
	var magic [2]byte
	_, err := f.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.ReadFull(f, magic[:])
	}
	return err == nil && magic == [2]byte{0x1f, 0x8b}
}

// A tarIndex collects what a tar holds.
type tarIndex struct {
	path    string
	samples map[string]*sample // by key
	members []member
	keys    []string // of members
	others  []string // files that are neither image nor class
	unused  []string // those of others, and images, that no sample has
}

// A sample is what a tar holds under one key.
type sample struct {
	image, class bool
	label        int
}

// add takes note of the file with the header h, whose content r reads and is at
// byte off.
func (x *tarIndex) add(h *tar.Header, r io.Reader, off int64) (err error) {
	key, ext := splitKey(h.Name)
	isClass := ext == ".cls"
	if key == "" || h.Typeflag == tar.TypeDir {
		return nil
	}
	if !isClass && !isImageExt(ext) {
		x.others = append(x.others, h.Name)
		return nil
	}
	s := x.samples[key]
	if s == nil {
		s = &sample{}
		x.samples[key] = s
	}
	switch path := x.path + "/" + h.Name; {
	case !plain(h):
		return &Error{Path: path, Reason: "not stored as a plain file: a link, a device or sparse", Hint: "write the tar again"}
	case isClass && s.class || !isClass && s.image:
		return &Error{Path: path, Reason: "the key " + key + " appears twice", Hint: "a key has one image and one class"}
	case isClass:
		s.class = true
		s.label, err = readClass(r, path)
		return err
	}
	s.image = true
	x.members = append(x.members, member{name: h.Name, off: off, size: h.Size})
	x.keys = append(x.keys, key)
	return nil
}

// pair returns the images and their classes. What else a sample has is not looked at:
// files with its key, and images as KEY.FIELD.png next to KEY.jpg and KEY.cls.
func (x *tarIndex) pair() (members []member, labels []int, err error) {
	for i, key := range x.keys {
		s := x.samples[key]
		if !s.class && x.whole(sampleKey(key)) {
			continue
		}
		if !s.class {
			return nil, nil, &Error{Path: x.path + "/" + x.members[i].name, Reason: "no class: " + key + ".cls is not in the tar",
				Hint: "an image and its class are in one tar"}
		}
		members, labels = append(members, x.members[i]), append(labels, s.label)
	}
	var alone []string
	for key, s := range x.samples {
		if !s.image {
			alone = append(alone, key)
		}
	}
	if len(alone) > 0 {
		return nil, nil, &Error{Path: x.path + "/" + slices.Min(alone) + ".cls", Reason: "no image of that key is in the tar",
			Hint: "an image and its class are in one tar"}
	}
	for _, name := range x.others {
		if key, _ := splitKey(name); !x.whole(key) && !x.whole(sampleKey(key)) {
			x.unused = append(x.unused, name)
		}
	}
	return members, labels, nil
}

// whole says whether there are an image and a class of a key.
func (x *tarIndex) whole(key string) bool {
	s := x.samples[key]
	return s != nil && s.image && s.class
}

// splitKey cuts a name at the last dot. Hidden files have no key.
func splitKey(name string) (key, ext string) {
	if hidden(path.Base(name)) {
		return "", ""
	}
	ext = path.Ext(name)
	return strings.TrimSuffix(name, ext), strings.ToLower(ext)
}

// sampleKey cuts a key at the first dot of its last element, as WebDataset does.
func sampleKey(key string) string {
	dir, base := path.Split(key)
	stem, _, _ := strings.Cut(base, ".")
	return dir + stem
}

// plain tells whether a file's bytes lie in the tar as they are.
func plain(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return false
		}
	}
	return h.Typeflag == tar.TypeReg
}

// readClass reads the class number of a .cls file.
func readClass(r io.Reader, path string) (int, error) {
	text, err := io.ReadAll(io.LimitReader(r, 64))
	if err != nil {
		return 0, badTar(path, err)
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil || n < 0 || n >= maxClasses {
		return 0, &Error{Path: path, Reason: fmt.Sprintf("%.32q is not a class number, 0 to %d", text, maxClasses-1)}
	}
	return n, nil
}

// checkEnd fails unless the tar, which has been read up to its end, ends with a
// block of zeros, as every tar does that is whole.
func checkEnd(f io.ReadSeeker, path string) error {
	var block [512]byte
	if _, err := f.Seek(-int64(len(block)), io.SeekCurrent); err != nil {
		return badTar(path, io.ErrUnexpectedEOF)
	}
	if _, err := io.ReadFull(f, block[:]); err != nil {
		return badTar(path, err)
	}
	if block != [512]byte{} {
		return badTar(path, io.ErrUnexpectedEOF)
	}
	return nil
}

// badTar words an error of archive/tar.
func badTar(path string, err error) *Error {
	e := &Error{Path: path, Reason: "unusable tar: " + strings.TrimPrefix(err.Error(), "archive/tar: "), Hint: "copy or write it again", Err: err}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		e.Reason = "truncated tar"
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return unreadable(path, pe)
	}
	return e
}
