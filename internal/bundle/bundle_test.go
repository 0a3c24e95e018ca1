package bundle

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"effnet/internal/checkpoint"
	"effnet/internal/version"
)

// systems are those that releases are made for.
var systems = []struct{ os, arch, flags string }{
	{"linux", "amd64", ""},
	{"linux", "arm64", ""},
	{"darwin", "amd64", "-s -w"},
	{"darwin", "arm64", ""},
	{"windows", "amd64", ""},
}

// build builds the program of testdata for a system.
func build(t *testing.T, goos, arch, flags string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags="+flags, "-o", out, "./testdata/program")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+arch, "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// examine examines a program, which is open until the test ends.
func examine(t *testing.T, path string) (*Program, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return Examine(f, info.Size())
}

// bundled writes a bundle of a program and some bytes in place of a network.
func bundled(t *testing.T, program, about, network string) string {
	t.Helper()
	p, err := examine(t, program)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "bundle.exe")
	f, err := os.OpenFile(out, os.O_CREATE|os.O_RDWR, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Write(f, Note{About: about}, func(w io.Writer) error {
		_, err := io.WriteString(w, network)
		return err
	})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return out
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A bundle of each system has the program and the network; the same gives the same bytes,
// also where the network of a bundle is replaced.
func TestSystems(t *testing.T) {
	for _, s := range systems {
		t.Run(strings.TrimSpace(s.os+"_"+s.arch+" "+s.flags), func(t *testing.T) {
			t.Parallel()
			program := build(t, s.os, s.arch, s.flags)
			p, err := examine(t, program)
			if err != nil || p.OS != s.os || p.Arch != s.arch || p.Loader != "" {
				t.Fatalf("%+v, %v", p, err)
			}
			if n := bytes.Count(content(t, program), []byte(slot[:len(mark)])); n != 1 {
				t.Errorf("%d slots", n)
			}
			large := strings.Repeat("large", 20000)
			for network, other := range map[string]string{"network": large, large: ""} {
				out := bundled(t, program, "about it", network)
				wantNetwork(t, out, "about it", network)
				again := bundled(t, bundled(t, program, "", other), "about it", network)
				if !bytes.Equal(content(t, out), content(t, again)) {
					t.Errorf("another bundle of %d bytes in place of one of %d", len(network), len(other))
				}
				if s.os == "darwin" {
					checkMac(t, program, out, s.arch == "arm64")
				}
			}
			runs(t, s.os, s.arch, program, bundled(t, program, "about it", "network"))
		})
	}
}

// wantNetwork opens a bundle.
func wantNetwork(t *testing.T, path, about, network string) {
	t.Helper()
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	have, err := io.ReadAll(b.Network)
	if err != nil || string(have) != network || b.Note.About != about {
		t.Errorf("%.20q (%d bytes), %v; note %+v", have, len(have), err, b.Note)
	}
}

// runs runs a program and its bundle, where this machine can.
func runs(t *testing.T, goos, arch, program, bundle string) {
	t.Helper()
	var by []string
	if goos != runtime.GOOS || arch != runtime.GOARCH {
		if goos != "linux" || arch != "arm64" || runtime.GOOS != "linux" {
			return
		}
		emulator, err := exec.LookPath("qemu-aarch64-static")
		if err != nil {
			t.Skip("not run: install qemu-user-static for qemu-aarch64-static")
		}
		by = []string{emulator}
	}
	for path, want := range map[string]string{program: "none\n", bundle: "about it network <nil>\n"} {
		args := slices.Concat(by, []string{path})
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// A bundle that is damaged or cut short is an error that says so, when it starts and when it
// is opened.
func TestDamaged(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("macOS runs no program that was changed after it was signed; Linux and Windows run this test")
	}
	program := build(t, runtime.GOOS, runtime.GOARCH, "")
	whole := content(t, bundled(t, program, "about it", "network"))
	place := func() place {
		at := bytes.Index(whole, []byte(slot[:len(mark)])) + len(mark)
		return decodePlace(whole[at:])
	}()
	flip := func(at int64) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 1; return b }
	}
	at := int64(bytes.Index(whole, []byte(slot[:len(mark)])) + len(mark))
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"a network's bit":  {flip(place.Offset + place.Size - 1), "is damaged: its network"},
		"a note's bit":     {flip(place.Offset + 1), "is damaged: its network"},
		"a checksum's bit": {flip(at + 30), "is damaged: its network"},
		"cut":              {func(b []byte) []byte { return b[:len(b)-1] }, "is cut short: the end of its network"},
		"only a program":   {func(b []byte) []byte { return b[:place.Offset-1] }, "is cut short: the end of its network"},
		"a long note":      {flip(at + 8 + 5), "has a place for its network that cannot be"},
		"a negative size":  {func(b []byte) []byte { b[at+16+7] = 0x80; return b }, "has a place for its network that cannot be"},
		"elsewhere":        {flip(at + 6), "is cut short"},
	} {
		path := filepath.Join(t.TempDir(), "bundle.exe")
		if err := os.WriteFile(path, c.change(bytes.Clone(whole)), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		var e *checkpoint.Error
		if !errors.As(err, &e) || e.Path != path || !strings.Contains(e.Error(), c.want) || e.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
		out, err := exec.CommandContext(t.Context(), path).CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
}

// What is no program of this version is refused, by what it is.
func TestNoBase(t *testing.T) {
	elf, err := os.ReadFile(build(t, "linux", "amd64", ""))
	if err != nil {
		t.Fatal(err)
	}
	pe := content(t, build(t, "windows", "amd64", ""))
	pattern := []byte(slot[:len(mark)])
	signed := bytes.Clone(pe)
	header := int(signed[0x3c]) + int(signed[0x3d])<<8
	signed[header+24+112+8*4+4] = 1 // the size of the security directory
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":         {nil, "is no program for Linux, macOS or Windows"},
		"text":            {[]byte("#!/bin/sh\n"), "is no program for Linux, macOS or Windows"},
		"another program": {bytes.ReplaceAll(elf, pattern, bytes.ToUpper(pattern)), "is no program of effnet's"},
		"another version": {bytes.ReplaceAll(elf, []byte(slot[len(mark):]), []byte(slot[len(mark):len(mark)+len(empty)]+"9.9.9\x00")), "is effnet 9.9.9, and this is " + version.Number},
		"two slots":       {append(bytes.Clone(elf), slot...), "has two slots"},
		"half":            {elf[:len(elf)/8], "is no program of effnet's"},
		"signed":          {signed, "is signed"},
		"only a slot":     {[]byte("\x7fELF" + slot), "is for Linux, but no program"},
	} {
		_, err := Examine(bytes.NewReader(c.file), int64(len(c.file)))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is no bundle is an error, too.
func TestNotABundle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("text"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, build(t, "linux", "amd64", "")} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "is no program with a network") {
			t.Error(err)
		}
	}
	if b, err := Own(); b != nil || err != nil {
		t.Errorf("the test itself: %v, %v", b, err)
	}
}
