package bundle

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// A bundle runs where there is nothing but its file: no /proc, which says where that is, and
// nowhere to write.
func TestEmptyRoot(t *testing.T) {
	file := content(t, bundled(t, build(t, "linux", runtime.GOARCH, ""), "about it", "network"))
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin", "program"), file, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "bin"), 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(root, "bin"), 0o755) }) // to remove it
	for _, name := range []string{"/bin/program", "program", "./program"} {
		cmd := exec.CommandContext(t.Context(), "/bin/program")
		cmd.Args, cmd.Env, cmd.Dir = []string{name}, []string{"PATH=/sbin:/bin"}, "/bin"
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot:      root,
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EACCES) {
			t.Skipf("%v: run the test where user namespaces are allowed (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)", err)
		}
		if err != nil || string(out) != "about it network <nil>\n" {
			t.Errorf("as %s: %v\n%s", name, err, out)
		}
	}
}
