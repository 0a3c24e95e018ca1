package hub

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5" //nolint:gosec // what Keras publishes
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/checkpoint"
	"effnet/internal/hub/hubtest"
)

// plain is a source that has a URL on a test's server.
func plain(url, hash string) *source {
	return &source{name: "lab/net.v1", entry: &Entry{Name: "lab/net.v1", File: url, Hash: hash, Bytes: 1 << 20, Padding: "same"}}
}

// Files that have a URL: checked by what was published of them, continued, and found again.
func TestPullOwn(t *testing.T) {
	content := someWeights(1 << 16)
	md := md5.Sum(content) //nolint:gosec // what Keras publishes
	for _, hash := range []string{"", "sha256:" + sha(content)[:8], "md5:" + hex.EncodeToString(md[:])} {
		s := hubtest.New(t)
		h, _ := client(t, s.URL)
		h.Token = "hf_secret"
		src := plain(s.Store("net-1234.pth", content), hash)
		s.Fail(hubtest.Fault{Method: "GET", Times: 1, Answer: hubtest.Send(content[:99_999], len(content))})
		found, err := h.pull(t.Context(), src)
		if err != nil {
			t.Fatal(err)
		}
		mustBe(t, found.Path, content)
		if want := filepath.Join(h.OwnCache, "weights", "lab", "net.v1", "net-1234.pth"); found.Path != want || h.cached(src) != want {
			t.Errorf("%s and %s, want %s", found.Path, h.cached(src), want)
		}
		if found.Known.Padding != "same" {
			t.Error("the table's padding is lost")
		}
		var ranges []string
		for _, r := range s.Requests() {
			ranges = append(ranges, r.Method+r.Range)
			if r.Authorization != "" {
				t.Errorf("the hub's token went to %s", r.Host)
			}
		}
		if got := fmt.Sprint(ranges); got != "[HEAD GET GETbytes=99999-]" {
			t.Errorf("requests %s", got)
		}
		if checks := verifyOwn(filepath.Dir(found.Path), src.entry); len(checks) != 1 || checks[0].Err != nil {
			t.Errorf("%+v", checks)
		}
		if _, err := h.pull(t.Context(), src); err != nil {
			t.Fatal(err)
		}
		if again := s.Requests(); len(again) != 1 || again[0].Method != http.MethodHead {
			t.Errorf("what did not change comes again: %v", again)
		}
		if newer := someWeights(1 << 10); hash == "" {
			s.Store("net-1234.pth", newer)
			if _, err := h.pull(t.Context(), src); err != nil {
				t.Fatal(err)
			}
			mustBe(t, found.Path, newer)
		}
	}
}

// A pull replaces a damaged file.
func TestOwnRepairs(t *testing.T) {
	content := someWeights(1 << 16)
	s := hubtest.New(t)
	h, _ := client(t, s.URL)
	src := plain(s.Store("net.h5", content), "")
	found, err := h.pull(t.Context(), src)
	must(t, err)
	must(t, os.Truncate(found.Path, 1000))
	if _, err := h.pull(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	mustBe(t, found.Path, content)
}

// A file that changed between two tries is not put together of both: the second try asks
// for the rest only if the file is the same.
func TestOwnChangedInBetween(t *testing.T) {
	old := someWeights(1 << 16)
	content := bytes.Clone(old)
	content[len(content)-1] ^= 1
	content[len(content)/2] ^= 1 // both have the same length
	s := hubtest.New(t)
	h, _ := client(t, s.URL)
	src := plain(s.Store("net.h5", old), "")
	s.Fail(hubtest.Fault{Method: "GET", Times: 1, Answer: func(w http.ResponseWriter, r *http.Request) {
		s.Store("net.h5", content)
		hubtest.Send(old[:len(old)*3/4], len(old))(w, r)
	}})
	found, err := h.pull(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, found.Path, content)
}

// What is left of a file that changed since is not continued.
func TestOwnChanged(t *testing.T) {
	old, content := someWeights(1<<16), someWeights(1<<15)
	s := hubtest.New(t)
	h, _ := client(t, s.URL)
	src := plain(s.Store("net.h5", old), "")
	s.Fail(hubtest.Fault{Method: "GET", Times: 1, Answer: func(w http.ResponseWriter, r *http.Request) {
		s.Store("net.h5", content)
		hubtest.Send(old[:50_000], len(old))(w, r)
	}})
	if _, err := h.pull(t.Context(), src); err == nil {
		t.Fatal("the lengths differ, and it succeeds")
	}
	found, err := h.pull(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, found.Path, content)
}

func TestOwnFaults(t *testing.T) {
	content := someWeights(1 << 12)
	for _, c := range []struct {
		name, hash string
		content    []byte
		fault      hubtest.Fault
		want       string
	}{
		{"another hash", "sha256:00000000", content, hubtest.Fault{}, "the checksum of the download (the first 8 digits of SHA-256)"},
		{"a page in the place of a file without a hash", "", content, hubtest.Fault{Method: "GET", Times: -1, Answer: hubtest.LoginPage}, "the server sent a web page instead"},
		{"a page that says it is none", "", []byte("<!DOCTYPE html><html>log in</html>"), hubtest.Fault{}, "the download is an HTML page, not a file of weights"},
		{"a shorter file without a hash", "", content[:5000], hubtest.Fault{}, "the download "},
		{"404", "", content, hubtest.Fault{Times: -1, Answer: hubtest.Status(404)}, "404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := hubtest.New(t)
			s.Fail(c.fault)
			h, _ := client(t, s.URL)
			src := plain(s.Store("net.pth", c.content), c.hash)
			_, err := h.pull(t.Context(), src)
			if e, ok := errors.AsType[*checkpoint.Error](err); !ok || !strings.Contains(e.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if h.cached(src) != "" || exists(filepath.Join(h.ownFolder(src.entry), "net.pth")) {
				t.Error("it has its name")
			}
		})
	}
}

// A server that takes no HEAD sends the file all the same.
func TestOwnWithoutHead(t *testing.T) {
	content := someWeights(1 << 12)
	s := hubtest.New(t)
	s.Fail(hubtest.Fault{Method: "HEAD", Times: -1, Answer: hubtest.Status(405)})
	h, _ := client(t, s.URL)
	found, err := h.pull(t.Context(), plain(s.Store("net.pth", content), ""))
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, found.Path, content)
}

// elsewhere sends requests for any host to another.
type elsewhere string

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(string(e), "http://")
	return http.DefaultTransport.RoundTrip(r)
}

// From a name of the table to a file that has a URL, and what the table says of it.
func TestOwnByName(t *testing.T) {
	s := hubtest.New(t)
	h, _ := client(t, s.URL)
	h.http.Transport = elsewhere(s.StoreURL)
	s.Store("cloud-tpu-checkpoints/efficientnet/lite/efficientnet-lite0.tar.gz",
		archive(t, map[string][]byte{"x/model.ckpt.index": []byte("i"), "x/model.ckpt.data-00000-of-00001": []byte("d")}))
	found, err := h.Resolve(t.Context(), "tensorflow/efficientnet-lite0")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(h.OwnCache, "weights", "tensorflow", "efficientnet-lite0", "model.ckpt"); found.Path != want || h.Cached("tensorflow/efficientnet-lite0") != want {
		t.Errorf("%s, want %s", found.Path, want)
	}
	if k := found.Known; k == nil || k.Variant != "lite0" || k.Padding != "same" || k.Mean[0] != 127 || k.Crop != "tf" {
		t.Errorf("%+v", k)
	}
	if checks, err := h.Verify("tensorflow/efficientnet-lite0"); err != nil || len(checks) != 2 {
		t.Errorf("%+v, %v", checks, err)
	}
	if _, err := h.Remove("tensorflow/efficientnet-lite0"); err != nil || h.Cached("tensorflow/efficientnet-lite0") != "" {
		t.Errorf("%v", err)
	}
}

// archive is a TensorFlow release: a folder with a checkpoint and what is not needed of it.
func archive(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchives(t *testing.T) {
	index, data := []byte("an index"), bytes.Repeat([]byte("weights"), 1000)
	whole := map[string][]byte{"net/checkpoint": []byte("x"), "net/model.ckpt-7.index": index, "net/model.ckpt-7.data-00000-of-00001": data, "net/../../../evil.index.txt": nil}
	for _, c := range []struct {
		name    string
		archive []byte
		want    string // of the error
	}{
		{"whole", archive(t, whole), ""},
		{"cut", archive(t, whole)[:100], "damaged"},
		{"no archive", []byte("<html>"), "is not an archive"},
		{"empty", archive(t, map[string][]byte{"net/readme": nil}), "holds 0 TensorFlow checkpoints"},
		{"two", archive(t, map[string][]byte{"a/m.index": nil, "b/m.index": nil, "a/m.data-00000-of-00001": nil}), "holds 2 TensorFlow checkpoints"},
		{"a bomb", archive(t, map[string][]byte{"a/m.index": nil, "a/m.data-00000-of-00001": make([]byte, 20<<20)}), "far more than the network"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := hubtest.New(t)
			h, _ := client(t, s.URL)
			src := plain(s.Store("net.tar.gz", c.archive), "")
			found, err := h.pull(t.Context(), src)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || h.cached(src) != "" {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			mustBe(t, found.Path+".index", index)
			mustBe(t, found.Path+".data-00000-of-00001", data)
			if h.cached(src) != found.Path {
				t.Errorf("%s, want %s", h.cached(src), found.Path)
			}
			if checks := verifyOwn(filepath.Dir(found.Path), src.entry); len(checks) != 2 || checks[0].Err != nil || checks[1].Err != nil {
				t.Errorf("%+v", checks)
			}
			if err := os.Truncate(found.Path+".index", 3); err != nil {
				t.Fatal(err)
			}
			if checks := verifyOwn(filepath.Dir(found.Path), src.entry); checks[1].Err == nil {
				t.Errorf("%+v", checks)
			}
		})
	}
}
