package dist

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

var (
	here = Target{runtime.GOOS, runtime.GOARCH, ""}
	at   = time.Date(2026, 11, 28, 12, 0, 2, 0, time.UTC)
)

// checkout copies what a build reads to a folder of another name, with other times.
func checkout(t *testing.T, root string) {
	t.Helper()
	for _, name := range append([]string{"go.mod", "go.sum", "cmd", "configs", "internal"}, documents...) {
		found, err := filepath.Glob("../../" + name)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", name, found, err)
		}
		for _, from := range found {
			to, _ := filepath.Rel("../..", from)
			copyTree(t, from, filepath.Join(root, to))
		}
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// released is what a release from a copy of the checkout has for this machine.
func released(t *testing.T, root string) (Source, []File) {
	t.Helper()
	checkout(t, root)
	s, with, err := Prepare(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.Archive(t.Context(), here, with)
	if err != nil {
		t.Fatal(err)
	}
	return s, files
}

// Two folders give the same bits. EFFNET_COLD=1 has each of them compiled whole: without,
// the go command may take compiled packages of the first for the second.
func TestReproducible(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1795867202")
	dir := t.TempDir()
	var all [2][]File
	var source Source
	for i, folder := range []string{"a", "another/folder of mine"} {
		if os.Getenv("EFFNET_COLD") != "" {
			t.Setenv("GOCACHE", filepath.Join(dir, "cache", hex.EncodeToString([]byte(folder))))
		}
		source, all[i] = released(t, filepath.Join(dir, folder))
	}
	for i, file := range all[0] {
		if other := all[1][i]; file.Name != other.Name || sha256.Sum256(file.Data) != sha256.Sum256(other.Data) {
			t.Errorf("%s and %s differ", file.Name, other.Name)
		}
	}
	contents := unpack(t, all[0][0])
	t.Run("contents", func(t *testing.T) { hasWhatItNeeds(t, contents) })
	t.Run("bom", func(t *testing.T) { listsEveryModule(t, all[0][1].Data, contents[here.Program()]) })
	t.Run("runs", func(t *testing.T) { saysItsVersion(t, contents[here.Program()], source.Version) })
}

// unpack are the files of an archive by name, without its folder.
func unpack(t *testing.T, archive File) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	keep := func(name string, r io.Reader) {
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ = strings.Cut(name, "/")
		files[name] = data
	}
	if here.OS == "windows" {
		zr, err := zip.NewReader(bytes.NewReader(archive.Data), int64(len(archive.Data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range zr.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			keep(f.Name, r)
		}
		return files
	}
	for _, e := range readTar(t, gunzip(t, archive.Data)) {
		keep(e.header.Name, bytes.NewReader(e.data))
	}
	return files
}

func gunzip(t *testing.T, data []byte) io.Reader {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if !zr.ModTime.IsZero() || zr.Name != "" {
		t.Errorf("gzip's header has the time %v and the name %q", zr.ModTime, zr.Name)
	}
	return zr
}

type tarEntry struct {
	header *tar.Header
	data   []byte
}

func readTar(t *testing.T, r io.Reader) (all []tarEntry) {
	t.Helper()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tarEntry{h, data})
	}
}

func hasWhatItNeeds(t *testing.T, contents map[string][]byte) {
	for name, text := range map[string]string{
		"LICENSE": "Apache License", "NOTICE": "WordNet", "README.md": "# effnet", "CHANGELOG.md": "Keep a Changelog", "docs/settings.md": "img-size", "docs/notes/cpu.md": "clangasm",
		"completions/effnet.bash": "__start_effnet", "completions/_effnet": "#compdef effnet", "completions/effnet.fish": "complete -c effnet",
		"completions/effnet.ps1": "ArgumentCompleter", "man/man1/effnet.1": "effnet", "man/man1/effnet-train.1": "Nov 2026",
		"THIRD-PARTY-LICENSES": "gorgonia.org/gorgonia v",
	} {
		if !strings.Contains(string(contents[name]), text) {
			t.Errorf("%s does not have %q", name, text)
		}
	}
	info, err := buildinfo.Read(bytes.NewReader(contents[here.Program()]))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range info.Deps {
		if !strings.Contains(string(contents["THIRD-PARTY-LICENSES"]), "\n"+m.Path+" "+m.Version+": ") {
			t.Errorf("THIRD-PARTY-LICENSES does not have %s", m.Path)
		}
	}
}

func listsEveryModule(t *testing.T, text, program []byte) {
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(program)
	if got := (*bom.Metadata.Component.Hashes)[0].Value; got != hex.EncodeToString(sum[:]) {
		t.Errorf("the program's hash is %x, in the list %s", sum, got)
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]cdx.Component{}
	for _, c := range *bom.Components {
		listed[c.PackageURL] = c
	}
	if want := "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"); listed[want].Name != "std" {
		t.Errorf("the list has no %s", want)
	}
	for _, m := range info.Deps {
		c := listed["pkg:golang/"+m.Path+"@"+m.Version]
		if c.Version != m.Version || c.Hashes == nil {
			t.Errorf("%s %s: %+v", m.Path, m.Version, c)
		}
	}
	if len(listed) != len(info.Deps)+1 || len(info.Deps) < 10 {
		t.Errorf("%d components of %d modules", len(listed), len(info.Deps))
	}
}

func saysItsVersion(t *testing.T, program []byte, version string) {
	path := filepath.Join(t.TempDir(), here.Program())
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), path, "version").Output()
	if first, _, _ := strings.Cut(string(said), "\n"); err != nil || !strings.HasPrefix(first, "effnet "+version+" (go") {
		t.Errorf("%v: %s, want %s", err, first, version)
	}
}

var files = []File{{"x/b", 0o755, []byte("program")}, {"x/a/c", 0o644, []byte("text")}, {"x/a/b/d", 0o644, nil}}

// An archive has its files in order, as root's, with one time, whatever the order in
// which they are given, and each folder before what is in it.
func TestTar(t *testing.T) {
	var one, two bytes.Buffer
	other := slices.Clone(files)
	slices.Reverse(other)
	if err := WriteTarGz(&one, files, at); err != nil {
		t.Fatal(err)
	}
	if err := WriteTarGz(&two, other, at.In(time.FixedZone("elsewhere", 3600))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the order of the files, or the zone of the time, is in the archive")
	}
	var names []string
	for _, e := range readTar(t, gunzip(t, one.Bytes())) {
		h := e.header
		names = append(names, h.Name)
		if !h.ModTime.Equal(at) || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%+v", h)
		}
		if want := map[string]int64{"x/b": 0o755, "x/a/c": 0o644}[h.Name]; want != 0 && h.Mode != want {
			t.Errorf("%s: mode %o, want %o", h.Name, h.Mode, want)
		}
	}
	if got := strings.Join(names, " "); got != "x/ x/a/ x/a/b/ x/a/b/d x/a/c x/b" {
		t.Errorf("the entries are %s", got)
	}
}

func TestZip(t *testing.T) {
	var one, two bytes.Buffer
	other := slices.Clone(files)
	slices.Reverse(other)
	if err := WriteZip(&one, files, at); err != nil {
		t.Fatal(err)
	}
	if err := WriteZip(&two, other, at.In(time.FixedZone("elsewhere", 3600))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the order of the files, or the zone of the time, is in the archive")
	}
	zr, err := zip.NewReader(bytes.NewReader(one.Bytes()), int64(one.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"x/a/b/d", "x/a/c", "x/b"} {
		if f := zr.File[i]; f.Name != name || !f.Modified.Equal(at) || f.Mode().Perm() != map[bool]fs.FileMode{true: 0o755, false: 0o644}[name == "x/b"] {
			t.Errorf("%s: %v, %v", f.Name, f.Modified, f.Mode())
		}
	}
}

// SHA256SUMS is what sha256sum writes, for every file but itself.
func TestSums(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b", "a", Sums} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteSums(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, Sums))
	// printf 'a\n' | sha256sum
	want := "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7  a\n0263829989b6fd954f72baaf2fc64bc2e2f01d692d4de72986ea808f6e99813f  b\n"
	if err != nil || string(got) != want {
		t.Errorf("%v: %s, want %s", err, got, want)
	}
}

// A module whose licence is not there cannot be passed on.
func TestModuleWithoutLicence(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := appendLicences(&text, "example.org/x v1.0.0", dir); err == nil || !strings.Contains(err.Error(), "example.org/x v1.0.0: no licence in ") {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENCE.txt"), []byte("Do what you like."), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := appendLicences(&text, "example.org/x v1.0.0", dir); err != nil || !strings.Contains(text.String(), "example.org/x v1.0.0: LICENCE.txt\n\nDo what you like.\n") {
		t.Error(err, text.String())
	}
}

// Without git, and with SOURCE_DATE_EPOCH, a source has a version and a time.
func TestNameWithoutGit(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := name("..", program)
	if err != nil || !strings.Contains(s.Version, "+devel") || !s.Time.Equal(noCommit) {
		t.Errorf("%+v, %v", s, err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1795867202")
	if s, err = name("..", program); err != nil || !s.Time.Equal(at) {
		t.Errorf("%+v, %v", s, err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err = name("..", program); err == nil || err.Error() != `SOURCE_DATE_EPOCH: "yesterday" is not a number of seconds` {
		t.Error(err)
	}
}
