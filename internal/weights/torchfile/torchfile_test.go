package torchfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"effnet/internal/checkpoint"
)

// golden is what tools/golden/torchfile.py found in its files with PyTorch.
type golden struct {
	Section string
	Others  []string
	Tensors []struct {
		Name  string
		Shape []int
		Data  []float64
	}
}

func readGolden(t *testing.T) map[string]golden {
	t.Helper()
	doc, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Files map[string]golden }
	if err := json.Unmarshal(doc, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Files) < 10 {
		t.Fatalf("golden.json has %d files", len(all.Files))
	}
	return all.Files
}

func TestReadAsPyTorch(t *testing.T) {
	for name, want := range readGolden(t) {
		got, err := Read(filepath.Join("testdata", name), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Section != want.Section || !slices.Equal(got.Others, want.Others) {
			t.Errorf("%s: section %q beside %q, want %q beside %q", name, got.Section, got.Others, want.Section, want.Others)
		}
		if len(got.Tensors) != len(want.Tensors) {
			t.Errorf("%s: %d tensors, want %d", name, len(got.Tensors), len(want.Tensors))
			continue
		}
		for i, w := range want.Tensors {
			g := got.Tensors[i]
			if g.Name != w.Name || !slices.Equal(g.Shape, w.Shape) || !same(g.Data, w.Data) {
				t.Errorf("%s: %q %v %v\nwant %q %v %v", name, g.Name, g.Shape, g.Data, w.Name, w.Shape, w.Data)
			}
		}
	}
}

// same compares bits, so that -0 is not 0.
func same(got []float32, want []float64) bool {
	return slices.EqualFunc(got, want, func(g float32, w float64) bool {
		return math.Float32bits(g) == math.Float32bits(float32(w))
	})
}

func TestReadRefusesFiles(t *testing.T) {
	for name, c := range map[string]struct{ want, hint string }{
		"call.pth":    {`holds an object of "posix.system", not a dict`, "torch.save(model.state_dict()"},
		"script.pt":   {"is TorchScript", "torch.jit.load"},
		"golden.json": {"is JSON", "download"},
	} {
		path := filepath.Join("testdata", name)
		_, err := Read(path, false)
		var e *checkpoint.Error
		if !errors.As(err, &e) || e.Path != path || !strings.Contains(e.Error(), c.want) || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: %v; want %q and the hint %q", name, err, c.want, c.hint)
		}
	}
}

func TestReadOtherFaults(t *testing.T) {
	dir := t.TempDir()
	var e *checkpoint.Error
	if _, err := Read(filepath.Join(dir, "absent"), false); !errors.As(err, &e) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
	if _, err := Read(dir, false); !errors.As(err, &e) {
		t.Errorf("a folder: %v", err)
	}
}

func TestReadForeign(t *testing.T) {
	tar := make([]byte, 1024)
	copy(tar[257:], "ustar  ")
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty": {nil, "is empty"},
		"tar":   {tar, "is a tar archive"},
		"hdf5":  {[]byte("\x89HDF\r\n\x1a\n"), "is not a PyTorch file"},
		"lfs":   {[]byte("version https://git-lfs.github.com/spec/v1\noid"), "Git LFS"},
		"wheel": {zipOf(map[string]string{"pkg/__init__.py": "", "pkg/models/b0.pth": "x"}), `is a zip around "pkg/models/b0.pth"`},
		"zip":   {zipOf(map[string]string{"a/b/data.pkl": "", "data.pkl": ""}), "0 files FOLDER/data.pkl"},
		"two":   {zipOf(map[string]string{"a/data.pkl": "", "b/data.pkl": ""}), "2 files FOLDER/data.pkl"},
	} {
		expect(t, name, c.content, c.want)
	}
}

// expect decodes a file that must give a *checkpoint.Error about want.
func expect(t *testing.T, name string, content []byte, want string) {
	t.Helper()
	_, err := decode(bytes.NewReader(content), int64(len(content)), false)
	var e *checkpoint.Error
	if !errors.As(err, &e) || !strings.Contains(e.Error(), want) {
		t.Errorf("%s: %v; want a *checkpoint.Error about %q", name, err, want)
	}
}

// TestReadCut cuts files at every length.
func TestReadCut(t *testing.T) {
	for _, name := range []string{"zip.pth", "deflated.pth", "legacy.pth", "legacy_protocol4.pth", "views_legacy.pth"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for n := range content {
			expect(t, name, content[:n], "")
		}
	}
}

// TestReadFlipped changes every byte of files: an error or tensors, no panic. A
// zip's checksums reveal another value.
func TestReadFlipped(t *testing.T) {
	for _, name := range []string{"zip.pth", "deflated.pth", "legacy.pth", "views_legacy.pth"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range content {
			for _, flip := range []byte{1, 0x80, 0xff} {
				content[i] ^= flip
				_, err := decode(bytes.NewReader(content), int64(len(content)), false)
				if e := (*checkpoint.Error)(nil); err != nil && !errors.As(err, &e) {
					t.Fatalf("%s, byte %d: %T %v", name, i, err, err)
				}
				content[i] ^= flip
			}
		}
	}
	content, err := os.ReadFile("testdata/zip.pth")
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(content, []byte("\x00\x00\x80\x3e\x00\x00\x00\xbf")) // 0.25, -0.5
	content[at] ^= 1
	expect(t, "a value", content, "has a damaged part")
}
