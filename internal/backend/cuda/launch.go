package cuda

import (
	"fmt"
	"slices"
	"unsafe"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// place is where an operand is: in device memory, or at an offset in the
// scratch, whose address is known when all is compiled.
type place struct {
	at      driver.Pointer
	scratch bool
	dtype   backend.DType
	values  int
}

// part is n of the values, from one on.
func (p place) part(from, n int) place {
	p.at += driver.Pointer(p.dtype.Size() * from)
	p.values = n
	return p
}

func (p place) bytes() int64 { return int64(p.dtype.Size()) * int64(p.values) }

// updated is a place whose values a kernel reads and writes. Of others, the kernel's
// signature says whether it reads or writes them.
type updated struct{ place }

// kernel is the name of a kernel's compilation for a map that lies there.
func (p place) kernel(name string) string { return name + kinds[p.dtype].suffix }

// where is a place's address.
func (b *Backend) where(p place) driver.Pointer {
	if p.scratch {
		return b.scratch.at + p.at
	}
	return p.at
}

// places of views.
func places(views []backend.View) []place {
	all := make([]place, len(views))
	for i, v := range views {
		all[i] = place{at: address(v), dtype: v.DType, values: v.Len}
	}
	return all
}

// compiler compiles one Spec, and those it is made of.
type compiler struct {
	*Backend
	used, most int64  // bytes of scratch
	steps      []step // of Run
	prepare    []step // of Prepare
	kept       []backend.Buffer
}

// step is one launch: a kernel, a product or a copy.
type step struct {
	run func() error
	backend.Launched
}

// alignment of what the scratch holds, in bytes.
const alignment = 256

// temporary takes room for values in the scratch.
func (c *compiler) temporary(values int, dtype backend.DType) place {
	p := place{at: driver.Pointer(c.used), scratch: true, dtype: dtype, values: values}
	c.used += (4*int64(dtype.Room(values)) + alignment - 1) / alignment * alignment
	c.most = max(c.most, c.used)
	return p
}

// release gives back what was taken since used.
func (c *compiler) release(used int64) { c.used = used }

// launch is steps as one launch, with the scratch that they need.
func (c *compiler) launch(name string, steps []step) (backend.Launch, error) {
	b := c.Backend
	if c.most > b.scratch.bytes {
		if err := b.grow(c.most); err != nil {
			return nil, err
		}
	}
	return func() {
		for _, s := range steps {
			if err := s.run(); err != nil {
				b.fail(name, err)
				return
			}
		}
	}, nil
}

// shape is backend.ConvShape as the kernels' Shape.
type shape [11]int32

func shapeOf(s backend.ConvShape) shape {
	return shape{int32(s.N), int32(s.H), int32(s.W), int32(s.In), int32(s.Kernel), int32(s.Stride), int32(s.Top), int32(s.Left), int32(s.OutH), int32(s.OutW), int32(s.Out)}
}

// geometry is a launch's blocks and threads.
type geometry struct{ grid, block [3]uint32 }

// kernel adds a launch of a kernel. Arguments are places, updated, int (Size), int32,
// float32 or shape, as the kernel's signature has them; their values are fixed now,
// but for the scratch's address.
func (c *compiler) kernel(name string, g geometry, args ...any) error {
	f, ok := c.functions[name]
	if !ok {
		var err error
		if f, err = c.device.Function(name); err != nil {
			return c.error("find a kernel", err)
		}
		c.functions[name] = f
	}
	launched := backend.Launched{Name: name}
	writes := signature(name)
	values := make([]shape, len(args)) // the largest: each argument's bytes are at the start of one
	pointers := make([]unsafe.Pointer, len(args))
	inScratch := map[*driver.Pointer]place{}
	for i, arg := range args {
		pointers[i] = unsafe.Pointer(&values[i])
		if v, ok := arg.(updated); ok {
			launched.Reads += v.bytes()
			arg = v.place
		}
		switch v := arg.(type) {
		case place:
			if writes[i] {
				launched.Writes += v.bytes()
			} else {
				launched.Reads += v.bytes()
			}
			*(*driver.Pointer)(pointers[i]) = v.at
			if v.scratch {
				inScratch[(*driver.Pointer)(pointers[i])] = v
			}
		case int:
			*(*int64)(pointers[i]) = int64(v)
		case int32:
			*(*int32)(pointers[i]) = v
		case float32:
			*(*float32)(pointers[i]) = v
		case shape:
			values[i] = v
		default:
			return fmt.Errorf("cuda: argument %d of %s is of type %T", i, name, arg)
		}
	}
	c.steps = append(c.steps, step{func() error {
		for at, p := range inScratch {
			*at = c.where(p)
		}
		if err := c.device.Launch(f, g.grid, g.block, 0, pointers); err != nil {
			return fmt.Errorf("kernel %s, %v blocks of %v threads: %w", name, g.grid, g.block, err)
		}
		if c.careful {
			if err := c.device.Sync(); err != nil {
				return fmt.Errorf("kernel %s, %v blocks of %v threads, arguments %+v: %w", name, g.grid, g.block, args, err)
			}
		}
		return nil
	}, launched})
	return nil
}

// Blocks of a launch: enough to fill any GPU many times over.
const (
	flatBlocks = 1 << 14
	rowBlocks  = 1 << 10
	partBlocks = 512
)

// vector is the bytes that a thread reads or writes at a time.
const vector = 16

// aligned says whether operands are where a vector may be.
func aligned(operands ...place) bool {
	return !slices.ContainsFunc(operands, func(p place) bool { return p.at%vector != 0 })
}

// narrowest is the type of operands with the smallest values.
func narrowest(operands ...place) backend.DType {
	return slices.MinFunc(operands, func(a, b place) int { return a.dtype.Size() - b.dtype.Size() }).dtype
}

// vec is how many channels a kernel on these operands works on at a time: a vector
// of the narrowest, if channels and addresses allow it; else 1.
func vec(channels int, operands ...place) int32 {
	wide := vector / narrowest(operands...).Size()
	if channels%wide != 0 || !aligned(operands...) {
		return 1
	}
	return int32(wide)
}

// flat is the launch of each: a thread for vec values of n.
func (c *compiler) flat(n int, vec int32) geometry {
	blocks := min((n+int(vec)*c.threads-1)/(int(vec)*c.threads), flatBlocks)
	return geometry{[3]uint32{uint32(max(blocks, 1)), 1, 1}, [3]uint32{uint32(c.threads), 1, 1}}
}

// even cuts n into pieces of at most most: how many there are, and their size,
// as equal as can be. The last may be smaller.
func even(n, most int) (pieces, size int) {
	pieces = (n + most - 1) / most
	return pieces, (n + pieces - 1) / pieces
}

// columns divides a block's threads: across for vec channels each, in as many blocks
// as the channels take (over), and down for rows. At most an eighth of the threads go
// across, so that a block has several rows. Neighbouring threads have neighbouring
// channels, and at most an eighth of a block of 256 have nothing to do.
func (c *compiler) columns(channels int, vec int32) (over, across, down int) {
	over, across = even(channels/int(vec), c.threads/8)
	return over, across, c.threads / across
}

// byChannels is the launch of channels over rows of them.
func (c *compiler) byChannels(rows, channels int, vec int32) geometry {
	over, across, down := c.columns(channels, vec)
	blocks := min((rows+down-1)/down, rowBlocks)
	return geometry{[3]uint32{uint32(max(blocks, 1)), uint32(over), 1}, [3]uint32{uint32(across), uint32(down), 1}}
}

// maxDown is CUDA's limit of a block's threads in z.
const maxDown = 64

// tiles is the launch of tiles over rows of columns, run of them to a thread. Few
// threads go across, 128 bytes of a map, so that a block has neighbours in both
// directions.
func (c *compiler) tiles(rows, columns, run, channels int, vec int32) geometry {
	over, across := even(channels/int(vec), c.threads/32)
	wide, runs := even((columns+run-1)/run, c.threads/32)
	high, down := even(rows, min(c.threads/(across*runs), maxDown))
	return geometry{[3]uint32{uint32(over * wide * high), 1, 1}, [3]uint32{uint32(across), uint32(runs), uint32(down)}}
}

// imageBlocks is how many blocks a launch over images has at most: eight for each
// multiprocessor of a large card. A thread reads its channels' constants first, so it should
// have several vectors after that.
const imageBlocks = 1056

// images is the launch for n images, where g is one over an image's rows. Blocks have as many
// images, one after the other, as each other.
func (g geometry) images(n int) geometry {
	_, at := even(n, max(1, imageBlocks/int(g.grid[1])))
	g.grid[2] = uint32(at)
	g.grid[0] = min(g.grid[0], max(1, imageBlocks/(g.grid[1]*g.grid[2])))
	return g
}

// Rows of a thread of reduce: where more threads could take fewer, and at most, before rows
// are cut into parts that a second launch adds up.
const rowsOfThread, mostRowsOfThread = 16, 33

// reduction is the launch of reduce: how many parts each of the segments' rows are
// cut into, and the blocks. One part does where segments and channels make blocks enough, or
// where a block of few channels has threads enough for the rows: that is so of the parts
// that other launches leave, of which there are thinBlocks at most.
func (c *compiler) reduction(segments, rows, channels int, vec int32) (parts int, g geometry) {
	over, across, down := c.columns(channels, vec)
	switch {
	case 2*segments*over >= partBlocks:
		parts = 1
	case rows <= mostRowsOfThread*min(maxDown, c.threads):
		parts = 1
		for rows > rowsOfThread*down && 2*down <= min(maxDown, c.threads) {
			over, across = even(channels/int(vec), c.threads/(2*down))
			down = c.threads / across
		}
	default:
		parts = max(1, min((rows+down*rowsOfThread-1)/(down*rowsOfThread), partBlocks/(segments*over)))
	}
	return parts, geometry{[3]uint32{uint32(segments * parts), uint32(over), 1}, [3]uint32{uint32(across), uint32(down), 1}}
}
