//go:build linux && (amd64 || arm64) && !static

package driver

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"effnet/internal/backend/cuda/sass"
)

// constants are the package's numbers and what headers call them. The Go name finds
// those that are missing here.
var constants = []struct {
	name  string
	value int
	c     string
}{
	{"attributeMajor", attributeMajor, "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR"},
	{"attributeMinor", attributeMinor, "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR"},
	{"streamNonBlocking", streamNonBlocking, "CU_STREAM_NON_BLOCKING"},
	{"eventTiming", eventTiming, "CU_EVENT_DEFAULT"},
	{"eventNoTiming", eventNoTiming, "CU_EVENT_DISABLE_TIMING"},
	{"captureRelaxed", captureRelaxed, "CU_STREAM_CAPTURE_MODE_RELAXED"},

	{"outOfMemory", outOfMemory, "CUDA_ERROR_OUT_OF_MEMORY"},
	{"stubLibrary", stubLibrary, "CUDA_ERROR_STUB_LIBRARY"},
	{"noDevice", noDevice, "CUDA_ERROR_NO_DEVICE"},
	{"notFound", notFound, "CUDA_ERROR_NOT_FOUND"},
	{"notReady", notReady, "CUDA_ERROR_NOT_READY"},

	{"Float32", int(Float32), "CUDA_R_32F"},
	{"BFloat16", int(BFloat16), "CUDA_R_16BF"},
	{"descTransA", descTransA, "CUBLASLT_MATMUL_DESC_TRANSA"},
	{"descTransB", descTransB, "CUBLASLT_MATMUL_DESC_TRANSB"},
	{"descEpilogue", descEpilogue, "CUBLASLT_MATMUL_DESC_EPILOGUE"},
	{"descBias", descBias, "CUBLASLT_MATMUL_DESC_BIAS_POINTER"},
	{"epilogueBias", epilogueBias, "CUBLASLT_EPILOGUE_BIAS"},
	{"prefWorkspace", prefWorkspace, "CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES"},
	{"prefReduction", prefReduction, "CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK"},
	{"prefAlignment", prefAlignment, "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES"},
	{"prefAlignment", prefAlignment + 1, "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES"},
	{"prefAlignment", prefAlignment + 2, "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES"},
	{"prefAlignment", prefAlignment + 3, "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES"},
	{"reduceFloat32", reduceFloat32, "CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE"},
	{"transposed", transposed, "CUBLAS_OP_T"},
	{"", 0, "CUBLAS_OP_N"}, // what an operand that is not transposed has
	{"notSupported", notSupported, "CUBLAS_STATUS_NOT_SUPPORTED"},
	{"algorithmWords", algorithmWords, "sizeof(cublasLtMatmulAlgo_t) / 8"},
	{"", int(computeTypes[FP32]), "CUBLAS_COMPUTE_32F"},
	{"", int(computeTypes[TF32]), "CUBLAS_COMPUTE_32F_FAST_TF32"},
	{"", int(computeTypes[BF16]), "CUBLAS_COMPUTE_32F_FAST_16BF"},
}

// sizes are those of what C reads and writes, and where its fields are.
var sizes = []struct {
	value uintptr
	c     string
}{
	{unsafe.Sizeof(heuristic{}), "sizeof(cublasLtMatmulHeuristicResult_t)"},
	{unsafe.Offsetof(heuristic{}.algorithm), "offsetof(cublasLtMatmulHeuristicResult_t, algo)"},
	{unsafe.Sizeof(heuristic{}.algorithm), "sizeof(cublasLtMatmulAlgo_t)"},
	{unsafe.Sizeof(Algorithm{}.Words), "sizeof(cublasLtMatmulAlgo_t)"},
	{unsafe.Offsetof(heuristic{}.workspace), "offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize)"},
	{unsafe.Offsetof(heuristic{}.state), "offsetof(cublasLtMatmulHeuristicResult_t, state)"},
	{unsafe.Offsetof(heuristic{}.waves), "offsetof(cublasLtMatmulHeuristicResult_t, wavesCount)"},
	{unsafe.Sizeof(Device{}.number), "sizeof(CUdevice)"},
	{unsafe.Sizeof(Device{}.context), "sizeof(CUcontext)"},
	{unsafe.Sizeof(Device{}.stream), "sizeof(CUstream)"},
	{unsafe.Sizeof(Function(0)), "sizeof(CUfunction)"},
	{unsafe.Sizeof(Pointer(0)), "sizeof(CUdeviceptr)"},
	{unsafe.Sizeof(ltProduct{}.desc), "sizeof(cublasLtMatmulDesc_t)"},
	{unsafe.Sizeof(ltProduct{}.x), "sizeof(cublasLtMatrixLayout_t)"},
	{unsafe.Sizeof(Device{}.blas), "sizeof(cublasLtHandle_t)"},
	{unsafe.Sizeof(uintptr(0)), "sizeof(nvrtcProgram)"},
	{unsafe.Sizeof(Error{}.Code), "sizeof(CUresult)"},
	{unsafe.Sizeof(Error{}.Code), "sizeof(cublasStatus_t)"},
	{unsafe.Sizeof(Error{}.Code), "sizeof(nvrtcResult)"},
}

// functions are those that the package calls: a name of a library's symbol, its
// parameters, and its result where that is not a code.
var functions = []struct{ name, parameters, result string }{
	{"cuGetErrorName", "CUresult, const char **", ""},
	{"cuDriverGetVersion", "int *", ""},
	{"cuInit", "unsigned", ""},
	{"cuDeviceGetCount", "int *", ""},
	{"cuDeviceGet", "CUdevice *, int", ""},
	{"cuDeviceGetName", "char *, int, CUdevice", ""},
	{"cuDeviceGetAttribute", "int *, CUdevice_attribute, CUdevice", ""},
	{"cuDeviceTotalMem_v2", "size_t *, CUdevice", ""},
	{"cuDevicePrimaryCtxRetain", "CUcontext *, CUdevice", ""},
	{"cuDevicePrimaryCtxRelease_v2", "CUdevice", ""},
	{"cuCtxSetCurrent", "CUcontext", ""},
	{"cuMemGetInfo_v2", "size_t *, size_t *", ""},
	{"cuMemAlloc_v2", "CUdeviceptr *, size_t", ""},
	{"cuMemFree_v2", "CUdeviceptr", ""},
	{"cuMemHostAlloc", "void **, size_t, unsigned", ""},
	{"cuMemFreeHost", "void *", ""},
	{"cuMemcpyHtoDAsync_v2", "CUdeviceptr, const void *, size_t, CUstream", ""},
	{"cuMemcpyDtoHAsync_v2", "void *, CUdeviceptr, size_t, CUstream", ""},
	{"cuMemcpyDtoDAsync_v2", "CUdeviceptr, CUdeviceptr, size_t, CUstream", ""},
	{"cuMemsetD8Async", "CUdeviceptr, unsigned char, size_t, CUstream", ""},
	{"cuStreamCreate", "CUstream *, unsigned", ""},
	{"cuStreamDestroy_v2", "CUstream", ""},
	{"cuStreamSynchronize", "CUstream", ""},
	{"cuStreamWaitEvent", "CUstream, CUevent, unsigned", ""},
	{"cuEventCreate", "CUevent *, unsigned", ""},
	{"cuEventDestroy_v2", "CUevent", ""},
	{"cuEventRecord", "CUevent, CUstream", ""},
	{"cuEventSynchronize", "CUevent", ""},
	{"cuEventQuery", "CUevent", ""},
	{"cuEventElapsedTime", "float *, CUevent, CUevent", ""},
	{"cuModuleLoadData", "CUmodule *, const void *", ""},
	{"cuModuleUnload", "CUmodule", ""},
	{"cuModuleGetFunction", "CUfunction *, CUmodule, const char *", ""},
	{"cuLaunchKernel", "CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **, void **", ""},
	{"cuStreamBeginCapture_v2", "CUstream, CUstreamCaptureMode", ""},
	{"cuStreamEndCapture", "CUstream, CUgraph *", ""},
	{"cuGraphInstantiateWithFlags", "CUgraphExec *, CUgraph, unsigned long long", ""},
	{"cuGraphLaunch", "CUgraphExec, CUstream", ""},
	{"cuGraphExecDestroy", "CUgraphExec", ""},
	{"cuGraphDestroy", "CUgraph", ""},

	{"cublasLtGetStatusName", "cublasStatus_t", "const char *"},
	{"cublasLtGetVersion", "void", "size_t"},
	{"cublasLtCreate", "cublasLtHandle_t *", ""},
	{"cublasLtDestroy", "cublasLtHandle_t", ""},
	{"cublasLtMatmulDescCreate", "cublasLtMatmulDesc_t *, cublasComputeType_t, cudaDataType_t", ""},
	{"cublasLtMatmulDescDestroy", "cublasLtMatmulDesc_t", ""},
	{"cublasLtMatmulDescSetAttribute", "cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t, const void *, size_t", ""},
	{"cublasLtMatrixLayoutCreate", "cublasLtMatrixLayout_t *, cudaDataType_t, uint64_t, uint64_t, int64_t", ""},
	{"cublasLtMatrixLayoutDestroy", "cublasLtMatrixLayout_t", ""},
	{"cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreference_t *", ""},
	{"cublasLtMatmulPreferenceDestroy", "cublasLtMatmulPreference_t", ""},
	{"cublasLtMatmulPreferenceSetAttribute", "cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t, const void *, size_t", ""},
	{"cublasLtMatmulAlgoGetHeuristic", "cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, " +
		"cublasLtMatmulPreference_t, int, cublasLtMatmulHeuristicResult_t *, int *", ""},
	{"cublasLtMatmulAlgoCheck", "cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, " +
		"const cublasLtMatmulAlgo_t *, cublasLtMatmulHeuristicResult_t *", ""},
	{"cublasLtMatmul", "cublasLtHandle_t, cublasLtMatmulDesc_t, const void *, const void *, cublasLtMatrixLayout_t, const void *, cublasLtMatrixLayout_t, " +
		"const void *, const void *, cublasLtMatrixLayout_t, void *, cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t *, void *, size_t, cudaStream_t", ""},

	{"nvrtcVersion", "int *, int *", ""},
	{"nvrtcGetErrorString", "nvrtcResult", "const char *"},
	{"nvrtcCreateProgram", "nvrtcProgram *, const char *, const char *, int, const char *const *, const char *const *", ""},
	{"nvrtcDestroyProgram", "nvrtcProgram *", ""},
	{"nvrtcCompileProgram", "nvrtcProgram, int, const char *const *", ""},
	{"nvrtcGetProgramLogSize", "nvrtcProgram, size_t *", ""},
	{"nvrtcGetProgramLog", "nvrtcProgram, char *", ""},
	{"nvrtcGetPTXSize", "nvrtcProgram, size_t *", ""},
	{"nvrtcGetPTX", "nvrtcProgram, char *", ""},
	{"nvrtcGetCUBINSize", "nvrtcProgram, size_t *", ""},
	{"nvrtcGetCUBIN", "nvrtcProgram, char *", ""},
}

// program is a C program that compiles where headers say what the tables do. With
// __CUDA_API_VERSION_INTERNAL a name in cuda.h is the symbol of that name, and no macro
// for a newer one. cublasLt.h includes two headers for types that it does not use in C,
// and these one of another wheel: they are skipped.
func program() string {
	var c strings.Builder
	c.WriteString("#define __CUDA_API_VERSION_INTERNAL\n#define __CUDA_FP16_H__\n#define __CUDA_BF16_H__\n#include <stddef.h>\n#include <cuda.h>\n#include <nvrtc.h>\n#include <cublasLt.h>\n")
	for _, row := range constants {
		fmt.Fprintf(&c, "_Static_assert(%s == %d, \"%s is not %d\");\n", row.c, row.value, row.c, row.value)
	}
	for _, row := range sizes {
		fmt.Fprintf(&c, "_Static_assert(%s == %d, \"%s is not %d\");\n", row.c, row.value, row.c, row.value)
	}
	for i, f := range functions {
		result := f.result
		if result == "" {
			result = map[bool]string{true: "cublasStatus_t", false: "CUresult"}[strings.HasPrefix(f.name, "cublas")]
			if strings.HasPrefix(f.name, "nvrtc") {
				result = "nvrtcResult"
			}
		}
		fmt.Fprintf(&c, "%s (*f%d)(%s) = %s;\n", result, i, f.parameters, f.name)
		if f.parameters == "void" {
			continue
		}
		for p := range strings.SplitSeq(f.parameters, ", ") { // passed as words: a float would be in another register
			fmt.Fprintf(&c, "_Static_assert(sizeof(%s) <= 8 && _Generic(*(%s *)0, float: 0, double: 0, default: 1), \"%s: %s is no word\");\n", p, p, f.name, p)
		}
	}
	return c.String()
}

// NVIDIA's headers, of the oldest and the newest version of each CUDA, have the numbers,
// structures and functions that the package has.
func TestHeaders(t *testing.T) {
	folder := os.Getenv(sass.FolderEnv)
	if folder == "" {
		t.Skip("no headers to compare with: set " + sass.FolderEnv + " to a folder that tools/cuda_wheels.py made")
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no compiler to read NVIDIA's headers with: install gcc")
	}
	versions, err := sass.Versions(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		t.Run(v.Name, func(t *testing.T) {
			includes, err := filepath.Glob(filepath.Join(filepath.Dir(v.Folders), "include"))
			if err != nil || len(includes) == 0 {
				t.Fatalf("no headers, %v", err)
			}
			args := []string{"-std=gnu11", "-fsyntax-only", "-Werror=incompatible-pointer-types", "-Wno-deprecated-declarations", "-x", "c", "-"}
			for _, include := range includes {
				args = append(args, "-isystem", include)
			}
			cmd := exec.CommandContext(t.Context(), "gcc", args...)
			cmd.Stdin = strings.NewReader(program())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// goSource is the package's files that are no tests.
func goSource(t *testing.T) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// The tables have every number of the headers' and every function that the package
// binds, and its calls have as many arguments as these have parameters.
func TestTables(t *testing.T) {
	var tabled []string
	for _, row := range constants {
		tabled = append(tabled, row.name)
	}
	parameters := map[string]int{}
	for _, f := range functions {
		parameters[f.name] = strings.Count(f.parameters, ",") + 1
	}
	fields := map[string][]string{} // of the structures of entries: the symbols of each name
	files := goSource(t)
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				if n.Tok == token.CONST && (strings.HasPrefix(n.Doc.Text(), "Numbers of") || strings.HasPrefix(n.Doc.Text(), "Results that")) {
					for _, name := range constNames(n) {
						if !slices.Contains(tabled, name) {
							t.Errorf("constants has no row for %s", name)
						}
					}
				}
			case *ast.CompositeLit:
				if name, field, ok := bound(n); ok {
					fields[field] = append(fields[field], name)
					if parameters[name] == 0 {
						t.Errorf("functions has no row for %s", name)
					}
				}
			}
			return true
		})
	}
	if len(fields) < 50 {
		t.Fatalf("only %d functions are bound", len(fields))
	}
	counted := 0
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			field, count := calls(call)
			if count > 0 && len(fields[field]) > 0 {
				counted++
				if !slices.ContainsFunc(fields[field], func(name string) bool { return parameters[name] == count }) {
					t.Errorf("a call of %v has %d arguments", fields[field], count)
				}
			}
			return true
		})
	}
	if counted < 40 {
		t.Errorf("only %d calls were counted", counted)
	}
}

func constNames(d *ast.GenDecl) (names []string) {
	for _, spec := range d.Specs {
		for _, name := range spec.(*ast.ValueSpec).Names {
			names = append(names, name.Name)
		}
	}
	return names
}

// bound is the symbol and the field of {"cuInit", &c.init}.
func bound(n *ast.CompositeLit) (name, field string, ok bool) {
	if len(n.Elts) != 2 {
		return "", "", false
	}
	literal, ok := n.Elts[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", "", false
	}
	field = entryOf(n.Elts[1])
	name, err := strconv.Unquote(literal.Value)
	return name, field, err == nil && field != ""
}

// entryOf is the last name of &a.b.name, or of &name.
func entryOf(e ast.Expr) string {
	address, ok := e.(*ast.UnaryExpr)
	if !ok || address.Op != token.AND {
		return ""
	}
	return lastName(address.X)
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// calls is the field and the number of arguments of a call of a function of C:
// a.field.call(...), d.do(&a.field, ...), or s.queue(span, stream, &a.field, ...). The
// number is 0 where it is none, or does not show it.
func calls(c *ast.CallExpr) (field string, count int) {
	f, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || c.Ellipsis.IsValid() {
		return "", 0
	}
	before, ok := map[string]int{"call": 0, "do": 1, "queue": 3}[f.Sel.Name]
	switch {
	case !ok || len(c.Args) < before:
		return "", 0
	case before == 0:
		return lastName(f.X), len(c.Args)
	}
	return entryOf(c.Args[before-1]), len(c.Args) - before
}
