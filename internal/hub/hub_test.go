package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"effnet/internal/checkpoint"
	"effnet/internal/hub/hubtest"
	"effnet/internal/named"
)

const b0 = "timm/efficientnet_b0.ra_in1k"

// someWeights are a safetensors file of n floats.
func someWeights(n int) []byte {
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(i)
	}
	return hubtest.Safetensors([]named.Tensor{{Name: "x", Shape: []int{n}, Data: data}})
}

// client is a Hub with a cache of its own. Its waits take no time, and are noted.
func client(t *testing.T, endpoint string) (h *Hub, waits *[]time.Duration) {
	t.Helper()
	dir := t.TempDir()
	h = New(Settings{
		Endpoint: endpoint, HubCache: filepath.Join(dir, "hub"), OwnCache: filepath.Join(dir, "own"),
		Metadata: 5 * time.Second, Stall: 5 * time.Second, UserAgent: "effnet/test",
	})
	waits = new([]time.Duration)
	h.sleep = func(_ context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return nil
	}
	return h, waits
}

// publish is a hub with one repository.
func publish(t *testing.T, name string) (*hubtest.Server, *hubtest.Repo, []byte) {
	t.Helper()
	s := hubtest.New(t)
	content := someWeights(1 << 16)
	r := s.Add(name, map[string][]byte{"config.json": []byte(`{"architecture": "efficientnet_b0"}`), "model.safetensors": content, "README.md": []byte("hello")})
	return s, r, content
}

func mustBe(t *testing.T, path string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Fatalf("%s has %d bytes that are not those of %d that were published", path, len(got), len(content))
	}
}

// unfinished lists what is in a cache and has no final name.
func unfinished(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.Contains(filepath.Base(path), "incomplete") {
			all = append(all, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

func TestPull(t *testing.T) {
	s, repo, content := publish(t, b0)
	h, _ := client(t, s.URL)
	var done, total int64
	h.Progress = func(_ string, d, all int64) { done, total = d, all }
	found, err := h.Resolve(t.Context(), "timm/efficientnet_b0")
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, found.Path, content)
	if want := filepath.Join(h.HubCache, "models--timm--efficientnet_b0.ra_in1k", "snapshots", repo.Commit, "model.safetensors"); found.Path != want {
		t.Errorf("%s, want %s", found.Path, want)
	}
	if found.Known.Padding != "symmetric" || found.Known.Resolution != 224 {
		t.Errorf("%+v is not what the table says", *found.Known)
	}
	if done != int64(len(content)) || total != done {
		t.Errorf("progress ends at %d of %d bytes", done, total)
	}
	if left := unfinished(t, h.HubCache); left != nil {
		t.Errorf("left: %v", left)
	}
	s.Requests()
	if _, err := h.Resolve(t.Context(), b0); err != nil {
		t.Fatal(err)
	}
	if again := s.Requests(); again != nil {
		t.Errorf("what is in the cache asks the network: %v", again)
	}
	if h.Cached("hf:"+b0) == "" || h.Cached("timm/efficientnet_b1") != "" {
		t.Error("Cached does not tell what is there")
	}
}

// A pull finds what was published since, and keeps what it has of it.
func TestPullIsNew(t *testing.T) {
	s, _, content := publish(t, b0)
	h, _ := client(t, s.URL)
	old, err := h.Pull(t.Context(), b0)
	if err != nil {
		t.Fatal(err)
	}
	s.Add(b0, map[string][]byte{"config.json": []byte(`{}`), "model.safetensors": content})
	s.Requests()
	found, err := h.Pull(t.Context(), b0)
	if err != nil {
		t.Fatal(err)
	}
	if found.Path == old.Path {
		t.Error("the new commit was not found")
	}
	mustBe(t, found.Path, content)
	for _, r := range s.Requests() {
		if r.Host == strings.TrimPrefix(s.StoreURL, "http://") {
			t.Errorf("the weights, which are the same, came again: %v", r)
		}
	}
	if now := h.Cached(b0); now != found.Path {
		t.Errorf("main is %s", now)
	}
}

// The token goes to the hub, and to no other host.
func TestTokenStays(t *testing.T) {
	s, repo, content := publish(t, "me/private")
	repo.Token = "hf_secret"
	h, _ := client(t, s.URL)
	_, err := h.Pull(t.Context(), "hf:me/private")
	if e, ok := errors.AsType[*checkpoint.Error](err); !ok || !strings.Contains(e.Error(), "401") || !strings.Contains(e.Hint, "HF_TOKEN") {
		t.Errorf("without a token: %v", err)
	}
	h.Token = "hf_secret"
	found, err := h.Pull(t.Context(), "hf:me/private")
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, found.Path, content)
	stored := 0
	for _, r := range s.Requests() {
		if "http://"+r.Host != s.URL {
			stored++
			if r.Authorization != "" {
				t.Errorf("the token went to %s: %+v", r.Host, r)
			}
		}
	}
	if stored == 0 {
		t.Error("nothing was redirected")
	}
}

// Faults that go away, and what is done about them.
func TestFaultsThatPass(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(content []byte) hubtest.Fault
		waits string // "" for none
	}{
		{"429 with Retry-After", func([]byte) hubtest.Fault {
			return hubtest.Fault{Part: "/resolve/", Times: 1, Answer: hubtest.Status(429, "Retry-After", "7")}
		}, "[7s]"},
		{"429 with the hub's limit", func([]byte) hubtest.Fault {
			return hubtest.Fault{Part: "/api/", Times: 1, Answer: hubtest.Status(429, "RateLimit", `"api";r=0;t=55`)}
		}, "[55s]"},
		{"500 twice", func([]byte) hubtest.Fault {
			return hubtest.Fault{Part: "/api/", Times: 2, Answer: hubtest.Status(500)}
		}, "[1s 2s]"},
		{"the store's 503", func(b []byte) hubtest.Fault {
			return hubtest.Fault{Method: "GET", Part: sha(b), Times: 1, Answer: hubtest.Status(503)}
		}, "[1s]"},
		{"cut in the middle", func(b []byte) hubtest.Fault {
			return hubtest.Fault{Method: "GET", Part: sha(b), Times: 1, Answer: hubtest.Send(b[:len(b)/2], len(b))}
		}, "[1s]"},
		{"a stall", func(b []byte) hubtest.Fault {
			return hubtest.Fault{Method: "GET", Part: sha(b), Times: 1, Answer: hubtest.Stall(b[:100_000], len(b))}
		}, "[1s]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, content := publish(t, b0)
			h, waits := client(t, s.URL)
			h.Stall = 200 * time.Millisecond
			s.Fail(c.fault(content))
			found, err := h.Pull(t.Context(), b0)
			if err != nil {
				t.Fatal(err)
			}
			mustBe(t, found.Path, content)
			if got := fmt.Sprint(*waits); got != c.waits && (c.waits != "" || len(*waits) > 0) {
				t.Errorf("waited %s, want %s", got, c.waits)
			}
			if left := unfinished(t, h.HubCache); left != nil {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// sha is the path of a large file in the store.
func sha(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Faults that stay: the error, what it says to do, and that no file has its name.
func TestFaultsThatStay(t *testing.T) {
	for _, c := range []struct {
		name, of string
		fault    func(s *hubtest.Server, r *hubtest.Repo, content []byte)
		want     string // of the error
		hint     string // of the hint
	}{
		{"gated", b0, func(_ *hubtest.Server, r *hubtest.Repo, _ []byte) { r.Gated = true }, "403", "ask for access on its page"},
		{"no repository", "hf:me/none", nil, "401 Unauthorized: Repository not found", "there is no such repository, or it is private"},
		{"no revision", b0 + "@v9", nil, "404", "it has no revision v9"},
		{"500 for ever", b0, func(s *hubtest.Server, _ *hubtest.Repo, _ []byte) {
			s.Fail(hubtest.Fault{Part: "/api/", Times: -1, Answer: hubtest.Status(500)})
		}, "500", "try again later"},
		{"429 for too long", b0, func(s *hubtest.Server, _ *hubtest.Repo, _ []byte) {
			s.Fail(hubtest.Fault{Part: "/api/", Times: -1, Answer: hubtest.Status(429, "Retry-After", "86400")})
		}, "429", "wait"},
		{"a login page for the repository", b0, func(s *hubtest.Server, _ *hubtest.Repo, _ []byte) {
			s.Fail(hubtest.Fault{Times: -1, Answer: hubtest.LoginPage})
		}, "cannot be read", ""},
		{"a login page for a file's headers", b0, func(s *hubtest.Server, _ *hubtest.Repo, _ []byte) {
			s.Fail(hubtest.Fault{Part: "/resolve/", Times: -1, Answer: hubtest.LoginPage})
		}, "neither commit nor ETag", ""},
		{"a login page for the file", b0, func(s *hubtest.Server, _ *hubtest.Repo, b []byte) {
			s.Fail(hubtest.Fault{Method: "GET", Part: sha(b), Times: -1, Answer: hubtest.LoginPage})
		}, "a web page came in its place", ""},
		{"wrong length", b0, func(s *hubtest.Server, _ *hubtest.Repo, b []byte) {
			s.Fail(hubtest.Fault{Method: "GET", Part: sha(b), Times: -1, Answer: hubtest.Send(b[:50_000], 50_000)})
		}, "sends 50000 bytes, where it announced", ""},
		{"wrong contents", b0, func(s *hubtest.Server, _ *hubtest.Repo, b []byte) {
			s.Fail(hubtest.Fault{Method: "GET", Part: sha(b), Times: -1, Answer: hubtest.Send(bytes.Repeat([]byte("x"), len(b)), len(b))})
		}, "another checksum (SHA-256)", ""},
		{"always cut", b0, func(s *hubtest.Server, _ *hubtest.Repo, b []byte) {
			s.Fail(hubtest.Fault{Method: "GET", Part: sha(b), Times: -1, Answer: hubtest.Send(nil, len(b))})
		}, "ended in the middle of the file", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, repo, content := publish(t, b0)
			if c.fault != nil {
				c.fault(s, repo, content)
			}
			h, _ := client(t, s.URL)
			_, err := h.Resolve(t.Context(), c.of)
			e, ok := errors.AsType[*checkpoint.Error](err)
			if !ok || !strings.Contains(e.Error(), c.want) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("%v (%s), want %q (%q)", err, hintOf(e), c.want, c.hint)
			}
			if path := h.Cached(c.of); path != "" {
				t.Errorf("%s is in the cache", path)
			}
			if _, err := os.Stat(filepath.Join(h.folder(&source{repo: b0}), "blobs", sha(content))); err == nil {
				t.Error("what failed has its name")
			}
		})
	}
}

func hintOf(e *checkpoint.Error) string {
	if e == nil {
		return ""
	}
	return e.Hint
}

// What an earlier download left is continued, from its end on; what is not the file's
// beginning is not.
func TestContinues(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		s, _, content := publish(t, b0)
		h, _ := client(t, s.URL)
		blobs := filepath.Join(h.folder(&source{repo: b0}), "blobs")
		if err := os.MkdirAll(blobs, 0o777); err != nil {
			t.Fatal(err)
		}
		left := bytes.Clone(content[:100_001])
		if damaged {
			left[5] ^= 1
		}
		if err := os.WriteFile(filepath.Join(blobs, sha(content)+".incomplete"), left, 0o666); err != nil {
			t.Fatal(err)
		}
		found, err := h.Pull(t.Context(), b0)
		if err != nil {
			t.Fatal(err)
		}
		mustBe(t, found.Path, content)
		var ranges []string
		for _, r := range s.Requests() {
			if "http://"+r.Host == s.StoreURL {
				ranges = append(ranges, r.Range)
			}
		}
		want := "[bytes=100001-]"
		if damaged {
			want = "[bytes=100001- ]"
		}
		if got := fmt.Sprint(ranges); got != want {
			t.Errorf("damaged %v: ranges %s, want %s", damaged, got, want)
		}
	}
}

// Without a network a cache does, and what it lacks is an error that says what to copy.
func TestNoNetwork(t *testing.T) {
	s, _, _ := publish(t, b0)
	h, _ := client(t, s.URL)
	if _, err := h.Pull(t.Context(), b0); err != nil {
		t.Fatal(err)
	}
	for _, offline := range []bool{true, false} {
		gone, _ := client(t, "http://127.0.0.1:1") // where nobody listens
		gone.HubCache, gone.Offline = h.HubCache, offline
		if _, err := gone.Resolve(t.Context(), b0); err != nil {
			t.Errorf("what is there: %v", err)
		}
		if _, err := gone.Pull(t.Context(), b0); (err == nil) != offline {
			t.Errorf("offline %v, a pull of what is there: %v", offline, err)
		}
		_, err := gone.Resolve(t.Context(), "timm/efficientnet_b1")
		e, ok := errors.AsType[*checkpoint.Error](err)
		want := filepath.Join(h.HubCache, "models--timm--efficientnet_b1.ra4_e3600_r240_in1k")
		if !ok || !strings.Contains(e.Hint, "effnet weights pull timm/efficientnet_b1") || !strings.Contains(e.Hint, want) {
			t.Errorf("what is not: %v (%s)", err, hintOf(e))
		}
	}
}

// A path that is there wins over a name.
func TestPathsWin(t *testing.T) {
	h, _ := client(t, "http://127.0.0.1:1")
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("timm/efficientnet_b0", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("timm/efficientnet_b0/model.safetensors", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	found, err := h.Resolve(t.Context(), "timm/efficientnet_b0")
	if err != nil || found.Path != filepath.Join("timm/efficientnet_b0", "model.safetensors") || found.Known != nil {
		t.Errorf("%+v, %v", found, err)
	}
	if found, err := h.Resolve(t.Context(), "nothing.safetensors"); err != nil || found.Path != "nothing.safetensors" {
		t.Errorf("%+v, %v: opening it tells", found, err)
	}
}

// Without links there are files in their place.
func TestNoLinks(t *testing.T) {
	s, _, content := publish(t, b0)
	h, _ := client(t, s.URL)
	h.NoLinks = true
	found, err := h.Pull(t.Context(), b0)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(found.Path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
	mustBe(t, found.Path, content)
	if _, err := h.Pull(t.Context(), b0); err != nil {
		t.Errorf("again: %v", err)
	}
}

// A blob that is a link into a store of many repositories is read, and outlives what links
// to it.
func TestSharedStore(t *testing.T) {
	s, repo, content := publish(t, b0)
	h, _ := client(t, s.URL)
	shared := filepath.Join(h.HubCache, "blobs", "ab", "abcdef")
	blob := filepath.Join(h.folder(&source{repo: b0}), "blobs", sha(content))
	for _, dir := range []string{filepath.Dir(shared), filepath.Dir(blob)} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(shared, content, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("..", "..", "blobs", "ab", "abcdef"), blob); err != nil {
		t.Skip("this system has no links: ", err)
	}
	found, err := h.Pull(t.Context(), b0)
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, found.Path, content)
	for _, r := range s.Requests() {
		if "http://"+r.Host == s.StoreURL {
			t.Errorf("it was downloaded all the same: %+v", r)
		}
	}
	if checks, err := h.Verify(b0); err != nil || len(checks) != 2 || checks[1].Err != nil || checks[1].By != "SHA-256" {
		t.Errorf("%+v, %v", checks, err)
	}
	if _, err := h.Remove(b0); err != nil {
		t.Fatal(err)
	}
	mustBe(t, shared, content)
	if h.Cached(b0) != "" || repo.Commit == "" {
		t.Error("it is still there")
	}
}

func TestVerify(t *testing.T) {
	s, _, content := publish(t, b0)
	h, _ := client(t, s.URL)
	if _, err := h.Verify(b0); err == nil || !strings.Contains(err.Error(), "is not in the cache") {
		t.Errorf("what is not there: %v", err)
	}
	found, err := h.Pull(t.Context(), b0)
	if err != nil {
		t.Fatal(err)
	}
	checks, err := h.Verify(b0)
	if err != nil || len(checks) != 2 {
		t.Fatalf("%+v, %v", checks, err)
	}
	for _, c := range checks {
		if c.Err != nil || c.By == "its structure" {
			t.Errorf("%+v", c)
		}
	}
	content[len(content)-1] ^= 1
	if err := os.WriteFile(found.Path, content, 0o666); err != nil {
		t.Fatal(err)
	}
	if checks, err := h.Verify(b0); err != nil || checks[1].Err == nil {
		t.Errorf("a changed bit: %+v, %v", checks, err)
	}
	freed, err := h.Remove(b0)
	if err != nil || freed < int64(len(content)) {
		t.Errorf("%d bytes, %v", freed, err)
	}
	if _, err := h.Remove(b0); err == nil {
		t.Error("what is not there was removed")
	}
}

// Several that want the same file at once bring it once.
func TestAtOnce(t *testing.T) {
	s, _, content := publish(t, b0)
	first, _ := client(t, s.URL)
	failed := make(chan error, 4)
	for range cap(failed) {
		h, _ := client(t, s.URL)
		h.HubCache = first.HubCache
		go func() {
			_, err := h.Pull(context.WithoutCancel(t.Context()), b0)
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	mustBe(t, first.Cached(b0), content)
	gets := 0
	for _, r := range s.Requests() {
		if "http://"+r.Host == s.StoreURL && r.Method == http.MethodGet {
			gets++
		}
	}
	if gets != 1 {
		t.Errorf("it was downloaded %d times", gets)
	}
}

// An interrupted download leaves what came, under another name.
func TestInterrupted(t *testing.T) {
	s, _, content := publish(t, b0)
	h, _ := client(t, s.URL)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	h.Progress = func(file string, done, _ int64) {
		if strings.HasSuffix(file, ".safetensors") && done > 10_000 {
			cancel(stopped)
		}
	}
	s.Fail(hubtest.Fault{Method: "GET", Part: sha(content), Times: 1, Answer: hubtest.Stall(content[:100_000], len(content))})
	if _, err := h.Pull(ctx, b0); !errors.Is(err, stopped) {
		t.Errorf("%v", err)
	}
	if h.Cached(b0) != "" {
		t.Error("it has its name")
	}
	if left := unfinished(t, h.HubCache); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}
