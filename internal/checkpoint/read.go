package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"effnet/internal/float16"
	"effnet/internal/named"
)

// Limits that no EfficientNet reaches; every other allocation is bounded by the
// file's size.
const (
	maxHeader = 16 << 20 // bytes; L2 with 21,000 classes takes under 1 MB
	maxFloats = 1 << 31  // of all tensors; L2 has 0.48e9
	maxRank   = 8
)

// dtypes are the number formats that are read.
var dtypes = map[string]struct {
	size    int64 // bytes, a divisor of chunk
	float32 func(b []byte) float32
}{
	"F64":  {8, func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }},
	"F32":  {4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }},
	"F16":  {2, func(b []byte) float32 { return float16.Float32(binary.LittleEndian.Uint16(b)) }},
	"BF16": {2, func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }},
	"I64":  {8, func(b []byte) float32 { return float32(int64(binary.LittleEndian.Uint64(b))) }},
	"I32":  {4, func(b []byte) float32 { return float32(int32(binary.LittleEndian.Uint32(b))) }},
	"I16":  {2, func(b []byte) float32 { return float32(int16(binary.LittleEndian.Uint16(b))) }},
	"I8":   {1, func(b []byte) float32 { return float32(int8(b[0])) }},
	"U8":   {1, func(b []byte) float32 { return float32(b[0]) }},
	"BOOL": {1, func(b []byte) float32 { return float32(min(b[0], 1)) }},
}

// foreign are the first bytes of files that are mistaken for checkpoints.
var foreign = []struct{ magic, what, hint string }{
	{"PK\x03\x04", "a zip file, such as PyTorch's .pth", "effnet import reads those"},
	{"\x80\x02", "a pickle, such as an old .pth of PyTorch", "effnet import reads those"},
	{"\x89HDF", "an HDF5 file, such as Keras weights", "effnet import reads those"},
}

// Read loads a checkpoint of ours, or any safetensors file of floats: File.Meta
// is nil then. Numbers become float32; num_batches_tracked is checked and left
// out. Nothing is allocated before the header is found to agree with the file's
// size. Every fault of the file is an *Error.
func Read(path string) (*File, error) {
	f, size, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return ReadFrom(f, size, path)
}

// ReadFrom is Read of the size bytes of r, which may be a part of a file; its errors name
// path.
func ReadFrom(r io.ReaderAt, size int64, path string) (*File, error) {
	file, err := decode(r, size)
	if e := (*Error)(nil); errors.As(err, &e) {
		e.Path = path
	}
	return file, err
}

// Describe reads what ReadFrom would, but for the tensors, of which only the header is
// read.
func Describe(r io.ReaderAt, size int64, path string) (*Meta, error) {
	header, err := readHeader(r, size)
	var meta *Meta
	if err == nil {
		var metadata map[string]string
		if _, metadata, err = parseHeader(header); err != nil {
			err = &Error{Reason: "has a malformed header", Err: err}
		} else {
			meta, err = parseMeta(metadata)
		}
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		e.Path = path
	}
	return meta, err
}

// Open opens a regular file of weights and returns its size. Its errors are *Error.
func Open(path string) (f *os.File, size int64, err error) {
	info, err := os.Stat(path) // before Open, which would wait for a pipe's writer
	if err != nil {
		return nil, 0, &Error{Path: path, Reason: "cannot be read", Err: errors.Unwrap(err)}
	}
	if !info.Mode().IsRegular() {
		return nil, 0, &Error{Path: path, Reason: "is not a regular file"}
	}
	if f, err = os.Open(path); err != nil {
		return nil, 0, &Error{Path: path, Reason: "cannot be read", Err: errors.Unwrap(err)}
	}
	return f, info.Size(), nil
}

// decode reads a file of size bytes. Its errors are *Error without a path.
func decode(r io.ReaderAt, size int64) (*File, error) {
	header, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	entries, metadata, err := parseHeader(header)
	if err != nil {
		return nil, &Error{Reason: "has a malformed header", Err: err}
	}
	meta, err := parseMeta(metadata)
	if err != nil {
		return nil, err
	}
	begin := 8 + int64(len(header))
	if err := checkLayout(entries, size-begin); err != nil {
		return nil, err
	}
	file := &File{Meta: meta, Tensors: make([]named.Tensor, 0, len(entries))}
	data, buf := io.NewSectionReader(r, begin, size-begin), make([]byte, chunk)
	for _, e := range entries {
		t, err := e.read(data, buf)
		if err != nil {
			return nil, &Error{Reason: fmt.Sprintf("tensor %.80q cannot be read", e.name), Err: err}
		}
		if !strings.HasSuffix(t.Name, counter) {
			file.Tensors = append(file.Tensors, t)
		}
	}
	return file, nil
}

// IsSafetensors says whether a file with these first bytes, nine or more, can be a
// safetensors file: a header's length and its brace. A length may begin with the
// bytes of a pickle; of a file of another kind the eight make a far larger number.
func IsSafetensors(head []byte) bool {
	return len(head) > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= maxHeader
}

// readHeader returns the header's JSON.
func readHeader(r io.ReaderAt, size int64) ([]byte, error) {
	prefix := make([]byte, min(size, MistakenBytes))
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), prefix); err != nil {
		return nil, &Error{Reason: "cannot be read", Err: err}
	}
	if e := Mistaken(prefix); e != nil {
		return nil, e
	}
	for _, f := range foreign {
		if bytes.HasPrefix(prefix, []byte(f.magic)) && !IsSafetensors(prefix) {
			return nil, &Error{Reason: "is " + f.what, Hint: f.hint}
		}
	}
	if len(prefix) < 10 || prefix[8] != '{' {
		return nil, &Error{Reason: "is not a safetensors file"}
	}
	n := binary.LittleEndian.Uint64(prefix)
	if n > maxHeader {
		return nil, &Error{Reason: fmt.Sprintf("has a header of %d bytes, more than the %d that are read", n, maxHeader)}
	}
	if int64(n) > size-8 {
		return nil, truncated(8+int64(n), size)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, size-8), header); err != nil {
		return nil, &Error{Reason: "cannot be read", Err: err}
	}
	return header, nil
}

func truncated(want, have int64) *Error {
	return &Error{
		Reason: fmt.Sprintf("is truncated: %d bytes of at least %d", have, want),
		Hint:   "copy or download it again",
	}
}

// item is an entry with its name and its number of values.
type item struct {
	entry
	name string
	n    int64
}

// parseHeader walks the header's object itself: encoding/json keeps the last of
// duplicate keys and says nothing.
func parseHeader(header []byte) (entries []item, metadata map[string]string, err error) {
	d := json.NewDecoder(bytes.NewReader(header))
	if _, err := d.Token(); err != nil { // the brace
		return nil, nil, err
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		e := item{name: token.(string)} // Token takes nothing else for a key
		if seen[e.name] {
			return nil, nil, fmt.Errorf("%.80q appears twice", e.name)
		}
		seen[e.name] = true
		if e.name == metadataKey {
			err = d.Decode(&metadata)
		} else if err = d.Decode(&e.entry); err == nil {
			e.n, err = e.count()
			entries = append(entries, e)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%.80q: %w", e.name, err)
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, errors.New("more than one JSON value")
	}
	return entries, metadata, nil
}

// count checks an entry by itself and returns its number of values.
func (e entry) count() (int64, error) {
	t, ok := dtypes[e.DType]
	if !ok {
		return 0, fmt.Errorf("dtype %.80q is not one of %v", e.DType, slices.Sorted(maps.Keys(dtypes)))
	}
	if len(e.Shape) > maxRank {
		return 0, fmt.Errorf("%d dimensions", len(e.Shape))
	}
	n := int64(1)
	for _, d := range e.Shape {
		if d < 0 || d > maxFloats || n*d > maxFloats {
			return 0, fmt.Errorf("shape %v", e.Shape)
		}
		n *= d
	}
	if len(e.Offsets) != 2 || e.Offsets[0] < 0 || e.Offsets[0] > e.Offsets[1] {
		return 0, errors.New("data_offsets is not a range of bytes")
	}
	if have := e.Offsets[1] - e.Offsets[0]; have != n*t.size {
		return 0, fmt.Errorf("%d bytes for %s of shape %v", have, e.DType, e.Shape)
	}
	return n, nil
}

// checkLayout sorts the entries by their data and checks that they cover a file's
// data of size bytes without gap or overlap, as the format requires.
func checkLayout(entries []item, size int64) error {
	slices.SortFunc(entries, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.Offsets[0], b.Offsets[0]), cmp.Compare(a.Offsets[1], b.Offsets[1]))
	})
	var end, floats int64
	for _, e := range entries {
		if e.Offsets[0] != end {
			return &Error{Reason: fmt.Sprintf("tensor %.80q starts at byte %d, not %d", e.name, e.Offsets[0], end)}
		}
		end = e.Offsets[1]
		floats += e.n
	}
	switch {
	case end > size:
		return truncated(end, size)
	case end < size:
		return &Error{Reason: fmt.Sprintf("has %d bytes after its last tensor", size-end)}
	case floats > maxFloats:
		return &Error{Reason: fmt.Sprintf("has %d values, more than the %d that are read", floats, maxFloats)}
	}
	return nil
}

// read returns the tensor whose data is next in r.
func (e item) read(r io.Reader, buf []byte) (named.Tensor, error) {
	t := named.Tensor{Name: e.name, Shape: make([]int, len(e.Shape)), Data: make([]float32, 0, e.n)}
	for i, d := range e.Shape {
		t.Shape[i] = int(d)
	}
	dtype := dtypes[e.DType]
	for left := e.n * dtype.size; left > 0; {
		b := buf[:min(left, int64(len(buf)))]
		if _, err := io.ReadFull(r, b); err != nil {
			return named.Tensor{}, err
		}
		left -= int64(len(b))
		for ; len(b) > 0; b = b[dtype.size:] {
			t.Data = append(t.Data, dtype.float32(b))
		}
	}
	return t, nil
}

// parseMeta returns the Meta in a header's metadata, nil when there is none.
func parseMeta(metadata map[string]string) (*Meta, error) {
	doc, ok := metadata[metaKey]
	if !ok {
		return nil, nil
	}
	meta := &Meta{Preprocess: Preprocess{Transparency: Mean}} // of a file that does not say
	if err := json.Unmarshal([]byte(doc), meta); err != nil {
		return nil, &Error{Reason: "has malformed metadata", Err: err}
	}
	if meta.Version > Version {
		return nil, &Error{
			Reason: fmt.Sprintf("has metadata of version %d; this program reads up to %d", meta.Version, Version),
			Hint:   "use the effnet that wrote it, or a newer one",
		}
	}
	if err := meta.Validate(); err != nil {
		return nil, &Error{Reason: "has metadata that describes no network", Err: err}
	}
	return meta, nil
}
