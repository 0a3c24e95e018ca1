package serve

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"effnet/internal/backend/cpu"
	"effnet/internal/predict"
	"effnet/internal/predict/predicttest"
	"effnet/internal/weights"
)

// FileSource is a network from a file, for the tests inside and outside this package.
func FileSource(name, path string) Source {
	return Source{Name: name, Path: path, Open: func(context.Context) (*predict.Network, error) {
		w, err := weights.Open(path, weights.Overrides{})
		if err != nil {
			return nil, err
		}
		b, err := cpu.New(2)
		if err != nil {
			return nil, err
		}
		return predict.Load(w, path, b)
	}}
}

// server returns one of a small network, a, with changes of the usual options.
func server(t testing.TB, changes ...func(*Options)) *Server {
	t.Helper()
	opt := Default()
	opt.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	for _, change := range changes {
		change(&opt)
	}
	s, err := New(t.Context(), []Source{FileSource("a", predicttest.File(t))}, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// exchange has a handler answer a request.
func exchange(h http.Handler, method, target string, header map[string]string, body []byte) *httptest.ResponseRecorder {
	return exchangeWith(h, httptest.NewRequestWithContext(context.Background(), method, target, nil), header, body)
}

func exchangeWith(h http.Handler, r *http.Request, header map[string]string, body []byte) *httptest.ResponseRecorder {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// eventually waits for something that has to happen.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it never comes true that " + what)
}

func photo(t testing.TB, seed int) []byte { return predicttest.Encoded(t, predicttest.Photo(seed)) }

// want is what the network says of photos, by a sweep of its own.
func want(t testing.TB, s *Server, seeds ...int) (all [][]prediction) {
	t.Helper()
	for _, seed := range seeds {
		a, err := s.models[0].current.Load().Classify(t.Context(), predict.Request{Image: predict.Bytes("photo", photo(t, seed))})
		if err != nil {
			t.Fatal(err)
		}
		var top []prediction
		for _, c := range a.Heads[0].Top(0) {
			top = append(top, prediction{c.Name, c.Label, c.Index, c.Score})
		}
		all = append(all, top)
	}
	return all
}

func parse[T any](t testing.TB, w *httptest.ResponseRecorder) (value T) {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return value
}

// form is a form of files.
func form(t testing.TB, files ...[]byte) (contentType string, body []byte) {
	t.Helper()
	var text bytes.Buffer
	f := multipart.NewWriter(&text)
	for i, file := range files {
		part, err := f.CreateFormFile("image", fmt.Sprintf("photo %d.png", i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.FormDataContentType(), text.Bytes()
}

// Images come as a body, as a form's files and as JSON, and get the network's answers.
func TestClassify(t *testing.T) {
	s := server(t)
	all := want(t, s, 1, 2, 3)
	contentType, files := form(t, photo(t, 1), photo(t, 2), photo(t, 3))
	text, err := json.Marshal(map[string]any{"images": []upload{{"first", photo(t, 1)}, {"", photo(t, 2)}}})
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(photo(t, 3))
	_ = z.Close()
	for _, c := range []struct {
		header map[string]string
		body   []byte
		want   [][]prediction
		names  []string
	}{
		{map[string]string{"Content-Type": "image/png"}, photo(t, 2), all[1:2], []string{"image"}},
		{nil, photo(t, 1), all[:1], []string{"image"}},
		{map[string]string{"Content-Encoding": "gzip"}, packed.Bytes(), all[2:], []string{"image"}},
		{map[string]string{"Content-Type": contentType}, files, all, []string{"photo 0.png", "photo 1.png", "photo 2.png"}},
		{map[string]string{"Content-Type": "application/json"}, text, all[:2], []string{"first", "image 2"}},
	} {
		got := parse[classified](t, exchange(s.Handler(), "POST", "/v1/classify?topk=0", c.header, c.body))
		if got.Model != "a" || len(got.Results) != len(c.want) {
			t.Fatalf("%v: %+v", c.header, got)
		}
		for i, r := range got.Results {
			if !slices.Equal(r.Predictions, c.want[i]) || r.Name != c.names[i] {
				t.Errorf("%v: image %d is %+v, want %s %+v", c.header, i, r, c.names[i], c.want[i])
			}
		}
	}
}

func TestClassifyParameters(t *testing.T) {
	s := server(t)
	one := func(query string) result {
		return parse[classified](t, exchange(s.Handler(), "POST", "/v1/classify?"+query, nil, photo(t, 1))).Results[0]
	}
	best := want(t, s, 1)[0]
	if r := one("topk=2&model=a"); !slices.Equal(r.Predictions, best[:2]) || r.CAM != nil || r.Features != nil {
		t.Errorf("%+v, want %+v alone", r, best[:2])
	}
	if r := one("features=true"); len(r.Features) == 0 {
		t.Error("no features")
	}
	likeliest, named, numbered := one("cam=true").CAM, one("cam=d").CAM, one("cam=3").CAM
	if likeliest.Index != best[0].Index || len(likeliest.Values) != likeliest.Side*likeliest.Side || !bytes.HasPrefix(likeliest.Picture, []byte("\x89PNG")) {
		t.Errorf("%+v, want class %d", likeliest, best[0].Index)
	}
	if named.Class != "d" || named.Index != 3 || !slices.Equal(named.Values, numbered.Values) {
		t.Errorf("by name %+v, by number %+v", named, numbered)
	}
}

// One bad image of several is its own error; alone it is the request's.
func TestBadImageAmongOthers(t *testing.T) {
	s := server(t)
	contentType, files := form(t, photo(t, 1), []byte("no image"), photo(t, 2))
	got := parse[classified](t, exchange(s.Handler(), "POST", "/v1/classify", map[string]string{"Content-Type": contentType}, files)).Results
	if len(got[0].Predictions) == 0 || len(got[2].Predictions) == 0 || got[1].Error != "photo 1.png: not a JPEG, PNG, GIF, WebP, BMP or TIFF image" {
		t.Errorf("%+v", got)
	}
}

// Every bad request gets the status that belongs to it, and a sentence.
func TestBadRequests(t *testing.T) {
	s := server(t, func(o *Options) { o.MaxBody, o.Bodies = 1<<20, 8<<20 })
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 64<<20))
	_ = z.Close()
	cut := photo(t, 1)[:300]
	huge := slices.Clone(photo(t, 1)) // its header claims 65536x65536 pixels
	copy(huge[16:], []byte{0, 1, 0, 0, 0, 1, 0, 0})
	contentType, files := form(t, photo(t, 1))
	many, _ := json.Marshal(map[string]any{"images": make([]upload, 65)})
	kind := func(value string) map[string]string { return map[string]string{"Content-Type": value} }
	packed := func(value string) map[string]string { return map[string]string{"Content-Encoding": value} }
	for _, c := range []struct {
		method, target string
		header         map[string]string
		body           []byte
		status         int
		want           string // part of the answer
	}{
		{"POST", "/v1/classify", nil, nil, 400, "no image"},
		{"POST", "/v1/classify", nil, []byte("no image"), 422, "image: not a JPEG"},
		{"POST", "/v1/classify", nil, cut, 422, "image: "},
		{"POST", "/v1/classify", nil, huge, 422, "image: "},
		{"POST", "/v1/classify", nil, make([]byte, 2<<20), 413, "more than 1048576 bytes"},
		{"POST", "/v1/classify", packed("gzip"), bomb.Bytes(), 413, "more than 1048576 bytes"},
		{"POST", "/v1/classify", packed("gzip"), photo(t, 1), 400, "not gzip"},
		{"POST", "/v1/classify", packed("gzip"), bomb.Bytes()[:100], 400, "ended too early"},
		{"POST", "/v1/classify", packed("br"), photo(t, 1), 415, "br"},
		{"POST", "/v1/classify", kind("a/b/c"), photo(t, 1), 415, "a/b/c"},
		{"POST", "/v1/classify", kind(contentType), files[:len(files)/2], 400, "photo 0.png"},
		{"POST", "/v1/classify", kind("multipart/form-data"), files, 400, "form"},
		{"POST", "/v1/classify", kind("application/json"), []byte(`{"images":[{"data":"!"}]}`), 400, "base64"},
		{"POST", "/v1/classify", kind("application/json"), []byte(`{"images":7}`), 400, "not JSON as"},
		{"POST", "/v1/classify", kind("application/json"), []byte(`{}`), 400, "no image"},
		{"POST", "/v1/classify", kind("application/json"), many, 413, "65 images"},
		{"POST", "/v1/classify?topk=-1", nil, photo(t, 1), 400, "topk=-1"},
		{"POST", "/v1/classify?topk=many", nil, photo(t, 1), 400, "topk=many"},
		{"POST", "/v1/classify?cam=9", nil, photo(t, 1), 400, "cam=9"},
		{"POST", "/v1/classify?features=7", nil, photo(t, 1), 400, "features=7"},
		{"POST", "/v1/classify?top=3", nil, photo(t, 1), 400, "unknown parameter top"},
		{"POST", "/v1/classify?timeout=soon", nil, photo(t, 1), 400, "timeout=soon"},
		{"POST", "/v1/classify?timeout=1ns", nil, photo(t, 1), 504, "timed out"},
		{"POST", "/v1/classify?model=b", nil, photo(t, 1), 404, "no network is called"},
		{"POST", "/v1/classify?model=../a", nil, photo(t, 1), 404, "no network is called"},
		{"GET", "/v1/models/b", nil, nil, 404, "there is a"},
		{"GET", "/v1/models/%2e%2e%2fa", nil, nil, 404, "no network is called"},
		{"GET", "/page/none.js", nil, nil, 404, "none.js"},
		{"GET", "/page/..%2fserve.go", nil, nil, 404, "serve.go"},
	} {
		w := exchange(s.Handler(), c.method, c.target, c.header, c.body)
		var p struct {
			Detail string
			Status int
			ID     string `json:"request_id"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.status || p.Status != c.status || !strings.Contains(p.Detail, c.want) ||
			p.ID == "" || p.ID != w.Header().Get("X-Request-Id") || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s %v: status %d, %s, want %d and %q", c.method, c.target, c.header, w.Code, w.Body, c.status, c.want)
		}
	}
	if w := exchange(s.Handler(), "GET", "/v1/classify", nil, nil); w.Code != 405 {
		t.Errorf("GET: status %d", w.Code)
	}
	if got := parse[classified](t, exchange(s.Handler(), "POST", "/v1/classify", nil, photo(t, 1))); len(got.Results) != 1 {
		t.Errorf("after all that: %+v", got)
	}
	if n := s.bodies.Load(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

// A request for more places than are free is told to come back, and computes nothing.
func TestBusy(t *testing.T) {
	s := server(t)
	if !s.models[0].places.TryAcquire(63) {
		t.Fatal("no places")
	}
	contentType, files := form(t, photo(t, 1), photo(t, 2))
	for range 2 {
		w := exchange(s.Handler(), "POST", "/v1/classify", map[string]string{"Content-Type": contentType}, files)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("status %d, %v", w.Code, w.Header())
		}
	}
	if n := s.metrics.count(t, "effnet_images_total"); n != 1 { // the one of loading
		t.Errorf("%v images were computed", n)
	}
	if w := exchange(s.Handler(), "POST", "/v1/classify", nil, photo(t, 1)); w.Code != http.StatusOK {
		t.Errorf("one image has a place, and gets status %d", w.Code)
	}
	s.models[0].places.Release(63)
	if w := exchange(s.Handler(), "POST", "/v1/classify", map[string]string{"Content-Type": contentType}, files); w.Code != http.StatusOK {
		t.Errorf("there are places again, and the status is %d", w.Code)
	}
}

// The bodies of all requests together are bounded.
func TestManyBodies(t *testing.T) {
	s := server(t, func(o *Options) { o.MaxBody, o.Bodies = 1<<20, 3<<20 })
	h := httptest.NewServer(s.Handler())
	defer h.Close()
	var writers []*io.PipeWriter
	var answers sync.WaitGroup
	for range 3 { // that keep what they sent waiting
		r, w := io.Pipe()
		writers = append(writers, w)
		answers.Go(func() {
			if a, err := postTo(t, http.DefaultClient, strings.TrimPrefix(h.URL, "http://"), r); err == nil {
				a.Body.Close()
			}
		})
		if _, err := w.Write(make([]byte, 1<<20-1)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all three are read", func() bool { return s.bodies.Load() == 3<<20-3 })
	if w := exchange(s.Handler(), "POST", "/v1/classify", nil, photo(t, 1)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a fourth has status %d", w.Code)
	}
	for _, w := range writers {
		w.CloseWithError(io.ErrUnexpectedEOF)
	}
	answers.Wait()
	eventually(t, "nothing is counted any more", func() bool { return s.bodies.Load() == 0 })
	if w := exchange(s.Handler(), "POST", "/v1/classify", nil, photo(t, 1)); w.Code != http.StatusOK {
		t.Errorf("alone it has status %d", w.Code)
	}
}

func TestToken(t *testing.T) {
	s := server(t, func(o *Options) { o.Token = "sesame" })
	for target, open := range map[string]bool{"/": true, "/healthz": true, "/readyz": true, "/openapi.yaml": true, "/v2/health/live": true, "/v2/models/a/ready": true, "/metrics": false, "/v1/models": false, "/v2": false, "/v2/models/a": false, "/v2/nothing": false} {
		w := exchange(s.Handler(), "GET", target, nil, nil)
		if (w.Code == http.StatusUnauthorized) == open || (w.Header().Get("WWW-Authenticate") == "") != open {
			t.Errorf("%s: status %d", target, w.Code)
		}
	}
	for token, status := range map[string]int{"": 401, "Bearer ": 401, "Bearer sesam": 401, "Basic sesame": 401, "Bearer sesame": 200} {
		if w := exchange(s.Handler(), "POST", "/v1/classify", map[string]string{"Authorization": token}, photo(t, 1)); w.Code != status {
			t.Errorf("%q: status %d, want %d", token, w.Code, status)
		}
	}
}

func TestRequestID(t *testing.T) {
	s := server(t)
	for sent, kept := range map[string]bool{"job-17": true, "": false, "two words": false, strings.Repeat("x", 200): false} {
		w := exchange(s.Handler(), "GET", "/v1/models", map[string]string{"X-Request-Id": sent}, nil)
		if got := w.Header().Get("X-Request-Id"); got == "" || (got == sent) != kept {
			t.Errorf("%q became %q", sent, got)
		}
	}
}

// A panic is the answer of one request.
func TestPanic(t *testing.T) {
	s := server(t)
	h := s.handle(route{"GET /", true, func(http.ResponseWriter, *http.Request) error { panic("oh") }, asProblem})
	if w := exchange(h, "GET", "/", nil, nil); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "oh") {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
}

func TestNames(t *testing.T) {
	for path, want := range map[string]string{
		"runs/flowers/best.safetensors": "flowers", "runs/flowers/last.safetensors": "flowers", "roses.safetensors": "roses",
		"a b/rosés.pth": "ros-s", "timm/efficientnet_b0.ra_in1k": "efficientnet_b0.ra_in1k", "hf:me/net@main": "net-main",
		"efficientnet_b0.ra_in1k.safetensors": "efficientnet_b0.ra_in1k",
	} {
		if got := NameOf(path); got != want || CheckName(got) != nil {
			t.Errorf("%s is called %s, want %s: %v", path, got, want, CheckName(got))
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "a b", "-a", strings.Repeat("a", 200)} {
		if CheckName(name) == nil {
			t.Errorf("%q may be a name", name)
		}
	}
}

func TestNewFails(t *testing.T) {
	path := predicttest.File(t)
	damaged := path + ".damaged"
	if err := os.WriteFile(damaged, []byte("damaged"), 0o666); err != nil {
		t.Fatal(err)
	}
	for want, sources := range map[string][]Source{
		"two networks are called a": {FileSource("a", path), FileSource("a", path)},
		"cannot be a network's":     {FileSource("a", path), FileSource("..", path)},
		"damaged":                   {FileSource("a", path), FileSource("b", damaged)},
	} {
		if _, err := New(t.Context(), sources, Default()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, change := range []func(*Options){
		func(o *Options) { o.MaxBody = 0 }, func(o *Options) { o.Bodies = 1 }, func(o *Options) { o.Conns = 0 }, func(o *Options) { o.Timeout = 0 },
		func(o *Options) { o.Drain = -1 }, func(o *Options) { o.Watch = -1 }, func(o *Options) { o.Predict.Batch = -1 },
	} {
		opt := Default()
		change(&opt)
		if _, err := New(t.Context(), nil, opt); err == nil {
			t.Errorf("%+v is taken", opt)
		}
	}
}
