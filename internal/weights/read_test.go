package weights

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A safetensors file whose header's length begins with the bytes of a pickle.
func TestHeaderThatBeginsLikeAPickle(t *testing.T) {
	const entry = `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`
	for _, length := range []int{0x80, 0x0280} {
		header := entry + strings.Repeat(" ", length-len(entry))
		content := binary.LittleEndian.AppendUint64(nil, uint64(length))
		content = append(append(content, header...), 0, 0, 0x80, 0x3f)
		path := filepath.Join(t.TempDir(), "x.safetensors")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := read(path, false)
		if err != nil {
			t.Errorf("a header of %d bytes: %v", length, err)
			continue
		}
		if f.format != "safetensors" || len(f.tensors) != 1 || f.tensors[0].Data[0] != 1 {
			t.Errorf("a header of %d bytes: %s with %v", length, f.format, f.tensors)
		}
	}
}
