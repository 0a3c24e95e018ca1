package data

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"effnet/internal/augment"
)

// Links that lead nowhere are errors that name them, where they stand for an
// image and where they stand for a class, and never "there is no such split".
func TestLinksThatLeadNowhere(t *testing.T) {
	for name, target := range map[string]string{"loop": "loop", "dangling": "gone"} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, "val/cat/1.png", "val/dog/1.png")
			link := filepath.Join(dir, "val/cat", name+".png")
			if err := os.Symlink(filepath.Base(target)+".png", link); err != nil {
				t.Fatal(err)
			}
			s, err := OpenEval(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = new(decoder).read(new(augment.Image), s, 1)
			if e, ok := errors.AsType[*Error](err); !ok || e.Path != link {
				t.Errorf("as an image: %v, want an *Error that names %s", err, link)
			}
			link = filepath.Join(dir, "val", name)
			if err := os.Symlink(target, link); err != nil {
				t.Fatal(err)
			}
			_, err = OpenEval(dir, nil)
			if e, ok := errors.AsType[*Error](err); !ok || e.Path != link || errors.Is(err, os.ErrNotExist) {
				t.Errorf("as a class: %v, want an *Error that names %s", err, link)
			}
		})
	}
}

// Names are bytes: what is not UTF-8 is read like the rest.
func TestNamesThatAreNotUTF8(t *testing.T) {
	dir := tree(t, "train/\xff\xfe/\x80.png", "train/a b\n/%s \xe9.png")
	s, err := OpenTrain(dir)
	if err != nil {
		t.Skip("the file system takes no such names, so set TMPDIR to a folder of another: ", err)
	}
	for i := range s.Len() {
		if _, err := new(decoder).read(new(augment.Image), s, i); err != nil {
			t.Error(err)
		}
	}
	if want := filepath.Join(dir, "train/\xff\xfe/\x80.png"); s.Path(1) != want {
		t.Errorf("path %q, want %q", s.Path(1), want)
	}
}

func TestUnreadableFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads every folder: run the test as another user")
	}
	dir := tree(t, "train/a/1.png", "train/b/1.png")
	locked := filepath.Join(dir, "train/b")
	if err := os.Chmod(locked, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(locked, 0o777) })
	_, err := OpenTrain(dir)
	if e, ok := errors.AsType[*Error](err); !ok || e.Path != locked {
		t.Errorf("%v, want an *Error that names %s", err, locked)
	}
}

func TestBufferKeepsNoHugeFile(t *testing.T) {
	var b buffer
	small := b.take(10)
	if huge := b.take(maxKept + 1); len(huge) != maxKept+1 {
		t.Errorf("%d bytes", len(huge))
	}
	if again := b.take(5); &again[0] != &small[0] || cap(b.b) > maxKept {
		t.Error("the small buffer is not used again")
	}
}

func TestSelect(t *testing.T) {
	s := greys(t, 9)
	keep := []int{7, 0, 3}
	got := s.Select(keep)
	if got.Len() != 3 || len(got.Classes) != 3 || s.Len() != 9 {
		t.Fatalf("%d images of %d classes; %d before", got.Len(), len(got.Classes), s.Len())
	}
	for k, i := range keep {
		m, err := new(decoder).read(new(augment.Image), got, k)
		if err != nil {
			t.Fatal(err)
		}
		if got.Path(k) != s.Path(i) || got.Label(k) != s.Label(i) || int(m.Pix[0]) != i {
			t.Errorf("image %d is %s of class %d, grey %d; want image %d", k, got.Path(k), got.Label(k), m.Pix[0], i)
		}
	}
	if twice := got.Select([]int{2}); twice.Path(0) != s.Path(3) {
		t.Errorf("a selection of a selection is %s, want %s", twice.Path(0), s.Path(3))
	}
}

// Images are listed, not opened: those that are not there are no error yet. The
// full tests (make test-full) have 100,000 classes, which some disks take long
// to make.
func TestManyClasses(t *testing.T) {
	classes := 3_000
	if os.Getenv("EFFNET_SHARED") != "" {
		classes = 100_000
	}
	names := make([]string, classes)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	if got := (&Set{Classes: names[1:]}).Difference(names); got != "missing 0" {
		t.Errorf("difference: %s", got)
	}
	dir := tree(t, "class/", "train/")
	if err := os.Symlink("nowhere", filepath.Join(dir, "class/a.jpg")); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Symlink("../class", filepath.Join(dir, "train", name)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := OpenTrain(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != classes || len(s.Classes) != classes || s.Label(classes-1) != classes-1 || !strings.HasSuffix(s.Path(2), "train/10/a.jpg") {
		t.Errorf("%d images of %d classes, the third %s", s.Len(), len(s.Classes), s.Path(2))
	}
}

// BenchmarkOpenTrain lists 50,000 files in 10 class folders.
func BenchmarkOpenTrain(b *testing.B) {
	dir := b.TempDir()
	for i := range 50_000 {
		class := filepath.Join(dir, "train", strconv.Itoa(i%10))
		if i < 10 {
			if err := os.MkdirAll(class, 0o777); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(class, fmt.Sprintf("%06d.jpg", i)), nil, 0o666); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := OpenTrain(dir); err != nil {
			b.Fatal(err)
		}
	}
}
