package backend_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
)

// declared are the methods that each type of the package declares, by the sources. A
// method that a type has of one in it is not among them.
func declared(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	methods := map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
				if of, ok := f.Recv.List[0].Type.(*ast.Ident); ok {
					methods[of.Name] = append(methods[of.Name], f.Name.Name)
				}
			}
		}
	}
	return methods
}

// Every Spec of the sources describes itself, and is in the suite. What it has of a
// Spec in it, as a NormActGradInput has of NormAct, may be another operation's: so it
// must say itself what it is and what it costs.
func TestSpecsAreDescribed(t *testing.T) {
	cases := map[string]int{}
	for _, spec := range backendtest.Light() {
		cases[strings.TrimPrefix(fmt.Sprintf("%T", spec), "backend.")]++
	}
	methods, specs := declared(t), 0
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		has := func(method string) bool { return slices.Contains(methods[name], method) }
		if !has("Operands") {
			if has("Reference") || has("Unfused") || has("MultiplyAdds") {
				t.Errorf("%s does not say what its operands are", name)
			}
			continue
		}
		specs++
		if !has("Unfused") && (!has("Reference") || !has("MultiplyAdds")) {
			t.Errorf("%s declares neither Unfused nor both of Reference and MultiplyAdds", name)
		}
		if has("Unfused") && has("Reference") {
			t.Errorf("%s has a Reference besides what it stands for", name)
		}
		if cases[name] == 0 {
			t.Errorf("%s is not in backendtest.Light", name)
		}
	}
	if specs != len(cases) || specs < 40 {
		t.Errorf("%d Specs in the sources, %d in the suite", specs, len(cases))
	}
}

// A Spec's operands are what its definition does with them: it changes none that is
// read, and none that is written depends on what was there.
func TestRoles(t *testing.T) {
	for i, spec := range backendtest.Light() {
		before := backendtest.Operands(spec, uint64(i))
		clean, dirty := clone(before), clone(before)
		for k, o := range spec.Operands() {
			if !o.Role.Reads() {
				clear(clean[k])
				for j := range dirty[k] {
					dirty[k][j] = float32(math.NaN())
				}
			}
		}
		for _, v := range [][][]float32{clean, dirty} {
			if err := backend.Reference(spec, v); err != nil {
				t.Fatal(err)
			}
		}
		for k, o := range spec.Operands() {
			switch {
			case !same(clean[k], dirty[k]):
				t.Errorf("%T%+v: operand %d depends on what was there before", spec, spec, k)
			case !o.Role.Writes() && !same(clean[k], before[k]):
				t.Errorf("%T%+v: operand %d is changed", spec, spec, k)
			}
		}
	}
}

func clone(v [][]float32) [][]float32 {
	all := make([][]float32, len(v))
	for i, x := range v {
		all[i] = slices.Clone(x)
	}
	return all
}

func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// What a fused Spec writes is of the types that its steps give it.
func TestTypesOfFused(t *testing.T) {
	for _, spec := range backendtest.Specs() {
		fused, ok := spec.(backend.Fused)
		if !ok {
			continue
		}
		operands := spec.Operands()
		types := make([]backend.DType, len(operands))
		for i, o := range operands {
			if o.Role.Map() && o.Role.Reads() {
				types[i] = backend.BFloat16
			}
		}
		var read []backend.DType
		for i, o := range operands {
			if o.Role.Reads() {
				read = append(read, types[i])
			}
		}
		backend.SetTypes(spec, backend.BFloat16, types)
		steps := backend.StepTypes(fused.Unfused(), backend.BFloat16, read)
		for i, got := range types {
			if steps[i] != got {
				t.Errorf("%T%+v: operand %d is %v, by the steps %v", spec, spec, i, got, steps[i])
			}
		}
	}
}

// Every Spec of the suite is valid, and none is with a negative dimension.
func TestValidate(t *testing.T) {
	for _, spec := range backendtest.Specs() {
		if err := spec.Validate(); err != nil {
			t.Errorf("%T%+v: %v", spec, spec, err)
		}
		broken := reflect.New(reflect.TypeOf(spec)).Elem()
		broken.Set(reflect.ValueOf(spec))
		eachDimension(broken, "", func(name string, dimension reflect.Value) {
			was := dimension.Int()
			dimension.SetInt(-1)
			if err := broken.Interface().(backend.Spec).Validate(); err == nil {
				t.Errorf("%T%+v: a negative %s is allowed", spec, spec, name)
			}
			dimension.SetInt(was)
		})
	}
}

// eachDimension calls do with every int of a Spec, those of structs in it too.
func eachDimension(v reflect.Value, prefix string, do func(name string, dimension reflect.Value)) {
	for i := range v.NumField() {
		field, name := v.Field(i), prefix+v.Type().Field(i).Name
		switch field.Kind() {
		case reflect.Struct:
			eachDimension(field, name+".", do)
		case reflect.Int:
			do(name, field)
		}
	}
}

// Invalid Specs, one for each condition.
func TestValidateRefuses(t *testing.T) {
	conv := backend.ConvShape{N: 1, H: 4, W: 4, In: 2, Kernel: 3, Stride: 1, Top: 1, Left: 1, OutH: 4, OutW: 4, Out: 2}
	wide, far, early := conv, conv, conv
	wide.Out, far.OutH, early.Top = 3, 9, 3
	none := backend.Norm{Act: backend.Activation(len(backend.Activations()))}
	for _, spec := range []backend.Spec{
		backend.MatMul{M: 2, N: 2, K: 2, TransA: true, TransB: true},
		backend.MatMul{M: 2, N: 2, K: 2, TransA: true, Bias: true},
		backend.Depthwise{ConvShape: wide}, backend.NormDepthwise{ConvShape: wide}, backend.MaxPool{ConvShape: wide},
		backend.MaxPool{ConvShape: far}, backend.MaxPool{ConvShape: early},
		backend.Activate{N: 3, Act: none.Act}, backend.NormAct{Rows: 2, C: 2, Act: none.Act}, backend.FoldedConv{ConvShape: conv, Norm: none},
		backend.DropPath{N: 1, Size: 1, Survival: -0.1}, backend.Dropout{N: 1, P: 2}, backend.Dropout{N: 1, P: float32(math.NaN())},
		backend.NormMatMul{M: 7, N: 1, K: 1, Area: 3}, backend.NormMatMul{M: 6, N: 1, K: 1, Area: 3, Read: backend.Gated + 1},
		backend.ProjectGrad{M: 6, N: 1, K: 1, Area: 3, Read: backend.Raw}, backend.NormDepthwise{ConvShape: conv, Read: backend.Gated},
		backend.FoldedMatMul{M: 6, N: 1, K: 1, Area: 3, Residual: true, Pool: true},
		backend.FoldedMatMul{M: 6, N: 1, K: 1, Area: 3, Residual: true, Norm: backend.Norm{Act: backend.Swish}},
		backend.FoldedDepthwise{ConvShape: conv, Before: backend.ConvShape{N: 1}}, backend.FoldedDepthwise{ConvShape: conv, Before: far},
		neither{},
	} {
		if err := backend.Check(spec, nil); err == nil || strings.Contains(err.Error(), "operands") {
			t.Errorf("%T%+v is allowed: %v", spec, spec, err)
		}
	}
}

// neither is a Spec that is neither Basic nor Fused.
type neither struct{}

func (neither) Operands() []backend.Operand { return nil }
func (neither) Validate() error             { return nil }
