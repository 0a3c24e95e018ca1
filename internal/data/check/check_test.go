package check

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	stdimage "image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"effnet/internal/data"
)

// photo is an image that no other seed gives.
func photo(w, h int, seed uint64) *stdimage.RGBA {
	m := stdimage.NewRGBA(stdimage.Rect(0, 0, w, h))
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.Uint32()) | uint8(i%4/3*255)
	}
	return m
}

func jpegOf(w, h int, seed uint64) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, photo(w, h, seed), nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func pngOf(m stdimage.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// claims is a small PNG whose header says w x h.
func claims(w, h uint32) []byte {
	b := pngOf(photo(2, 2, 99))
	binary.BigEndian.PutUint32(b[16:], w)
	binary.BigEndian.PutUint32(b[20:], h)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// good writes a data set of two classes, three images each in both splits.
func good(t *testing.T) (dir string, put func(name string, content []byte)) {
	t.Helper()
	dir = t.TempDir()
	put = func(name string, content []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(0)
	for _, split := range []string{"train", "val"} {
		for _, class := range []string{"cat", "dog"} {
			for i := range 3 {
				seed++
				put(fmt.Sprintf("%s/%s/%d.jpg", split, class, i), jpegOf(40, 36, seed))
			}
		}
	}
	return dir, put
}

func run(t *testing.T, dir string, opt Options) *Report {
	t.Helper()
	if opt.Workers == 0 {
		opt.Workers = 2
	}
	r, err := Run(context.Background(), dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNothingWrong(t *testing.T) {
	dir, _ := good(t)
	r := run(t, dir, Options{Tiny: 32})
	if len(r.Problems) > 0 || !r.Usable || r.Images != 12 || r.Formats["jpeg"] != 12 || r.Verdict() != "no problems found" {
		t.Errorf("%+v", r)
	}
	if want := (Range{40, 40, 40}); r.Width != want {
		t.Errorf("widths %v, want %v", r.Width, want)
	}
	if len(r.Splits) != 2 || r.Splits[1].Name != "val" || !slices.Equal(r.Splits[1].Classes, []Class{{"cat", 3}, {"dog", 3}}) {
		t.Errorf("splits %+v", r.Splits)
	}
}

// damage is what is done to a good data set and what has to be found.
var damage = []struct {
	name string
	do   func(dir string, put func(string, []byte))
	want Problem
}{
	{"truncated JPEG", func(_ string, put func(string, []byte)) { put("train/cat/x.jpg", jpegOf(40, 36, 50)[:700]) },
		Problem{Unreadable, "train/cat/x.jpg", "truncated JPEG", nil}},
	{"JPEG without its last byte", func(_ string, put func(string, []byte)) {
		b := jpegOf(40, 36, 50)
		put("train/cat/x.jpg", b[:len(b)-1])
	}, Problem{Unreadable, "train/cat/x.jpg", "truncated JPEG", nil}},
	{"truncated PNG", func(_ string, put func(string, []byte)) { put("val/dog/x.png", pngOf(photo(40, 36, 50))[:900]) },
		Problem{Unreadable, "val/dog/x.png", "truncated PNG", nil}},
	{"empty file", func(_ string, put func(string, []byte)) { put("train/cat/x.jpg", nil) },
		Problem{Unreadable, "train/cat/x.jpg", "empty file", nil}},
	{"text", func(_ string, put func(string, []byte)) { put("train/cat/x.jpg", []byte("<html>404</html>")) },
		Problem{Unreadable, "train/cat/x.jpg", "not a JPEG, PNG, GIF, WebP, BMP or TIFF image", nil}},
	{"huge claim", func(_ string, put func(string, []byte)) { put("train/cat/x.png", claims(60000, 60000)) },
		Problem{Unreadable, "train/cat/x.png", "its header claims 60000x60000 pixels, outside 1x1 to 100 megapixels or 65536 per side", nil}},
	{"symlink loop", func(dir string, _ func(string, []byte)) { symlink("x.jpg", filepath.Join(dir, "train/cat/x.jpg")) },
		Problem{Unreadable, "train/cat/x.jpg", "too many levels of symbolic links", nil}},
	{"dangling link", func(dir string, _ func(string, []byte)) { symlink("nowhere", filepath.Join(dir, "train/cat/x.jpg")) },
		Problem{Unreadable, "train/cat/x.jpg", "no such file or directory", nil}},
	{"class that is a broken link", func(dir string, _ func(string, []byte)) { symlink("nowhere", filepath.Join(dir, "train/emu")) },
		Problem{BadFolder, "train/emu", "a broken link: no such file or directory", nil}},
	{"empty class", func(_ string, put func(string, []byte)) {
		put("train/emu/readme", nil)
		put("val/emu/1.jpg", jpegOf(40, 36, 50))
	}, Problem{EmptyClass, "train/emu", "", nil}},
	{"class missing", func(_ string, put func(string, []byte)) { put("train/emu/1.jpg", jpegOf(40, 36, 50)) },
		Problem{ClassMissing, "val", `has no class "emu", which train has`, nil}},
	{"leak", func(_ string, put func(string, []byte)) { put("val/dog/x.jpg", jpegOf(40, 36, 1)) },
		Problem{Leak, "train/cat/0.jpg", "", []string{"val/dog/x.jpg"}}},
	{"conflict", func(_ string, put func(string, []byte)) { put("train/dog/x.jpg", jpegOf(40, 36, 1)) },
		Problem{Conflict, "train/cat/0.jpg", "", []string{"train/dog/x.jpg"}}},
	{"duplicate", func(_ string, put func(string, []byte)) { put("train/cat/x.jpg", jpegOf(40, 36, 1)) },
		Problem{Duplicate, "train/cat/0.jpg", "", []string{"train/cat/x.jpg"}}},
	{"misnamed", func(_ string, put func(string, []byte)) { put("train/cat/x.jpg", pngOf(photo(40, 36, 50))) },
		Problem{Misnamed, "train/cat/x.jpg", "a PNG file named .jpg", nil}},
	{"tiny", func(_ string, put func(string, []byte)) { put("train/cat/x.png", pngOf(photo(1, 1, 50))) },
		Problem{Tiny, "train/cat/x.png", "1x1 pixels", nil}},
	{"nested", func(_ string, put func(string, []byte)) { put("train/cat/more/x.jpg", jpegOf(40, 36, 50)) },
		Problem{Nested, "train/cat/more", "1 image in it", nil}},
	{"outside", func(_ string, put func(string, []byte)) { put("train/x.jpg", jpegOf(40, 36, 50)) },
		Problem{Outside, "train/x.jpg", "", nil}},
	{"not an image", func(_ string, put func(string, []byte)) { put("train/cat/Thumbs.db", []byte("x")) },
		Problem{NotImage, "train/cat/Thumbs.db", "", nil}},
	{"numbers", func(_ string, put func(string, []byte)) {
		for i, name := range []string{"1", "2", "10"} {
			put("test/"+name+"/x.jpg", jpegOf(40, 36, uint64(50+i)))
		}
	}, Problem{ClassOrder, "test", `class "10" is number 1: names are sorted as text`, nil}},
	{"more numbers", func(_ string, put func(string, []byte)) {
		for i := range 12 {
			put(fmt.Sprintf("test/set %d/x.jpg", i), jpegOf(40, 36, uint64(200+i)))
		}
	}, Problem{ClassOrder, "test", `class "set 10" is number 2: names are sorted as text`, nil}},
	{"alike", func(_ string, put func(string, []byte)) { put("train/Cat /x.jpg", jpegOf(40, 36, 50)) },
		Problem{AlikeClasses, "train", `"Cat " and "cat"`, nil}},
	{"imbalance", func(_ string, put func(string, []byte)) {
		for i := range 30 {
			put(fmt.Sprintf("train/dog/x%d.jpg", i), jpegOf(32, 32, uint64(100+i)))
		}
	}, Problem{Imbalance, "train", "33 images of dog, 3 of cat", nil}},
	{"a name that is not UTF-8", func(_ string, put func(string, []byte)) { put("train/cat/\xff.jpg", []byte("x")) },
		Problem{Unreadable, "train/cat/\xff.jpg", "not a JPEG, PNG, GIF, WebP, BMP or TIFF image", nil}},
}

func symlink(to, path string) {
	if err := os.Symlink(to, path); err != nil {
		panic(err)
	}
}

func TestEachDamageIsFound(t *testing.T) {
	for _, c := range damage {
		t.Run(c.name, func(t *testing.T) {
			dir, put := good(t)
			c.do(dir, put)
			r := run(t, dir, Options{Tiny: 32})
			if !slices.ContainsFunc(r.Problems, func(p Problem) bool {
				return p.Kind == c.want.Kind && p.Path == c.want.Path && p.Reason == c.want.Reason && slices.Equal(p.Others, c.want.Others)
			}) {
				t.Errorf("found %+v, want %+v", r.Problems, c.want)
			}
			if r.Usable && c.want.Kind.Fatal() {
				t.Error("said to be usable")
			}
			var text strings.Builder
			if err := r.WriteText(&text, 5); err != nil || !strings.Contains(text.String(), show(c.want.Path)) {
				t.Errorf("%v; the text does not name %q:\n%s", err, c.want.Path, &text)
			}
		})
	}
}

// All of it at once, with any number of workers; and what the quarantine leaves.
func TestManyDamages(t *testing.T) {
	dir, put := good(t)
	for i, c := range damage {
		if c.name == "class that is a broken link" || c.name == "alike" || c.name == "class missing" || c.name == "empty class" {
			continue // the quarantine would leave a class empty, or its name is taken
		}
		// Each in files of its own, where the damage is to a single file.
		c.do(dir, func(name string, content []byte) {
			ext := filepath.Ext(name)
			put(strings.TrimSuffix(name, ext)+strconv.Itoa(i)+ext, content)
		})
		_ = os.Rename(filepath.Join(dir, "train/cat/x.jpg"), filepath.Join(dir, fmt.Sprintf("train/cat/link%d.jpg", i)))
	}
	var texts []string
	var r *Report
	for _, workers := range []int{1, 3} {
		r = run(t, dir, Options{Tiny: 32, Workers: workers})
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] {
		t.Error("the report depends on the workers")
	}
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("# list\n"+strings.Join(r.Quarantine(true), "\n")), 0o666); err != nil {
		t.Fatal(err)
	}
	rest := run(t, dir, Options{Tiny: 32, Exclude: list})
	for _, p := range rest.Problems {
		if slices.Contains([]Kind{Unreadable, Leak, Conflict, Duplicate}, p.Kind) {
			t.Errorf("left after the quarantine: %+v", p)
		}
	}
}

// Copies in two classes: training loses both, an evaluation split none, and a
// folder without splits both.
func TestQuarantineOfConflicts(t *testing.T) {
	dir, put := good(t)
	put("train/dog/x.jpg", jpegOf(40, 36, 1))
	put("val/dog/y.jpg", jpegOf(40, 36, 7))
	r := run(t, dir, Options{})
	if got, want := r.Quarantine(true), []string{"train/cat/0.jpg", "train/dog/x.jpg"}; !slices.Equal(got, want) {
		t.Errorf("lists %q, want %q", got, want)
	}
	if got := r.Quarantine(false); len(got) > 0 {
		t.Errorf("without duplicates lists %q", got)
	}
	r = run(t, filepath.Join(dir, "val"), Options{})
	if got, want := r.Quarantine(true), []string{"cat/0.jpg", "dog/y.jpg"}; !slices.Equal(got, want) {
		t.Errorf("of a folder lists %q, want %q", got, want)
	}
}

// The check's verdict is the training's: of tar files without names an evaluation split may
// lack the last classes, of folders none.
func TestNumberedClasses(t *testing.T) {
	dir, tars := t.TempDir(), t.TempDir()
	for split, classes := range map[string]int{"train": 3, "val": 2} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for class := range classes {
			name := strconv.Itoa(class)
			photo := jpegOf(40, 36, uint64(10*len(split)+class))
			for ext, content := range map[string][]byte{".jpg": photo, ".cls": []byte(name)} {
				if err := w.WriteHeader(&tar.Header{Name: name + ext, Typeflag: tar.TypeReg, Size: int64(len(content)), Mode: 0o666}); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(content); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.MkdirAll(filepath.Join(dir, split, name), 0o777), os.WriteFile(filepath.Join(dir, split, name, "x.jpg"), photo, 0o666)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), os.MkdirAll(filepath.Join(tars, split), 0o777), os.WriteFile(filepath.Join(tars, split, "0.tar"), b.Bytes(), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{dir, tars} {
		r := run(t, dir, Options{})
		train, err := data.OpenTrain(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := data.OpenEval(dir, train.Classes); (err == nil) != r.Usable || r.Usable != (dir == tars) {
			t.Errorf("%s: usable %v, and training says %v", dir, r.Usable, err)
		}
	}
}

func TestCompareNumbers(t *testing.T) {
	sorted := []string{"", "0", "2", "10", "a", "a2", "a02b", "a10", "a10b", "b", "b99999999999999999998", "b99999999999999999999"}
	for i, a := range sorted {
		for k, b := range sorted {
			if got, want := compareNumbers(a, b), cmp.Compare(i, k); got != want {
				t.Errorf("compareNumbers(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestCannotBegin(t *testing.T) {
	for _, dir := range []string{filepath.Join(t.TempDir(), "nowhere"), os.DevNull} {
		if _, err := Run(context.Background(), dir, Options{}); !errors.As(err, new(*data.Error)) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	dir, _ := good(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, dir, Options{Workers: 2}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if r := run(t, t.TempDir(), Options{}); r.Usable {
		t.Error("an empty folder is usable")
	}
}

func TestPixelStatistics(t *testing.T) {
	dir, put := good(t)
	put("train/cat/a.png", pngOf(&stdimage.Gray{Pix: make([]uint8, 100*50), Stride: 100, Rect: stdimage.Rect(0, 0, 100, 50)}))
	glass := stdimage.NewNRGBA(stdimage.Rect(0, 0, 50, 2500))
	glass.SetNRGBA(0, 0, color.NRGBA{200, 2, 3, 128})
	put("train/cat/b.png", pngOf(glass))
	put("train/cat/c.png", pngOf(stdimage.NewPaletted(stdimage.Rect(0, 0, 2100, 2000), color.Palette{color.White})))
	r := run(t, dir, Options{})
	if r.Grey != 2 || r.Alpha != 1 || r.Large != 1 || r.Height.Max != 2500 || r.Width.Max != 2100 || r.Height.Median != 36 {
		t.Errorf("%+v", r)
	}
}
