// Package internal_test checks the whole module.
package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	gorgonia = " gorgonia.org/gorgonia gorgonia.org/tensor"
	commands = " github.com/spf13/cobra github.com/spf13/pflag github.com/spf13/viper golang.org/x/term go.yaml.in/yaml/v3"
)

// mayImport is what each folder may import: packages under internal, modules
// (words with a dot), and of the standard library what watched lists. The rest
// of the standard library is free. Tests may import anything.
//
// Lower lines know nothing of higher ones.
var mayImport = map[string]string{
	"cmd/effnet": "effnet/configs serve search setup train predict report hub weights bundle export data data/check atomicfile filelock config scale " +
		"bench device doctor mpi ranks words version net net/http" + commands,

	"classify": "heatmap predict hub weights device checkpoint version data backend",

	"internal/serve": "predict checkpoint data net net/http github.com/prometheus/client_golang golang.org/x/sync",

	"internal/search":  "words ranks report config atomicfile scale gonum.org/v1/gonum go.yaml.in/yaml/v3",
	"internal/setup":   "words train predict optim weights model data augment device checkpoint config scale backend",
	"internal/train":   "words ranks predict feed report metrics optim model data augment checkpoint named scale backend",
	"internal/report":  "heatmap metrics atomicfile golang.org/x/image google.golang.org/protobuf",
	"internal/heatmap": "golang.org/x/image",
	"internal/metrics": "",
	"internal/ranks":   "words",
	"internal/optim":   "backend",

	"internal/weights":      "bundle weights/keras weights/names weights/tfcheckpoint weights/torchfile checkpoint named scale",
	"internal/hub":          "weights words atomicfile checkpoint filelock scale net net/http",
	"internal/hub/hubtest":  "named net/http",
	"internal/export":       "hub weights weights/npz weights/onnx atomicfile checkpoint named scale",
	"internal/weights/onnx": "checkpoint named scale google.golang.org/protobuf",
	"internal/weights/npz":  "weights/names checkpoint named scale",

	"internal/predict/predicttest": "model checkpoint scale backend/cpu",
	"internal/predict":             "feed metrics weights model data augment checkpoint named backend",
	"internal/feed":                "data backend",
	"internal/bench":               "setup train optim model data device config scale backend",
	"internal/doctor":              "setup train data device config scale backend",
	"internal/device":              "backend backend/cpu backend/cpu/kernel backend/cuda backend/cuda/driver",

	"internal/mpi":             "ranks dynlib golang.org/x/sys/unix unsafe",
	"internal/ranks/rankstest": "ranks",

	"internal/model": "ops vm named scale backend go4.org/unsafe/assume-no-moving-gc" + gorgonia,
	"internal/vm":    "ops backend" + gorgonia,
	"internal/ops":   "backend github.com/chewxy/hm" + gorgonia,

	"internal/backend/backendtest":   "backend",
	"internal/backend/cuda":          "backend backend/cuda/driver atomicfile unsafe",
	"internal/backend/cuda/driver":   "dynlib unsafe",
	"internal/backend/cuda/emulated": "os/exec",
	"internal/backend/cuda/sass":     "os/exec",
	"internal/backend/cpu":           "backend backend/cpu/kernel unsafe",
	"internal/backend/plain":         "backend",
	"internal/backend/cpu/kernel":    "github.com/klauspost/cpuid/v2 golang.org/x/sys/cpu unsafe",
	"internal/backend":               "unsafe",

	"internal/data/check":    "data words",
	"internal/data/datatest": "data",
	"internal/data":          "augment atomicfile bmp jpeg tiff words golang.org/x/image golang.org/x/text",
	"internal/augment":       "pixel",
	"internal/bmp":           "",
	"internal/imagetest":     "",
	"internal/tiff":          "jpeg github.com/klauspost/compress golang.org/x/image",
	"internal/jpeg":          "pixel",
	"internal/pixel":         "golang.org/x/sys/cpu unsafe",

	"internal/bundle":       "bundle/macho checkpoint version os/exec",
	"internal/bundle/macho": "",

	"internal/weights/names":        "scale",
	"internal/weights/keras":        "weights/hdf5 checkpoint named",
	"internal/weights/hdf5":         "float16",
	"internal/weights/tfcheckpoint": "checkpoint named float16 google.golang.org/protobuf",
	"internal/weights/torchfile":    "checkpoint named float16",

	"internal/dynlib": "github.com/ebitengine/purego",

	"internal/config":     "words scale",
	"internal/checkpoint": "atomicfile float16 named scale",
	"internal/named":      "",
	"internal/scale":      "",
	"internal/atomicfile": "",
	"internal/filelock":   "github.com/gofrs/flock",
	"internal/words":      "",
	"internal/float16":    "",
	"internal/version":    "",

	"configs": "",

	"tools/clangasm":    "os/exec",
	"tools/demo":        "atomicfile net/http os/exec",
	"tools/settings":    "config",
	"tools/weightnames": "scale weights/names",
	"tools/kernelsets":  "bench config device backend/cpu/kernel",
	"tools/dist":        "atomicfile version os/exec github.com/CycloneDX/cyclonedx-go",
	"tools/release":     "effnet/tools/dist",
	"tools/image": "atomicfile net/http effnet/tools/dist " +
		"github.com/google/go-containerregistry pault.ag/go/debian",
	"tools/emulategpu": "backend/cuda backend/cuda/emulated",
	"tools/gpustatic":  "backend/cuda backend/cuda/driver backend/cuda/sass",
	"tools/gpukit":     "os/exec",
	"tools/soak":       "net/http",
	"tools/gpukit/kit": "atomicfile os/exec",
	"tools/lockstep": "effnet/configs backend checkpoint config data device model named predict report setup train " +
		"go.yaml.in/yaml/v3",
}

// module stands for the module's path, whatever that is.
const module = "effnet"

// watched are the parts of the standard library that a folder needs leave for.
// "C" is cgo, which nothing has.
var watched = []string{"C", "net", "net/http", "os/exec", "plugin", "unsafe"}

// TestImports fails on an import that mayImport does not list, on a folder that
// it does not have, and on one that is gone. It reads every file that is not a
// test, whatever its build constraints.
func TestImports(t *testing.T) {
	root := os.DirFS("..")
	files, err := goFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		folder := path.Dir(file)
		found[folder] = true
		allowed, ok := mayImport[folder]
		if !ok {
			t.Errorf("%s: mayImport has no line for %s", file, folder)
			continue
		}
		imports, err := importsOf(root, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range imports {
			if !permitted(name, strings.Fields(allowed)) {
				t.Errorf("%s may not import %s", file, name)
			}
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(mayImport)) {
		if !found[folder] {
			t.Errorf("mayImport has a line for %s, which holds no Go files", folder)
		}
	}
}

// permitted says whether allowed, words of mayImport, covers an import path.
func permitted(name string, allowed []string) bool {
	first, rest, _ := strings.Cut(name, "/")
	switch {
	case first == module:
		pkg, ok := strings.CutPrefix(rest, "internal/")
		return ok && slices.Contains(allowed, pkg) || slices.Contains(allowed, name)
	case strings.Contains(first, "."): // a module, or a package of it
		return slices.ContainsFunc(allowed, func(module string) bool {
			return name == module || strings.HasPrefix(name, module+"/")
		})
	}
	return !slices.Contains(watched, name) || slices.Contains(allowed, name)
}

// goFiles lists the module's Go files that are not tests.
func goFiles(root fs.FS) (files []string, err error) {
	err = fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		ignored := strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata"
		switch {
		case d.IsDir() && ignored && file != ".":
			return fs.SkipDir // as the go command does
		case !d.IsDir() && !ignored && path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go"):
			files = append(files, file)
		}
		return nil
	})
	return files, err
}

func importsOf(root fs.FS, file string) ([]string, error) {
	src, err := fs.ReadFile(root, file)
	if err != nil {
		return nil, err
	}
	tree, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	mod, err := fs.ReadFile(root, "go.mod")
	if err != nil {
		return nil, err
	}
	path := strings.Fields(string(mod))[1] + "/"
	var names []string
	for _, i := range tree.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, err
		}
		if rest, ok := strings.CutPrefix(name, path); ok {
			name = module + "/" + rest
		}
		names = append(names, name)
	}
	return names, nil
}
