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
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"effnet/internal/predict"
)

const side = 32 // of the network's images

// seen is what the network sees of a photo, as pixels and normalised in PyTorch's order.
func seen(t testing.TB, s *Server, seed int) (pixels []byte, values []float32) {
	t.Helper()
	pipeline := predict.Pipeline(s.models[0].current.Load().Meta().Preprocess)
	p, err := pipeline.NewPreparer()
	if err != nil {
		t.Fatal(err)
	}
	pixels = make([]byte, 3*side*side)
	if err := p.Bytes(pixels, "photo", photo(t, seed)); err != nil {
		t.Fatal(err)
	}
	values = make([]float32, len(pixels))
	for i := range side * side {
		for c := range 3 {
			v := (float64(pixels[3*i+c]) - pipeline.Mean[c]) / pipeline.Std[c]
			values[c*side*side+i] = float32(v)
		}
	}
	return pixels, values
}

type answered struct {
	Model   string `json:"model_name"`
	Version string `json:"model_version"`
	ID      string
	Outputs []struct {
		Name, Datatype string
		Shape          []int
		Parameters     struct {
			Size int `json:"binary_data_size"`
		}
		Data json.RawMessage
	}
}

// binaryFile is a file as a tensor of type BYTES has it.
func binaryFile(file []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(file))), file...)
}

// Images as files, as pixels and normalised, in JSON and binary, get the network's answers.
func TestInfer(t *testing.T) {
	s := server(t)
	a, err := s.models[0].current.Load().Classify(t.Context(), predict.Request{Image: predict.Bytes("photo", photo(t, 1)), Features: true})
	if err != nil {
		t.Fatal(err)
	}
	pixels, values := seen(t, s, 1)
	var floats bytes.Buffer
	_ = binary.Write(&floats, binary.LittleEndian, values)
	list := func(v any) string { text, _ := json.Marshal(v); return string(text) }
	numbers := make([]int, len(pixels))
	for i, v := range pixels {
		numbers[i] = int(v)
	}
	rows := slices.Collect(slices.Chunk(numbers, side*3)) // nested, as the protocol allows
	for _, c := range []struct {
		input     string // JSON, but for its data
		data      string // JSON
		binary    []byte
		tolerance float64 // of logits
	}{
		{`"name":"image","datatype":"BYTES","shape":[1,1]`, list([][]byte{photo(t, 1)}), binaryFile(photo(t, 1)), 0},
		{`"name":"image","datatype":"BYTES","shape":[1]`, list([][]byte{photo(t, 1)}), binaryFile(photo(t, 1)), 0},
		{`"name":"pixels","datatype":"UINT8","shape":[1,32,32,3]`, list(rows), pixels, 0},
		{`"name":"input","datatype":"FP32","shape":[1,3,32,32]`, list(values), floats.Bytes(), 1e-4}, // by other roundings of the mean
	} {
		for _, binary := range []bool{false, true} {
			header, body := map[string]string{}, []byte(`{"id":"x","inputs":[{`+c.input+`,"data":`+c.data+`}]}`)
			if binary {
				text := fmt.Sprintf(`{"id":"x","parameters":{"binary_data_output":true},"inputs":[{%s,"parameters":{"binary_data_size":%d}}]}`, c.input, len(c.binary))
				header[headerLength], body = strconv.Itoa(len(text)), append([]byte(text), c.binary...)
			}
			w := exchange(s.Handler(), "POST", "/v2/models/a/infer", header, body)
			got, outputs := inferred(t, w)
			if got.Model != "a" || got.Version != "1" || got.ID != "x" || len(outputs) != 3 || (w.Header().Get(headerLength) != "") != binary {
				t.Fatalf("%s: %+v", c.input, got)
			}
			for k, z := range a.Logits {
				if math.Abs(float64(outputs["logits"][k]-z)) > c.tolerance {
					t.Errorf("%s, binary %v: logit %d is %v, want %v", c.input, binary, k, outputs["logits"][k], z)
				}
				if p := a.Heads[0].Values[k]; math.Abs(float64(outputs["probabilities"][k])-p) > 1e-7+c.tolerance {
					t.Errorf("%s, binary %v: probability %d is %v, want %v", c.input, binary, k, outputs["probabilities"][k], p)
				}
			}
			if c.tolerance == 0 && !slices.Equal(outputs["features"], a.Features) {
				t.Errorf("%s, binary %v: other features", c.input, binary)
			}
		}
	}
}

// inferred reads an answer.
func inferred(t testing.TB, w *httptest.ResponseRecorder) (a answered, outputs map[string][]float32) {
	t.Helper()
	body := w.Body.Bytes()
	switch w.Header().Get("Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		body, _ = io.ReadAll(z)
	case "deflate":
		z, err := zlib.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		body, _ = io.ReadAll(z)
	}
	text, rest := body, []byte(nil)
	if n, err := strconv.Atoi(w.Header().Get(headerLength)); err == nil {
		text, rest = body[:n], body[n:]
	}
	if err := json.Unmarshal(text, &a); err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", w.Code, err, body)
	}
	outputs = map[string][]float32{}
	for _, o := range a.Outputs {
		if o.Datatype != "FP32" {
			continue
		}
		n := 1
		for _, d := range o.Shape {
			n *= d
		}
		values := make([]float32, n)
		if o.Data != nil {
			if err := json.Unmarshal(o.Data, &values); err != nil {
				t.Fatal(err)
			}
		} else {
			if _, err := binary.Decode(rest, binary.LittleEndian, values); err != nil || o.Parameters.Size != 4*n {
				t.Fatalf("%v: %+v", err, o)
			}
			rest = rest[o.Parameters.Size:]
		}
		outputs[o.Name] = values
	}
	return a, outputs
}

// Several images, the outputs that are asked for, classes by name, and packed both ways.
func TestInferOutputs(t *testing.T) {
	s := server(t)
	all := want(t, s, 1, 2)
	text := fmt.Sprintf(`{"inputs":[{"name":"image","datatype":"BYTES","shape":[2,1],"parameters":{"binary_data_size":%d}}],
		"outputs":[{"name":"probabilities","parameters":{"classification":2}},{"name":"logits","parameters":{"binary_data":true}}]}`,
		8+len(photo(t, 1))+len(photo(t, 2)))
	body := slices.Concat([]byte(text), binaryFile(photo(t, 1)), binaryFile(photo(t, 2)))
	for _, encoding := range []string{"", "gzip", "deflate"} {
		var packed bytes.Buffer
		header := map[string]string{headerLength: strconv.Itoa(len(text)), "Accept-Encoding": encoding}
		switch encoding {
		case "gzip":
			z := gzip.NewWriter(&packed)
			_, _ = z.Write(body)
			_ = z.Close()
			header["Content-Encoding"] = encoding
		case "deflate":
			z := zlib.NewWriter(&packed)
			_, _ = z.Write(body)
			_ = z.Close()
			header["Content-Encoding"] = encoding
		default:
			packed.Write(body)
		}
		w := exchange(s.Handler(), "POST", "/v2/models/a/versions/1/infer", header, packed.Bytes())
		got, outputs := inferred(t, w)
		if w.Header().Get("Content-Encoding") != encoding || len(got.Outputs) != 2 || len(outputs["logits"]) != 10 {
			t.Fatalf("%q: %+v, %v", encoding, got, w.Header())
		}
		var classes []string
		if err := json.Unmarshal(got.Outputs[0].Data, &classes); err != nil || !slices.Equal(got.Outputs[0].Shape, []int{2, 2}) {
			t.Fatalf("%+v: %v", got.Outputs[0], err)
		}
		for i, text := range classes {
			p := all[i/2][i%2]
			if want := fmt.Sprintf("%f:%d:%s", float32(p.Probability), p.Index, p.Class); text != want {
				t.Errorf("class %d is %s, want %s", i, text, want)
			}
		}
	}
}

// Tensors that are not what they should be.
func TestBadTensors(t *testing.T) {
	s := server(t)
	pixels := strings.Repeat("0,", 3*side*side-1) + "0"
	huge := strings.Repeat("1e38,", 3*side*side-1) + "1e38"
	for _, c := range []struct {
		input, rest string
		status      int
		want        string
	}{
		{`{"name":"x","datatype":"FP32","shape":[1,3,32,32],"data":[]}`, "", 400, "input x: there is none"},
		{`{"name":"pixels","datatype":"FP32","shape":[1,32,32,3],"data":[]}`, "", 400, "its type is FP32, want UINT8"},
		{`{"name":"pixels","datatype":"UINT8","shape":[1,31,32,3],"data":[]}`, "", 400, "its shape is [1 31 32 3], want [-1 32 32 3]"},
		{`{"name":"pixels","datatype":"UINT8","shape":[32,32,3],"data":[]}`, "", 400, "its shape"},
		{`{"name":"pixels","datatype":"UINT8","shape":[0,32,32,3],"data":[]}`, "", 400, "its shape"},
		{`{"name":"pixels","datatype":"UINT8","shape":[9223372036854775807,32,32,3],"data":[1]}`, "", 400, "its shape"},
		{`{"name":"pixels","datatype":"UINT8","shape":[60000,32,32,3],"data":[1]}`, "", 400, "fewer than"},
		{`{"name":"pixels","datatype":"UINT8","shape":[1,32,32,3],"data":[` + pixels + `,0]}`, "", 400, "does not have 3072"},
		{`{"name":"pixels","datatype":"UINT8","shape":[1,32,32,3],"data":[` + strings.Replace(pixels, "0", "256", 1) + `]}`, "", 400, `"256" is not a UINT8`},
		{`{"name":"pixels","datatype":"UINT8","shape":[1,32,32,3],"data":["` + pixels + `"]}`, "", 400, "is not a UINT8"},
		{`{"name":"pixels","datatype":"UINT8","shape":[65,32,32,3],"parameters":{"binary_data_size":199680}}`, strings.Repeat("x", 199680), 413, "65 images"},
		{`{"name":"pixels","datatype":"UINT8","shape":[1,32,32,3],"parameters":{"binary_data_size":7}}`, "1234567", 400, "7 bytes, want 3072"},
		{`{"name":"pixels","datatype":"UINT8","shape":[1,32,32,3],"parameters":{"binary_data_size":8}}`, "1234567", 400, "binary_data_size is 8, and 7"},
		{`{"name":"pixels","datatype":"UINT8","shape":[1,32,32,3],"parameters":{"binary_data_size":-1}}`, "", 400, "binary_data_size is -1"},
		{`{"name":"pixels","datatype":"UINT8","shape":[1,32,32,3],"data":[]}`, "123", 400, "3 bytes follow"},
		{`{"name":"image","datatype":"BYTES","shape":[1],"data":["cat.jpg"]}`, "", 400, "base64"},
		{`{"name":"image","datatype":"BYTES","shape":[2],"data":["AAAA"]}`, "", 400, "1 files of 2"},
		{`{"name":"image","datatype":"BYTES","shape":[1],"data":["AAAA"]}`, "", 422, "image 1: not a JPEG"},
		{`{"name":"image","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}}`, "\xff\xff\xff\xffab", 400, "it has 4294967295 bytes, and 2"},
		{`{"name":"image","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":2}}`, "ab", 400, "ends after 0 files"},
		{`{"name":"image","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":7}}`, "\x01\x00\x00\x00abc", 400, "2 bytes follow its last"},
		{`{"name":"input","datatype":"FP32","shape":[1,3,32,32],"data":[NaN]}`, "", 400, "not the protocol's JSON"},
		{`{"name":"input","datatype":"FP32","shape":[1,3,32,32],"data":[` + strings.Replace(huge, "1e38", "1e39", 1) + `]}`, "", 400, `"1e39" is not a FP32`},
		{`{"name":"input","datatype":"FP32","shape":[1,3,32,32],"data":[` + huge + `]}`, "", 422, "not finite"},
		{`{"name":"input","datatype":"FP32","shape":[1,3,32,32],"parameters":{"binary_data_size":12288}}`, strings.Repeat("\xff", 12288), 400, "is NaN"},
		{`{"name":"input","datatype":"FP32","shape":[1,3,32,32],"parameters":{"binary_data_size":3}}`, "abc", 400, "3 bytes, want 12288"},
		{``, "", 400, "0 inputs"},
		{`{},{}`, "", 400, "2 inputs"},
	} {
		text := `{"inputs":[` + c.input + `]}`
		header := map[string]string{}
		if c.rest != "" {
			header[headerLength] = strconv.Itoa(len(text))
		}
		w := exchange(s.Handler(), "POST", "/v2/models/a/infer", header, []byte(text+c.rest))
		isError(t, w, c.status, c.want)
	}
	for _, c := range []struct {
		target string
		length string
		body   string
		status int
		want   string
	}{
		{"a/infer", "", "", 400, "not the protocol's JSON"},
		{"a/infer", "", "[]", 400, "not the protocol's JSON"},
		{"a/infer", "9", "{}", 400, "is \"9\", and the body has 2 bytes"},
		{"a/infer", "-1", "{}", 400, "is \"-1\""},
		{"a/infer", "", `{"outputs":[{"name":"boxes"}]}`, 400, "output boxes"},
		{"a/infer", "", `{"outputs":[{"name":"features","parameters":{"classification":2}}]}`, 400, "classification is 2"},
		{"a/infer", "", `{"parameters":{"timeout":-1}}`, 400, "timeout -1"},
		{"a/infer", "", `{"parameters":{"timeout":1.5}}`, 400, "timeout 1.5"},
		{"a/infer", "", `{"parameters":{"timeout":1},"inputs":[{"name":"pixels","datatype":"UINT8","shape":[1,32,32,3],"data":[` + pixels + `]}]}`, 504, "timed out"},
		{"b/infer", "", "{}", 404, "no network is called"},
		{"a/versions/2/infer", "", "{}", 404, `no version "2"`},
		{"a/versions/../infer", "", "{}", 307, ""},
		{"a/trace", "", "{}", 404, "not part of"},
	} {
		w := exchange(s.Handler(), "POST", "/v2/models/"+c.target, map[string]string{headerLength: c.length}, []byte(c.body))
		if c.status == 307 { // to the address without dots
			if w.Code != 307 && w.Code != 308 && w.Code != 301 {
				t.Errorf("%s: status %d", c.target, w.Code)
			}
			continue
		}
		isError(t, w, c.status, c.want)
	}
}

// isError checks an answer that is the protocol's error.
func isError(t testing.TB, w *httptest.ResponseRecorder, status int, want string) {
	t.Helper()
	var e struct{ Error string }
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != status || !strings.Contains(e.Error, want) {
		t.Errorf("status %d, %.200s, want %d and %q", w.Code, w.Body, status, want)
	}
}

func TestV2Describes(t *testing.T) {
	s := server(t)
	for _, target := range []string{"/v2/models/a", "/v2/models/a/versions/1"} {
		d := parse[struct {
			Name     string
			Versions []string
			Inputs   []struct {
				Name, Datatype string
				Shape          []int
			}
			Outputs []struct{ Name string }
		}](t, exchange(s.Handler(), "GET", target, nil, nil))
		if d.Name != "a" || d.Versions[0] != "1" || d.Inputs[1].Name != "pixels" || !slices.Equal(d.Inputs[1].Shape, []int{-1, side, side, 3}) || len(d.Outputs) != 3 {
			t.Errorf("%+v", d)
		}
	}
	for _, target := range []string{"/v2/health/live", "/v2/health/ready", "/v2/models/a/ready", "/v2", "/v2/models/a/config", "/healthz", "/readyz"} {
		if w := exchange(s.Handler(), "GET", target, nil, nil); w.Code != http.StatusOK {
			t.Errorf("%s: status %d", target, w.Code)
		}
	}
	if w := exchange(s.Handler(), "POST", "/v2/repository/index", nil, []byte("{}")); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"READY"`) {
		t.Errorf("index: %d %s", w.Code, w.Body)
	}
	s.ready.Store(false)
	for _, target := range []string{"/v2/health/ready", "/v2/models/a/ready", "/readyz"} {
		if w := exchange(s.Handler(), "GET", target, nil, nil); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s of a server that stops: status %d", target, w.Code)
		}
	}
}

// Triton's own client works unchanged.
func TestTritonClient(t *testing.T) {
	python := os.Getenv("EFFNET_PYTHON")
	if python == "" {
		t.Skip("set EFFNET_PYTHON to a Python with tritonclient[http], numpy and Pillow")
	}
	if err := exec.CommandContext(t.Context(), python, "-c", "import tritonclient.http, PIL").Run(); err != nil {
		t.Skip(python + " has no tritonclient[http]: pip install 'tritonclient[http]' pillow")
	}
	s := server(t)
	h := httptest.NewServer(s.Handler())
	defer h.Close()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/photo.png", photo(t, 1), 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), python, "../../tools/triton_check.py", strings.TrimPrefix(h.URL, "http://"), "a", dir+"/photo.png").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got []prediction
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, p := range want(t, s, 1)[0][:len(got)] {
		if got[i].Class != p.Class || got[i].Index != p.Index || math.Abs(got[i].Probability-p.Probability) > 1e-6 {
			t.Errorf("class %d: %+v, want %+v", i, got[i], p)
		}
	}
}
