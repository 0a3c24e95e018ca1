package hub

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"effnet/internal/atomicfile"
)

// checkpointPrefix is what the files of an unpacked TensorFlow checkpoint are called.
const checkpointPrefix = "model.ckpt"

// checkpointPart is how the name of a TensorFlow checkpoint's file ends, of those that hold
// variables.
var checkpointPart = regexp.MustCompile(`\.(index|data-\d{5}-of-\d{5})$`)

// limit is how many bytes may come out of an entry's archive. A checkpoint has the weights,
// their averages and what an optimizer keeps of them.
func limit(e *Entry) int64 { return 8*e.Bytes + 1<<20 }

// unpack writes the one TensorFlow checkpoint that is in an archive into a folder, or with
// no folder only looks at the archive.
func unpack(archive, dir string, limit int64) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("the download is not an archive: %w", err)
	}
	index, parts := 0, 0
	for t := tar.NewReader(z); ; {
		head, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("the archive is damaged: %w", err)
		}
		part := checkpointPart.FindString(path.Base(head.Name))
		if head.Typeflag != tar.TypeReg || part == "" {
			continue
		}
		if limit -= head.Size; limit < 0 {
			return errors.New("the archive holds far more than the network")
		}
		if parts++; part == ".index" {
			index++
		}
		if err := unpackPart(t, head.Size, dir, part); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, z); err != nil { // to its checksum
		return fmt.Errorf("the archive is damaged: %w", err)
	}
	if index != 1 || parts < 2 {
		return fmt.Errorf("the archive holds %d TensorFlow checkpoints, where there should be one", index)
	}
	return nil
}

func unpackPart(r io.Reader, size int64, dir, part string) (err error) {
	if dir == "" {
		_, err = io.CopyN(io.Discard, r, size)
	} else {
		err = atomicfile.Write(filepath.Join(dir, checkpointPrefix+part), func(f *os.File) error {
			_, err := io.CopyN(f, r, size)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("the archive is damaged: %w", err)
	}
	return nil
}
