package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// trainedNetwork is a folder with images, d, and a network, run/best.safetensors.
func trainedNetwork(t *testing.T) string {
	t.Helper()
	dir := faultData(t)
	if out, err := effnetCommand(t.Context(), dir, "train", "d", "--config", "fault.yaml", "--epochs", "1", "--out", "run", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// A bundle of a static build classifies an image in a root that has these two files and
// nothing else, not even /proc.
func TestBundleInEmptyRoot(t *testing.T) {
	dir := trainedNetwork(t)
	base := filepath.Join(dir, "static")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-tags=static", "-o", base, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := effnetCommand(t.Context(), dir, "bundle", "run/best.safetensors", "root/flowers", "--base", "static").CombinedOutput(); err != nil || strings.Contains(string(out), "note:") {
		t.Fatalf("%v\n%s", err, out)
	}
	const image = "d/val/0/30.png"
	if err := os.Link(filepath.Join(dir, image), filepath.Join(root, "30.png")); err != nil {
		t.Fatal(err)
	}
	want, err := effnetCommand(t.Context(), filepath.Join(dir, "d/val/0"), "predict", "../../../run/best.safetensors", "30.png").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/flowers", "30.png")
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:      root,
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	have, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EACCES) {
		t.Skipf("%v: run the test where user namespaces are allowed (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)", err)
	}
	if err != nil || string(have) != string(want) {
		t.Errorf("%v\n%s, want\n%s", err, have, want)
	}
}

// The running program is not overwritten, also where another is the base.
func TestBundleOverItself(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "flowers")
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"bundle", "x", program}, {"bundle", "x", link}, {"bundle", "x", program, "--base", "/bin/sh"}} {
		out, err := effnetCommand(t.Context(), "", args...).CombinedOutput()
		if err == nil || !strings.HasSuffix(string(out), " is effnet itself, which would be overwritten (name another file)\n") {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
}

// A full disk is a sentence, and leaves what was there before.
func TestBundleOnFullDisk(t *testing.T) {
	dir := trainedNetwork(t)
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("cannot make a small disk: %v (run the test as root)", err)
	}
	defer func() { _ = syscall.Unmount(disk, 0) }()
	old := filepath.Join(disk, "flowers")
	if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := effnetCommand(t.Context(), dir, "bundle", "run/best.safetensors", "disk/flowers").CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "effnet: bundle: writing disk/flowers: ") || !strings.HasSuffix(string(out), "no space left on device\n") {
		t.Errorf("%v\n%s", err, out)
	}
	if entries, err := os.ReadDir(disk); err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if text, err := os.ReadFile(old); err != nil || string(text) != "old" {
		t.Errorf("%q, %v", text, err)
	}
}
