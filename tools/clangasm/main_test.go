package main

import (
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// needClang skips a test that compiles.
func needClang(t *testing.T) {
	t.Helper()
	for _, name := range []string{clang, linker, objdump} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%v (install clang-19, lld-19 and llvm-19)", err)
		}
	}
}

// written makes a package of one kernel, f.
func written(t *testing.T, declaration, source string) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range map[string]string{
		"kernels.go": "package p\n\nimport \"unsafe\"\n\ntype kernels struct {\n\tf " + declaration + "\n}\n",
		"c/f.c":      source,
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(content), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	declared = "func(p unsafe.Pointer, n int)"
	begin    = "struct args { float *p; long n; };\n__attribute__((preserve_none)) void f(const struct args *a);\n"
	head     = "__attribute__((preserve_none)) void f(const struct args *a) "
)

// What a Go function cannot do is refused.
func TestRefusals(t *testing.T) {
	needClang(t)
	for _, c := range []struct{ name, source, want string }{
		{"stack", begin + head + "{ volatile float x[64]; for (long i = 0; i < a->n; i++) x[i % 64] = a->p[i]; a->p[0] = x[3]; }", "not allowed in a kernel"},
		{"call", begin + "void g(float *);\n" + head + "{ g(a->p); a->p[0] = 1; }", "undefined symbol: g"},
		{"call of its own", begin + "static __attribute__((noinline)) void g(float *p) { p[0] += p[1]; }\n" + head + "{ g(a->p); a->p[0] = 1; }", "needs the function g"},
		{"jump to another function", begin + "static __attribute__((noinline, preserve_none)) void g(const struct args *a) { a->p[0] += a->p[1]; }\n" + head + "{ a->p[2] = 1; g(a); }", "needs the function g"},
		{"variable", begin + "static long calls;\n" + head + "{ a->p[0] = (float)++calls; }", "needs memory of its own"},
		{"pointer to a constant", begin + "static const float x[2] = {1, 2}; static const float *const volatile y[2] = {x, x + 1};\n" + head + "{ a->p[0] = *y[a->n & 1]; }", "needs memory of its own"},
		{"call through a pointer", begin + head + "{ ((void (*)(float *))(a->p))(a->p); a->p[0] = 1; }", "not allowed in a kernel"},
		{"upper halves", begin + head + "{ __asm__ volatile(\"vxorps %%ymm0, %%ymm0, %%ymm0\" : : : \"xmm0\"); a->p[0] = 1; }", "upper halves"},
		{"stack by other names", begin + head + "{ __asm__ volatile(\"enter $16, $0; leave\"); a->p[0] = 1; }", "not allowed in a kernel"},
		{"Go's g", begin + head + "{ __asm__ volatile(\"movq $0, %fs:-8\"); a->p[0] = 1; }", "not allowed in a kernel"},
		{"alignment", begin + "static const float x[64] __attribute__((aligned(256))) = {1, 2};\n" + head + "{ a->p[0] = x[a->n]; }", "needs an alignment"},
		{"system call", begin + head + "{ __asm__ volatile(\"syscall\" : : : \"rcx\", \"r11\", \"memory\"); a->p[0] = 1; }", "not allowed in a kernel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := run(t.Context(), written(t, declared, c.source), []string{"avx2"}, false)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestDeclarations(t *testing.T) {
	for _, c := range []struct{ declaration, want string }{
		{"func(p unsafe.Pointer, n int32)", "not a int32"},
		{"func(p unsafe.Pointer) int", "without results"},
		{"func()", "with arguments"},
		{"int", "is a func"},
	} {
		if _, err := readPackage(written(t, c.declaration, "")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.declaration, err, c.want)
		}
	}
	p, err := readPackage(written(t, "[2]func(p, q unsafe.Pointer, n int, s, u, v float32)", ""))
	if err != nil {
		t.Fatal(err)
	}
	if k := p.kernels[0]; k.size != 36 || k.first != "p" || k.params != "p, q unsafe.Pointer, n int, s, u, v float32" {
		t.Errorf("read %+v", k)
	}
}

// A made package compiles, runs and gives what the C says, with its constants, on
// each of its loops' jumps.
func TestMadeCodeRuns(t *testing.T) {
	needClang(t)
	dir := written(t, declared, begin+"static const float x[4] = {2, 5, 11, 13};\n"+head+
		"{\n#pragma clang loop unroll(disable)\nfor (long i = 0; i < a->n; i++) a->p[i] *= x[i & 3]; }")
	if err := run(t.Context(), dir, []string{"avx2"}, false); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		"go.mod": "module p\n\ngo 1.26.0\n",
		"p_test.go": `package p

import (
	"testing"
	"unsafe"
)

func Test(t *testing.T) {
	x := []float32{1, 1, 1, 1, 1, 7}
	avx2Kernels.f(unsafe.Pointer(&x[0]), 5)
	for i, want := range []float32{2, 5, 11, 13, 2, 7} {
		if x[i] != want {
			t.Errorf("value %d is %v, want %v", i, x[i], want)
		}
	}
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"vet", "."}, {"test", "."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOARCH=amd64", "GOFLAGS=-mod=mod")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// The files in the module are what their sources give: with clang to the byte,
// without it by the hash of the sources.
func TestFilesAreFresh(t *testing.T) {
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "kernels.go" {
			return err
		}
		targets := directive(t, path)
		if targets == nil {
			return nil
		}
		found++
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			if err := run(t.Context(), filepath.Dir(path), targets, true); err != nil {
				t.Error(err)
			}
			p, err := readPackage(filepath.Dir(path))
			if err == nil {
				err = p.checkHash(targets)
			}
			if err != nil {
				t.Error(err)
			}
		})
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("%d packages with kernels, error %v", found, err)
	}
}

// directive is the targets in a file's go:generate line.
func directive(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if rest, ok := strings.CutPrefix(c.Text, "//go:generate go run effnet/tools/clangasm "); ok {
				return strings.Fields(rest)
			}
		}
	}
	return nil
}

// A source that changed after its assembly was made is noticed, with clang or
// without.
func TestStaleFilesAreNoticed(t *testing.T) {
	needClang(t)
	dir := written(t, declared, begin+head+"{ a->p[0] = 1; }")
	if err := run(t.Context(), dir, []string{"avx2", "neon"}, false); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), dir, []string{"avx2", "neon"}, true); err != nil {
		t.Errorf("fresh files: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c/f.c"), []byte(begin+head+"{ a->p[0] = 2; }"), 0o666); err != nil {
		t.Fatal(err)
	}
	p, err := readPackage(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{run(t.Context(), dir, []string{"neon"}, true), p.checkHash([]string{"avx2"})} {
		if err == nil || !strings.Contains(err.Error(), "stale") {
			t.Errorf("a source that changed: error %v", err)
		}
	}
}
