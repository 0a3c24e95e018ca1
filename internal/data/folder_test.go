package data

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"effnet/internal/augment"
)

// tree makes files, with their folders, under a new folder; a name that ends in
// a slash is an empty folder. Files whose name says so are PNG images of one
// grey, that of their place in names.
func tree(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range names {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			path = filepath.Join(path, "x")
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		if filepath.Ext(name) == ".png" {
			m := image.NewGray(image.Rect(0, 0, 8+i%3, 8))
			for j := range m.Pix {
				m.Pix[j] = uint8(i)
			}
			if err := png.Encode(&content, m); err != nil {
				t.Fatal(err)
			}
		}
		if !strings.HasSuffix(name, "/") {
			if err := os.WriteFile(path, content.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func TestOpenTrainLists(t *testing.T) {
	dir := tree(t,
		"train/cat/b.PNG", "train/cat/a.jpeg", "train/cat/c.WebP", "train/cat/notes.txt", "train/cat/.d.png",
		"train/cat/album.jpg/more/f.JPE", "train/cat/album.jpg/e.png", "train/cat/d.jfif", "train/cat/phone.HEIC", "train/Zebra/x.gif", "train/ant/y.bmp", "train/ant/z.jpg",
		"train/.cache/q.png", "train/README", "val/cat/v.png")
	if err := os.Symlink("z.jpg", filepath.Join(dir, "train/ant/link.JPG")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("ant", filepath.Join(dir, "train/bee")); err != nil {
		t.Fatal(err)
	}
	s, err := OpenTrain(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"Zebra", "ant", "bee", "cat"}; !slices.Equal(s.Classes, want) {
		t.Errorf("classes %q, want %q", s.Classes, want)
	}
	want := []string{"Zebra/x.gif", "ant/link.JPG", "ant/y.bmp", "ant/z.jpg",
		"bee/link.JPG", "bee/y.bmp", "bee/z.jpg", "cat/a.jpeg", "cat/b.PNG", "cat/c.WebP", "cat/d.jfif", "cat/album.jpg/e.png", "cat/album.jpg/more/f.JPE"}
	var got []string
	for i := range s.Len() {
		path, err := filepath.Rel(filepath.Join(dir, "train"), s.Path(i))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, filepath.ToSlash(path))
		if class := s.Classes[s.Label(i)]; !strings.HasPrefix(got[i], class+"/") {
			t.Errorf("%s is labelled %s", got[i], class)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("images %q\nwant   %q", got, want)
	}
	note := filepath.Join(dir, "train") + ": 3 files not used: 1 .txt, 1 HEIC (convert to JPEG or PNG), 1 without extension; " +
		"2 images in folders within class folders used as that class"
	if notes := s.Notes(false); len(notes) != 1 || notes[0] != note {
		t.Errorf("%q, want %q", notes, note)
	}
}

// Classes are matched by name, whatever their order.
func TestClassesInAnotherOrder(t *testing.T) {
	s, err := OpenEval(tree(t, "val/1/a.png", "val/10/b.png", "val/2/c.png"), []string{"1", "2", "10"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Classes, []string{"1", "2", "10"}) || s.Label(0) != 0 || s.Label(1) != 2 || s.Label(2) != 1 || len(s.Notes(false)) != 1 {
		t.Errorf("classes %q, labels %d, %d, %d; %q", s.Classes, s.Label(0), s.Label(1), s.Label(2), s.Notes(false))
	}
}

// A name is the same in another Unicode form, which a file system may have made of it.
func TestClassesInAnotherUnicodeForm(t *testing.T) {
	dir := tree(t, "val/caf\u00e9/a.png", "val/zoo/b.png")
	s, err := OpenEval(dir, []string{"cafe\u0301", "zoo"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Classes[0] != "cafe\u0301" || s.Label(0) != 0 || len(s.Notes(false)) != 1 || !strings.Contains(s.Notes(false)[0], "Unicode form") {
		t.Errorf("%q, %q", s.Classes, s.Notes(false))
	}
	if _, err := OpenEval(dir, []string{"cafe\u0301", "caf\u00e9", "zoo"}); err == nil {
		t.Error("two classes are counted as one")
	}
}

// A link within a class folder that leads to a folder above it has no end.
func TestLinkToAFolderAbove(t *testing.T) {
	dir := tree(t, "train/cat/a.png", "train/cat/more/b.png", "train/dog/c.png")
	if err := os.Symlink("..", filepath.Join(dir, "train/cat/more/up")); err != nil {
		t.Fatal(err)
	}
	_, err := OpenTrain(dir)
	if want := "train/cat/more/up: a link to a folder that it is in (remove the link)"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestOpenEvalFindsSplit(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"val":        {[]string{"train/a/1.png", "val/a/1.png", "test/b/1.png"}, "val"},
		"valid":      {[]string{"train/a/1.png", "valid/a/1.png"}, "valid"},
		"validation": {[]string{"validation/a/1.png"}, "validation"},
		"test":       {[]string{"train/a/1.png", "test/a/1.png"}, "test"},
		"itself":     {[]string{"a/1.png"}, "."},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, c.files...)
			s, err := OpenEval(dir, []string{"a"})
			if err != nil {
				t.Fatal(err)
			}
			if s.Dir != filepath.Join(dir, c.want) || s.Len() != 1 {
				t.Errorf("%d images of %s, want 1 of %s", s.Len(), s.Dir, c.want)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	train := func(dir string) error { _, err := OpenTrain(dir); return err }
	eval := func(classes ...string) func(string) error {
		return func(dir string) error { _, err := OpenEval(dir, classes); return err }
	}
	for name, c := range map[string]struct {
		files []string
		open  func(dir string) error
		want  string // after the folder
	}{
		"no split":      {[]string{"cat/1.png"}, train, ": only one class, cat (training needs at least two class folders)"},
		"no train":      {[]string{"val/cat/1.png"}, train, "/train: no such file or directory (training needs DIR/train/CLASS/IMAGE)"},
		"train a file":  {[]string{"train"}, train, ": no class folders (training needs DIR/train/CLASS/IMAGE)"},
		"compressed":    {[]string{"train/0.tar.gz", "train/1.tgz"}, train, "/train: compressed tar files, such as 0.tar.gz (gunzip them: images are read from any place of a tar)"},
		"no classes":    {[]string{"train/1.png"}, train, "/train: no class folders"},
		"one class":     {[]string{"train/cat/1.png"}, train, "/train: only one class, cat"},
		"empty class":   {[]string{"train/cat/1.png", "train/dog/"}, train, "/train/dog: no images in this class folder"},
		"no val":        {[]string{"train/cat/1.png"}, eval(), ": no evaluation folder next to train"},
		"missing class": {[]string{"val/cat/1.png"}, eval("cat", "dog", "emu"), "/val: classes differ from the network's: missing dog, emu"},
		"fewer numbers": {[]string{"val/0/1.png"}, eval("0", "1"), "/val: classes differ from the network's: missing 1"},
		"unknown class": {[]string{"val/cat/1.png", "val/cow/1.png"}, eval("cat", "dog"), "/val: classes differ from the network's: missing dog; unknown cow"},
		"many":          {[]string{"val/z/1.png"}, eval("a", "b", "c", "d", "e", "f", "g", "z"), "/val: classes differ from the network's: missing a, b, c, d, e and 2 more"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, c.files...)
			err := c.open(dir)
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("got %v, want an *Error", err)
			}
			if want := "data: " + dir + filepath.FromSlash(c.want); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %s\nwant %s", err, want)
			}
			if absent := strings.HasPrefix(name, "no val") || name == "no train"; errors.Is(err, fs.ErrNotExist) != absent {
				t.Errorf("errors.Is(err, fs.ErrNotExist) is %v", !absent)
			}
		})
	}
	if err := eval()(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
}

// The photographs of imagenette-mini: counts, and a batch of each split.
func TestImagenette(t *testing.T) {
	shared := os.Getenv("EFFNET_SHARED")
	if shared == "" {
		t.Skip("no photographs to read: set EFFNET_SHARED to a folder with data/imagenette-mini")
	}
	dir := filepath.Join(shared, "data", "imagenette-mini")
	train, err := OpenTrain(dir)
	if err != nil {
		t.Fatal(err)
	}
	val, err := OpenEval(dir, train.Classes)
	if err != nil {
		t.Fatal(err)
	}
	if train.Len() != 1200 || val.Len() != 500 || len(train.Classes) != 10 {
		t.Errorf("%d train, %d val, %d classes; want 1200, 500, 10", train.Len(), val.Len(), len(train.Classes))
	}
	opt := options(augment.Eval{Crop: augment.CropTF})
	opt.BatchSize, opt.Workers = 50, 2
	for batch, err := range loader(t, val, opt).Epoch(context.Background(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if lo, hi := slices.Min(batch.Images), slices.Max(batch.Images); lo < -2.2 || lo > -1.8 || hi > 2.7 || hi < 2 {
			t.Errorf("pixels %v to %v, want about -2.1 to 2.6", lo, hi)
		}
	}
}

func TestLoadPreprocessesOneImage(t *testing.T) {
	p := options(augment.Eval{Crop: augment.CropTF}).Pipeline
	dir := tree(t, "0/0.png", "1/1.png") // the second is grey 1
	got, err := p.Load(filepath.Join(dir, "1/1.png"))
	if err != nil {
		t.Fatal(err)
	}
	want := (1 - p.Mean[0]) / p.Std[0]
	if len(got) != 3*p.Size*p.Size || got[0] != float32(want) {
		t.Errorf("%d values, the first %v; want %d of %v", len(got), got[0], 3*p.Size*p.Size, want)
	}
	if _, err := p.Load(filepath.Join(dir, "none.png")); err == nil {
		t.Error("missing file: no error")
	}
}
