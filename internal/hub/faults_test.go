package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"effnet/internal/checkpoint"
	"effnet/internal/hub/hubtest"
)

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
		{"a question about the repository that is not answered", func([]byte) hubtest.Fault {
			return hubtest.Fault{Part: "/api/", Times: 1, Answer: hubtest.Silence}
		}, "[1s]"},
		{"half an answer", func([]byte) hubtest.Fault {
			return hubtest.Fault{Part: "/api/", Times: 1, Answer: hubtest.Stall([]byte(`{"sha":`), 100)}
		}, "[1s]"},
		{"a question about a file that is not answered", func([]byte) hubtest.Fault {
			return hubtest.Fault{Method: "HEAD", Part: "/model.safetensors", Times: 1, Answer: hubtest.Silence}
		}, "[1s]"},
		{"a file that does not come", func(b []byte) hubtest.Fault {
			return hubtest.Fault{Method: "GET", Part: sha(b), Times: 1, Answer: hubtest.Silence}
		}, "[1s]"},
		{"a stall", func(b []byte) hubtest.Fault {
			return hubtest.Fault{Method: "GET", Part: sha(b), Times: 1, Answer: hubtest.Stall(b[:100_000], len(b))}
		}, "[1s]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // some wait
			s, _, content := publish(t, b0)
			h, waits := client(t, s.URL)
			h = New(Settings{Endpoint: h.Endpoint, HubCache: h.HubCache, Metadata: time.Second, Stall: time.Second})
			h.sleep = func(_ context.Context, d time.Duration) error {
				*waits = append(*waits, d)
				return nil
			}
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
		}, "the server sent a web page instead", ""},
		{"wrong length", b0, func(s *hubtest.Server, _ *hubtest.Repo, b []byte) {
			s.Fail(hubtest.Fault{Method: "GET", Part: sha(b), Times: -1, Answer: hubtest.Send(b[:50_000], 50_000)})
		}, "sends 50000 bytes, where it announced", ""},
		{"wrong contents", b0, func(s *hubtest.Server, _ *hubtest.Repo, b []byte) {
			s.Fail(hubtest.Fault{Method: "GET", Part: sha(b), Times: -1, Answer: hubtest.Send(bytes.Repeat([]byte("x"), len(b)), len(b))})
		}, "the checksum of the download (SHA-256) is not the published one", ""},
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
