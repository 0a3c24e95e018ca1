package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"iter"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// pkg is a Go package with kernels in C.
type pkg struct {
	dir, name string
	kernels   []kernel
	sources   []string // c/*.c and c/*.h
	hash      string   // of the sources and kernels.go
}

// kernel is a field of the type kernels.
type kernel struct {
	name   string
	array  string // the field's type if it is an array, of the functions name0, name1, ...
	params string // as Go declares them
	first  string // argument
	size   int    // of the arguments in bytes
}

// each yields the names of a field's C functions; the last of an array is where they
// end.
func (k kernel) each() iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		if k.array == "" {
			yield(0, k.name)
			return
		}
		for i := 0; yield(i, k.name+strconv.Itoa(i)); i++ {
		}
	}
}

// readPackage reads kernels.go and finds the C sources.
func readPackage(dir string) (*pkg, error) {
	declared := filepath.Join(dir, "kernels.go")
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, declared, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	p := &pkg{dir: dir, name: f.Name.Name}
	all, ok := declaredType(f, "kernels").(*ast.StructType)
	if !ok {
		return nil, fmt.Errorf("%s: no struct type kernels", declared)
	}
	for _, field := range all.Fields.List {
		t := field.Type
		if name, ok := t.(*ast.Ident); ok { // a func type of the same file
			if t = declaredType(f, name.Name); t == nil {
				t = name
			}
		}
		k, err := newKernel(fset, t)
		if err != nil {
			return nil, err
		}
		for _, n := range field.Names {
			k.name = n.Name
			p.kernels = append(p.kernels, k)
		}
	}
	for _, pattern := range []string{"*.c", "*.h"} {
		found, err := filepath.Glob(filepath.Join(dir, "c", pattern))
		if err != nil {
			return nil, err
		}
		p.sources = append(p.sources, found...)
	}
	slices.Sort(p.sources)
	p.hash, err = hashOf(append([]string{declared}, p.sources...))
	return p, err
}

// declaredType is the type that a file gives a name, or nil.
func declaredType(f *ast.File, name string) ast.Expr {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			if t, ok := spec.(*ast.TypeSpec); ok && t.Name.Name == name {
				return t.Type
			}
		}
	}
	return nil
}

// sizes are the types of arguments, in bytes, each aligned to its size.
var sizes = map[string]int{"unsafe.Pointer": 8, "int": 8, "float32": 4}

// newKernel reads a field's type, a func or an array of funcs.
func newKernel(fset *token.FileSet, t ast.Expr) (k kernel, err error) {
	if array, ok := t.(*ast.ArrayType); ok {
		if k.array, err = source(fset, t); err != nil {
			return k, err
		}
		t = array.Elt
	}
	fn, ok := t.(*ast.FuncType)
	if !ok || fn.Results != nil || len(fn.Params.List) == 0 {
		return k, fmt.Errorf("%s: a field of kernels is a func with arguments and without results, or an array of such", fset.Position(t.Pos()))
	}
	var params []string
	for _, param := range fn.Params.List {
		kind, err := source(fset, param.Type)
		if err != nil {
			return k, err
		}
		size := sizes[kind]
		if size == 0 {
			return k, fmt.Errorf("%s: an argument of a kernel is an unsafe.Pointer, an int or a float32, not a %s", fset.Position(param.Pos()), kind)
		}
		var names []string
		for _, n := range param.Names {
			names = append(names, n.Name)
			k.size = (k.size+size-1)/size*size + size
		}
		if k.first == "" {
			k.first = names[0]
		}
		params = append(params, strings.Join(names, ", ")+" "+kind)
	}
	k.params = strings.Join(params, ", ")
	return k, nil
}

// source is a node as Go writes it.
func source(fset *token.FileSet, node ast.Node) (string, error) {
	var w strings.Builder
	err := printer.Fprint(&w, fset, node)
	return w.String(), err
}
