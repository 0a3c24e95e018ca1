package cuda

import (
	"unsafe"

	"effnet/internal/backend/cuda/driver"
)

// Planner is a Backend without a GPU, which computes nothing: what is made on it says
// how much memory the same takes on a GPU.
type Planner struct {
	*Backend
	counter *counter
}

// NewPlanner returns a Planner of a precision.
func NewPlanner(precision string) Planner {
	c := &counter{next: alignment, sizes: map[driver.Pointer]int64{}}
	b := newBackend(c, driver.Precision(precision))
	b.plans = true
	return Planner{b, c}
}

// Bytes is what was allocated, with what every GPU's backend has.
func (p Planner) Bytes() int64 {
	sum := int64(driver.WorkspaceBytes)
	for _, size := range p.counter.sizes {
		sum += size
	}
	return sum
}

// counter is a device that counts the bytes asked for. Values read from it are 0.
type counter struct {
	next  driver.Pointer
	sizes map[driver.Pointer]int64 // of what is allocated
}

func (c *counter) Name() string         { return "planned" }
func (c *counter) Architecture() string { return "none" }
func (c *counter) Memory() (free, total int64, err error) {
	const most = 1 << 60
	return most, most, nil
}
func (c *counter) Alloc(bytes int64) (driver.Pointer, error) {
	p, size := c.next, (bytes+alignment-1)/alignment*alignment
	c.next, c.sizes[p] = p+driver.Pointer(size), size
	return p, nil
}
func (c *counter) Free(p driver.Pointer) error                 { delete(c.sizes, p); return nil }
func (c *counter) Upload(driver.Pointer, []byte) error         { return nil }
func (c *counter) Stage(driver.Pointer, []byte) error          { return nil }
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
func (c *counter) Record(func() error) (driver.Graph, error)    { return nothing{}, nil }
func (c *counter) Sync() error                                  { return nil }
func (c *counter) Close() error                                 { return nil }

// nothing is a product, graph or reader that does nothing.
type nothing struct{}

func (nothing) Begin(driver.Pointer) error { return nil }
func (nothing) Ready() bool                { return true }
func (nothing) Take(dst []byte) error      { clear(dst); return nil }

func (nothing) Run(_, _, _, _, _ driver.Pointer) error { return nil }
func (nothing) Launch() error                          { return nil }
func (nothing) Close() error                           { return nil }
