package cuda

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
	"effnet/internal/backend/cuda/sass"
)

// The kernels compile, as NVIDIA's compiler sees them, for the GPUs there are.
func TestKernelsCompile(t *testing.T) {
	libraries := driver.Find()
	if err := libraries.NVRTC.Err(); err != nil {
		t.Skipf("the kernels are not compiled by NVIDIA's compiler: %v", err)
	}
	for _, architecture := range []string{"sm_80", "sm_90", "sm_100", "compute_80", "compute_90", "compute_100", "bf16"} {
		maps := mapTypes[driver.Precision(architecture)]
		text, err := source(maps)
		if err != nil {
			t.Fatal(err)
		}
		if maps != backend.Float32 {
			architecture = "sm_90"
		}
		image, err := driver.Compile(libraries, "effnet.cu", text, Options(architecture)...)
		if err != nil {
			t.Errorf("%s: %v", architecture, err)
			continue
		}
		t.Logf("%s: %d bytes by NVRTC %s", architecture, len(image), libraries.NVRTC.Version)
	}
}

// tools is a folder of tools/cuda_wheels.py. It skips the test where there is none.
func tools(t *testing.T) string {
	t.Helper()
	folder := os.Getenv(sass.FolderEnv)
	if folder == "" {
		t.Skip("NVIDIA's compilers are not run: set " + sass.FolderEnv + " to a folder that tools/cuda_wheels.py made")
	}
	return folder
}

// nvrtc opens the compiler of a version.
func nvrtc(t *testing.T, v sass.Version) *driver.Libraries {
	t.Helper()
	t.Setenv(driver.LibrariesEnv, v.Folders)
	libraries := driver.Find()
	if err := libraries.NVRTC.Err(); err != nil {
		t.Fatal(err)
	}
	if libraries.NVRTC.Version != v.Name {
		t.Fatalf("the NVRTC of %s says it is %s", v.Folders, libraries.NVRTC.Version)
	}
	return libraries
}

// The kernels compile with the oldest and the newest version of each CUDA, for every
// GPU that it knows.
func TestEveryNVRTC(t *testing.T) {
	versions, err := sass.Versions(tools(t))
	if err != nil {
		t.Fatal(err)
	}
	sources, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		t.Run(v.Name, func(t *testing.T) {
			libraries := nvrtc(t, v)
			for _, architecture := range []string{"sm_80", "sm_90", "sm_100"} {
				for i, source := range sources {
					image, err := driver.Compile(libraries, "effnet.cu", source, Options(architecture)...)
					switch {
					case err == nil:
						t.Logf("%s, source %d: %d bytes", architecture, i, len(image))
					case architecture == "sm_100" && strings.Contains(err.Error(), "invalid value for --gpu-architecture"):
						t.Logf("%s, source %d: NVRTC %s does not know it", architecture, i, v.Name)
					default:
						t.Errorf("%s, source %d: %v", architecture, i, err)
					}
				}
			}
		})
	}
}

// What NVIDIA's newest compiler makes of the kernels spills nothing, uses no local
// memory, and moves 16 bytes at a time where the source does.
func TestKernelsCode(t *testing.T) {
	folder := tools(t)
	programs, err := sass.Find(folder)
	if err != nil {
		t.Fatal(err)
	}
	versions, err := sass.Versions(folder)
	if err != nil {
		t.Fatal(err)
	}
	libraries := nvrtc(t, versions[len(versions)-1])
	sources, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	for _, architecture := range []string{"sm_80", "sm_90", "sm_100"} {
		for _, source := range sources {
			cubin, err := driver.Compile(libraries, "effnet.cu", source, Options(architecture)...)
			if err != nil {
				t.Fatal(err)
			}
			ptx, err := driver.Compile(libraries, "effnet.cu", source, Options(strings.Replace(architecture, "sm", "compute", 1))...)
			if err != nil {
				t.Fatal(err)
			}
			kernels, err := programs.Inspect(t.Context(), architecture, ptx, cubin)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range sass.Problems(source, kernels) {
				t.Errorf("%s: %s", architecture, p)
			}
			occupied(t, architecture, kernels)
		}
	}
}

// occupied fails for a kernel with few warps on a multiprocessor.
func occupied(t *testing.T, architecture string, kernels []sass.Kernel) {
	t.Helper()
	for _, k := range kernels {
		blocks, share, err := sass.Occupancy(architecture, k, Threads(k.Name))
		if err != nil || blocks < 2 || share < 3./16 {
			t.Errorf("%s: %s with %d registers and %d bytes of shared memory: %d blocks of %d threads are %.0f%% of the warps, %v",
				architecture, k.Name, k.Registers, k.Shared, blocks, Threads(k.Name), 100*share, err)
		}
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
		got, err := image(folder, architecture, compiler, backend.Float32, compile)
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
	if _, err := image(dir, "sm_70", "13.0", backend.BFloat16, func(string, []string) ([]byte, error) { return nil, errors.New("no such GPU") }); err == nil ||
		!strings.Contains(err.Error(), "no such GPU") {
		t.Errorf("a failure to compile: %v", err)
	}
}
