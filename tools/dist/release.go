package dist

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"effnet/internal/atomicfile"
)

// Sums is the name of the file with the hashes of all others in a release's folder.
const Sums = "SHA256SUMS"

// Archive builds effnet for a target and returns an archive of it, with texts and manual,
// and its bill of materials, each under its name in a release.
func (s Source) Archive(ctx context.Context, t Target, with []File) (files []File, err error) {
	dir, err := os.MkdirTemp("", "effnet-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, t.Program())
	if err := s.Build(ctx, t, path); err != nil {
		return nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, err
	}
	licences, err := s.Licences(ctx, info)
	if err != nil {
		return nil, err
	}
	bom, err := s.BOM(t, program)
	if err != nil {
		return nil, err
	}
	name := "effnet_" + s.Version + "_" + t.String()
	contents := []File{{name + "/" + t.Program(), 0o755, program}, {name + "/" + licences.Name, licences.Mode, licences.Data}}
	for _, f := range with {
		contents = append(contents, File{name + "/" + f.Name, f.Mode, f.Data})
	}
	write, extension := WriteTarGz, ".tar.gz"
	if t.OS == "windows" {
		write, extension = WriteZip, ".zip"
	}
	var archive bytes.Buffer
	if err := write(&archive, contents, s.Time); err != nil {
		return nil, err
	}
	return []File{{name + extension, 0o644, archive.Bytes()}, {name + ".cdx.json", 0o644, bom}}, nil
}

// WriteSums writes SHA256SUMS of the files in a folder, as sha256sum checks it.
func WriteSums(dir string) error {
	var sums strings.Builder
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || name == Sums {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), name)
		return err
	})
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, Sums), func(f *os.File) error {
		_, err := f.WriteString(sums.String())
		return err
	})
}
