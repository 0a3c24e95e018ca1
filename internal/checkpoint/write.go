package checkpoint

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"effnet/internal/atomicfile"
	"effnet/internal/named"
)

// entry is a tensor's line in the header.
type entry struct {
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"` // first byte and the byte after the last, from the data's start
}

const (
	metadataKey = "__metadata__" // reserved by the format
	metaKey     = "effnet"       // our Meta within it
	chunk       = 1 << 16        // bytes converted at a time
)

// A PyTorch batch normalization counts its batches in an int64 that strict
// loading insists on; nothing reads it as long as a momentum is set.
const (
	runningMean = ".running_mean"
	counter     = ".num_batches_tracked"
)

// Write stores a network at path, whole or not at all (see atomicfile.Write).
//
// A num_batches_tracked of the training's steps is added to each running_mean.
// Beside the header, memory is a constant.
func Write(path string, meta Meta, tensors []named.Tensor) error {
	err := atomicfile.Write(path, func(f *os.File) error { return Encode(f, meta, tensors) })
	if err != nil {
		return fmt.Errorf("checkpoint: writing %s: %w", path, err)
	}
	return nil
}

// Encode writes the bytes of Write's file.
func Encode(w io.Writer, meta Meta, tensors []named.Tensor) error {
	header, steps, err := encodeHeader(meta, tensors)
	if err != nil {
		return err
	}
	return encode(w, header, steps, tensors)
}

// encodeHeader returns the header, padded to 8 bytes, and the values of the
// counters, whose data comes first: readers want data aligned to its dtype.
func encodeHeader(meta Meta, tensors []named.Tensor) (header []byte, steps []int64, err error) {
	meta.Version, meta.Preprocess.Transparency = Version, cmp.Or(meta.Preprocess.Transparency, Stored)
	if err := meta.Validate(); err != nil {
		return nil, nil, err
	}
	doc, err := json.Marshal(meta)
	if err != nil {
		return nil, nil, err
	}
	h := map[string]any{metadataKey: map[string]string{"format": "pt", metaKey: string(doc)}}
	var end int64
	add := func(name, dtype string, shape []int64, bytes int64) error {
		if _, taken := h[name]; taken || name == "" {
			return fmt.Errorf("tensor name %q is empty, reserved or used twice", name)
		}
		h[name] = entry{dtype, shape, []int64{end, end + bytes}}
		end += bytes
		return nil
	}
	var step int64
	if meta.Training != nil {
		step = meta.Training.Step
	}
	for _, t := range tensors {
		if module, ok := strings.CutSuffix(t.Name, runningMean); ok {
			steps = append(steps, step)
			if err := add(module+counter, "I64", []int64{}, 8); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, t := range tensors {
		shape, n, least := make([]int64, len(t.Shape)), 1, 0
		for i, d := range t.Shape {
			shape[i], n, least = int64(d), n*d, min(least, d)
		}
		if n != len(t.Data) || least < 0 {
			return nil, nil, fmt.Errorf("tensor %s: %d values for shape %v", t.Name, len(t.Data), t.Shape)
		}
		if err := add(t.Name, "F32", shape, 4*int64(n)); err != nil {
			return nil, nil, err
		}
	}
	if header, err = json.Marshal(h); err != nil {
		return nil, nil, err
	}
	header = append(header, bytes.Repeat([]byte(" "), -len(header)&7)...)
	if len(header) > maxHeader {
		return nil, nil, fmt.Errorf("a header of %d bytes (at most %d can be read back)", len(header), maxHeader)
	}
	return header, steps, nil
}

// encode writes the file's bytes.
func encode(dst io.Writer, header []byte, steps []int64, tensors []named.Tensor) error {
	w := bufio.NewWriterSize(dst, chunk)
	buf := binary.LittleEndian.AppendUint64(make([]byte, 0, chunk), uint64(len(header)))
	if _, err := w.Write(append(buf, header...)); err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, steps); err != nil {
		return err
	}
	for _, t := range tensors {
		for data := t.Data; len(data) > 0; {
			n := min(len(data), chunk/4)
			buf = buf[:0]
			for _, v := range data[:n] {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
			data = data[n:]
		}
	}
	return w.Flush()
}
