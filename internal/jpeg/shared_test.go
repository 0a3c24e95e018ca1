package jpeg

import (
	"bufio"
	"image"
	"image/png"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/imagetest"
)

// shared is a path in the folder of large test data, which not every machine has.
func shared(t *testing.T, path ...string) string {
	t.Helper()
	folder := os.Getenv("EFFNET_SHARED")
	if folder == "" {
		t.Skip("EFFNET_SHARED is not set: make test-full says what it names")
	}
	return filepath.Join(append([]string{folder}, path...)...)
}

// Users' files that once failed have the pixels of NAME.pillow.png.
func TestSharedCases(t *testing.T) {
	paths, err := filepath.Glob(shared(t, "cases", "images", "*.jpg"))
	if err != nil || len(paths) == 0 {
		t.Skip("EFFNET_SHARED has no cases/images/FILE.jpg: make test-full says what they are")
	}
	d := New()
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		h, pix, err := d.decode(file, everything)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		want := pngPixels(t, path+".pillow.png")
		if b := want.Bounds(); b.Dx() != h.Width || b.Dy() != h.Height {
			t.Errorf("%s: %dx%d, want %v", path, h.Width, h.Height, b)
			continue
		}
		for i := range h.Width * h.Height {
			r, g, b, _ := want.At(i%h.Width, i/h.Width).RGBA()
			if got := [3]uint8(pix[3*i:]); got != [3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)} {
				t.Errorf("%s: pixel %d,%d is %v, want %v", path, i%h.Width, i/h.Width, got, [3]uint32{r >> 8, g >> 8, b >> 8})
				break
			}
		}
	}
}

func pngPixels(t *testing.T, path string) image.Image {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	m, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// hashes prints the hash of each file that it is given on a line.
const hashes = `
import hashlib, sys
from PIL import Image
for path in sys.stdin.read().splitlines():
    print(hashlib.sha256(Image.open(path).convert("RGB").tobytes()).hexdigest()[:32])
`

// Photographs have the pixels of Pillow, of the version at hand.
func TestPhotographs(t *testing.T) {
	python := os.Getenv("EFFNET_PYTHON")
	if python == "" {
		t.Skip("EFFNET_PYTHON is not set: set it to a Python with Pillow")
	}
	var paths []string
	err := filepath.WalkDir(shared(t, "data"), func(path string, _ fs.DirEntry, err error) error {
		if ext := strings.ToLower(filepath.Ext(path)); err == nil && (ext == ".jpeg" || ext == ".jpg") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), python, "-c", hashes)
	command.Stdin, command.Stderr = strings.NewReader(strings.Join(paths, "\n")), os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	d := New()
	for _, path := range paths {
		if !lines.Scan() {
			t.Fatalf("Pillow's output ends before %s", path)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, pix, err := d.decode(file, everything); err != nil || imagetest.Hash(pix) != lines.Text() {
			t.Errorf("%s: other pixels, error %v", path, err)
		}
	}
	t.Logf("%d photographs", len(paths))
}
