// Package imagetest reads the image files that tests of decoders share.
package imagetest

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// A Variant is a file that tools/golden made, and what Pillow makes of it.
type Variant struct {
	Kind, Name  string // Kind groups the files of a format, where there are many
	File        []byte
	W, H        int    // of the image, before it is turned
	Orientation int    // of JPEG's, 1 to 8; 0 elsewhere
	Pixels      string // Hash of the image converted to RGB
	Refused     string // Pillow's reason to refuse the file, which then has no pixels
}

// Variants returns the files of path, a .json.gz of tools/golden.
func Variants(t testing.TB, path string) []Variant {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Files []Variant }
	if err := json.NewDecoder(z).Decode(&golden); err != nil {
		t.Fatal(err)
	}
	return golden.Files
}

// Hash is what stands for pixels: the first half of their SHA-256, in hexadecimal.
func Hash(pix []uint8) string {
	sum := sha256.Sum256(pix)
	return hex.EncodeToString(sum[:16])
}
