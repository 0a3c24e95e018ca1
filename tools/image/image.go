package main

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"effnet/tools/dist"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// kind is one of the images.
type kind struct {
	name string
	tags string // of the build
	base func(ctx context.Context, arch string) (layer, error)
	env  []string
}

var kinds = []kind{
	{"static", "static", scratch, nil},
	// What NVIDIA's container runtime brings from the host, if it is there.
	{"slim", "", debian, []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"}},
}

var architectures = []string{"amd64", "arm64"}

// layer is a part of an image, before it is packed.
type layer struct {
	by    string // for its history
	files []dist.File
	at    time.Time // of its files; zero for the source's
}

// scratch is a base of a folder for temporary files.
func scratch(context.Context, string) (layer, error) {
	return layer{by: "an empty folder", files: []dist.File{{Name: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777}}}, nil
}

// archive is the layout of the image for every architecture, as a tar file.
func (k kind) archive(ctx context.Context, s dist.Source, with []dist.File) (dist.File, error) {
	var index v1.ImageIndex = empty.Index
	for _, arch := range architectures {
		image, err := k.image(ctx, s, with, arch)
		if err != nil {
			return dist.File{}, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: arch},
		}})
	}
	files, err := layoutFiles(index, k.reference(s))
	if err != nil {
		return dist.File{}, err
	}
	var text bytes.Buffer
	err = dist.WriteTar(&text, files, s.Time)
	return dist.File{Name: "effnet_" + s.Version + "_" + k.name + ".oci.tar", Mode: 0o644, Data: text.Bytes()}, err
}

// reference is the image's name and tag; a tag has no plus.
func (k kind) reference(s dist.Source) string {
	return "effnet:" + strings.ReplaceAll(s.Version, "+", "-") + "-" + k.name
}

// image is the image for one architecture: a layer of the base, and one of effnet.
func (k kind) image(ctx context.Context, s dist.Source, with []dist.File, arch string) (v1.Image, error) {
	base, err := k.base(ctx, arch)
	if err != nil {
		return nil, err
	}
	program, licences, err := s.Program(ctx, dist.Target{OS: "linux", Arch: arch, Tags: k.tags})
	if err != nil {
		return nil, err
	}
	own := append(dist.Under("usr/local/bin", []dist.File{program}), dist.Under("usr/share/doc/effnet", append(legal(with), licences))...)
	image, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), k.config(s, arch))
	if err != nil {
		return nil, err
	}
	for _, l := range []layer{base, {by: "effnet", files: own}} {
		if image, err = l.appendTo(image, s.Time); err != nil {
			return nil, err
		}
	}
	return image, nil
}

// legal is what an image has of the documents.
func legal(with []dist.File) (files []dist.File) {
	for _, f := range with {
		if f.Name == "LICENSE" || f.Name == "NOTICE" {
			files = append(files, f)
		}
	}
	return files
}

// config runs effnet in /work, where folders of images are meant to be mounted. Caches go
// to a folder that every user may write to.
func (k kind) config(s dist.Source, arch string) *v1.ConfigFile {
	return &v1.ConfigFile{
		OS: "linux", Architecture: arch, Created: v1.Time{Time: s.Time},
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint: []string{"/usr/local/bin/effnet"},
			Env:        append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "XDG_CACHE_HOME=/tmp"}, k.env...),
			WorkingDir: "/work",
			Labels: map[string]string{
				"org.opencontainers.image.title":    "effnet",
				"org.opencontainers.image.version":  s.Version,
				"org.opencontainers.image.licenses": "Apache-2.0",
			},
		},
	}
}

// appendTo packs the layer. at is the time of the image, and of files without their own.
func (l layer) appendTo(image v1.Image, at time.Time) (v1.Image, error) {
	times := l.at
	if times.IsZero() {
		times = at
	}
	var text bytes.Buffer
	if err := dist.WriteTar(&text, l.files, times); err != nil {
		return nil, err
	}
	packed, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	return mutate.Append(image, mutate.Addendum{Layer: packed, History: v1.History{Created: v1.Time{Time: at}, CreatedBy: l.by}})
}

// layoutFiles are the files of an OCI layout with one index. Podman and skopeo read its
// name in one annotation, Docker and containerd in another, and want it whole.
func layoutFiles(index v1.ImageIndex, reference string) (files []dist.File, err error) {
	dir, err := os.MkdirTemp("", "effnet-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return nil, err
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": reference,
		"io.containerd.image.name":          "docker.io/library/" + reference,
	})); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		name, err = filepath.Rel(dir, name)
		files = append(files, dist.File{Name: filepath.ToSlash(name), Mode: 0o644, Data: data})
		return err
	})
	return files, err
}
