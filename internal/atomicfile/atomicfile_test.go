package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	write := func(text string, err error) error {
		return Write(path, func(f *os.File) error {
			_, werr := f.WriteString(text)
			return errors.Join(werr, err)
		})
	}
	failure := errors.New("on purpose")
	for _, c := range []struct {
		text string
		err  error
		want string
	}{{"old", nil, "old"}, {"ne", failure, "old"}, {"new", nil, "new"}} {
		if err := write(c.text, c.err); !errors.Is(err, c.err) {
			t.Errorf("writing %s: %v, want %v", c.text, err, c.err)
		}
		if got, err := os.ReadFile(path); string(got) != c.want {
			t.Errorf("after %s: %q, %v; want %q", c.text, got, err, c.want)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v (%v), want x alone", entries, err)
	}
	wantMode(t, path, 0o644)
}

// A folder is not replaced, and nothing is written before that is known.
func TestWriteOverFolder(t *testing.T) {
	dir := t.TempDir()
	err := Write(dir, func(*os.File) error { t.Error("it is written"); return nil })
	if e, ok := errors.AsType[*FolderError](err); !ok || e.Error() != dir+" is a folder (name a file in it)" {
		t.Errorf("%v", err)
	}
}

func TestWriteProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := WriteProgram(path, func(*os.File) error { return nil }); err != nil {
		t.Fatal(err)
	}
	wantMode(t, path, 0o755)
}

// wantMode checks who may do what with a file; Windows has no such modes.
func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != want {
		t.Errorf("mode %v, want %v", info.Mode(), want)
	}
}

func TestWriteFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	write := func(err error) error {
		return WriteFolder(path, func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "a"), nil, 0o666), err)
		})
	}
	failure := errors.New("on purpose")
	if err := write(failure); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("half a folder is there")
	}
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := write(nil); err != nil {
		t.Errorf("in place of an empty folder: %v", err)
	}
	if _, err := os.Stat(filepath.Join(path, "a")); err != nil {
		t.Error(err)
	}
	if err := write(nil); err == nil {
		t.Error("a folder with something in it was replaced")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
