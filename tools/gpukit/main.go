// Command gpukit writes the folder bin/gpu-kit: everything needed to test effnet on a
// graphics card, on a machine without Go and without a network. Copied there, run.sh
// starts it (see kit/main.go):
//
//	EFFNET_SHARED=DIR go run ./tools/gpukit
//
// EFFNET_SHARED holds data/imagenette-mini/{train,val}/CLASS/*.JPEG, photographs, and
// weights/efficientnet_lite0_dogs120.safetensors. With -generate the kit has a few drawn
// images instead, and no weights: enough for a rehearsal.
package main

import (
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// run.sh starts the kit.
//
//go:embed run.sh
var runScript []byte

const (
	trainPerClass = 80 // photographs; kit's accuracyOnCPU is of that many
	mostMiB       = 48 // of the whole folder
)

func main() {
	out := flag.String("out", "bin/gpu-kit", "folder to write")
	version := flag.String("version", "(devel)", "version of the kit and its effnet")
	generate := flag.Bool("generate", false, "draw a few images, where there is no EFFNET_SHARED")
	flag.Parse()
	if err := build(context.Background(), *out, *version, *generate); err != nil {
		fmt.Fprintln(os.Stderr, "gpukit:", err)
		os.Exit(1)
	}
}

// build writes the kit.
func build(ctx context.Context, out, version string, generate bool) (err error) {
	shared := os.Getenv("EFFNET_SHARED")
	if shared == "" && !generate {
		return errors.New("EFFNET_SHARED is not set: it names a folder with data/imagenette-mini and weights (or -generate, for a rehearsal)")
	}
	tmp, err := os.MkdirTemp("", "gpukit-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := errors.Join(os.RemoveAll(out), os.MkdirAll(out, 0o755)); err != nil {
		return err
	}
	if err := programs(ctx, tmp, version); err != nil {
		return err
	}
	photos := filepath.Join(tmp, "photos")
	if shared == "" {
		err = draw(photos)
	} else {
		err = choosePhotos(photos, filepath.Join(shared, "data/imagenette-mini"))
	}
	if err != nil {
		return err
	}
	if err := command(ctx, nil, filepath.Join(tmp, "effnet"), "data", "pack", photos, filepath.Join(out, "photos.pack"), "-q"); err != nil {
		return err
	}
	files := map[string]string{"effnet": "", "cuda.test": "", "kit": "", "bench_peers.py": "tools/bench_peers.py"}
	if shared != "" {
		files["lite0.safetensors"] = filepath.Join(shared, "weights/efficientnet_lite0_dogs120.safetensors")
	}
	for name, path := range files {
		if path == "" {
			path = filepath.Join(tmp, name)
		}
		if err := compress(filepath.Join(out, name+".gz"), path); err != nil {
			return err
		}
	}
	err = errors.Join(os.WriteFile(filepath.Join(out, "run.sh"), runScript, 0o755), os.WriteFile(filepath.Join(out, "version"), []byte(version+"\n"), 0o644))
	if err != nil {
		return err
	}
	size, err := mebibytes(out)
	if err == nil && size > mostMiB {
		err = fmt.Errorf("%s takes %d MiB, more than %d", out, size, mostMiB)
	}
	if err == nil {
		fmt.Printf("%s: effnet %s, %d MiB\n", out, version, size)
	}
	return err
}

// programs builds what runs on the other machine.
func programs(ctx context.Context, dir, version string) error {
	flags := "-s -w -X main.buildName=" + version
	env := []string{"CGO_ENABLED=0"}
	return errors.Join(
		command(ctx, env, "go", "build", "-trimpath", "-ldflags", flags, "-o", filepath.Join(dir, "effnet"), "./cmd/effnet"),
		command(ctx, env, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "kit"), "./tools/gpukit/kit"),
		command(ctx, env, "go", "test", "-c", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "cuda.test"), "./internal/backend/cuda"),
	)
}

// command runs a program, and returns what it says if it fails.
func command(ctx context.Context, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said)
	}
	return nil
}

// choosePhotos copies the first photographs of each class, by name, and all of those for
// evaluation.
func choosePhotos(to, from string) error {
	for split, most := range map[string]int{"train": trainPerClass, "val": 1 << 30} {
		classes, err := os.ReadDir(filepath.Join(from, split))
		if err != nil {
			return err
		}
		for _, class := range classes {
			images, err := os.ReadDir(filepath.Join(from, split, class.Name())) // in order
			if err != nil {
				return err
			}
			dir := filepath.Join(to, split, class.Name())
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			for _, image := range images[:min(most, len(images))] {
				photo, err := os.ReadFile(filepath.Join(from, split, class.Name(), image.Name()))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, image.Name()), photo, 0o644)
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// draw makes images of two classes: red and green ones.
func draw(to string) error {
	for split, images := range map[string]int{"train": 16, "val": 4} {
		for class, base := range map[string]color.RGBA{"red": {200, 30, 30, 255}, "green": {30, 200, 30, 255}} {
			dir := filepath.Join(to, split, class)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			for n := range images {
				picture := image.NewRGBA(image.Rect(0, 0, 48, 48))
				for i := range 48 * 48 {
					c := base
					c.B += uint8(i * (n + 1)) // so that no two are the same
					picture.Set(i%48, i/48, c)
				}
				f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%02d.png", n)))
				if err == nil {
					err = errors.Join(png.Encode(f, picture), f.Close())
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// compress writes a file's gzip.
func compress(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err == nil {
		_, err = io.Copy(z, in)
		err = errors.Join(err, z.Close())
	}
	return errors.Join(err, out.Close())
}

// mebibytes is the room that a folder's files take on a disk of 4 KiB blocks, rounded up
// as "du -sm" does.
func mebibytes(dir string) (int64, error) {
	const block, mib = 4096, 1 << 20
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	total := int64(block)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		total += (info.Size() + block - 1) / block * block
	}
	return (total + mib - 1) / mib, nil
}
