package cuda

import (
	"strings"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cuda/driver"
)

// productSpecs are the Specs that are products, or have some.
func productSpecs() (specs []backend.Spec) {
	for i, spec := range backendtest.Specs() {
		switch spec.(type) {
		case backend.MatMul, backend.Conv, backend.ConvGradInput, backend.ConvGradWeight, backend.Linear:
			specs = append(specs, spec)
		case backend.FoldedMatMul, backend.FoldedConv, backend.NormMatMul, backend.ProjectGrad, backend.ExpandGrad:
			if i%5 == 0 {
				specs = append(specs, spec)
			}
		}
	}
	return specs
}

// Products of more rows or values than cuBLASLt takes are cut, and come to the same.
func TestCutProducts(t *testing.T) {
	for name, limit := range map[string]func(*Backend, *emulation){
		"values": func(b *Backend, _ *emulation) { b.mostValues = 150 },
		"rows":   func(_ *Backend, e *emulation) { e.rows = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			b, e := onCPU(t)
			limit(b, e)
			backendtest.Each(t, b, productSpecs(), func(t *testing.T, i int, spec backend.Spec) float64 {
				want := backendtest.Operands(spec, uint64(i))
				got, err := backendtest.Run(b, spec, want)
				if err != nil {
					t.Errorf("%T%+v: %v", spec, spec, err)
					return 0
				}
				return backendtest.Compare(t, spec, got, want, 2e-5)
			})
			if b.handles < handle(3*len(productSpecs())) {
				t.Errorf("%d products: few were cut", b.handles)
			}
		})
	}
}

// A bias that cuBLASLt does not add is added after, in each type of maps.
func TestBiasWithoutAnEpilogue(t *testing.T) {
	for precision, limit := range limits(2e-5, 1./32) {
		b, e := onCPU(t)
		b.precision = precision
		refused := 0
		e.lacks = func(m driver.Matmul) bool {
			if m.Bias {
				refused++
			}
			return m.Bias
		}
		backendtest.Each(t, b, productSpecs(), func(t *testing.T, i int, spec backend.Spec) float64 {
			want := backendtest.Operands(spec, uint64(i))
			if precision == driver.FP32 {
				got, err := backendtest.Run(b, spec, want)
				if err != nil {
					t.Fatalf("%T%+v: %v", spec, spec, err)
				}
				return backendtest.Compare(t, spec, got, want, limit)
			}
			got, _ := backendtest.RunHalf(t, b, b.Maps(), spec, want, false)
			return backendtest.Compare(t, spec, got, want, limit)
		})
		if refused < 10 {
			t.Errorf("%s: %d products have a bias", precision, refused)
		}
	}
}

// A product that cuBLASLt does not do at all is an error with all that describes it.
func TestNoAlgorithm(t *testing.T) {
	b, e := onCPU(t)
	e.lacks = func(driver.Matmul) bool { return true }
	spec := backend.MatMul{M: 3, N: 4, K: 5, Bias: true}
	_, err := backendtest.Run(b, spec, backendtest.Operands(spec, 1))
	if err == nil || !strings.Contains(err.Error(), "prepare a product of 3x5 and 5x4: cuBLASLt has no algorithm for {M:3 N:4 K:5 TransA:false") {
		t.Error(err)
	}
}
