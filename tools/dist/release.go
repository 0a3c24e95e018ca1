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

// Program builds effnet for a target, and returns it and the licences of what is in it.
func (s Source) Program(ctx context.Context, t Target) (program, licences File, err error) {
	dir, err := os.MkdirTemp("", "effnet-build-")
	if err != nil {
		return program, licences, err
	}
	defer os.RemoveAll(dir)
	program = File{Name: t.Program(), Mode: 0o755}
	path := filepath.Join(dir, program.Name)
	if err := s.build(ctx, t, path); err != nil {
		return program, licences, err
	}
	if program.Data, err = os.ReadFile(path); err != nil {
		return program, licences, err
	}
	info, err := buildinfo.Read(bytes.NewReader(program.Data))
	if err != nil {
		return program, licences, err
	}
	licences, err = s.licences(ctx, info)
	return program, licences, err
}

// Archive builds effnet for a target and returns an archive of it and of what comes with
// it, and its bill of materials, each under its name in a release.
func (s Source) Archive(ctx context.Context, t Target, with []File) ([]File, error) {
	program, licences, err := s.Program(ctx, t)
	if err != nil {
		return nil, err
	}
	bom, err := s.bom(t, program.Data)
	if err != nil {
		return nil, err
	}
	name := "effnet_" + s.Version + "_" + t.String()
	write, extension := WriteTarGz, ".tar.gz"
	if t.OS == "windows" {
		write, extension = WriteZip, ".zip"
	}
	var archive bytes.Buffer
	if err := write(&archive, Under(name, append([]File{program, licences}, with...)), s.Time); err != nil {
		return nil, err
	}
	return []File{{name + extension, 0o644, archive.Bytes()}, {name + ".cdx.json", 0o644, bom}}, nil
}

// Under is files in a folder.
func Under(dir string, files []File) []File {
	moved := make([]File, len(files))
	for i, f := range files {
		moved[i] = File{dir + "/" + f.Name, f.Mode, f.Data}
	}
	return moved
}

// WriteFile writes a file of a release into a folder, and says so.
func WriteFile(dir string, file File) error {
	path := filepath.Join(dir, file.Name)
	err := atomicfile.Write(path, func(f *os.File) error {
		_, err := f.Write(file.Data)
		return err
	})
	if err == nil {
		fmt.Printf("%s: %d KiB\n", path, len(file.Data)>>10)
	}
	return err
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
