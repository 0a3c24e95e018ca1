package main

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda"
	"effnet/internal/backend/cuda/emulated"
	"effnet/internal/bundle"
	"effnet/internal/checkpoint"
	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/device"
	"effnet/internal/hub/hubtest"
	"effnet/internal/train"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	if b, err := bundle.Own(); b != nil || err != nil { // a copy of the test, with a network
		main()
	}
	testscript.Main(m, map[string]func(){"effnet": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("EFFNET_KERNELS", os.Getenv("EFFNET_KERNELS"))
			env.Vars = append(env.Vars, anyRanks...)
			if !canEmulate() {
				return nil
			}
			dir, err := emulatedGPU()
			env.Setenv("GPU", dir)
			return err
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "cuda": // a real one
				found, missing := cuda.Found()
				return len(found) > 0 && len(missing) == 0, nil
			case "emulated":
				return canEmulate(), nil
			case "mpi":
				_, err := exec.LookPath("mpirun")
				return err == nil, nil
			case "vectors": // kernels other than the generic ones
				p, err := device.FindProcessor("auto")
				return len(p.Sets) > 1, err
			}
			return false, fmt.Errorf("no condition %s", name)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "photos": photos, "same": same, "samebody": sameBody, "bare": bare, "cut": cut, "evaluated": evaluated, "await": await,
			"shards": shards, "flip": flip, "halve": halve, "replace": replace, "timeless": timeless, "near": near, "publish": publish,
		},
	})
}

// anyRanks has Open MPI's mpirun, 4 and 5, start more ranks than there are cores, as root
// too, and bind none.
var anyRanks = []string{
	"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
	"OMPI_MCA_rmaps_base_oversubscribe=1", "OMPI_MCA_hwloc_base_binding_policy=none",
	"PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe", "PRTE_MCA_hwloc_default_binding_policy=none",
}

// canEmulate says whether CUDA's libraries can be emulated here.
func canEmulate() bool {
	return emulated.Available() && runtime.GOOS == "linux" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64")
}

// emulatedGPU is a folder of libraries in the place of NVIDIA's, in which the kernels
// run on the processor.
var emulatedGPU = sync.OnceValues(func() (string, error) {
	sources, err := cuda.Sources()
	if err != nil {
		return "", err
	}
	return emulated.GPU(sources)
})

// publish is a Hugging Face hub with a repository of the files in a folder: publish
// OWNER/NAME DIR. HF_ENDPOINT is its address. With ! there is nothing any more.
func publish(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Setenv("HF_ENDPOINT", "http://127.0.0.1:1") // where nobody listens
		return
	}
	if len(args) != 2 {
		ts.Fatalf("usage: publish OWNER/NAME DIR")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[1]))
	ts.Check(err)
	files := map[string][]byte{}
	for _, e := range entries {
		files[e.Name()], err = os.ReadFile(filepath.Join(ts.MkAbs(args[1]), e.Name()))
		ts.Check(err)
	}
	s, stop := hubtest.Start()
	ts.Defer(stop)
	s.Add(args[0], files)
	ts.Setenv("HF_ENDPOINT", s.URL)
}

// near compares a column of two CSV files: near FILE FILE COLUMN LIMIT, the largest
// relative difference.
func near(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: near FILE FILE COLUMN LIMIT")
	}
	limit, err := strconv.ParseFloat(args[3], 64)
	ts.Check(err)
	var columns [2][]float64
	for i := range columns {
		text, err := os.ReadFile(ts.MkAbs(args[i]))
		ts.Check(err)
		rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		ts.Check(err)
		at := slices.Index(rows[0], args[2])
		for _, row := range rows[1:] {
			v, err := strconv.ParseFloat(row[at], 64)
			ts.Check(err)
			columns[i] = append(columns[i], v)
		}
	}
	if len(columns[0]) == 0 || len(columns[0]) != len(columns[1]) {
		ts.Fatalf("%d and %d rows", len(columns[0]), len(columns[1]))
	}
	for i, want := range columns[1] {
		if d := math.Abs(columns[0][i] - want); !(d <= limit*math.Abs(want)) {
			ts.Fatalf("row %d: %v and %v", i+1, columns[0][i], want)
		}
	}
}

// exits runs a command that must end with an exit code: exits CODE PROGRAM ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// photos makes a data set that can be learned: photos DIR COUNT CLASS... writes
// COUNT images a class into DIR/train/CLASS and DIR/val/CLASS, each class a
// colour with noise.
func photos(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: photos DIR COUNT CLASS...")
	}
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	r := rand.New(rand.NewPCG(1, 2))
	for c, class := range args[2:] {
		for _, split := range []string{"train", "val"} {
			dir := ts.MkAbs(filepath.Join(args[0], split, class))
			ts.Check(os.MkdirAll(dir, 0o777))
			for i := range count {
				m := image.NewRGBA(image.Rect(0, 0, 40, 36))
				for p := 0; p < len(m.Pix); p += 4 {
					m.Pix[p], m.Pix[p+1], m.Pix[p+2], m.Pix[p+3] = uint8(r.IntN(100)), uint8(r.IntN(100)), uint8(r.IntN(100)), 255
					m.Pix[p+c%3] += 120
				}
				f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%03d.png", i)))
				ts.Check(err)
				ts.Check(png.Encode(f, m))
				ts.Check(f.Close())
			}
		}
	}
}

// same compares files byte by byte: same FILE FILE.
func same(ts *testscript.TestScript, neg bool, args []string) {
	a, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	if bytes.Equal(a, b) == neg {
		ts.Fatalf("%s and %s: equal is %v", args[0], args[1], !neg)
	}
}

// sameBody compares the tensors of two checkpoints but the classifier's, which must
// differ: samebody FILE FILE.
func sameBody(ts *testscript.TestScript, neg bool, args []string) {
	a, err := checkpoint.Read(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := checkpoint.Read(ts.MkAbs(args[1]))
	ts.Check(err)
	same := len(a.Tensors) == len(b.Tensors)
	for i := range a.Tensors {
		x, y := a.Tensors[i], b.Tensors[i]
		equal := x.Name == y.Name && slices.Equal(x.Data, y.Data)
		if strings.HasPrefix(x.Name, "classifier.") {
			equal = !equal
		}
		same = same && equal
	}
	if same == neg {
		ts.Fatalf("%s and %s: the same body is %v", args[0], args[1], !neg)
	}
}

// timeless compares two tables of trials, but for how long these took: timeless
// FILE FILE.
func timeless(ts *testscript.TestScript, neg bool, args []string) {
	a, err := withoutSeconds(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := withoutSeconds(ts.MkAbs(args[1]))
	ts.Check(err)
	if (a == b) == neg {
		ts.Fatalf("equal is %v:\n%s\n%s", !neg, a, b)
	}
}

// withoutSeconds is a CSV file without its column of seconds.
func withoutSeconds(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return "", err
	}
	column := slices.Index(rows[0], "seconds")
	for i := range rows {
		rows[i] = slices.Delete(rows[i], column, column+1)
	}
	return fmt.Sprint(rows), nil
}

// bare writes a checkpoint without its metadata: bare FILE FILE.
func bare(ts *testscript.TestScript, _ bool, args []string) {
	file := []byte(ts.ReadFile(args[0]))
	n := binary.LittleEndian.Uint64(file)
	var header map[string]json.RawMessage
	ts.Check(json.Unmarshal(file[8:8+n], &header))
	delete(header, "__metadata__")
	text, err := json.Marshal(header)
	ts.Check(err)
	out := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), append(out, file[8+n:]...), 0o666))
}

// evaluated checks that a training run's best metrics are those of an evaluation:
// evaluated TRAIN_JSON EVAL_JSON.
func evaluated(ts *testscript.TestScript, neg bool, args []string) {
	var trained train.Result
	var m train.Metrics
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &trained))
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &m))
	if trained.Best != m || neg {
		ts.Fatalf("training printed %+v, evaluation %+v", trained.Best, m)
	}
}

// await waits until a background command has made a file: await FILE.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await PATTERN")
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if found, err := filepath.Glob(ts.MkAbs(args[0])); err == nil && len(found) > 0 {
			return
		}
	}
	ts.Fatalf("%s did not appear", args[0])
}

// cut writes the first half of a file: cut FILE NEW.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE NEW")
	}
	whole, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), whole[:len(whole)/2], 0o666))
}

// shards writes the images of a folder to tar files, in the folder's order, with
// the numbers of their classes: shards DIR NEW writes NEW/SPLIT/0.tar and 1.tar.
func shards(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: shards DIR NEW")
	}
	for _, split := range []string{"train", "val"} {
		files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), split, "*", "*.png"))
		ts.Check(err)
		dir := ts.MkAbs(filepath.Join(args[1], split))
		ts.Check(os.MkdirAll(dir, 0o777))
		class, label := "", -1
		for part, files := range slices.Collect(slices.Chunk(files, (len(files)+1)/2)) {
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.tar", part)))
			ts.Check(err)
			w := tar.NewWriter(f)
			for _, file := range files {
				if folder := filepath.Dir(file); folder != class {
					class, label = folder, label+1
				}
				content, err := os.ReadFile(file)
				ts.Check(err)
				key := filepath.Base(class) + "-" + strings.TrimSuffix(filepath.Base(file), ".png")
				for name, content := range map[string][]byte{key + ".png": content, key + ".cls": []byte(strconv.Itoa(label))} {
					ts.Check(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}))
					_, err = w.Write(content)
					ts.Check(err)
				}
			}
			ts.Check(w.Close())
			ts.Check(f.Close())
		}
	}
}

// replace changes text in a file, which must have it: replace FILE OLD NEW.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s lacks %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o666))
}

// flip changes the last byte of the one file that has a pattern: flip PATTERN.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	spoil(ts, neg, args, func(whole []byte) []byte {
		whole[len(whole)-1] ^= 1
		return whole
	})
}

// halve keeps the first half of the one file that has a pattern: halve PATTERN.
func halve(ts *testscript.TestScript, neg bool, args []string) {
	spoil(ts, neg, args, func(whole []byte) []byte { return whole[:len(whole)/2] })
}

func spoil(ts *testscript.TestScript, neg bool, args []string, change func([]byte) []byte) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip PATTERN or halve PATTERN")
	}
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(found) != 1 {
		ts.Fatalf("%s: %d files", args[0], len(found))
	}
	whole, err := os.ReadFile(found[0])
	ts.Check(err)
	ts.Check(os.WriteFile(found[0], change(whole), 0o666))
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("other"), 1},
		{usageError{errors.New("flag")}, 2},
		{fmt.Errorf("x.yaml: %w", config.Error{"lr: -1"}), 2},
		{fmt.Errorf("train: %w", interrupted{syscall.SIGINT}), 130},
		{interrupted{syscall.SIGTERM}, 143},
		{fmt.Errorf("x: %w", &data.Error{Path: "p", Reason: "r"}), 3},
		{&backend.Error{Device: "cuda", Op: "open", Err: errors.New("no")}, 4},
		{&train.Diverged{}, 5},
		{&checkpoint.Error{Path: "p", Reason: "r"}, 6},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("exitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}
