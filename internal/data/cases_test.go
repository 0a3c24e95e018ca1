package data

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/augment"
)

// Files that went wrong elsewhere decode to the pixels of NAME.pillow.png next to
// them, to the bit.
func TestCasesEqualPillow(t *testing.T) {
	shared := os.Getenv("EFFNET_SHARED")
	wants, _ := filepath.Glob(filepath.Join(shared, "cases/images/*.pillow.png"))
	if shared == "" || len(wants) == 0 {
		t.Skip("EFFNET_SHARED is not set, or has no cases/images: make test-full says what they are")
	}
	for _, path := range wants {
		name := strings.TrimSuffix(path, ".pillow.png")
		t.Run(filepath.Base(name), func(t *testing.T) {
			file, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want, err := png.Decode(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			var d decoder
			var got augment.Image
			if err := d.decode(&got, file, name); err != nil {
				t.Fatal(err)
			}
			if want.Bounds().Dx() != got.W || want.Bounds().Dy() != got.H {
				t.Fatalf("%dx%d, want %v", got.W, got.H, want.Bounds())
			}
			for i := range got.W * got.H {
				r, g, b, _ := want.At(i%got.W, i/got.W).RGBA()
				for c, v := range [3]uint32{r, g, b} {
					if uint8(v>>8) != got.Pix[3*i+c] {
						t.Fatalf("pixel %d,%d channel %d: %d, want %d", i%got.W, i/got.W, c, got.Pix[3*i+c], v>>8)
					}
				}
			}
		})
	}
}
