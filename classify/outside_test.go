package classify_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/predict/predicttest"
)

// Another module imports this package, and nothing else of effnet.
func TestOutsideModule(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	requires, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	path := strings.Fields(string(requires))[1]
	for name, text := range map[string]string{
		"go.mod": strings.Replace(string(requires), path, "example.org/shop", 1) +
			"\nrequire " + path + " v0.0.0\n\nreplace " + path + " => " + filepath.ToSlash(root) + "\n",
		"go.sum": string(sum),
		"main.go": `package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"effnet/classify"
)

func main() {
	c, err := classify.Open(os.Args[1], classify.Options{Threads: 1})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	for _, path := range os.Args[2:] {
		results, err := c.Classify(context.Background(), classify.File(path))
		if e, ok := errors.AsType[*classify.ImageError](err); ok {
			fmt.Println("bad image:", e.Reason)
			continue
		}
		if err != nil {
			panic(err)
		}
		fmt.Println(results[0].Best().Name)
	}
}
`,
		"inside/inside.go": `package inside

import (
	_ "effnet/internal/predict"
)
`,
		"photo.png": string(predicttest.Encoded(t, predicttest.Photo(1))),
		"text.jpg":  "no image",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), "go", args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "GOPROXY=off")
		out, err := c.CombinedOutput()
		return string(out), err
	}
	out, err := run("run", ".", predicttest.File(t), "photo.png", "text.jpg")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) != 2 || len(lines[0]) != 1 || !strings.HasPrefix(lines[1], "bad image: ") {
		t.Errorf("%v:\n%s", err, out)
	}
	if out, err := run("build", "./inside"); err == nil || !strings.Contains(out, "use of internal package "+path+"/internal/predict not allowed") {
		t.Errorf("internal packages can be imported: %v\n%s", err, out)
	}
}
