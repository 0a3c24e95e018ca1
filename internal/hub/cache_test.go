package hub

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/checkpoint"
)

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

// A pull replaces what of the cache is damaged, with links and without.
func TestPullRepairs(t *testing.T) {
	damage := map[string]func(t *testing.T, path string){
		"truncated": func(t *testing.T, path string) { must(t, os.Truncate(path, 1000)) },
		"empty":     func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) },
		"other":     func(t *testing.T, path string) { must(t, os.WriteFile(path, someWeights(1<<15), 0o666)) },
		"gone":      func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"a folder": func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o777))
		},
	}
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			s, _, content := publish(t, b0)
			h, _ := client(t, s.URL)
			found, err := h.Pull(t.Context(), b0)
			must(t, err)
			blob, err := filepath.EvalSymlinks(found.Path)
			must(t, err)
			spoil(t, blob)
			if _, err := h.Pull(t.Context(), b0); err != nil {
				t.Fatal(err)
			}
			mustBe(t, found.Path, content)
		})
	}
	t.Run("a file in the place of a link", func(t *testing.T) {
		s, _, content := publish(t, b0)
		h, _ := client(t, s.URL)
		h.NoLinks = true
		found, err := h.Pull(t.Context(), b0)
		must(t, err)
		must(t, os.Truncate(found.Path, 1000))
		if _, err := h.Pull(t.Context(), b0); err != nil {
			t.Fatal(err)
		}
		mustBe(t, found.Path, content)
	})
}

// A cache that cannot be written to is an error that says which variable sets another.
func TestCacheIsNoFolder(t *testing.T) {
	s, _, _ := publish(t, b0)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o666))
	for of, variable := range map[string]string{b0: "HF_HUB_CACHE", "keras/efficientnetb0": "EFFNET_CACHE"} {
		h, _ := client(t, s.URL)
		h.HubCache, h.OwnCache = filepath.Join(file, "hub"), filepath.Join(file, "own")
		_, err := h.Pull(t.Context(), of)
		e, ok := errors.AsType[*checkpoint.Error](err)
		if !ok || !strings.HasPrefix(e.Reason, "cannot be kept in "+file) || e.Hint != "set "+variable+" to a folder that you may write to" {
			t.Errorf("%s: %v (%s)", of, err, hintOf(e))
		}
	}
}

// An address that is none is said at once, and not tried again.
func TestEndpointIsNone(t *testing.T) {
	for _, endpoint := range []string{"nonsense", "ftp://example.org", "http://", "://"} {
		h, waits := client(t, endpoint)
		_, err := h.Pull(t.Context(), b0)
		e, ok := errors.AsType[*checkpoint.Error](err)
		if !ok || !strings.Contains(err.Error(), "HF_ENDPOINT is") || e.Hint != "want an address such as https://huggingface.co" || len(*waits) > 0 {
			t.Errorf("%s: %v (%s), waited %v", endpoint, err, hintOf(e), *waits)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
