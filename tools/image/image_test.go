//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"effnet/internal/backend/cuda"
	"effnet/internal/backend/cuda/emulated"
	"effnet/tools/dist"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// TestImages makes the images for this machine's architecture twice, and runs them as
// containers run, but for the walls: unpacked, with effnet's root there.
func TestImages(t *testing.T) {
	defer func(all []string) { architectures = all }(architectures)
	architectures = []string{runtime.GOARCH}
	source, with, err := dist.Prepare(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			if k.name == "slim" && os.Getenv("EFFNET_DEBIAN") == "" {
				t.Skip("Debian's packages are needed: EFFNET_DEBIAN=https://deb.debian.org/debian, or a folder of .deb files")
			}
			archive, err := k.archive(t.Context(), source, with)
			if err != nil {
				t.Fatal(err)
			}
			again, err := k.archive(t.Context(), source, with)
			if err != nil {
				t.Fatal(err)
			}
			if sha256.Sum256(archive.Data) != sha256.Sum256(again.Data) {
				t.Error("the second image differs from the first")
			}
			root := t.TempDir()
			unpackImage(t, open(t, archive, k.reference(source)), root)
			if os.Geteuid() != 0 {
				t.Skip("only root may run the image (chroot): sudo go test ./tools/image")
			}
			runs(t, root, source.Version)
			if k.name == "slim" {
				loadsCUDA(t, root)
			}
		})
	}
}

// open reads an image for this architecture from the tar file of a layout, as container
// engines do: by the name, then by the platform.
func open(t *testing.T, archive dist.File, reference string) v1.Image {
	t.Helper()
	dir := t.TempDir()
	extract(t, bytes.NewReader(archive.Data), dir)
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	all, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := all.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 || manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != reference {
		t.Fatalf("%+v, %v: want one index, called %s", manifest, err, reference)
	}
	index, err := all.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if manifest, err = index.IndexManifest(); err != nil {
		t.Fatal(err)
	}
	for _, m := range manifest.Manifests {
		if m.Platform.OS == "linux" && m.Platform.Architecture == runtime.GOARCH {
			image, err := index.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			return image
		}
	}
	t.Fatal("no image for this architecture")
	return nil
}

// unpackImage does what an engine does before it starts a container.
func unpackImage(t *testing.T, image v1.Image, root string) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Config.Entrypoint; !slices.Equal(got, []string{"/usr/local/bin/effnet"}) {
		t.Errorf("the entry point is %q", got)
	}
	layers := mutate.Extract(image)
	defer layers.Close()
	extract(t, layers, root)
	if err := os.MkdirAll(filepath.Join(root, config.Config.WorkingDir), 0o777); err != nil {
		t.Fatal(err)
	}
}

func extract(t *testing.T, r io.Reader, dir string) {
	t.Helper()
	modes := map[string]fs.FileMode{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		name := filepath.Join(dir, h.Name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(name), 0o755)
		}
		if err == nil {
			switch h.Typeflag {
			case tar.TypeDir:
				err = os.MkdirAll(name, 0o755)
				modes[name] = h.FileInfo().Mode()
			case tar.TypeSymlink:
				err = os.Symlink(h.Linkname, name)
			case tar.TypeReg:
				var data []byte
				if data, err = io.ReadAll(tr); err == nil {
					err = os.WriteFile(name, data, h.FileInfo().Mode())
				}
			default:
				err = fmt.Errorf("%s: type %c", h.Name, h.Typeflag)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(modes)) {
		if err := os.Chmod(name, modes[name]); err != nil {
			t.Fatal(err)
		}
	}
}

// inside runs effnet in the image, with nothing of this machine's environment.
func inside(t *testing.T, root string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/local/bin/effnet", args...)
	cmd.Dir, cmd.Env = "/work", append([]string{"XDG_CACHE_HOME=/tmp"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("effnet %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return string(said)
}

func runs(t *testing.T, root, version string) {
	if said := inside(t, root, nil, "version"); !strings.HasPrefix(said, "effnet "+version+" (go") {
		t.Errorf("effnet version says %s", said)
	}
	if said := inside(t, root, nil, "doctor"); !strings.Contains(said, "a matrix product at ") {
		t.Errorf("effnet doctor says %s", said)
	}
	draw(t, filepath.Join(root, "work", "images"))
	said := inside(t, root, nil, "train", "images", "--recipe", "mini", "--img-size", "32", "--epochs", "1", "-b", "4", "--out", "run")
	if !strings.Contains(said, "run/best.safetensors") {
		t.Errorf("effnet train says %s", said)
	}
	if said = inside(t, root, nil, "eval", "run/best.safetensors", "images"); !strings.Contains(said, "(4 images)") {
		t.Errorf("effnet eval says %s", said)
	}
}

// draw makes a set of images of two classes.
func draw(t *testing.T, dir string) {
	t.Helper()
	for i := range 12 {
		folder := filepath.Join(dir, []string{"train", "train", "val"}[i%3], []string{"red", "blue"}[i/3%2])
		m := image.NewRGBA(image.Rect(0, 0, 32, 32))
		for k := range 32 * 32 {
			m.Set(k%32, k/32, []color.Color{color.RGBA{255, uint8(k), uint8(i), 255}, color.RGBA{uint8(i), uint8(k), 255, 255}}[i/3%2])
		}
		err := os.MkdirAll(folder, 0o777)
		var file bytes.Buffer
		if err == nil {
			err = png.Encode(&file, m)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, strconv.Itoa(i)+".png"), file.Bytes(), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

var objects = regexp.MustCompile(`/[^\x00:]+/effnet-emulation-[0-9a-f]+\.so`)

// loadsCUDA brings libraries in place of CUDA's into the image, which its loader opens.
func loadsCUDA(t *testing.T, root string) {
	if !emulated.Available() {
		t.Skip("gcc and g++ are needed to make libraries in place of CUDA's")
	}
	sources, err := cuda.Sources()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := emulated.GPU(sources)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(root, "cuda"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	library, err := os.ReadFile(filepath.Join(dir, "libcuda.so.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects.FindAllString(string(library), -1) { // which libcuda opens by name
		data, err := os.ReadFile(object)
		if err == nil {
			err = os.MkdirAll(filepath.Join(root, filepath.Dir(object)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(root, object), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	said := inside(t, root, []string{"EFFNET_CUDA_LIBS=/cuda"}, "doctor", "--device", "cuda")
	if !strings.Contains(said, "cuda: ") || strings.Contains(said, "problem: ") {
		t.Errorf("effnet doctor says %s", said)
	}
}

// A package whose hash is not the pinned one is refused, wherever it is from, and what
// was fetched before is not fetched again.
func TestFetchChecksHashes(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	t.Setenv("EFFNET_DEBIAN", dir)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("a package")))
	p := pin{sum, "pool/main/x/x_1_amd64.deb"}
	ctx, cancel := context.WithCancel(t.Context())
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "x_1_amd64.deb"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("another package")
	cancel() // no snapshot is asked
	if _, err := fetch(ctx, p, time.Time{}); err == nil || !strings.Contains(err.Error(), "x_1_amd64.deb has SHA-256 ") || !strings.Contains(err.Error(), sum) {
		t.Error(err)
	}
	write("a package")
	if data, err := fetch(ctx, p, time.Time{}); err != nil || string(data) != "a package" {
		t.Errorf("%q, %v", data, err)
	}
	write("another package")
	if data, err := fetch(ctx, p, time.Time{}); err != nil || string(data) != "a package" {
		t.Errorf("from the cache: %q, %v", data, err)
	}
}

// Every package is pinned for every architecture.
func TestPins(t *testing.T) {
	p, err := readPins(pinned)
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range architectures {
		var found []string
		for _, pin := range p.packages {
			if pin.of(arch) {
				name, _, _ := strings.Cut(filepath.Base(pin.path), "_")
				found = append(found, name)
			}
		}
		slices.Sort(found)
		if !slices.Equal(found, packages) {
			t.Errorf("%s has %v, want %v", arch, found, packages)
		}
	}
	for _, bad := range []string{"", "# yesterday\n", "# 20261128T000000Z\nabc  pool/x.deb\n"} {
		if _, err := readPins(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestKeep(t *testing.T) {
	for name, want := range map[string]bool{
		"usr/lib/x86_64-linux-gnu/libc.so.6": true, "usr/lib/ld-linux-aarch64.so.1": true, "usr/lib64/ld-linux-x86-64.so.2": true,
		"usr/share/doc/libc6/copyright": true, "usr/share/common-licenses/GPL-3": true, "etc/ld.so.conf.d/x86_64-linux-gnu.conf": true,
		"usr/share/doc/libc6/NEWS.gz": false, "usr/lib/x86_64-linux-gnu/gconv/BIG5.so": false, "usr/sbin/update-ca-certificates": false,
		"usr/share/gdb/auto-load/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.33-gdb.py": false, "etc": false,
	} {
		if got := keep(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
