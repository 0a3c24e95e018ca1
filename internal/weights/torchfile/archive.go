package torchfile

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"effnet/internal/checkpoint"
)

// archive is a zip of a torch.save. All its files lie in one folder of any name.
type archive struct {
	folder string
	files  map[string]*zip.File // by name
}

// openArchive reads a zip's object.
func openArchive(r io.ReaderAt, size int64) (any, container, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, nil, &checkpoint.Error{Reason: "is a damaged or truncated zip", Hint: again, Err: err}
	}
	if err := checkZip(z.File, size); err != nil {
		return nil, nil, err
	}
	a := &archive{files: map[string]*zip.File{}}
	for _, f := range z.File {
		if a.files[f.Name] != nil {
			return nil, nil, faultf("", "is a zip with %.80q twice", f.Name)
		}
		a.files[f.Name] = f
	}
	if err := a.find(z.File); err != nil {
		return nil, nil, err
	}
	if err := a.checkOrder(); err != nil {
		return nil, nil, err
	}
	b, err := a.read("data.pkl", maxPickle)
	if err != nil {
		return nil, nil, err
	}
	object, _, err := unpickle(newSource(bytes.NewReader(b), int64(len(b))))
	return object, a, err
}

// checkZip reports a zip whose files overlap or would take far more room than it.
func checkZip(files []*zip.File, size int64) error {
	type span struct{ begin, end uint64 }
	spans := make([]span, 0, len(files))
	left := uint64(maxRatio*size + slack)
	for _, f := range files {
		if f.UncompressedSize64 > left {
			return faultf("", "is a zip that unpacks to more than %d times its size", maxRatio)
		}
		left -= f.UncompressedSize64
		begin, err := f.DataOffset()
		if err != nil || begin > size || f.CompressedSize64 > uint64(size-begin) {
			return &checkpoint.Error{Reason: fmt.Sprintf("is a zip without its file %.80q", f.Name), Hint: again, Err: err}
		}
		if f.CompressedSize64 > 0 {
			spans = append(spans, span{uint64(begin), uint64(begin) + f.CompressedSize64})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.begin, b.begin) })
	for i := 1; i < len(spans); i++ {
		if spans[i].begin < spans[i-1].end {
			return faultf("", "is a zip whose files overlap")
		}
	}
	return nil
}

// find sets the archive's folder, or says what the zip is instead.
func (a *archive) find(files []*zip.File) error {
	n := 0
	for _, f := range files {
		if folder, name := path.Split(f.Name); name == "data.pkl" && strings.Count(folder, "/") == 1 {
			a.folder = folder
			n++
		}
	}
	for _, f := range files {
		rest := strings.TrimPrefix(f.Name, a.folder)
		switch {
		case n == 1 && (rest == "constants.pkl" || strings.HasPrefix(rest, "code/")):
			return faultf(`save its weights: torch.save(torch.jit.load(FILE).state_dict(), "weights.pth")`,
				"is TorchScript, which is a program")
		case n == 0 && slices.Contains([]string{".pth", ".pt", ".bin"}, path.Ext(f.Name)):
			return faultf("unzip it and use that file", "is a zip around %.200q, not a PyTorch file", f.Name)
		}
	}
	if n == 0 && len(files) > 0 && path.Ext(files[0].Name) == ".npy" {
		return faultf("weights of numpy are not read; import what they were made of", "is numpy's .npz, not a PyTorch file")
	}
	if n != 1 {
		return faultf(resave, "is a zip with %d files FOLDER/data.pkl, not a PyTorch file", n)
	}
	return nil
}

// checkOrder reports a file written on a big-endian machine. Early ones do not
// say, and are little-endian.
func (a *archive) checkOrder() error {
	if a.files[a.folder+"byteorder"] == nil {
		return nil
	}
	b, err := a.read("byteorder", 64)
	if err != nil {
		return err
	}
	if string(b) != "little" {
		return faultf("save it again on a machine with an x86 or ARM processor", "has byte order %.20q, not little", b)
	}
	return nil
}

// read returns the bytes of a file of at most limit bytes.
func (a *archive) read(name string, limit int64) ([]byte, error) {
	f := a.files[a.folder+name]
	if f == nil {
		return nil, faultf(again, "lacks its part %.80q", name)
	}
	if f.UncompressedSize64 > uint64(limit) {
		return nil, faultf("", "has a part %.80q of %d bytes, more than %d", name, f.UncompressedSize64, limit)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fault(err, fmt.Sprintf("has a part %.80q that cannot be read", name))
	}
	defer func() { _ = r.Close() }()
	b := make([]byte, f.UncompressedSize64)
	if _, err = io.ReadFull(r, b); err == nil {
		_, err = io.ReadFull(r, make([]byte, 1)) // the end, where the checksum is compared
	}
	if err == nil {
		err = errors.New("it is longer than declared")
	}
	if !errors.Is(err, io.EOF) {
		return nil, &checkpoint.Error{Reason: fmt.Sprintf("has a damaged part %.80q", name), Hint: again, Err: err}
	}
	return b, nil
}

func (a *archive) bytes(s *storage) ([]byte, error) {
	want := s.n * s.dtype.size
	b, err := a.read("data/"+s.key, want)
	if err == nil && int64(len(b)) != want {
		err = faultf("", "has %d bytes in storage %.80q, not %d values of %s", len(b), s.key, s.n, s.dtype.name)
	}
	return b, err
}
