package cuda

import (
	"unsafe"

	"effnet/internal/backend/cuda/driver"
)

// NewCounter returns a Backend without a GPU, which computes nothing: Bytes of what is
// made on it is what the same takes on a GPU.
func NewCounter(precision string) *Backend {
	b := newBackend(&counter{alignment}, driver.Precision(precision))
	b.counts = true
	return b
}

// counter is a device that gives out addresses. Values read from it are 0.
type counter struct{ next driver.Pointer }

func (c *counter) Name() string         { return "counted" }
func (c *counter) Architecture() string { return "none" }
func (c *counter) Memory() (free, total int64, err error) {
	const most = 1 << 60
	return most, most, nil
}
func (c *counter) Alloc(bytes int64) (driver.Pointer, error) {
	at := c.next
	c.next += driver.Pointer((bytes + alignment - 1) / alignment * alignment)
	return at, nil
}
func (c *counter) Free(driver.Pointer) error                   { return nil }
func (c *counter) Upload(driver.Pointer, []byte) error         { return nil }
func (c *counter) Send(driver.Pointer, []byte) error           { return nil }
func (c *counter) Download(dst []byte, _ driver.Pointer) error { clear(dst); return nil }
func (c *counter) NewReader(int) (driver.Reader, error)        { return nothing{}, nil }
func (c *counter) Clear(driver.Pointer, int64) error           { return nil }
func (c *counter) Copy(_, _ driver.Pointer, _ int64) error     { return nil }
func (c *counter) Load([]byte) error                           { return nil }
func (c *counter) Function(string) (driver.Function, error)    { return 0, nil }
func (c *counter) Launch(driver.Function, [3]uint32, [3]uint32, uint32, []unsafe.Pointer) error {
	return nil
}
func (c *counter) Matmul(driver.Matmul) (driver.Product, error) { return nothing{}, nil }
func (c *counter) Products() string                             { return "none" }
func (c *counter) Algorithms(driver.Matmul, int) ([]driver.Algorithm, error) {
	return make([]driver.Algorithm, 1), nil
}
func (c *counter) MatmulBy(m driver.Matmul, _ driver.Algorithm) (driver.Product, error) {
	return c.Matmul(m)
}
func (c *counter) MostRows() int { return 0 }
func (c *counter) Time(queue []func()) ([]float64, error) {
	return make([]float64, len(queue)), nil
}
func (c *counter) Record(func() error) (driver.Graph, error) { return nothing{}, nil }
func (c *counter) Sync() error                               { return nil }
func (c *counter) Close() error                              { return nil }

// nothing is a product, graph or reader that does nothing.
type nothing struct{}

func (nothing) Begin(driver.Pointer) error { return nil }
func (nothing) Ready() bool                { return true }
func (nothing) Take(dst []byte) error      { clear(dst); return nil }

func (nothing) Run(_, _, _, _, _ driver.Pointer) error { return nil }
func (nothing) Launch() error                          { return nil }
func (nothing) Close() error                           { return nil }
