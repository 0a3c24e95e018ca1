package hub

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
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
