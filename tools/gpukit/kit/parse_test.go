package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const someTests = `=== RUN   TestGPU
    gpu_test.go:45: cuda/NVIDIA H100 80GB HBM3
=== RUN   TestGPU/backend.MatMul
    backendtest.go:60: 36 cases, the largest relative error is 3.1e-07
=== RUN   TestGPU/backend.Conv
    backendtest.go:71: backend.Conv{N:2}: operand 2 of 3: relative error 0.27, at most 2e-05 is allowed; 2 of 40 values differ: [3] 1, want 2;
    backendtest.go:60: 16 cases, the largest relative error is 0.27
=== RUN   TestGPU/backend.Add
    backendtest.go:60: 3 cases, the largest relative error is 0
--- FAIL: TestGPU (13.09s)
    --- PASS: TestGPU/backend.MatMul (0.10s)
    --- FAIL: TestGPU/backend.Conv (0.50s)
    --- PASS: TestGPU/backend.Add (0.01s)
=== RUN   TestGPUStep
--- PASS: TestGPUStep (1.00s)
=== RUN   TestGPUOther
    gpu_test.go:33: no test of a GPU
--- SKIP: TestGPUOther (0.00s)
FAIL
`

func TestParseTests(t *testing.T) {
	got := parseTests(someTests)
	if got.cases != 55 || got.worst != 0.27 || got.passed != 3 || !slices.Equal(got.failed, []string{"TestGPU/backend.Conv"}) || got.lost != "" || got.late {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct{ name, want string }{
		{"TestGPUStep", ""},
		{"TestGPU", "failed: TestGPU/backend.Conv"},
		{"TestGPUOther", "TestGPUOther was skipped"},
		{"TestGPUHalf", "TestGPUHalf did not run to its end, or there is no such test"},
	} {
		said := ""
		if err := got.err([]string{c.name}); err != nil {
			said = err.Error()
		}
		if said != c.want {
			t.Errorf("%s: %q, want %q", c.name, said, c.want)
		}
	}
	if want := "55 cases, worst 0.27"; got.summary() != want {
		t.Errorf("%s, want %s", got.summary(), want)
	}
	failure := strings.Join(got.failure(), "\n")
	if !strings.Contains(failure, "--- FAIL: TestGPU/backend.Conv\n") || !strings.Contains(failure, "[3] 1, want 2") || strings.Contains(failure, "36 cases") {
		t.Error(failure)
	}
	if got, want := got.logged(), []string{"TestGPU/backend.Add: 3 cases, the largest relative error is 0", "TestGPU/backend.MatMul: 36 cases, the largest relative error is 3.1e-07"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := parseTests("testing: warning: no tests to run\nPASS\n").err([]string{"TestGPU"}); err == nil {
		t.Error("no tests to run counts as a pass")
	}
}

func TestParseTestsThatEnd(t *testing.T) {
	late := parseTests("=== RUN   TestGPU\n=== RUN   TestGPU/backend.Add\npanic: test timed out after 1s\nrunning tests:\n\tTestGPU (1s)\n\ngoroutine 1 [running]:\nmain.f()\n")
	if !late.late || late.running != "TestGPU/backend.Add" {
		t.Errorf("%+v", late)
	}
	if lines := late.failure(); len(lines) != 7 || lines[0] != "in TestGPU/backend.Add:" || lines[6] != "main.f()" {
		t.Errorf("%q", lines)
	}
	crashed := parseTests("=== RUN   TestGPU\nSIGSEGV: segmentation violation\nPC=0x0 m=0 sigcode=1\n")
	if crashed.late || !slices.Equal(crashed.failure(), []string{"in TestGPU:", "SIGSEGV: segmentation violation", "PC=0x0 m=0 sigcode=1"}) {
		t.Errorf("%q", crashed.failure())
	}
	lost := parseTests("=== RUN   TestGPU/a\n=== RUN   TestGPU/b\n    x_test.go:1: cuda: (the GPU's work was lost and every later call fails: start again)\n=== RUN   TestGPU/c\n    x_test.go:1: the GPU's work was lost\n")
	if lost.lost != "TestGPU/b" {
		t.Errorf("%+v", lost)
	}
	after := parseTests(`=== RUN   TestGPU/a
    b.go:1: wrong: (the GPU's work was lost and every later call fails: start again)
    b.go:2: 3 of 9 cases were not run: the GPU's work was lost
=== RUN   TestGPU/b
    b.go:2: 9 of 9 cases were not run: the GPU's work was lost
--- FAIL: TestGPU (1.00s)
    --- FAIL: TestGPU/a (0.10s)
    --- FAIL: TestGPU/b (0.00s)
`)
	if err := after.err([]string{"TestGPU"}); err == nil || err.Error() != "failed: TestGPU/a; 1 more did not run after that" || after.cases != 0 {
		t.Errorf("%v, %+v", err, after)
	}
}

// fakeTests stands in for cuda.test: a card whose work two subtests lose.
const fakeTests = `#!/bin/sh
echo "$@ careful=$EFFNET_CUDA_CAREFUL" >>"$0.calls"
echo '=== RUN   TestGPU'
status=PASS
for name in a b.c d; do
	case "$*" in *skip=*"^$(echo $name | sed 's/\./\\./')\$"*) continue ;; esac
	echo "=== RUN   TestGPU/$name"
	if [ $name != a ]; then
		echo "    x_test.go:1: $name: the GPU's work was lost and every later call fails: start again"
		status=FAIL
		ends="$ends    --- FAIL: TestGPU/$name (0.00s)
"
		break
	fi
	ends="$ends    --- PASS: TestGPU/$name (0.00s)
"
done
echo "--- $status: TestGPU (0.00s)"
printf %s "$ends"
echo $status
[ $status = PASS ]
`

// What lost the card's work is skipped, and all else runs again.
func TestLostWork(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script: run the test on another system than Windows")
	}
	k := kit{dir: t.TempDir(), tmp: t.TempDir()}
	program := k.file("cuda.test")
	if err := os.WriteFile(program, []byte(fakeTests), 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	k.log = log
	r := k.stage(t.Context(), stage{name: "suite", limit: time.Minute, run: tested("TestGPU")}, time.Minute)
	if r.Status != failed || !strings.HasSuffix(r.Summary, "the card's work was lost in TestGPU/b.c, TestGPU/d") || !strings.HasPrefix(r.Summary, "1 test;") {
		t.Errorf("%+v", r)
	}
	text, err := os.ReadFile(program + ".calls")
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`-test.v -test.count=1 -test.timeout=\S+ `).ReplaceAllString(string(text), "")
	want := `-test.run=^(TestGPU)$ careful=
-test.run=^(TestGPU)$/^(b\.c)$ careful=1
-test.run=^(TestGPU)$ -test.skip=^TestGPU$/^b\.c$ careful=
-test.run=^(TestGPU)$/^(d)$ careful=1
-test.run=^(TestGPU)$ -test.skip=^TestGPU$/^b\.c$|^TestGPU$/^d$ careful=
`
	if calls != want {
		t.Errorf("calls:\n%swant:\n%s", calls, want)
	}
}

func TestDoctorsCard(t *testing.T) {
	var d diagnosis
	text := `{"devices":[{"name":"cpu","has":["2 cores"]},{"name":"cuda","has":["driver for CUDA 13.0, /usr/lib/libcuda.so.1",
		"cuBLASLt 13.1.0, /c", "GPU 0: Small, 2.0 GiB","GPU 1: NVIDIA H100 80GB HBM3, 79.2 GiB","using NVIDIA H100 80GB HBM3 (sm_90), 78.7 of 79.2 GiB of memory free; EFFNET_CUDA_DEVICE chooses another"]}],"repair":[]}`
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	var c card
	c.add(d)
	if c.Name != "NVIDIA H100 80GB HBM3" || c.Architecture != "sm_90" || c.MemoryGiB != 79.2 || len(c.Found) != 5 || !slices.Equal(c.Libraries, []library{{"driver", "13.0", "/usr/lib/libcuda.so.1"}, {"cuBLASLt", "13.1.0", "/c"}}) {
		t.Errorf("%+v", c)
	}
	c = card{}
	c.add(diagnosis{Found: []string{"driver for CUDA 13.0, /x", "GPU 0: Old, 2.0 GiB"}})
	if c.Name != "" || c.MemoryGiB != 2 || len(c.Found) != 2 {
		t.Errorf("of a card that cannot be used: %+v", c)
	}
}

func TestMeasured(t *testing.T) {
	var m measured
	text := `{"images_per_sec":5120,"step_sec":[0.05],"device_memory_mb":4000,"peaks":{"flops":7e14,"copy_bytes_sec":3e12},
		"by_op":[{"name":"Depthwise","count":16,"seconds":0.03,"peak_sec":0.01},{"name":"MatMul","count":32,"seconds":0.01,"peak_sec":0.01}]}`
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	p := result{Name: "b0-train-bf16"}
	m.into(&p, 256)
	want := "b0-train-bf16            5120.0      50.00       4000      50%  Depthwise 75%, MatMul 25%"
	if len(p.table) != 1 || p.table[0] != want || p.Numbers["step_ms"] != 50.0 || p.Numbers["percent_of_peak"] != 50.0 {
		t.Errorf("%q, want %q; %v", p.table, want, p.Numbers)
	}
}

func TestAccuracy(t *testing.T) {
	e, err := parseEvaluated("lite0 at 224 px\n{\"epochs\":[{\"train_loss\":0.5}],\"best\":{\"top1\":0.95,\"loss\":0.2}}\n")
	if err != nil || *e.Best.Top1 != 0.95 || e.Best.Loss != 0.2 || len(e.Epochs) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	for _, bad := range []string{"", "top-1 95%", `{"best":{"loss":0.2}}`} {
		if _, err := parseEvaluated(bad); err == nil {
			t.Errorf("%q counts as an accuracy", bad)
		}
	}
	for top1, ok := range map[float64]bool{1: true, accuracyOnCPU - mostBelow + 0.001: true, accuracyOnCPU - mostBelow - 0.001: false, 0: false, math.NaN(): false} {
		if err := compareAccuracy(top1); (err == nil) != ok {
			t.Errorf("%g: %v", top1, err)
		}
	}
}

func TestTrainLosses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.csv")
	for text, want := range map[string]string{
		"epoch,train_loss\n1,2.5\n2,1.25\n": "[2.5 1.25] <nil>",
		"epoch,train_loss\n1,NaN\n":         "[] " + path + ": a training loss is NaN",
		"epoch,train_loss\n":                "[] " + path + " has no training loss",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		losses, err := trainLosses(path)
		if got := fmt.Sprint(losses, err); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestSanitizerErrors(t *testing.T) {
	for output, want := range map[string]int{
		"PASS\n========= ERROR SUMMARY: 0 errors\n":                                               0,
		"========= Invalid __global__ read of size 4 bytes\n========= ERROR SUMMARY: 12 errors\n": 12,
		"========= ERROR SUMMARY: 1 error\n":                                                      1,
		"========= RACECHECK SUMMARY: 3 hazards displayed (3 errors, 0 warnings)\n":               3,
	} {
		if got, err := sanitizerErrors(output); err != nil || got != want {
			t.Errorf("%q: %d, %v", output, got, err)
		}
	}
	if _, err := sanitizerErrors("PASS\n"); err == nil {
		t.Error("an output without a summary has no errors")
	}
	for output, want := range map[string]string{
		"==ERROR== ERR_NVGPUCTRPERM - The user does not have permission":           "ERR_NVGPUCTRPERM - The user does not have permission",
		"==ERROR== Failed to initialize the profiler: LibraryNotLoaded\nmore":      "ERROR== Failed to initialize the profiler: LibraryNotLoaded",
		"========= Error: Device not supported. Please refer to the documentation": "Error: Device not supported. Please refer to the documentation",
		"========= ERROR SUMMARY: 2 errors":                                        "",
	} {
		if got := refused(output); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
	}
}

const someKernels = `==PROF== Connected to process 77 (/tmp/effnet)
==PROF== Profiling "add": 0%....50%....100% - 3 passes
{"json": "of the program"}
"ID","Process ID","Kernel Name","Block Size","dram__bytes_read.sum","dram__bytes_write.sum","gpu__time_duration.sum"
"","","","","Kbyte","byte","ns"
"0","77","add","(128, 1, 1)","3","1,000","2,000"
"1","77","void ns::gemm<(int)1, float>(T1)","(128, 1, 1)","0","0","500"
"2","77","add","(128, 1, 1)","5","1,000","3,000"
==PROF== Disconnected from process 77
`

func TestParseKernels(t *testing.T) {
	kernels, err := parseKernels(someKernels, []string{duration, "dram__bytes_read.sum", "dram__bytes_write.sum"})
	if err != nil {
		t.Fatal(err)
	}
	got := sums(kernels)
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) }
	if len(got) != 2 || got[0].Name != "add" || got[0].Launches != 2 || !near(got[0].Seconds, 5e-6) || !near(got[0].BytesPerSec, 2e9) {
		t.Errorf("%+v", got)
	}
	if mean := got[0].Means["dram__bytes_read.sum"]; !near(mean, (3e3*2+5e3*3)/5) {
		t.Errorf("the mean weighted by time is %g", mean)
	}
	if pattern := namesPattern(append(got, kernelSum{Name: "(anonymous namespace)::f(int)"}, kernelSum{Name: "a+b"})); pattern != `regex:^(a\+b|add|f|gemm)$` {
		t.Error(pattern)
	}
	for _, bad := range []string{"", "==ERROR== nothing", strings.Join(strings.SplitAfter(someKernels, "\n")[:5], ""), strings.Replace(someKernels, "2,000", "n/a", 1)} {
		if _, err := parseKernels(bad, []string{duration}); err == nil {
			t.Errorf("%q is a table", bad)
		}
	}
	if _, err := parseKernels(someKernels, metrics); err == nil {
		t.Error("metrics that are not there are not missed")
	}
}

func TestAddPeers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "peers.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var r result
	ours := map[string]float64{}
	write(`{"rows":[{"work":"train b0","mode":"train","contenders":[{"id":"effnet","name":"effnet","median":300},{"id":"eager","name":"PyTorch, eager","median":100}]}]}`)
	if err := r.addPeers("a", file, ours); err != nil {
		t.Error(err)
	}
	write(`{"rows":[{"work":"train b0","mode":"train","contenders":[{"id":"compile","name":"torch.compile","median":200}]}]}`)
	if err := r.addPeers("b", file, ours); err != nil || r.Summary != "train 3.00x eager, train 1.50x compile" || len(r.table) != 3 {
		t.Errorf("%v, %+v", err, r)
	}
	write(`{"rows":[{"work":"train b0","contenders":[{"id":"eager","name":"PyTorch, eager","median":0,"error":"took too long"}]}]}`)
	if err := r.addPeers("c", file, ours); err == nil || err.Error() != "PyTorch, eager: took too long" {
		t.Error(err)
	}
	write(`{"rows":[]}`)
	if err := r.addPeers("d", file, ours); err == nil {
		t.Error("a comparison of nothing has succeeded")
	}
}
