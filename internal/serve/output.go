package serve

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"effnet/internal/checkpoint"
	"effnet/internal/predict"
)

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
