package checkpoint

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// childEnv tells a copy of the test binary which part to play, and where.
const childEnv = "CHECKPOINT_TEST_PATH"

func child(t *testing.T, path string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// TestWriteFull fills the disk midway, by a limit on the size of files.
func TestWriteFull(t *testing.T) {
	if path := os.Getenv(childEnv); path != "" {
		signal.Ignore(syscall.SIGXFSZ) // for EFBIG from write instead
		limit := syscall.Rlimit{Cur: chunk, Max: chunk}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		if err := Write(path, testMeta(), testTensors()); !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("Write past the limit: %v", err)
		}
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	old := testTensors()[1:]
	if err := Write(path, testMeta(), old); err != nil {
		t.Fatal(err)
	}
	if err := child(t, path).Run(); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil || len(got.Tensors) != len(old) {
		t.Errorf("the old checkpoint is damaged: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

// TestWriteKilled kills a process that does nothing but write.
func TestWriteKilled(t *testing.T) {
	if path := os.Getenv(childEnv); path != "" {
		for {
			if err := Write(path, testMeta(), testTensors()); err != nil {
				t.Fatal(err)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := Write(path, testMeta(), testTensors()); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		cmd := child(t, path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(40+7*i) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if _, err := Read(path); err != nil {
			t.Fatal(err)
		}
	}
}
