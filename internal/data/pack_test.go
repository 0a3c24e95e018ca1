package data

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"effnet/internal/augment"
)

func packOptions() PackOptions { return PackOptions{Quality: 90, Workers: 2} }

// packed packs dir into a new folder.
func packed(t testing.TB, dir string, opt PackOptions) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pack")
	if _, err := Pack(t.Context(), dir, path, opt); err != nil {
		t.Fatal(err)
	}
	return path
}

// jpegTree makes a folder of JPEG files of the given sizes, in training folders
// a and b, and one evaluation image in each.
func jpegTree(t testing.TB, sizes ...image.Point) string {
	t.Helper()
	files := map[string][]byte{}
	for i, size := range append(sizes, image.Pt(5, 4), image.Pt(5, 4)) {
		m := image.NewRGBA(image.Rectangle{Max: size})
		for p := range m.Pix {
			m.Pix[p] = uint8(p/4%size.X*255/size.X + i*p%7)
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, nil); err != nil {
			t.Fatal(err)
		}
		split := "train"
		if i >= len(sizes) {
			split = "val"
		}
		files[fmt.Sprintf("%s/%c/%d.jpg", split, 'a'+i%2, i)] = b.Bytes()
	}
	return shardTree(t, files)
}

// Files kept as they are give the batches of the folder, mapped or not.
func TestPackEqualsFolder(t *testing.T) {
	dir := jpegTree(t, image.Pt(30, 20), image.Pt(20, 31), image.Pt(9, 9), image.Pt(40, 40), image.Pt(8, 3), image.Pt(7, 7))
	path := packed(t, dir, packOptions())
	want, err := OpenTrain(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenTrain(path)
	if err != nil {
		t.Fatal(err)
	}
	p := got.store.(*pack)
	if p.mapped == nil {
		t.Log("this system maps no files: run the test on a Unix system")
	}
	for i := range want.Len() {
		if name := strings.TrimPrefix(want.Path(i), dir); got.Path(i) != path+name || got.Label(i) != want.Label(i) {
			t.Errorf("image %d is %s of class %d, want %s of %d", i, got.Path(i), got.Label(i), name, want.Label(i))
		}
	}
	a := sums(t, loader(t, want, trainOptions()), 0, 0)
	if !slices.Equal(got.Classes, want.Classes) || !slices.Equal(a, sums(t, loader(t, got, trainOptions()), 0, 0)) {
		t.Error("the pack gives other batches than the folder")
	}
	if p.file, err = os.Open(path); err != nil {
		t.Fatal(err)
	}
	p.mapped = nil
	if !slices.Equal(a, sums(t, loader(t, got, trainOptions()), 0, 0)) {
		t.Error("the pack gives other batches when it is not mapped")
	}

	val, err := OpenEval(path, got.Classes)
	if err != nil {
		t.Fatal(err)
	}
	if val.Len() != 2 || val.Dir != path+"/val" || val.Path(1) != path+"/val/b/7.jpg" {
		t.Errorf("evaluation has %d images of %s, the second %s", val.Len(), val.Dir, val.Path(1))
	}
}

// Whatever makes the images, the file is the same, and it is replaced as a whole.
func TestPackIsTheSameForAnyWorkers(t *testing.T) {
	dir := jpegTree(t, image.Pt(30, 20), image.Pt(20, 31), image.Pt(9, 9), image.Pt(40, 40), image.Pt(8, 3), image.Pt(7, 7))
	path := filepath.Join(t.TempDir(), "x.pack")
	var first []byte
	for workers := 1; workers <= 4; workers++ {
		opt := packOptions()
		opt.Size, opt.Workers = 16, workers
		calls := 0
		opt.Progress = func(done, total int) {
			if calls++; done != calls || total != 8 {
				t.Errorf("%d of %d done after %d", done, total, calls)
			}
		}
		info, err := Pack(t.Context(), dir, path, opt)
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := PackInfo{path, int64(len(file)), 2, []SplitInfo{{"train", 6, 0}, {"val", 2, 0}}}
		if fmt.Sprint(*info) != fmt.Sprint(want) || calls != 8 {
			t.Errorf("%+v after %d images, want %+v", *info, calls, want)
		}
		if first == nil {
			first = file
		}
		if !bytes.Equal(file, first) {
			t.Errorf("%d workers write another file", workers)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// Images as they are stored: sizes, and what is in them.
func TestPackSizes(t *testing.T) {
	sizes := []image.Point{{40, 30}, {30, 41}, {16, 50}, {12, 10}}
	dir := jpegTree(t, sizes...)
	for name, c := range map[string]struct {
		raw, crop bool
		want      []image.Point
	}{
		"files":        {false, false, []image.Point{{21, 16}, {16, 21}, {16, 50}, {12, 10}}},
		"raw":          {true, false, []image.Point{{21, 16}, {16, 21}, {16, 50}, {12, 10}}},
		"square files": {false, true, []image.Point{{16, 16}, {16, 16}, {16, 16}, {10, 10}}},
		"square raw":   {true, true, []image.Point{{16, 16}, {16, 16}, {16, 16}, {10, 10}}},
	} {
		t.Run(name, func(t *testing.T) {
			opt := packOptions()
			opt.Size, opt.Raw, opt.Crop = 16, c.raw, c.crop
			got, err := OpenTrain(packed(t, dir, opt))
			if err != nil {
				t.Fatal(err)
			}
			z, err := augment.NewResizer(augment.Bicubic)
			if err != nil {
				t.Fatal(err)
			}
			for k, size := range sizes {
				i := slices.Index([]int{0, 2, 1, 3}, k) // by class, then name
				rec, err := got.store.read(new(buffer), got.at(i))
				if err != nil {
					t.Fatal(err)
				}
				file, err := os.ReadFile(filepath.Join(dir, strings.TrimPrefix(got.Path(i), filepath.Dir(got.Dir))))
				if err != nil {
					t.Fatal(err)
				}
				if kept := bytes.Equal(rec.data, file); kept != (!c.raw && c.want[k] == size) {
					t.Errorf("%v: the file is kept: %v", size, kept)
				}
				var d decoder
				m, err := d.read(new(augment.Image), got, i)
				if err != nil {
					t.Fatal(err)
				}
				var src augment.Image
				if err := d.decode(&src, file, ""); err != nil {
					t.Fatal(err)
				}
				want := augment.Image{}
				want.Reset(c.want[k].X, c.want[k].Y)
				v := augment.CenterCrop(augment.CropTorchvision, 1, size.X, size.Y, min(16, size.X, size.Y))
				if !c.crop {
					v.X, v.Y = 0, 0
				}
				z.Prepare(v, src.W, src.H, want.W, want.H)
				z.Draw(&want, &src)
				if m.W != want.W || m.H != want.H {
					t.Fatalf("%v is stored as %dx%d, want %v", size, m.W, m.H, c.want[k])
				}
				if e := meanError(m.Pix, want.Pix); c.raw && e > 0 || e > 6 {
					t.Errorf("%v: pixels are %.2f levels off", size, e)
				}
			}
		})
	}
}

// Images that are made have transparent pixels as the pack says, which says too how to
// make it again.
func TestPackTransparency(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 20, 20))
	for i := range m.Pix {
		m.Pix[i] = []uint8{200, 100, 50, 0}[i%4]
	}
	var file bytes.Buffer
	if err := png.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	dir := shardTree(t, map[string][]byte{"train/a/1.png": file.Bytes(), "train/b/1.png": file.Bytes()})
	for _, c := range []struct {
		background *[3]uint8
		want       [3]uint8
		command    string
	}{
		{nil, [3]uint8{200, 100, 50}, " --size 8 --raw"},
		{Nearest([3]float64{123.675, 116.28, 103.53}), [3]uint8{124, 116, 104}, " --size 8 --raw --transparency mean"},
	} {
		opt := packOptions()
		opt.Size, opt.Raw, opt.Background = 8, true, c.background
		path := packed(t, dir, opt)
		set, err := OpenTrain(path)
		if err != nil {
			t.Fatal(err)
		}
		var d decoder
		got, err := d.read(new(augment.Image), set, 0)
		if err != nil || [3]uint8(got.Pix) != c.want {
			t.Errorf("%v, want %v (%v)", got.Pix[:3], c.want, err)
		}
		p, err := readPack(path)
		if err != nil {
			t.Fatal(err)
		}
		if command := p.meta.command(path); !strings.HasSuffix(command, c.command) {
			t.Errorf("%s, want %s", command, c.command)
		}
	}
	// As packs were written before: always with a background.
	var old packMeta
	if err := json.Unmarshal([]byte(`{"options":{"size":8,"quality":90,"background":[124,116,104]}}`), &old); err != nil || !strings.HasSuffix(old.command("p"), "--quality 90 --transparency mean") {
		t.Errorf("%s (%v)", old.command("p"), err)
	}
}

// Copies are turned as their files are; raw pixels cannot be, which is noted.
func TestPackOrientation(t *testing.T) {
	var plain bytes.Buffer
	if err := jpeg.Encode(&plain, image.NewGray(image.Rect(0, 0, 40, 20)), nil); err != nil {
		t.Fatal(err)
	}
	file := slices.Insert(plain.Bytes(), 2, orientationTag(6)...)
	dir := shardTree(t, map[string][]byte{"train/a/1.jpg": file, "train/b/1.jpg": file})
	for _, raw := range []bool{false, true} {
		opt := packOptions()
		opt.Size, opt.Raw = 10, raw
		set, err := OpenTrain(packed(t, dir, opt))
		if err != nil {
			t.Fatal(err)
		}
		want := image.Pt(10, 20)
		if raw {
			want = image.Pt(20, 10)
		}
		d := decoder{upright: true}
		got, err := d.read(new(augment.Image), set, 0)
		if err != nil || got.W != want.X || got.H != want.Y {
			t.Errorf("raw %v: %dx%d, want %v (%v)", raw, got.W, got.H, want, err)
		}
		if n := len(set.Notes(true)); n != 0 && !raw || n != 1 && raw || len(set.Notes(false)) != 0 {
			t.Errorf("raw %v: %q", raw, set.Notes(true))
		}
	}
}

func meanError(a, b []uint8) float64 {
	sum := 0
	for i := range a {
		sum += max(int(a[i])-int(b[i]), int(b[i])-int(a[i]))
	}
	return float64(sum) / float64(len(a))
}

// Packs of tar files, of a folder without splits and of training images alone.
func TestPackSources(t *testing.T) {
	pngs := tree(t, "a/1.png", "b/2.png")
	entries := []tarEntry{{"x.jpg", "", 0}, {"x.cls", "1", 0}, {"y.jpg", "", 0}, {"y.cls", "0", 0}}
	for i, name := range []string{"a/1.png", "b/2.png"} {
		content, err := os.ReadFile(filepath.Join(pngs, name))
		if err != nil {
			t.Fatal(err)
		}
		entries[2*i].content = string(content)
	}
	for name, c := range map[string]struct {
		dir   string
		train bool
		want  []string // paths within the pack
	}{
		"shards": {shardTree(t, map[string][]byte{"train/0.tar": tarOf(t, entries...), "classes.txt": []byte("cat\ndog\n")}), true,
			[]string{"/train/0.tar/x.jpg", "/train/0.tar/y.jpg"}},
		"bare":  {pngs, false, []string{"/a/1.png", "/b/2.png"}},
		"train": {tree(t, "train/\xff/1.png", "train/b/\xfe.png"), true, []string{"/train/b/\xfe.png", "/train/\xff/1.png"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := packed(t, c.dir, packOptions())
			open, folder := OpenTrain, OpenTrain
			if !c.train {
				open = func(dir string) (*Set, error) { return OpenEval(dir, nil) }
				folder = open
			} else if _, err := OpenEval(path, nil); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("without evaluation images: %v", err)
			}
			s, err := open(path)
			if err != nil {
				t.Fatal(err)
			}
			want, err := folder(c.dir)
			if err != nil {
				t.Fatal(err)
			}
			for i := range s.Len() {
				if s.Path(i) != path+c.want[i] || s.Label(i) != want.Label(i) {
					t.Errorf("image %d is %s of class %d, want %s of %d", i, s.Path(i), s.Label(i), c.want[i], want.Label(i))
				}
				if _, err := new(decoder).read(new(augment.Image), s, i); err != nil {
					t.Error(err)
				}
			}
			if !slices.Equal(s.Classes, want.Classes) || s.Len() != want.Len() {
				t.Errorf("%d images of %q, want %d of %q", s.Len(), s.Classes, want.Len(), want.Classes)
			}
		})
	}
	whole, err := OpenTrain(packed(t, pngs, packOptions()))
	if err != nil || len(whole.Notes(false)) != 1 {
		t.Errorf("a pack without splits, to train: %v, %q", err, whole.Notes(false))
	}
}

func TestPackRefuses(t *testing.T) {
	dir := tree(t, "train/a/1.png", "train/a/2.jpg", "train/b/3.png", "val/a/4.png", "val/b/5.gif")
	out := filepath.Join(t.TempDir(), "out")
	refused := func(dir, path string, opt PackOptions, want string) {
		t.Helper()
		if _, err := Pack(t.Context(), dir, path, opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
		if _, err := os.Lstat(out); err == nil {
			t.Error("a file is there")
		}
	}
	refused(dir, out, packOptions(), filepath.Join(dir, "train/a/2.jpg")+": empty file")
	refused(filepath.Join(dir, "none"), out, packOptions(), "no such file")
	refused(filepath.Join(dir, "train/a/1.png"), out, packOptions(), "not a folder")
	refused(dir, filepath.Join(dir, "train/a/1.png"), packOptions(), "1.png: exists and is not a pack")
	refused(dir, dir, packOptions(), "exists and is not a pack")
	for want, change := range map[string]func(*PackOptions){
		"size -1":   func(o *PackOptions) { o.Size = -1 },
		"raw":       func(o *PackOptions) { o.Raw = true },
		"crop":      func(o *PackOptions) { o.Crop = true },
		"quality 0": func(o *PackOptions) { o.Quality = 0 },
		"0 workers": func(o *PackOptions) { o.Workers = 0 },
	} {
		opt := packOptions()
		change(&opt)
		refused(dir, out, opt, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Pack(ctx, dir, out, packOptions()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(out)); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}

	var bad []string
	opt := packOptions()
	opt.Skipped = func(err error) { bad = append(bad, err.Error()) }
	info, err := Pack(t.Context(), dir, out, opt)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Splits; s[0] != (SplitInfo{"train", 2, 1}) || s[1] != (SplitInfo{"val", 1, 1}) || len(bad) != 2 || !strings.Contains(bad[1], "5.gif: empty file") {
		t.Errorf("skipped %+v: %q", s, bad)
	}
	if s, err := OpenTrain(out); err != nil || s.Len() != 2 {
		t.Errorf("%v, %v; want 2 images", s, err)
	}
	os.Remove(out)
	refused(tree(t, "a/1.jpg"), out, opt, "none of its images can be used")
}

// A pack whose source has changed is not used; one without its source is.
func TestPackOutdated(t *testing.T) {
	opt := packOptions()
	opt.Size, opt.Crop = 16, true
	for name, change := range map[string]func(dir string) error{
		"touched": func(dir string) error {
			return os.Chtimes(filepath.Join(dir, "train/a/0.jpg"), time.Time{}, time.Unix(1, 0))
		},
		"added": func(dir string) error {
			return os.Link(filepath.Join(dir, "train/a/0.jpg"), filepath.Join(dir, "train/a/9.jpg"))
		},
		"moved": func(dir string) error {
			return os.Rename(filepath.Join(dir, "train/a/0.jpg"), filepath.Join(dir, "train/b/0.jpg"))
		},
		"renamed":  func(dir string) error { return os.Rename(filepath.Join(dir, "train/a"), filepath.Join(dir, "train/c")) },
		"no train": func(dir string) error { return os.RemoveAll(filepath.Join(dir, "train")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := jpegTree(t, image.Pt(5, 5), image.Pt(6, 6), image.Pt(7, 7))
			path := packed(t, dir, opt)
			if _, err := OpenTrain(path); err != nil {
				t.Fatal(err)
			}
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			_, err := OpenTrain(path)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Path != path || !strings.Contains(e.Reason, dir+"/train") || errors.Is(err, os.ErrNotExist) {
				t.Fatalf("got %v, want an *Error about %s", err, dir)
			}
			if want := "make it again: effnet data pack " + dir + " " + path + " --size 16 --quality 90 --crop"; e.Hint != want {
				t.Errorf("hint %q, want %q", e.Hint, want)
			}
			if _, err := OpenEval(path, nil); err != nil {
				t.Errorf("the evaluation images are as they were: %v", err)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenTrain(path); err != nil {
				t.Errorf("without the source: %v", err)
			}
		})
	}
}

// A file cut short while it is mapped is an error of the image, not the end of
// the process.
func TestPackCutWhileOpen(t *testing.T) {
	dir := jpegTree(t, image.Pt(300, 300), image.Pt(300, 301), image.Pt(300, 302))
	for _, raw := range []bool{false, true} {
		opt := packOptions()
		opt.Size, opt.Raw = 299, raw
		path := packed(t, dir, opt)
		s, err := OpenTrain(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 100); err != nil {
			t.Fatal(err)
		}
		for _, err := range loader(t, s, options(augment.Eval{Crop: augment.CropTF})).Epoch(t.Context(), 0, 0) {
			if e, ok := errors.AsType[*Error](err); !ok || e.Path != s.Path(0) {
				t.Errorf("raw %v: %v, want an *Error that names %s", raw, err, s.Path(0))
			}
		}
	}
}

// A cutter is a Transform that cuts a file short before it looks at the image.
type cutter struct {
	augment.Eval
	path string
}

func (c cutter) View(w, h, size int, rng *rand.Rand) augment.View {
	if err := os.Truncate(c.path, 100); err != nil {
		panic(err)
	}
	return c.Eval.View(w, h, size, rng)
}

// So it is when the checksum was right and the pixels go while they are used.
func TestPackCutWhileRead(t *testing.T) {
	opt := packOptions()
	opt.Size, opt.Raw = 299, true
	path := packed(t, jpegTree(t, image.Pt(300, 300), image.Pt(300, 301)), opt)
	s, err := OpenTrain(path)
	if err != nil {
		t.Fatal(err)
	}
	if s.store.(*pack).mapped == nil {
		t.Skip("this system maps no files: run the test on a Unix system")
	}
	for _, err := range loader(t, s, options(cutter{augment.Eval{Crop: augment.CropTF}, path})).Epoch(t.Context(), 0, 0) {
		if e, ok := errors.AsType[*Error](err); !ok || e.Path != s.Path(0) {
			t.Errorf("%v, want an *Error that names %s", err, s.Path(0))
		}
	}
}

// Ended midway, Pack leaves neither files nor goroutines.
func TestPackCancelled(t *testing.T) {
	dir := jpegTree(t, slices.Repeat([]image.Point{{40, 30}}, 40)...)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	opt := packOptions()
	opt.Progress = func(done, _ int) {
		if done == 3 {
			cancel()
		}
		if done > 40 {
			t.Error("continues to the end")
		}
	}
	out := filepath.Join(t.TempDir(), "x.pack")
	if _, err := Pack(ctx, dir, out, opt); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(out)); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// Every byte of a pack matters: damage in the head is found when it is opened,
// damage in an image when that is read.
func TestPackDamage(t *testing.T) {
	whole, err := os.ReadFile(packed(t, jpegTree(t, image.Pt(5, 5), image.Pt(6, 6)), packOptions()))
	if err != nil {
		t.Fatal(err)
	}
	parse := func(file []byte) (*pack, error) {
		p, err := parsePack(bytes.NewReader(file), int64(len(file)), "x.pack")
		if err == nil {
			p.mapped = file
		} else if e, ok := errors.AsType[*Error](err); !ok || e.Path != "x.pack" || e.Hint == "" {
			t.Errorf("%v is not an *Error that says what to do", err)
		}
		return p, err
	}
	for n := range whole {
		if _, err := parse(whole[:n]); err == nil {
			t.Errorf("the first %d bytes of %d pass as a pack", n, len(whole))
		}
	}
	p, err := parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	inData := map[int]int{} // the image of each byte
	for i, e := range p.entries {
		for b := range e.size {
			inData[int(e.off+b)] = i
		}
	}
	data := int(p.entries[0].off)
	for at := range whole {
		file := flipByte(bytes.Clone(whole), at)
		p, err := parse(file)
		if at < data {
			if err == nil {
				t.Errorf("byte %d of the head is flipped: no error", at)
			}
			continue
		}
		if err != nil {
			t.Fatalf("byte %d, in an image, is flipped: %v", at, err)
		}
		for i := range p.entries {
			_, err := p.read(new(buffer), i)
			k, ok := inData[at]
			if e, isError := errors.AsType[*Error](err); (err != nil) != (ok && i == k) || err != nil && (!isError || e.Path != p.path(i)) {
				t.Fatalf("byte %d is flipped: image %d: %v", at, i, err)
			}
		}
	}
}

// A head that contradicts itself is refused though its checksums are right.
func TestPackContradictions(t *testing.T) {
	opt := packOptions()
	opt.Size, opt.Raw = 4, true
	whole, err := os.ReadFile(packed(t, jpegTree(t, image.Pt(5, 5), image.Pt(6, 6)), opt))
	if err != nil {
		t.Fatal(err)
	}
	h, _ := parseHeader(whole)
	for want, change := range map[string]func(h *packHeader, e []packEntry, meta []byte){
		"image 1: bytes ":             func(_ *packHeader, e []packEntry, _ []byte) { e[1].off = e[0].off },
		"image 0: bytes ":             func(_ *packHeader, e []packEntry, _ []byte) { e[0].off = 1 << 60 },
		"image 2: bytes ":             func(_ *packHeader, e []packEntry, _ []byte) { e[2].off = -1 << 63 },
		"image 3: bytes ":             func(_ *packHeader, e []packEntry, _ []byte) { e[3].size = 1<<63 - 1 },
		"image 0: 48 bytes for 4x5":   func(_ *packHeader, e []packEntry, _ []byte) { e[0].h = 5 },
		"image 0: 48 bytes for 0x4":   func(_ *packHeader, e []packEntry, _ []byte) { e[0].w = 0 },
		"image 0: 65537x65537 pixels": func(_ *packHeader, e []packEntry, _ []byte) { e[0].w, e[0].h = 65537, 65537 },
		"image 0: -4x-4 pixels":       func(_ *packHeader, e []packEntry, _ []byte) { e[0].w, e[0].h = -4, -4 },
		"image 1: class 2 of 2":       func(_ *packHeader, e []packEntry, _ []byte) { e[1].label = 2 },
		"image 1: class -1 of 2":      func(_ *packHeader, e []packEntry, _ []byte) { e[1].label = -1 },
		"image 3: split 2 of 2":       func(_ *packHeader, e []packEntry, _ []byte) { e[3].split = 2 },
		"image 3: a name outside":     func(_ *packHeader, e []packEntry, _ []byte) { e[3].nameLen++ },
		"image 2: a name outside":     func(_ *packHeader, e []packEntry, _ []byte) { e[2].name = 1<<63 - 1 },
		`3 images in split "train"`:   func(_ *packHeader, e []packEntry, _ []byte) { e[3].split = 0 },
		"more than the file holds":    func(h *packHeader, _ []packEntry, _ []byte) { h.images = 1 << 60 },
		"claims more than the file":   func(h *packHeader, _ []packEntry, _ []byte) { h.names = -1 },
		"header claims more":          func(h *packHeader, _ []packEntry, _ []byte) { h.data = 1 << 62 },
		"header claims more than":     func(h *packHeader, _ []packEntry, _ []byte) { h.data = 0 },
		"its metadata: ":              func(_ *packHeader, _ []packEntry, meta []byte) { meta[0] = '?' },
		`split "tra/n" is unknown`: func(_ *packHeader, _ []packEntry, meta []byte) {
			copy(meta[bytes.Index(meta, []byte(`"train"`))+4:], "/")
		},
		"a pack of version 2; this":                  func(h *packHeader, _ []packEntry, _ []byte) { h.version = 2 },
		"truncated: ":                                func(h *packHeader, _ []packEntry, _ []byte) { h.length++ },
		"bytes follow its end":                       func(h *packHeader, _ []packEntry, _ []byte) { h.length-- },
		"its images end at byte":                     func(_ *packHeader, e []packEntry, _ []byte) { e[3].size, e[3].w, e[3].h = 3, 1, 1 },
		"neither a folder nor a pack":                nil,
		"index does not match its recorded checksum": func(h *packHeader, _ []packEntry, _ []byte) { h.headCRC++ },
	} {
		file := bytes.Clone(whole)
		if change == nil {
			file[0] = 'X'
		} else {
			rewrite(file, h, change)
		}
		_, err := parsePack(bytes.NewReader(file), int64(len(file)), "x.pack")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// rewrite changes the head of a pack and makes its checksums right.
func rewrite(file []byte, h packHeader, change func(*packHeader, []packEntry, []byte)) {
	index := file[headerBytes+h.meta:][:h.images*entryBytes]
	entries := make([]packEntry, h.images)
	for i := range entries {
		entries[i] = parseEntry(index[i*entryBytes:])
	}
	crc, data := h.headCRC, h.data
	change(&h, entries, file[headerBytes:][:h.meta])
	for i, e := range entries {
		copy(index[i*entryBytes:], e.append(nil))
	}
	if h.headCRC == crc {
		h.headCRC = crc32.Checksum(file[headerBytes:data], castagnoli)
	}
	copy(file, h.encode())
}

// A head of arbitrary bytes is an error or describes images within the file;
// memory stays within a multiple of the file.
func FuzzPack(f *testing.F) {
	for _, raw := range []bool{false, true} {
		opt := packOptions()
		opt.Size, opt.Raw = 4, raw
		file, err := os.ReadFile(packed(f, jpegTree(f, image.Pt(5, 5), image.Pt(6, 6)), opt))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
		f.Add(file[:len(file)/2])
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		file := bytes.Clone(given)
		if h, ok := parseHeader(file); ok { // else no change would pass the checksums
			if h.data > headerBytes && h.data <= int64(len(file)) {
				h.headCRC = crc32.Checksum(file[headerBytes:h.data], castagnoli)
			}
			copy(file, h.encode())
		}
		p, err := parsePack(bytes.NewReader(file), int64(len(file)), "x.pack")
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%v is not an *Error", err)
			}
			return
		}
		p.mapped = file
		for i, e := range p.entries {
			rec, err := p.read(new(buffer), i)
			if err == nil && (len(rec.data) == 0 || int(e.label) >= len(p.meta.Classes) || rec.w > 0 && len(rec.data) != 3*rec.w*rec.h) {
				t.Fatalf("image %d: %+v", i, e)
			}
			_ = p.path(i)
		}
	})
}
