package tfcheckpoint

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// array is a variable as TensorFlow has it.
type array struct {
	Shape []int
	Data  []float64
}

const checkpoints = "testdata/checkpoints"

// readGolden returns what tools/golden/tfcheckpoint.py found in its checkpoints
// with TensorFlow.
func readGolden(t *testing.T) map[string]map[string]array {
	t.Helper()
	doc, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Files map[string]map[string]array }
	if err := json.Unmarshal(doc, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Files) < 5 {
		t.Fatalf("golden.json has %d checkpoints", len(all.Files))
	}
	return all.Files
}

func TestReadAsTensorFlow(t *testing.T) {
	same := func(a float32, b float64) bool { return a == float32(b) && math.Signbit(float64(a)) == math.Signbit(b) }
	for name, want := range readGolden(t) {
		got, err := Read(filepath.Join(checkpoints, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d variables, want %d", name, len(got), len(want))
		}
		for _, g := range got {
			w, ok := want[g.Name]
			if !ok || !slices.Equal(g.Shape, w.Shape) || !slices.EqualFunc(g.Data, w.Data, same) {
				t.Errorf("%s: %s of shape %v is %v, want %v", name, g.Name, g.Shape, g.Data, w)
			}
		}
	}
}

func TestReadNames(t *testing.T) {
	all, err := Read(checkpoints + "/network.index")
	if err != nil {
		t.Fatal(err)
	}
	if name := all[0].Name; name != "efficientnet-b0/blocks_0/depthwise_conv2d/depthwise_kernel" {
		t.Errorf("the first variable is %s", name)
	}
	folder := copyOf(t, "network")
	inFolder, err := Read(folder)
	if err != nil || len(inFolder) != len(all) {
		t.Errorf("by its folder: %d variables, %v", len(inFolder), err)
	}
}

// copyOf copies a checkpoint's files to a folder.
func copyOf(t *testing.T, name string) string {
	t.Helper()
	folder := t.TempDir()
	paths, err := filepath.Glob(filepath.Join(checkpoints, name+".*"))
	if err != nil || len(paths) < 2 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(path)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestReadRefusesPaths(t *testing.T) {
	empty := t.TempDir()
	lone := copyOf(t, "shards")
	if err := os.Remove(lone + "/shards.data-00001-of-00003"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct{ at, reason, hint string }{
		empty:           {empty, "a folder without the .index file", ""},
		empty + "/none": {empty + "/none", "no such file", ""},
		checkpoints:     {checkpoints, "with 5 TensorFlow checkpoints", "name one: "},
		lone:            {lone + "/shards.data-00001-of-00003", "no such file", "all its .data files in one folder"},
		checkpoints + "/network.data-00000-of-00001": {checkpoints + "/network.data-00000-of-00001", "is not an .index file", "which must be next to it"},
		"testdata/golden.json":                       {"testdata/golden.json", "is not an .index file", "version 1"},
	} {
		_, err := Read(path)
		e := asError(t, path, err)
		if e != nil && (e.Path != want.at || !strings.Contains(err.Error(), want.reason) || !strings.Contains(e.Hint, want.hint)) {
			t.Errorf("%s: %v, hint %q", path, err, e.Hint)
		}
	}
}
