package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"effnet/internal/named"
	"effnet/internal/scale"
)

func testMeta() Meta {
	return Meta{
		Version: Version,
		Arch: scale.Arch{
			Name: "tiny", Resolution: 32, Stem: 8, Head: 64, Classes: 2,
			Stages: []scale.Stage{{
				Block: scale.MBConv, Kernel: 3, Stride: 2, Expansion: 6, Channels: 16, Repeats: 2, SERatio: 0.25,
			}},
			Activation: scale.Swish, Padding: scale.Same, Dropout: 0.2, StochasticDepth: 0.2,
			BNEps: 1e-3, BNMomentum: 0.01, Width: 1, Depth: 1,
		},
		Classes: []string{"chat", "<chien> & \"köter\""},
		Preprocess: Preprocess{
			Resolution: 32, Crop: "tf", Interpolation: "bicubic", Transparency: Mean,
			Mean: [3]float64{123.675, 116.28, 103.53}, Std: [3]float64{58.395, 57.12, 57.375},
		},
		Training: &Training{Epoch: 3, Step: 1234, Top1: 0.5, Top5: 1, Loss: 0.7},
	}
}

func testTensors() []named.Tensor {
	big := make([]float32, 3*chunk/4+5) // more than one chunk, not a multiple
	for i := range big {
		big[i] = float32(i) * 0x1p-10
	}
	return []named.Tensor{
		{Name: "conv_stem.weight", Shape: []int{len(big), 1}, Data: big},
		{Name: "bn1.running_mean", Shape: []int{2}, Data: []float32{float32(math.Inf(-1)), math.MaxFloat32}},
		{Name: "empty", Shape: []int{0, 3}, Data: []float32{}},
		{Name: "scalar", Shape: []int{}, Data: []float32{math.SmallestNonzeroFloat32}},
	}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	for range 2 { // the second Write replaces the first's file
		if err := Write(path, testMeta(), testTensors()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := testMeta(); !reflect.DeepEqual(*got.Meta, want) {
		t.Errorf("meta %+v\nwant %+v", *got.Meta, want)
	}
	if !reflect.DeepEqual(got.Tensors, testTensors()) {
		t.Error("the tensors differ from those written")
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

// A file that says nothing of transparent pixels was trained with the mean behind them;
// one that is written without a word has them as they are stored.
func TestTransparency(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	meta := testMeta()
	for _, c := range []struct{ written, renamed, want string }{
		{"", "transparency", Stored}, {Stored, "transparency", Stored}, {Mean, "transparency", Mean},
		{Stored, "transparenc_", Mean}, // as older files are: without the field
	} {
		meta.Preprocess.Transparency = c.written
		if err := Write(path, meta, testTensors()); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Replace(file, []byte("transparency"), []byte(c.renamed), 1), 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		if err != nil || got.Meta.Preprocess.Transparency != c.want {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
	meta.Preprocess.Transparency = "checks"
	if err := Write(path, meta, testTensors()); err == nil || !strings.HasSuffix(err.Error(), `preprocessing of transparent pixels to "checks": want stored or mean`) {
		t.Errorf("%v", err)
	}
}

// PyTorch reads data in place, so it must be aligned, and loads strictly only
// with a counter next to each batch normalization's statistics.
func TestWriteForPyTorch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, testMeta(), testTensors()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(data)
	entries, metadata, err := parseHeader(data[8 : 8+n])
	if err != nil {
		t.Fatal(err)
	}
	if metadata["format"] != "pt" {
		t.Errorf("format %q", metadata["format"])
	}
	var steps uint64
	for _, e := range entries {
		at := 8 + int64(n) + e.Offsets[0]
		if at%dtypes[e.DType].size != 0 {
			t.Errorf("%s (%s) lies at byte %d", e.name, e.DType, at)
		}
		if e.name == "bn1.num_batches_tracked" && e.DType == "I64" && len(e.Shape) == 0 {
			steps = binary.LittleEndian.Uint64(data[at:])
		}
	}
	if steps != 1234 {
		t.Errorf("bn1.num_batches_tracked is %d, not the 1234 steps trained", steps)
	}
}

func TestWriteRefuses(t *testing.T) {
	one := func(name string, shape ...int) []named.Tensor {
		return []named.Tensor{{Name: name, Shape: shape, Data: make([]float32, 6)}}
	}
	badMeta := testMeta()
	badMeta.Classes = badMeta.Classes[:1]
	for name, c := range map[string]struct {
		meta    Meta
		tensors []named.Tensor
	}{
		"shape":    {testMeta(), one("a", 2, 2)},
		"negative": {testMeta(), one("a", -2, -3)},
		"reserved": {testMeta(), one(metadataKey, 6)},
		"nameless": {testMeta(), one("", 6)},
		"twice":    {testMeta(), append(one("a", 6), one("a", 6)...)},
		"classes":  {badMeta, one("a", 6)},
	} {
		dir := t.TempDir()
		if err := Write(filepath.Join(dir, "x"), c.meta, c.tensors); err == nil {
			t.Errorf("%s: no error", name)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

// file builds a safetensors file from a header and data.
func file(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func metaHeader(doc string) string { return fmt.Sprintf(`{"__metadata__":{"effnet":%q}}`, doc) }

func TestReadRefuses(t *testing.T) {
	eight := make([]byte, 8)
	for name, c := range map[string]struct {
		content []byte
		want    string // in the reason
	}{
		"empty":             {nil, "is empty"},
		"text":              {[]byte("a text file of no format at all, longer than a header"), "not a safetensors"},
		"zip":               {[]byte("PK\x03\x04 archive/data.pkl"), ".pth"},
		"pickle":            {[]byte("\x80\x02\x8a\x0al\xfc\x9c"), "pickle"},
		"hdf5":              {[]byte("\x89HDF\r\n\x1a\n\x00\x00\x00"), "HDF5"},
		"lfs":               {[]byte("version https://git-lfs.github.com/spec/v1\noid"), "Git LFS"},
		"huge header":       {append(bytes.Repeat([]byte{0xff}, 8), "{}"...), "header of 18446744073709551615"},
		"header cut":        {file(`{"a":{"dtype":"F32"}}`)[:12], "truncated"},
		"not JSON":          {file(`{"a":`), "malformed"},
		"trailing comma":    {file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},}`), "malformed"},
		"wrong bracket":     {file(`{]`), "malformed"},
		"two values":        {file(`{}{}`), "malformed"},
		"not an entry":      {file(`{"a":1}`), "malformed"},
		"null entry":        {file(`{"a":null}`), "malformed"},
		"metadata numbers":  {file(`{"__metadata__":{"a":1}}`), "malformed"},
		"duplicate":         {file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`), "twice"},
		"dtype":             {file(`{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}}`, eight...), `dtype "Q4"`},
		"shape":             {file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, eight...), "8 bytes for F32 of shape [3]"},
		"negative":          {file(`{"a":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}`, eight...), "shape"},
		"fraction":          {file(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,8]}}`, eight...), "malformed"},
		"overflow":          {file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`), "shape"},
		"overflow by rank":  {file(`{"a":{"dtype":"F32","shape":[65536,65536,65536,65536],"data_offsets":[0,0]}}`), "shape"},
		"rank":              {file(`{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}`, eight...), "9 dimensions"},
		"offsets backwards": {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, eight...), "range"},
		"offsets negative":  {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}`, eight...), "range"},
		"one offset":        {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}`, eight...), "range"},
		"data cut":          {file(`{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, eight...), "truncated"},
		"claims gigabytes":  {file(`{"a":{"dtype":"F32","shape":[2147483648],"data_offsets":[0,8589934592]}}`), "truncated"},
		"extra data":        {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, eight...), "after its last"},
		"gap":               {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, eight...), "starts at byte 4"},
		"overlap": {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},`+
			`"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, eight...), "starts at byte 4"},
		"meta not JSON": {file(metaHeader(`{`)), "malformed metadata"},
		"meta empty":    {file(metaHeader(`{}`)), "no network"},
		"meta newer":    {file(metaHeader(`{"version":2}`)), "version 2"},
	} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		var e *Error
		if !errors.As(err, &e) || e.Path != path || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want an *Error of %s about %q", name, err, path, c.want)
		}
	}
}

func TestReadOtherFaults(t *testing.T) {
	dir := t.TempDir()
	var e *Error
	if _, err := Read(filepath.Join(dir, "absent")); !errors.As(err, &e) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
	if _, err := Read(dir); !errors.As(err, &e) {
		t.Errorf("a folder: %v", err)
	}
}

// TestReadDTypes reads [1, -2] in every format.
func TestReadDTypes(t *testing.T) {
	for dtype, data := range map[string][]byte{
		"F16":  {0, 0x3c, 0, 0xc0},
		"BF16": {0x80, 0x3f, 0, 0xc0},
		"F32":  {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0},
		"F64":  {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0},
		"I32":  {1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff},
		"I16":  {1, 0, 0xfe, 0xff},
		"I8":   {1, 0xfe},
		"I64":  {1, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		content := file(fmt.Sprintf(`{"a":{"dtype":%q,"shape":[2,1],"data_offsets":[0,%d]}}  `, dtype, len(data)), data...)
		got, err := decode(bytes.NewReader(content), int64(len(content)))
		want := &File{Tensors: []named.Tensor{{Name: "a", Shape: []int{2, 1}, Data: []float32{1, -2}}}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", dtype, got, err)
		}
	}
}

func TestReadPretrained(t *testing.T) {
	shared := os.Getenv("EFFNET_SHARED")
	if shared == "" {
		t.Skip("no trained network: set EFFNET_SHARED to a folder with weights/efficientnet_lite0_dogs120.safetensors")
	}
	got, err := Read(filepath.Join(shared, "weights/efficientnet_lite0_dogs120.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	floats := 0
	for _, tensor := range got.Tensors {
		floats += len(tensor.Data)
	}
	const features, classifier, running = 3_371_008, 120*1280 + 120, 42_016 // Lite0 with 120 classes
	if want := features + classifier + running; got.Meta != nil || floats != want {
		t.Errorf("%d values, want %d; meta %v, want none", floats, want, got.Meta)
	}
}

// FuzzRead: any bytes give an *Error or tensors that survive being written.
func FuzzRead(f *testing.F) {
	var valid bytes.Buffer
	header, steps, err := encodeHeader(testMeta(), testTensors()[1:])
	if err != nil {
		f.Fatal(err)
	}
	if err := encode(&valid, header, steps, testTensors()[1:]); err != nil {
		f.Fatal(err)
	}
	f.Add(valid.Bytes())
	f.Add(file(`{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := decode(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		meta := testMeta()
		if got.Meta != nil {
			meta = *got.Meta
		}
		header, steps, err := encodeHeader(meta, got.Tensors)
		if err != nil {
			return // a name that the format allows and Write does not
		}
		var out bytes.Buffer
		if err := encode(&out, header, steps, got.Tensors); err != nil {
			t.Fatal(err)
		}
		again, err := decode(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		// Printed, a NaN equals itself. Empty tensors may change places.
		byName := func(a, b named.Tensor) int { return strings.Compare(a.Name, b.Name) }
		slices.SortFunc(got.Tensors, byName)
		slices.SortFunc(again.Tensors, byName)
		if a, b := fmt.Sprint(again.Tensors), fmt.Sprint(got.Tensors); a != b {
			t.Fatalf("%s after a round trip is %s", b, a)
		}
	})
}
