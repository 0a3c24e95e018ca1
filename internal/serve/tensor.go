package serve

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"effnet/internal/checkpoint"
	"effnet/internal/predict"
)

// A tensorType is an input or an output of a network, without the dimension of images.
type tensorType struct {
	name     string
	datatype string // the protocol's
	shape    []int
	read     func(t *tensor, n int, data []byte) ([]predict.Image, error) // of an input, binary
	values   func(a answer) []float32                                     // of an output
}

// inputs are the forms in which a network takes images, of which a request has one.
func inputs(meta *checkpoint.Meta) []tensorType {
	side := meta.Preprocess.Resolution
	return []tensorType{
		// Files: JPEG and so on.
		{name: "image", datatype: "BYTES", shape: []int{1}, read: readFiles},
		// What the network sees, row by row.
		{name: "pixels", datatype: "UINT8", shape: []int{side, side, 3}, read: readPixels},
		// The same, normalised, in PyTorch's order: as the network's ONNX model takes them.
		{name: "input", datatype: "FP32", shape: []int{3, side, side}, read: readValues},
	}
}

// tensor is one of a request's or an answer's.
type tensor struct {
	Name       string          `json:"name"`
	Shape      []int64         `json:"shape"`
	Datatype   string          `json:"datatype"`
	Parameters *parameters     `json:"parameters,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
}

func (t *tensor) wrong(format string, args ...any) error {
	return problemf(http.StatusBadRequest, "input %s: %s", t.Name, fmt.Sprintf(format, args...))
}

// read makes images of a request's tensor.
func read(types []tensorType, request inference, rest []byte) ([]predict.Request, error) {
	if len(request.Inputs) != 1 {
		return nil, problemf(http.StatusBadRequest, "%d inputs: want one of image, pixels and input", len(request.Inputs))
	}
	t := &request.Inputs[0]
	i := slices.IndexFunc(types, func(known tensorType) bool { return known.name == t.Name })
	if i < 0 {
		return nil, t.wrong("there is none of that name: want image, pixels or input")
	}
	known := types[i]
	n, err := known.images(t)
	if err != nil {
		return nil, err
	}
	data, err := t.bytes(n, known, rest)
	if err != nil {
		return nil, err
	}
	images, err := known.read(t, n, data)
	if err != nil {
		return nil, err
	}
	requests := make([]predict.Request, len(images))
	for i, m := range images {
		requests[i].Image = m
	}
	return requests, nil
}

// most is the largest dimension of images that is looked at; a queue is far shorter.
const most = 1 << 16

// images checks a tensor's type and shape, and returns how many images it holds. Those of
// image may have their dimension alone.
func (k tensorType) images(t *tensor) (int, error) {
	want := append([]int64{-1}, widen(k.shape)...)
	if t.Datatype != k.datatype {
		return 0, t.wrong("its type is %s, want %s", t.Datatype, k.datatype)
	}
	fits := len(t.Shape) == len(want) && slices.Equal(t.Shape[1:], want[1:]) || k.datatype == "BYTES" && len(t.Shape) == 1
	if !fits || t.Shape[0] < 1 || t.Shape[0] > most {
		return 0, t.wrong("its shape is %v, want %v with 1 or more images for -1", t.Shape, want)
	}
	return int(t.Shape[0]), nil
}

func widen(shape []int) []int64 {
	all := make([]int64, len(shape))
	for i, n := range shape {
		all[i] = int64(n)
	}
	return all
}

// size is how many values n of them have.
func (k tensorType) size(n int) int {
	for _, d := range k.shape {
		n *= d
	}
	return n
}

// bytes are a tensor's data in the form of binary tensors, of whichever form they came in.
func (t *tensor) bytes(n int, k tensorType, rest []byte) ([]byte, error) {
	if t.Parameters != nil && t.Parameters.BinarySize != nil {
		if size := *t.Parameters.BinarySize; size < 0 || size != int64(len(rest)) || t.Data != nil {
			return nil, t.wrong("binary_data_size is %d, and %d bytes follow the JSON", size, len(rest))
		}
		return rest, nil
	}
	if len(rest) > 0 {
		return nil, t.wrong("%d bytes follow the JSON, and no binary_data_size says whose they are", len(rest))
	}
	switch k.datatype {
	case "BYTES":
		return t.strings(n)
	case "UINT8":
		return t.numbers(k.size(n), 1, func(data []byte, text string) ([]byte, error) {
			v, err := strconv.ParseUint(text, 10, 8)
			return append(data, byte(v)), err
		})
	}
	return t.numbers(k.size(n), 4, func(data []byte, text string) ([]byte, error) {
		v, err := strconv.ParseFloat(text, 32)
		return binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v))), err
	})
}

// numbers turns n numbers of JSON, in arrays of arrays or one after the other, into binary
// ones of a width in bytes.
func (t *tensor) numbers(n, width int, parse func(data []byte, text string) ([]byte, error)) ([]byte, error) {
	if len(t.Data) < 2*n { // a digit and a comma each: no memory for what cannot be there
		return nil, t.wrong("its data has fewer than %d numbers", n)
	}
	data := make([]byte, 0, n*width)
	count := 0
	for text := range strings.FieldsFuncSeq(string(t.Data), func(r rune) bool { return strings.ContainsRune("[], \t\r\n", r) }) {
		var err error
		if data, err = parse(data, text); err != nil {
			return nil, t.wrong("%.20q is not a %s", text, t.Datatype)
		}
		if count++; count > n {
			break
		}
	}
	if count != n {
		return nil, t.wrong("its data does not have %d numbers", n)
	}
	return data, nil
}

// strings turns JSON's strings, files in base64, into binary ones: each after its length.
func (t *tensor) strings(n int) (data []byte, err error) {
	var files [][]byte
	if err := json.Unmarshal(t.Data, &files); err != nil {
		return nil, t.wrong("its data is not a list of files in base64: send files as binary tensors, or so: %v", err)
	}
	if len(files) != n {
		return nil, t.wrong("its data has %d files of %d", len(files), n)
	}
	for _, file := range files {
		data = binary.LittleEndian.AppendUint32(data, uint32(len(file)))
		data = append(data, file...)
	}
	return data, nil
}

// readFiles reads n files, each after its length in 4 bytes.
func readFiles(t *tensor, n int, data []byte) (images []predict.Image, err error) {
	for i := range n {
		if len(data) < 4 {
			return nil, t.wrong("its data ends after %d files of %d", i, n)
		}
		size := int64(binary.LittleEndian.Uint32(data))
		if data = data[4:]; size > int64(len(data)) {
			return nil, t.wrong("file %d says it has %d bytes, and %d follow", i+1, size, len(data))
		}
		images = append(images, predict.Bytes(fmt.Sprintf("image %d", i+1), data[:size]))
		data = data[size:]
	}
	if len(data) > 0 {
		return nil, t.wrong("%d bytes follow its last file", len(data))
	}
	return images, nil
}

// readPixels reads n images of 8-bit pixels, [R,R,3].
func readPixels(t *tensor, n int, data []byte) (images []predict.Image, err error) {
	size := 3 * int(t.Shape[1]*t.Shape[2])
	if len(data) != n*size {
		return nil, t.wrong("its data has %d bytes, want %d", len(data), n*size)
	}
	for pixels := range slices.Chunk(data, size) {
		images = append(images, predict.Pixels(pixels))
	}
	return images, nil
}

// readValues reads n normalised images, [3,R,R], and makes them [R,R,3].
func readValues(t *tensor, n int, data []byte) (images []predict.Image, err error) {
	plane := int(t.Shape[2] * t.Shape[3])
	if len(data) != 4*3*n*plane {
		return nil, t.wrong("its data has %d bytes, want %d", len(data), 4*3*n*plane)
	}
	for planes := range slices.Chunk(data, 4*3*plane) {
		values := make([]float32, 3*plane)
		for c := range 3 {
			for i := range plane {
				values[3*i+c] = math.Float32frombits(binary.LittleEndian.Uint32(planes[4*(c*plane+i):]))
			}
		}
		images = append(images, predict.Values(values))
	}
	return images, nil
}
