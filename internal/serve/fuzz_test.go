package serve

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// fine fails for an answer that no client should get, whatever it sent.
func fine(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code == http.StatusInternalServerError {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
}

func FuzzClassify(f *testing.F) {
	s := server(f, func(o *Options) { o.MaxBody, o.Bodies = 1<<20, 4<<20 })
	contentType, files := form(f, photo(f, 1), photo(f, 2))
	f.Add("topk=2&cam=true", "image/png", "", photo(f, 1))
	f.Add("features=true", contentType, "", files)
	f.Add("model=a", "application/json", "", []byte(`{"images":[{"name":"a","data":"iVBORw0KGgo="}]}`))
	f.Add("timeout=1s", "", "gzip", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, query, contentType, encoding string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/classify", nil)
		r.URL.RawQuery = query
		w := exchangeWith(s.Handler(), r, map[string]string{"Content-Type": contentType, "Content-Encoding": encoding}, body)
		fine(t, w)
		if n := s.bodies.Load(); n != 0 {
			t.Fatalf("%d bytes are still counted", n)
		}
	})
}

func FuzzInfer(f *testing.F) {
	s := server(f, func(o *Options) { o.MaxBody, o.Bodies = 1<<20, 4<<20 })
	image := binaryFile(photo(f, 1))
	text := `{"id":"x","inputs":[{"name":"image","datatype":"BYTES","shape":[1,1],"parameters":{"binary_data_size":` + strconv.Itoa(len(image)) + `}}],"outputs":[{"name":"logits","parameters":{"classification":2}}]}`
	f.Add("a", strconv.Itoa(len(text)), "gzip", append([]byte(text), image...))
	f.Add("a", "", "", []byte(`{"parameters":{"timeout":5},"inputs":[{"name":"pixels","datatype":"UINT8","shape":[1,32,32,3],"data":[[0,`+strings.Repeat("1,", 3000)+`9]]}]}`))
	f.Add("a", "", "deflate", []byte(`{"inputs":[{"name":"input","datatype":"FP32","shape":[1,3,32,32],"data":[1e38]}]}`))
	f.Fuzz(func(t *testing.T, model, length, accept string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/v2/models/a/infer", nil)
		r.SetPathValue("model", model)
		w := exchangeWith(s.Handler(), r, map[string]string{headerLength: length, "Accept-Encoding": accept}, body)
		fine(t, w)
		if n := s.bodies.Load(); n != 0 {
			t.Fatalf("%d bytes are still counted", n)
		}
	})
}

// FuzzGet asks for anything.
func FuzzGet(f *testing.F) {
	s := server(f)
	for _, target := range []string{"/", "/page/index.html", "/v1/models/a", "/v2/models/a/versions/1/config", "/v2/models/../x"} {
		f.Add("GET", target)
		f.Add("POST", target)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Method, r.URL.Path = method, path
		fine(t, exchangeWith(s.Handler(), r, nil, nil))
	})
}
