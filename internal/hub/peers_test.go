package hub

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"effnet/internal/filelock"
)

// python is a command of tools/hub_check.py in a cache.
func python(ctx context.Context, t *testing.T, cache, endpoint string, args ...string) *exec.Cmd {
	t.Helper()
	name := os.Getenv("EFFNET_PYTHON")
	if name == "" {
		t.Skip("EFFNET_PYTHON is not set: set it to a Python with huggingface_hub")
	}
	cmd := exec.CommandContext(ctx, name, append([]string{"../../tools/hub_check.py"}, args...)...)
	cmd.Env = append(os.Environ(), "HF_HUB_CACHE="+cache, "HF_ENDPOINT="+endpoint, "HF_HUB_DISABLE_PROGRESS_BARS=1", "HF_HUB_DISABLE_TELEMETRY=1", "HF_TOKEN=", "NO_PROXY=*")
	cmd.Stderr = os.Stderr
	return cmd
}

func lines(t *testing.T, cmd *exec.Cmd) []string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Fields(strings.TrimSpace(string(out)))
}

// huggingface_hub takes the test's server for a hub: files, what is missing, what is gated.
// What it downloaded this program finds without a network.
func TestHuggingFaceHubDownloads(t *testing.T) {
	s, repo, content := publish(t, b0)
	h, _ := client(t, s.URL)
	got := lines(t, python(t.Context(), t, h.HubCache, s.URL, "download", b0, "config.json", "model.safetensors", "none.txt"))
	if len(got) != 3 || got[2] != "RemoteEntryNotFoundError" {
		t.Fatalf("%q", got)
	}
	mustBe(t, got[1], content)
	h.Offline = true
	for _, name := range []string{b0, "hf:" + b0} {
		found, err := h.Resolve(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if found.Path != got[1] {
			t.Errorf("%s: %s, and huggingface_hub's is %s", name, found.Path, got[1])
		}
	}
	for _, c := range mustVerify(t, h, b0) {
		if c.Err != nil || c.By == "its structure" {
			t.Errorf("%+v", c)
		}
	}
	whole := lines(t, python(t.Context(), t, h.HubCache, s.URL, "snapshot", b0))
	mustBe(t, filepath.Join(whole[0], "README.md"), []byte("hello"))
	repo.Gated = true
	if got := lines(t, python(t.Context(), t, t.TempDir(), s.URL, "download", b0, "config.json")); got[0] != "GatedRepoError" {
		t.Errorf("gated: %q", got)
	}
	if got := lines(t, python(t.Context(), t, t.TempDir(), s.URL, "download", "me/none", "config.json")); got[0] != "RepositoryNotFoundError" {
		t.Errorf("none: %q", got)
	}
}

func mustVerify(t *testing.T, h *Hub, name string) []Check {
	t.Helper()
	checks, err := h.Verify(name)
	if err != nil {
		t.Fatal(err)
	}
	return checks
}

// What this program downloaded huggingface_hub finds without a network, and counts as its
// own: with links and with copies.
func TestHuggingFaceHubFinds(t *testing.T) {
	for _, copies := range []bool{false, true} {
		s, _, content := publish(t, b0)
		h, _ := client(t, s.URL)
		h.NoLinks = copies
		found, err := h.Pull(t.Context(), b0)
		if err != nil {
			t.Fatal(err)
		}
		got := lines(t, python(t.Context(), t, h.HubCache, "http://127.0.0.1:1", "offline", b0, "config.json", "model.safetensors"))
		if len(got) != 2 || got[1] != found.Path {
			t.Errorf("copies %v: %q, want %s", copies, got, found.Path)
		}
		out, err := python(t.Context(), t, h.HubCache, "", "scan").Output()
		want := fmt.Sprintf("%s 2 %d main\n", b0, len(content)+len(`{"architecture": "efficientnet_b0"}`))
		if err != nil || string(out) != want {
			t.Errorf("copies %v: scan: %v, %q, want %q", copies, err, out, want)
		}
		s.Requests()
		lines(t, python(t.Context(), t, h.HubCache, s.URL, "download", b0, "model.safetensors"))
		for _, r := range s.Requests() {
			if "http://"+r.Host == s.StoreURL {
				t.Errorf("copies %v: it downloads what is there: %+v", copies, r)
			}
		}
	}
}

// huggingface_hub's own shared store: what was moved there is found, checked and, with the
// repository, not deleted.
func TestHuggingFaceHubShares(t *testing.T) {
	s, _, content := publish(t, b0)
	h, _ := client(t, s.URL)
	if _, err := h.Pull(t.Context(), b0); err != nil {
		t.Fatal(err)
	}
	shared := lines(t, python(t.Context(), t, h.HubCache, s.URL, "share", b0))
	if len(shared) == 0 {
		t.Skip("this huggingface_hub has no shared store: pip install --upgrade huggingface_hub")
	}
	mustBe(t, shared[0], content)
	h.Offline = true
	found, err := h.Resolve(t.Context(), b0)
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, found.Path, content)
	for _, c := range mustVerify(t, h, b0) {
		if c.Err != nil || c.By == "its structure" {
			t.Errorf("%+v", c)
		}
	}
	if _, err := h.Remove(b0); err != nil {
		t.Fatal(err)
	}
	mustBe(t, shared[0], content)
}

// Either waits for the other's lock.
func TestHuggingFaceHubLocks(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	path := filepath.Join(t.TempDir(), "a.lock")
	other := python(ctx, t, "", "", "lock", path)
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := filelock.Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan error)
	go func() {
		_, err := bufio.NewReader(stdout).ReadString('\n')
		said <- err
	}()
	select {
	case err := <-said:
		t.Fatalf("it took the lock that was taken (%v)", err)
	case <-time.After(3 * time.Second): // it takes one to start
	}
	unlock()
	if err := <-said; err != nil {
		t.Fatal(err)
	}
	waited := false
	unlock, err = filelock.Wait(ctx, path, func() {
		waited = true
		_ = stdin.Close() // which ends it
	})
	if err != nil || !waited {
		t.Fatalf("waited %v, %v", waited, err)
	}
	unlock()
	if err := other.Wait(); err != nil {
		t.Error(err)
	}
}
