package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// draws takes decisions from bytes, which a fuzzer chooses; zeros when they run out.
type draws struct{ b []byte }

func (d *draws) below(n int) int {
	if len(d.b) == 0 {
		return 0
	}
	v := int(d.b[0]) % n
	d.b = d.b[1:]
	return v
}

func pick[T any](d *draws, of ...T) T { return of[d.below(len(of))] }

// file is the content of a file that lies among images: most are one.
func (d *draws) file() []byte {
	var b bytes.Buffer
	m := image.NewGray(image.Rect(0, 0, 8, 8))
	m.Pix[0] = uint8(d.below(256))
	if d.below(2) == 0 {
		_ = png.Encode(&b, m)
	} else {
		_ = jpeg.Encode(&b, m, nil)
	}
	whole := b.Bytes()
	switch d.below(12) {
	case 1:
		return whole[:d.below(len(whole))]
	case 2:
		return []byte(pick(d, "", "text", "\xff\xd8\xff", "\x00\x00\x00\x20ftypavif", "BM", "GIF89a", "II*\x00"))
	case 3:
		whole[d.below(len(whole))] ^= 1 << d.below(8)
	}
	return whole
}

func (d *draws) name() string {
	return pick(d, "a", "b", "1.2", "caf\xe9", "cafe\u0301", "caf\u00e9", " ", "x.tar") + pick(d, ".png", ".jpg", ".JPEG", ".jfif", ".tif", ".txt", ".heic", "")
}

// archive is a tar of samples.
func (d *draws) archive() []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for range d.below(8) {
		key, file := pick(d, "a", "b", "c", "k/a", "1.2"), d.file()
		if d.below(8) > 0 {
			_ = w.WriteHeader(&tar.Header{Name: key + pick(d, ".png", ".jpg", ".seg.png", ".json"), Size: int64(len(file)), Typeflag: pick[byte](d, tar.TypeReg, tar.TypeReg, tar.TypeSymlink)})
			_, _ = w.Write(file)
		}
		if class := pick(d, "0", "1", "2\n", "x", "-1", "99999999"); d.below(8) > 0 {
			_ = w.WriteHeader(&tar.Header{Name: key + ".cls", Size: int64(len(class)), Typeflag: tar.TypeReg})
			_, _ = w.Write([]byte(class))
		}
	}
	_ = w.Close()
	switch d.below(8) {
	case 1:
		return b.Bytes()[:d.below(256)*b.Len()/256]
	case 2:
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(b.Bytes())
		_ = z.Close()
		return packed.Bytes()
	}
	return b.Bytes()
}

// split fills a folder with classes or tars.
func (d *draws) split(dir string) {
	put := func(path string, content []byte) {
		_ = os.MkdirAll(filepath.Dir(path), 0o777) // what cannot be made is not there
		_ = os.WriteFile(path, content, 0o666)
	}
	for i := range d.below(6) {
		class := filepath.Join(dir, pick(d, "a", "b", "c", "10", "2", "caf\xe9", ".x"))
		switch d.below(10) {
		case 0:
			put(filepath.Join(dir, fmt.Sprintf("%d%s", i, pick(d, ".tar", ".tar.gz"))), d.archive())
		case 1:
			_ = os.MkdirAll(class, 0o777)
		case 2:
			put(filepath.Join(dir, d.name()), d.file())
		case 3:
			_ = os.MkdirAll(class, 0o777)
			_ = os.Symlink(pick(d, "nowhere", "..", "../..", "."), filepath.Join(class, pick(d, "link", "link.png")))
		case 4:
			put(filepath.Join(class, "more", d.name()), d.file())
		default:
			for range 1 + d.below(3) {
				put(filepath.Join(class, d.name()), d.file())
			}
		}
	}
}

// tree is a data set, and a list of images for --exclude.
func (d *draws) tree(dir string) (list string) {
	data := filepath.Join(dir, "data")
	_ = os.MkdirAll(data, 0o777)
	if d.below(8) == 0 {
		d.split(data)
	}
	for _, split := range []string{"train", "val", "test"} {
		if d.below(8) > 0 && split != "test" || split == "test" && d.below(8) == 0 {
			d.split(filepath.Join(data, split))
		}
	}
	if d.below(4) == 0 {
		_ = os.WriteFile(filepath.Join(data, "classes.txt"), []byte(pick(d, "a\nb\n", "\ufeffa\nb", "a\na\n", "\n", "\xff\xfea\x00", "a\nb\nc\nd\n")), 0o666)
	}
	list = filepath.Join(dir, "list.txt")
	var lines strings.Builder
	lines.WriteString(pick(d, "", "\ufeff", "\xff\xfe"))
	for range d.below(4) {
		lines.WriteString(pick(d, "train/a/a.png", "val/a/a.png", "train/a", "nothing", "# no", "/", "train/0.tar/a.png", "../x") + pick(d, "\n", "\r\n"))
	}
	_ = os.WriteFile(list, []byte(lines.String()), 0o666)
	return list
}

// run runs a command in this process.
func command(args ...string) error {
	cmd := newRootCommand()
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(args)
	return cmd.Execute()
}

// Whatever is in a folder, commands end in an answer, and data check's is train's.
func FuzzDataCommands(f *testing.F) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	for i := range 40 {
		b := make([]byte, 200)
		for k := range b {
			b[k] = byte((k*k + 7*i*k + i*i) >> 2)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		os.Stderr = null // of progress; not that of the process that starts this one, which prints its crash
		dir := t.TempDir()
		list := (&draws{b}).tree(dir)
		data := filepath.Join(dir, "data")
		train := []string{"train", data, "--dry-run", "--variant", "b0", "--img-size", "32", "-b", "1", "--epochs", "1"}
		answers := map[string]error{
			"check":           command("data", "check", data),
			"check --exclude": command("data", "check", data, "--exclude", list),
			"train":           command(train...),
			"train --exclude": command(append(train, "--exclude", list)...),
			"pack":            command("data", "pack", data, filepath.Join(dir, "x.pack"), "-q"),
			"pack --on-skip":  command("data", "pack", data, filepath.Join(dir, "y.pack"), "--on-corrupt", "skip", "-q"),
			"preview":         command("data", "preview", data, "--out", filepath.Join(dir, "x.png"), "--img-size", "32"),
		}
		for name, err := range answers {
			if code := exitCode(err); code != 0 && code != 2 && code != 3 {
				t.Errorf("%s: exit %d: %v", name, code, err)
			}
		}
		_, noTrain := os.Stat(filepath.Join(data, "train"))
		if answers["check"] == nil && exitCode(answers["train"]) == 3 && !errors.Is(noTrain, os.ErrNotExist) {
			t.Errorf("data check finds the data usable; train: %v", answers["train"])
		}
	})
}
