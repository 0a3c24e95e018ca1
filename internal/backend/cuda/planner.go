package cuda

import (
	"unsafe"

	"effnet/internal/backend/cuda/driver"
)

// NewPlanner returns a Backend without a GPU, which computes nothing: Bytes of what is
// made on it is what the same takes on a GPU.
func NewPlanner(precision string) *Backend {
	b := newBackend(&planner{alignment}, driver.Precision(precision))
	b.plans = true
	return b
}

// planner is a device that gives out addresses. Values read from it are 0.
type planner struct{ next driver.Pointer }

func (p *planner) Name() string         { return "planned" }
func (p *planner) Architecture() string { return "none" }
func (p *planner) Memory() (free, total int64, err error) {
	const most = 1 << 60
	return most, most, nil
}
func (p *planner) Alloc(bytes int64) (driver.Pointer, error) {
	at := p.next
	p.next += driver.Pointer((bytes + alignment - 1) / alignment * alignment)
	return at, nil
}
func (p *planner) Free(driver.Pointer) error                   { return nil }
func (p *planner) Upload(driver.Pointer, []byte) error         { return nil }
func (p *planner) Stage(driver.Pointer, []byte) error          { return nil }
func (p *planner) Download(dst []byte, _ driver.Pointer) error { clear(dst); return nil }
func (p *planner) NewReader(int) (driver.Reader, error)        { return nothing{}, nil }
func (p *planner) Clear(driver.Pointer, int64) error           { return nil }
func (p *planner) Copy(_, _ driver.Pointer, _ int64) error     { return nil }
func (p *planner) Load([]byte) error                           { return nil }
func (p *planner) Function(string) (driver.Function, error)    { return 0, nil }
func (p *planner) Launch(driver.Function, [3]uint32, [3]uint32, uint32, []unsafe.Pointer) error {
	return nil
}
func (p *planner) Matmul(driver.Matmul) (driver.Product, error) { return nothing{}, nil }
func (p *planner) MostRows() int                                { return 0 }
func (p *planner) Time(queue []func()) ([]float64, error) {
	return make([]float64, len(queue)), nil
}
func (p *planner) Record(func() error) (driver.Graph, error) { return nothing{}, nil }
func (p *planner) Sync() error                               { return nil }
func (p *planner) Close() error                              { return nil }

// nothing is a product, graph or reader that does nothing.
type nothing struct{}

func (nothing) Begin(driver.Pointer) error { return nil }
func (nothing) Ready() bool                { return true }
func (nothing) Take(dst []byte) error      { clear(dst); return nil }

func (nothing) Run(_, _, _, _, _ driver.Pointer) error { return nil }
func (nothing) Launch() error                          { return nil }
func (nothing) Close() error                           { return nil }
