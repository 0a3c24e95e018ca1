package data

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"effnet/internal/augment"
)

// A tarEntry is a file of a tar; of type 0 it is a regular one.
type tarEntry struct {
	name, content string
	kind          byte
}

// tarOf returns a tar of the given files.
func tarOf(t testing.TB, files ...tarEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content)), Typeflag: f.kind}
		if f.kind == 0 {
			h.Typeflag = tar.TypeReg
		} else {
			h.Size, h.Linkname, f.content = 0, f.content, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// shardTree writes files of the given content under a new folder.
func shardTree(t testing.TB, content map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range content {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, b, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The images of a folder in tar files, in the same order: the same batches.
func TestShardsEqualFolder(t *testing.T) {
	s := greys(t, 9)
	var entries [2][]tarEntry
	for i := range s.Len() {
		content, err := os.ReadFile(s.Path(i))
		if err != nil {
			t.Fatal(err)
		}
		key := "some/long/folder.d/" + strings.Repeat("name", 40) + string(rune('a'+i))
		pair := []tarEntry{{key + ".PNG", string(content), 0}, {key + ".cls", " " + s.Classes[s.Label(i)] + "\n", 0}}
		if i%2 == 0 {
			slices.Reverse(pair)
		}
		n := i / 5
		entries[n] = append(entries[n], tarEntry{key + ".json", "{}", 0})
		entries[n] = append(entries[n], pair...)
	}
	// What is neither an image nor a class is skipped, and so is a sample's second image.
	entries[0] = append(entries[0], tarEntry{"dir.png/", "", tar.TypeDir}, tarEntry{"._a.jpg", "x", 0},
		tarEntry{strings.TrimSuffix(entries[0][1].name, filepath.Ext(entries[0][1].name)) + ".seg.png", "x", 0}, tarEntry{"README", "x", 0})
	dir := shardTree(t, map[string][]byte{
		"train/00.tar": tarOf(t, entries[0]...), "train/01.tar": tarOf(t, entries[1]...), "train/.x.tar": nil})

	got, err := OpenTrain(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "train") + ": 1 file not used: 1 without extension"; !slices.Equal(got.Notes(false), []string{want}) {
		t.Errorf("%q, want %q", got.Notes(false), want)
	}
	if !slices.Equal(got.Classes, s.Classes) {
		t.Errorf("classes %q, want %q", got.Classes, s.Classes)
	}
	if want := filepath.Join(dir, "train/01.tar") + "/" + entries[1][1].name; !strings.HasPrefix(got.Path(5), strings.TrimSuffix(want, ".PNG")) {
		t.Errorf("image 5 is %s, want %s", got.Path(5), want)
	}
	a, b := sums(t, loader(t, s, trainOptions()), 1, 0), sums(t, loader(t, got, trainOptions()), 1, 0)
	if len(a) != 3 || !slices.Equal(a, b) {
		t.Error("the tar files give other batches than the folder")
	}
}

func TestShardErrors(t *testing.T) {
	pair := []tarEntry{{"k.jpg", "image", 0}, {"k.cls", "0", 0}}
	with := func(more ...tarEntry) []byte { return tarOf(t, append(slices.Clone(pair), more...)...) }
	whole := with(tarEntry{"l.png", strings.Repeat("x", 600), 0}, tarEntry{"l.cls", "1", 0})
	for name, c := range map[string]struct {
		tar  []byte
		want string // after the split's folder
	}{
		"no class":       {with(tarEntry{"d/l.jpg", "", 0}), "/0.tar/d/l.jpg: no class: d/l.cls is not in the tar"},
		"no image":       {with(tarEntry{"d/l.cls", "1", 0}), "/0.tar/d/l.cls: no image of that key is in the tar"},
		"text":           {with(tarEntry{"l.cls", "dog", 0}), `/0.tar/l.cls: "dog" is not a class number, 0 to 1048575`},
		"negative":       {with(tarEntry{"l.cls", "-1", 0}), `/0.tar/l.cls: "-1" is not a class number`},
		"large":          {with(tarEntry{"l.cls", "1048576", 0}), `/0.tar/l.cls: "1048576" is not a class number`},
		"long class":     {with(tarEntry{"l.cls", strings.Repeat(" ", 1000) + "1", 0}), `/0.tar/l.cls: `},
		"second image":   {with(tarEntry{"k.png", "", 0}), "/0.tar/k.png: the key k appears twice"},
		"second class":   {with(tarEntry{"k.cls", "0", 0}), "/0.tar/k.cls: the key k appears twice"},
		"link":           {with(tarEntry{"l.jpg", "k.jpg", tar.TypeSymlink}), "/0.tar/l.jpg: not stored as a plain file"},
		"sparse":         {sparseTar(), "/0.tar/k.jpg: not stored as a plain file"},
		"empty":          {nil, "/0.tar: truncated tar (copy or write it again)"},
		"in a header":    {whole[:1024+100], "/0.tar: truncated tar"},
		"in an image":    {whole[:2048+512+300], "/0.tar: truncated tar"},
		"in the last":    {whole[:len(whole)-1024-300], "/0.tar: truncated tar"},
		"after an image": {whole[:2048], "/0.tar: truncated tar"},
		"not a tar":      {bytes.Repeat([]byte("text"), 1000), "/0.tar: unusable tar: invalid tar header"},
		"damaged header": {flipByte(bytes.Clone(whole), 2048+130), "/0.tar: unusable tar: invalid tar header"},
		"no images":      {tarOf(t, tarEntry{"a.txt", "", 0}), ": no images in its tar files"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shardTree(t, map[string][]byte{"train/0.tar": c.tar})
			_, err := OpenTrain(dir)
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("got %v, want an *Error", err)
			}
			if want := "data: " + filepath.Join(dir, "train") + c.want; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %s\nwant %s", err, want)
			}
		})
	}
}

func TestShardClasses(t *testing.T) {
	shard := tarOf(t, tarEntry{"a.jpg", "x", 0}, tarEntry{"a.cls", "0", 0}, tarEntry{"b.jpg", "x", 0}, tarEntry{"b.cls", "1", 0})
	named := []byte("cat\r\ndog\n")
	for name, c := range map[string]struct {
		files map[string][]byte
		eval  []string // the network's classes; nil to train
		want  []string
		err   string
	}{
		"numbers":         {map[string][]byte{"train/0.tar": shard}, nil, []string{"0", "1"}, ""},
		"beside":          {map[string][]byte{"train/0.tar": shard, "classes.txt": named}, nil, []string{"cat", "dog"}, ""},
		"within":          {map[string][]byte{"train/0.tar": shard, "train/classes.txt": named, "classes.txt": nil}, nil, []string{"cat", "dog"}, ""},
		"itself":          {map[string][]byte{"0.tar": shard, "classes.txt": named}, []string{"cat", "dog"}, []string{"cat", "dog"}, ""},
		"more names":      {map[string][]byte{"val/0.tar": shard, "classes.txt": []byte("cat\ndog\nemu")}, []string{"cat", "dog", "emu"}, []string{"cat", "dog", "emu"}, ""},
		"more numbers":    {map[string][]byte{"val/0.tar": shard}, []string{"0", "1", "2"}, []string{"0", "1", "2"}, ""},
		"fewer numbers":   {map[string][]byte{"val/0.tar": shard}, []string{"0"}, nil, "unknown 1"},
		"other names":     {map[string][]byte{"val/0.tar": shard, "classes.txt": named}, []string{"cat", "emu"}, nil, "missing emu; unknown dog"},
		"no names":        {map[string][]byte{"val/0.tar": shard}, []string{"cat", "dog"}, nil, "missing cat, dog; unknown 0, 1"},
		"too few names":   {map[string][]byte{"train/0.tar": shard, "classes.txt": []byte("cat\n")}, nil, nil, "classes.txt: 1 names, but class 1 has images in "},
		"twice":           {map[string][]byte{"train/0.tar": shard, "classes.txt": []byte("cat\ndog\ncat\n")}, nil, nil, "classes.txt: cat is on line 1 and on line 3"},
		"empty line":      {map[string][]byte{"train/0.tar": shard, "classes.txt": []byte("cat\n\ndog\n")}, nil, nil, "classes.txt: line 2 is empty"},
		"no image of one": {map[string][]byte{"train/0.tar": shard, "classes.txt": []byte("cat\ndog\nemu\n")}, nil, nil, "train: no images of class 2, emu"},
		"both":            {map[string][]byte{"train/0.tar": shard, "train/cat/1.jpg": nil}, nil, nil, "train: tar files, such as 0.tar, next to class folders, such as cat"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shardTree(t, c.files)
			open := OpenTrain
			if c.eval != nil {
				open = func(dir string) (*Set, error) { return OpenEval(dir, c.eval) }
			}
			s, err := open(dir)
			if c.err != "" {
				if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want an *Error with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.Classes, c.want) || s.Len() != 2 || s.Label(1) != 1 {
				t.Errorf("%d images of %q, want 2 of %q", s.Len(), s.Classes, c.want)
			}
		})
	}
}

// What a tar's files hold is found when they are read, and a tar that is another
// by then is not read at all.
func TestShardRead(t *testing.T) {
	dir := shardTree(t, map[string][]byte{"0.tar": tarOf(t, tarEntry{"a.jpg", "text", 0}, tarEntry{"a.cls", "0", 0}, tarEntry{"b.jpg", "", 0}, tarEntry{"b.cls", "0", 0})})
	s, err := OpenEval(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func(i int, want string) {
		t.Helper()
		_, err := new(decoder).read(new(augment.Image), s, i)
		if e, ok := errors.AsType[*Error](err); !ok || !strings.HasPrefix(e.Path, filepath.Join(dir, "0.tar")) || !strings.Contains(e.Reason, want) {
			t.Errorf("image %d: %v, want an *Error with %q", i, err, want)
		}
	}
	read(0, "not a JPEG")
	read(1, "empty file")
	if err := os.Chtimes(filepath.Join(dir, "0.tar"), time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	read(0, "has changed since it was listed")
	if err := os.Remove(filepath.Join(dir, "0.tar")); err != nil {
		t.Fatal(err)
	}
	for _, err := range loader(t, s, options(augment.Eval{Crop: augment.CropTF})).Epoch(context.Background(), 0, 0) {
		if e, ok := errors.AsType[*Error](err); !ok || e.Path != filepath.Join(dir, "0.tar") {
			t.Errorf("a tar that is gone: %v", err)
		}
	}
}

// The index of arbitrary bytes is an error or lies within them. Headers get the
// checksum that they need to be looked at.
func FuzzTar(f *testing.F) {
	f.Add(tarOf(f, tarEntry{"k.jpg", "image", 0}, tarEntry{"k.cls", "0", 0}))
	f.Add(tarOf(f, tarEntry{strings.Repeat("k", 300) + ".jpg", "image", 0}, tarEntry{"l.jpg", "k.jpg", tar.TypeSymlink}))
	f.Add(sparseTar())
	f.Fuzz(func(t *testing.T, given []byte) {
		file := bytes.Clone(given)
		for block := range slices.Chunk(file, 512) {
			if len(block) == 512 && string(block[257:262]) == "ustar" {
				checksum(block)
			}
		}
		members, labels, err := (&tarIndex{path: "x.tar", samples: map[string]*sample{}}).read(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%v is not an *Error", err)
			}
			return
		}
		for i, m := range members {
			if m.off < 0 || m.size < 0 || m.off+m.size > int64(len(file)) || labels[i] < 0 || labels[i] >= maxClasses {
				t.Fatalf("%+v of class %d in %d bytes", m, labels[i], len(file))
			}
		}
	})
}

// sparseTar returns a tar of one image in GNU's format for files with holes.
func sparseTar() []byte {
	b := make([]byte, 4*512)
	copy(b, "k.jpg")
	copy(b[100:], "0000644\x000000000\x000000000\x0000000000004\x0000000000000\x00")
	b[156] = tar.TypeGNUSparse
	copy(b[257:], "ustar  \x00")
	copy(b[386:], "00000000000\x0000000000004\x00") // the one block that is no hole
	copy(b[483:], "00000000004\x00")                // the size with holes
	checksum(b[:512])
	copy(b[512:], "data")
	return b
}

// checksum makes the checksum of a tar's header right.
func checksum(header []byte) {
	copy(header[148:156], "        ")
	sum := 0
	for _, v := range header {
		sum += int(v)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00", sum))
}
