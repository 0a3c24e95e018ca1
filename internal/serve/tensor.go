package serve

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
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

// outputs are what a network says of an image.
func outputs(meta *checkpoint.Meta) []tensorType {
	classes := []int{len(meta.Classes)}
	return []tensorType{
		{name: "probabilities", datatype: "FP32", shape: classes, values: func(a answer) []float32 {
			all := make([]float32, len(a.Heads[0].Values))
			for i, v := range a.Heads[0].Values {
				all[i] = float32(v)
			}
			return all
		}},
		{name: "logits", datatype: "FP32", shape: classes, values: func(a answer) []float32 { return a.Logits }},
		{name: "features", datatype: "FP32", shape: []int{meta.Arch.Features()}, values: func(a answer) []float32 { return a.Features }},
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

// numbers turns JSON's numbers, in arrays of arrays or one after the other, into so many
// binary ones of a width in bytes.
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

// An output is one that is asked for.
type output struct {
	tensorType
	binary  bool
	classes int // the likeliest, as text; 0 for all values
}

// chosen are the outputs that a request asks for, all if it names none.
func chosen(types []tensorType, request inference) (all []output, err error) {
	for _, w := range request.Outputs {
		i := slices.IndexFunc(types, func(t tensorType) bool { return t.name == w.Name })
		if i < 0 {
			return nil, problemf(http.StatusBadRequest, "output %s: there is none of that name: want probabilities, logits or features", w.Name)
		}
		if k := w.Parameters.Classification; k < 0 || k > 0 && w.Name == "features" {
			return nil, problemf(http.StatusBadRequest, "output %s: its classification is %d: want 1 or more, of probabilities or logits", w.Name, k)
		}
		all = append(all, output{types[i], w.Parameters.Binary || request.Parameters.BinaryOutput, w.Parameters.Classification})
	}
	if len(request.Outputs) == 0 {
		for _, t := range types {
			all = append(all, output{t, request.Parameters.BinaryOutput, 0})
		}
	}
	return all, nil
}

func wants(all []output, name string) bool {
	return slices.ContainsFunc(all, func(o output) bool { return o.name == name })
}

// reply writes the answers of a request, packed if the client likes that.
func reply(w http.ResponseWriter, r *http.Request, model, id string, outputs []output, answers []answer, p *predict.Predictor) error {
	var rest bytes.Buffer
	tensors := make([]tensor, len(outputs))
	for i, o := range outputs {
		var err error
		if tensors[i], err = o.tensor(answers, p.Meta(), &rest); err != nil {
			return err
		}
	}
	text := map[string]any{"model_name": model, "model_version": version, "outputs": tensors}
	if id != "" {
		text["id"] = id
	}
	header, err := json.Marshal(text)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	if rest.Len() > 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set(headerLength, strconv.Itoa(len(header)))
	}
	to, done := packed(w, r.Header.Get("Accept-Encoding"))
	_, err = to.Write(header)
	if err == nil {
		_, err = rest.WriteTo(to)
	}
	if err == nil {
		err = done()
	}
	return err
}

// packed writes to w by an encoding that the client takes.
func packed(w http.ResponseWriter, accepted string) (io.Writer, func() error) {
	for encoding := range strings.SplitSeq(accepted, ",") {
		switch encoding = strings.TrimSpace(encoding); encoding {
		case "gzip":
			w.Header().Set("Content-Encoding", encoding)
			z := gzip.NewWriter(w)
			return z, z.Close
		case "deflate":
			w.Header().Set("Content-Encoding", encoding)
			z := zlib.NewWriter(w)
			return z, z.Close
		}
	}
	return w, func() error { return nil }
}

// tensor makes an output of all answers. Binary data goes to rest.
func (o output) tensor(answers []answer, meta *checkpoint.Meta, rest *bytes.Buffer) (tensor, error) {
	n := int64(len(answers))
	t := tensor{Name: o.name, Datatype: o.datatype, Shape: append([]int64{n}, widen(o.shape)...)}
	if o.classes > 0 {
		k := min(o.classes, o.shape[0])
		t.Datatype, t.Shape = "BYTES", []int64{n, int64(k)}
		all := make([]string, 0, k*len(answers))
		for _, a := range answers {
			all = append(all, classesOf(o.values(a), k, meta)...)
		}
		return t.withStrings(all, o.binary, rest)
	}
	all := make([]float32, 0, o.size(len(answers)))
	for _, a := range answers {
		all = append(all, o.values(a)...)
	}
	if !o.binary {
		var err error
		t.Data, err = json.Marshal(all)
		return t, err
	}
	size := int64(4 * len(all))
	t.Parameters = &parameters{BinarySize: &size}
	return t, binary.Write(rest, binary.LittleEndian, all)
}

// classesOf names the k largest values as Triton does: value:index:class.
func classesOf(values []float32, k int, meta *checkpoint.Meta) []string {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case values[a] > values[b]:
			return -1
		case values[a] < values[b]:
			return 1
		}
		return 0
	})
	all := make([]string, k)
	for i, class := range order[:k] {
		all[i] = fmt.Sprintf("%f:%d", values[class], class)
		if class < len(meta.Classes) {
			all[i] += ":" + meta.Classes[class]
		}
	}
	return all
}

func (t tensor) withStrings(all []string, inBinary bool, rest *bytes.Buffer) (tensor, error) {
	if !inBinary {
		var err error
		t.Data, err = json.Marshal(all)
		return t, err
	}
	before := rest.Len()
	for _, text := range all {
		_ = binary.Write(rest, binary.LittleEndian, uint32(len(text))) // to memory
		rest.WriteString(text)
	}
	size := int64(rest.Len() - before)
	t.Parameters = &parameters{BinarySize: &size}
	return t, nil
}
