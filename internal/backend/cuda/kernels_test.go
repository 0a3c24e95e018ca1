package cuda

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/backend/cuda/driver"
)

// The kernels compile, as NVIDIA's compiler sees them, for the GPUs there are.
func TestKernelsCompile(t *testing.T) {
	libraries := driver.Find()
	if err := libraries.NVRTC.Err(); err != nil {
		t.Skipf("the kernels are not compiled by NVIDIA's compiler: %v", err)
	}
	for _, architecture := range []string{"sm_80", "sm_90", "sm_100", "compute_80", "compute_90", "compute_100", "half"} {
		text, err := source(architecture == "half")
		if err != nil {
			t.Fatal(err)
		}
		if architecture == "half" {
			architecture = "sm_90"
		}
		image, err := driver.Compile(libraries, "effnet.cu", text, options(architecture)...)
		if err != nil {
			t.Errorf("%s: %v", architecture, err)
			continue
		}
		t.Logf("%s: %d bytes by NVRTC %s", architecture, len(image), libraries.NVRTC.Version)
	}
}

// An image is compiled once; a cache that is damaged, or of other sources, options
// or compilers, is none.
func TestImageCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	count := 0
	compile := func(string, []string) ([]byte, error) {
		count++
		return []byte("compiled kernels"), nil
	}
	get := func(folder, architecture, compiler string, compiled int) {
		t.Helper()
		got, err := image(folder, architecture, compiler, false, compile)
		if err != nil || !bytes.Equal(got, []byte("compiled kernels")) || count != compiled {
			t.Errorf("%q, %v, compiled %d times, want %d", got, err, count, compiled)
		}
	}
	get(dir, "sm_90", "13.0", 1)
	get(dir, "sm_90", "13.0", 1)
	get(dir, "sm_80", "13.0", 2)
	get(dir, "sm_90", "13.1", 3)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { return b[:10] },
		func(b []byte) []byte { b[len(b)-1]++; return b },
		func([]byte) []byte { return nil },
	} {
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(f, damage(b), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		before := count
		get(dir, "sm_90", "13.0", before+1)
		get(dir, "sm_80", "13.0", before+2)
		get(dir, "sm_90", "13.1", before+3)
		get(dir, "sm_90", "13.1", before+3)
	}
	before := count
	get("", "sm_90", "13.0", before+1)                           // no folder
	get(filepath.Join(files[0], "x"), "sm_90", "13.0", before+2) // none that can be made
	if _, err := image(dir, "sm_70", "13.0", true, func(string, []string) ([]byte, error) { return nil, errors.New("no such GPU") }); err == nil ||
		!strings.Contains(err.Error(), "no such GPU") {
		t.Errorf("a failure to compile: %v", err)
	}
}
