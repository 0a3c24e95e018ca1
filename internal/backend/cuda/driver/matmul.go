package driver

import (
	"errors"
	"fmt"
	"unsafe"

	"effnet/internal/dynlib"
)

// Numbers of cublasLt.h, cublas_api.h and library_types.h.
const (
	descTransA     = 3 // CUBLASLT_MATMUL_DESC_TRANSA
	descTransB     = 4
	descEpilogue   = 7
	descBias       = 8  // CUBLASLT_MATMUL_DESC_BIAS_POINTER
	epilogueBias   = 4  // CUBLASLT_EPILOGUE_BIAS
	prefWorkspace  = 1  // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
	prefReduction  = 3  // CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK
	prefAlignment  = 5  // CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES; those of B, C and D follow
	reduceFloat32  = 2  // CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
	transposed     = 1  // CUBLAS_OP_T
	notSupported   = 15 // CUBLAS_STATUS_NOT_SUPPORTED
	algorithmWords = 8  // cublasLtMatmulAlgo_t
)

// computeTypes are cublasComputeType_t's: CUBLAS_COMPUTE_32F, _32F_FAST_TF32,
// _32F_FAST_16BF.
var computeTypes = map[Precision]uintptr{FP32: 68, TF32: 77, BF16: 75}

// WorkspaceBytes is the memory that a Device has for its products: NVIDIA's advice for cuBLAS on its newest GPUs.
const WorkspaceBytes = 32 << 20

// heuristic is cublasLtMatmulHeuristicResult_t.
type heuristic struct {
	algorithm [algorithmWords]uint64
	workspace uint64
	state     int32
	waves     float32
	_         [4]int32
}

// ltProduct is a Product by cuBLASLt.
type ltProduct struct {
	d       *Device
	m       Matmul
	desc    uintptr
	x, y, z uintptr // layouts of the left factor, the right one and the result
	by      Algorithm
	alpha   float32
	beta    float32 // of what is added to the product: the shortcut
	bias    Pointer // what desc has
}

// MostRows is how many rows a Matmul's result has at most, unless its rows are summed
// over; 0 for any number. Before cuBLAS 12.1 each 32 rows were a block of the grid's
// second dimension, of which there are 65,535.
func (d *Device) MostRows() int {
	if dynlib.Call(d.lt.getVersion.address) < 120100 { // 10000·major + 100·minor + patch
		return 65535 * 32
	}
	return 0
}

// NoAlgorithm says that cuBLASLt has none for a product.
type NoAlgorithm struct{ Matmul }

func (e *NoAlgorithm) Error() string {
	return fmt.Sprintf("cuBLASLt has no algorithm for %+v", e.Matmul)
}

// Algorithm is one of those that cuBLASLt has for a Matmul. It may be kept, for the same
// version of the library and the same GPU.
type Algorithm struct {
	Compute uintptr                // the cublasComputeType_t of the products that it is for
	Words   [algorithmWords]uint64 // cublasLtMatmulAlgo_t
}

// Products says by what products are computed: cuBLASLt and its version.
func (d *Device) Products() string {
	return fmt.Sprintf("cuBLASLt %d", dynlib.Call(d.lt.getVersion.address))
}

// Matmul makes a product ready, by the algorithm that cuBLASLt thinks best. If it has
// none, it is asked again for one that multiplies in float32, then for one that does with
// the least alignment. An error of all of them is a *NoAlgorithm.
func (d *Device) Matmul(m Matmul) (Product, error) {
	p, found, err := d.ask(m, 1)
	if err != nil {
		return nil, err
	}
	p.by = found[0]
	return p, nil
}

// Algorithms are the first few that cuBLASLt has for a product, the one of Matmul first.
func (d *Device) Algorithms(m Matmul, most int) ([]Algorithm, error) {
	p, found, err := d.ask(m, most)
	if err != nil {
		return nil, err
	}
	return found, p.Close()
}

// MatmulBy is Matmul by an algorithm. One that the library does not take for this product
// is a *NoAlgorithm.
func (d *Device) MatmulBy(m Matmul, by Algorithm) (_ Product, err error) {
	p := newProduct(d, m)
	p.by = by
	if err = p.describe(by.Compute); err == nil && m.Bias {
		err = p.setBias(Pointer(m.Align))
	}
	if err == nil {
		var checked heuristic
		err = d.do(&d.lt.algoCheck, d.blas, p.desc, p.x, p.y, p.z, p.z, uintptr(unsafe.Pointer(&p.by.Words)), uintptr(unsafe.Pointer(&checked)))
		if _, refused := errors.AsType[*Error](err); refused || err == nil && (checked.state != 0 || checked.workspace > WorkspaceBytes) {
			err = &NoAlgorithm{m}
		}
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// ask returns a product without an algorithm, and a limited number for it.
func (d *Device) ask(m Matmul, most int) (*ltProduct, []Algorithm, error) {
	compute, ok := computeTypes[m.Precision]
	least := min(types[m.In].size, types[m.Out].size)
	if m.In != Float32 {
		compute = computeTypes[FP32] // of what it is
	}
	if !ok || least == 0 || m.M < 1 || m.N < 1 || m.K < 1 || m.Align < least {
		return nil, nil, fmt.Errorf("no such product: %+v", m)
	}
	tries := []struct {
		compute uintptr
		align   int
	}{{compute, m.Align}, {computeTypes[FP32], m.Align}, {computeTypes[FP32], least}}
	for i, try := range tries {
		if i > 0 && try == tries[i-1] {
			continue
		}
		p := newProduct(d, m)
		found, err := p.find(try.compute, try.align, most)
		if err == nil {
			return p, found, nil
		}
		if err = errors.Join(err, p.Close()); !isNone(err) {
			return nil, nil, err
		}
	}
	return nil, nil, &NoAlgorithm{m}
}

func isNone(err error) bool {
	_, none := errors.AsType[*NoAlgorithm](err)
	return none
}

// newProduct describes nothing yet. cuBLASLt's matrices are column-major, which is what a
// row-major matrix is if its rows are called columns: so it is asked for
// C' = op(B)'·op(A)', and B is the left factor.
func newProduct(d *Device, m Matmul) *ltProduct {
	p := &ltProduct{d: d, m: m, alpha: 1}
	if m.Residual {
		p.beta = 1
	}
	return p
}

// find describes the product and asks for algorithms.
func (p *ltProduct) find(compute uintptr, align, most int) (found []Algorithm, err error) {
	if err := p.describe(compute); err != nil {
		return nil, err
	}
	proposed, err := p.propose(align, most)
	if err != nil {
		return nil, err
	}
	for _, h := range proposed {
		if h.state == 0 {
			found = append(found, Algorithm{compute, h.algorithm})
		}
	}
	return found, nil
}

// describe makes the descriptions.
func (p *ltProduct) describe(compute uintptr) error {
	lt, m := p.d.lt, p.m
	if err := p.d.do(&lt.descCreate, uintptr(unsafe.Pointer(&p.desc)), compute, uintptr(Float32)); err != nil {
		return err
	}
	set := func(attribute uintptr, value int32) error {
		return p.d.do(&lt.descSet, p.desc, attribute, uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value))
	}
	flag := map[bool]int32{true: transposed}
	if err := set(descTransA, flag[m.TransB]); err != nil {
		return err
	}
	if err := set(descTransB, flag[m.TransA]); err != nil {
		return err
	}
	if m.Bias {
		if err := set(descEpilogue, epilogueBias); err != nil {
			return err
		}
	}
	// A row-major [R,C] is a column-major C x R, with columns stride apart.
	layout := func(at *uintptr, rows, columns, stride int, transposed bool, t Type) error {
		if transposed {
			rows, columns = columns, rows
		}
		return p.d.do(&lt.layoutCreate, uintptr(unsafe.Pointer(at)), uintptr(t), uintptr(columns), uintptr(rows), uintptr(max(columns, stride)))
	}
	if err := layout(&p.x, m.K, m.N, 0, m.TransB, m.In); err != nil {
		return err
	}
	if err := layout(&p.y, m.M, m.K, m.StrideA, m.TransA, m.In); err != nil {
		return err
	}
	return layout(&p.z, m.M, m.N, 0, false, m.Out)
}

// propose asks for algorithms for addresses that are multiples of align bytes, the best
// first.
func (p *ltProduct) propose(align, most int) (results []heuristic, err error) {
	lt := p.d.lt
	var preference uintptr
	if err := p.d.do(&lt.preferenceCreate, uintptr(unsafe.Pointer(&preference))); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.d.do(&lt.preferenceDestroy, preference)) }()
	if err := p.prefer(preference, align); err != nil {
		return nil, err
	}
	if p.m.Bias {
		// cuBLASLt takes the bias's alignment from its address, which is not known
		// yet: this one is aligned alike, and nobody reads there.
		if err := p.setBias(Pointer(align)); err != nil {
			return nil, err
		}
	}
	var found int32
	results = make([]heuristic, most)
	err = p.d.do(&lt.algoGetHeuristic, p.d.blas, p.desc, p.x, p.y, p.z, p.z, preference, uintptr(most),
		uintptr(unsafe.Pointer(unsafe.SliceData(results))), uintptr(unsafe.Pointer(&found)))
	var refused *Error
	switch best := results[0].state; {
	case errors.As(err, &refused) && refused.Code == notSupported, err == nil && found < 1, err == nil && best == notSupported:
		return nil, &NoAlgorithm{p.m}
	case err == nil && best != 0:
		return nil, &Error{Call: lt.algoGetHeuristic.name, Name: lt.algoGetHeuristic.status(best), Code: best}
	case err != nil:
		return nil, err
	}
	return results[:found], nil
}

// prefer says what algorithms may take.
func (p *ltProduct) prefer(preference uintptr, align int) error {
	lt := p.d.lt
	most := uint64(WorkspaceBytes)
	if err := p.d.do(&lt.preferenceSet, preference, prefWorkspace, uintptr(unsafe.Pointer(&most)), unsafe.Sizeof(most)); err != nil {
		return err
	}
	set := func(attribute uintptr, value uint32) error {
		return p.d.do(&lt.preferenceSet, preference, attribute, uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value))
	}
	// What is cut along K is joined in float32, whatever the result's type: by default
	// parts may be rounded to bf16 before.
	if err := set(prefReduction, reduceFloat32); err != nil {
		return err
	}
	for operand := range uintptr(4) {
		if err := set(prefAlignment+operand, uint32(align)); err != nil {
			return err
		}
	}
	return nil
}

// setBias says where the bias lies.
func (p *ltProduct) setBias(bias Pointer) error {
	p.bias = bias
	return p.d.do(&p.d.lt.descSet, p.desc, descBias, uintptr(unsafe.Pointer(&p.bias)), unsafe.Sizeof(p.bias))
}

// Run implements Product.
func (p *ltProduct) Run(a, b, bias, shortcut, c Pointer) error {
	if !p.m.Residual {
		shortcut = c
	}
	if p.m.Bias && bias != p.bias {
		if err := p.setBias(bias); err != nil {
			return err
		}
	}
	return p.d.do(&p.d.lt.product, p.d.blas, p.desc, uintptr(unsafe.Pointer(&p.alpha)), uintptr(b), p.x, uintptr(a), p.y,
		uintptr(unsafe.Pointer(&p.beta)), uintptr(shortcut), p.z, uintptr(c), p.z,
		uintptr(unsafe.Pointer(&p.by.Words)), uintptr(p.d.workspace), WorkspaceBytes, p.d.stream)
}

// Close implements Product.
func (p *ltProduct) Close() (err error) {
	for _, h := range []struct {
		handle  *uintptr
		destroy *entry
	}{
		{&p.x, &p.d.lt.layoutDestroy}, {&p.y, &p.d.lt.layoutDestroy}, {&p.z, &p.d.lt.layoutDestroy}, {&p.desc, &p.d.lt.descDestroy},
	} {
		if *h.handle != 0 {
			err = errors.Join(err, p.d.do(h.destroy, *h.handle))
			*h.handle = 0
		}
	}
	return err
}
