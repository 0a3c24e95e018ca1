package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A full disk stops training with a sentence; with room again it resumes and
// ends in the same bits.
func TestFullDisk(t *testing.T) {
	dir := faultData(t)
	if out, err := effnetCommand(t.Context(), dir, "train", "d", "--config", "fault.yaml", "--out", "whole", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("cannot make a small disk: %v (run the test as root)", err)
	}
	defer func() { _ = syscall.Unmount(disk, 0) }()
	args := []string{"train", "d", "-q", "--out", "disk/run", "--config", "fault.yaml"}
	stops := 0
	for ballast := 4 << 20; ; ballast -= 96 << 10 {
		// As much as there is room for, at most ballast bytes.
		f, err := os.Create(filepath.Join(disk, "ballast"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write(make([]byte, max(ballast, 0)))
		f.Close()
		out, err := effnetCommand(t.Context(), dir, args...).CombinedOutput()
		if err == nil {
			break
		}
		stops++
		if !strings.Contains(string(out), "no space left on device") || strings.Contains(string(out), "panic") {
			t.Fatalf("%v\n%s", err, out)
		}
		if states, _ := filepath.Glob(filepath.Join(disk, "run", "state-*")); len(states) > 0 {
			args = []string{"train", "d", "-q", "--out", "disk/run", "--resume"}
		} else {
			args = []string{"train", "d", "-q", "--out", "disk/run", "--config", "fault.yaml", "--exist-ok"}
		}
		if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
			t.Fatal(err)
		}
	}
	if stops < 2 {
		t.Errorf("the disk was full %d times", stops)
	}
	if results(t, filepath.Join(disk, "run")) != results(t, filepath.Join(dir, "whole")) {
		t.Error("other weights")
	}
	t.Logf("%d stops", stops)
}
