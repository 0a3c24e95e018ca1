//go:build linux

package cuda

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cuda/driver"
	"effnet/internal/backend/cuda/emulated"
	"effnet/internal/model"
	"effnet/internal/scale"
)

// counting is an emulation that counts the bytes which kernels read and write, each byte
// once a launch.
type counting struct {
	*emulation
	watches []func(base unsafe.Pointer, bytes uint64, seen *byte)
	counted []backend.Launched
}

// newCounting compiles the kernels so that they count, and opens a backend on them.
func newCounting(t *testing.T, precision driver.Precision) (*Backend, *counting) {
	t.Helper()
	if !emulated.Available() {
		t.Skip("the kernels of CUDA are not run: install gcc and g++")
	}
	c := &counting{emulation: &emulation{memory: map[driver.Pointer][]byte{}, limit: 4 << 30}}
	sources, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range sources {
		path, names, err := emulated.Counted(text)
		if err != nil {
			t.Fatal(err)
		}
		all, library, err := opened(c.kernels, path, names)
		if err != nil {
			t.Fatal(err)
		}
		var watch func(base unsafe.Pointer, bytes uint64, seen *byte)
		purego.RegisterLibFunc(&watch, library, "watch")
		c.kernels, c.watches = all, append(c.watches, watch)
	}
	b := newBackend(c, precision)
	b.threads = emulatedThreads
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, c
}

func (c *counting) Launch(f driver.Function, grid, block [3]uint32, shared uint32, args []unsafe.Pointer) error {
	var all [][]byte
	for _, watch := range c.watches {
		watch(nil, 0, nil)
	}
	for _, m := range c.memory {
		seen := make([]byte, len(m))
		all = append(all, seen)
		for _, watch := range c.watches {
			watch(unsafe.Pointer(unsafe.SliceData(m)), uint64(len(m)), &seen[0])
		}
	}
	err := c.emulation.Launch(f, grid, block, shared, args)
	l := backend.Launched{Name: c.kernels[f].name}
	for _, seen := range all {
		for _, how := range seen {
			l.Reads += int64(how & 1)
			l.Writes += int64(how >> 1)
		}
	}
	c.counted = append(c.counted, l)
	return err
}

// What a program says that its launches read and write is what the kernels do, to a few
// bytes. Some read less of an operand than all: windows leave out pixels, of maps as small
// as these many.
func TestLaunched(t *testing.T) {
	less := regexp.MustCompile("^(depthwise|thin|gather|scatter|maxPool|pixels|gatedGradSums|guard|clipNorm)")
	inPlace := regexp.MustCompile("^(rmsprop|sgd|adam|average|runningStats)$") // gcc does not report a store to where the block has just loaded from
	const few = 16                                                             // bytes: of rates, not all are read
	for _, precision := range []driver.Precision{driver.FP32, driver.BF16} {
		b, c := newCounting(t, precision)
		for i, spec := range backendtest.Light() {
			if i%2 > 0 {
				continue
			}
			said := kernelsOf(launchedBy(t, b, spec, uint64(i)))
			if len(said) != len(c.counted) {
				t.Fatalf("%T%+v: %d kernels said, %d launched", spec, spec, len(said), len(c.counted))
			}
			for k, l := range said {
				got := c.counted[k]
				reads, writes := l.Reads-got.Reads, l.Writes-got.Writes
				if less.MatchString(l.Name) {
					reads, writes = min(reads, 0), min(writes, 0)
				}
				if inPlace.MatchString(l.Name) {
					writes = 0
				}
				if l.Name != got.Name || max(reads, -reads, writes, -writes) > few {
					t.Errorf("%T%+v: launch %d is said to be %+v and is %+v", spec, spec, k, l, got)
				}
			}
		}
	}
}

// What bench --model says of a training step's kernels is what they read and write,
// within 5 %: of a network that begins as B0 does, on images of an eighth of the pixels.
func TestLaunchedByANetwork(t *testing.T) {
	baseline, err := scale.LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	baseline.Stages = baseline.Stages[:4]
	arch, err := baseline.Scale(1, 1, 80)
	if err != nil {
		t.Fatal(err)
	}
	arch.Classes = 10
	for _, precision := range []driver.Precision{driver.FP32, driver.BF16} {
		b, c := newCounting(t, precision)
		net, err := model.New(arch, b)
		if err != nil {
			t.Fatal(err)
		}
		training, err := net.Training(1, 1)
		if err != nil {
			t.Fatal(err)
		}
		var said, counted backend.Launched
		for _, l := range training.Listed() {
			for _, k := range kernelsOf(l.Launched) {
				said.Reads, said.Writes = said.Reads+k.Reads, said.Writes+k.Writes
			}
		}
		c.counted = nil
		if err := training.Run(0); err != nil {
			t.Fatal(err)
		}
		for _, k := range c.counted {
			counted.Reads, counted.Writes = counted.Reads+k.Reads, counted.Writes+k.Writes
		}
		t.Logf("%s: said %+v, counted %+v", precision, said, counted)
		if !near(said.Reads, counted.Reads) || !near(said.Writes, counted.Writes) {
			t.Errorf("%s: said %+v, counted %+v", precision, said, counted)
		}
	}
}

// near says whether bytes are the same within 5 %.
func near(said, counted int64) bool {
	return math.Abs(float64(said-counted)) <= 0.05*float64(counted)
}

// kernelsOf are the launches of kernels: cuBLASLt's products and the driver's copies
// cannot be counted.
func kernelsOf(all []backend.Launched) []backend.Launched {
	return slices.DeleteFunc(slices.Clone(all), func(l backend.Launched) bool { return l.Name == "copy" || strings.HasPrefix(l.Name, "product ") })
}

// launchedBy runs a Spec and returns what its program says that it launches.
func launchedBy(t *testing.T, b *Backend, spec backend.Spec, seed uint64) []backend.Launched {
	t.Helper()
	types := make([]backend.DType, len(backend.Sizes(spec)))
	for i, o := range spec.Operands() {
		if o.Role.Map() {
			types[i] = b.Maps()
		}
	}
	b.Types(spec, types)
	operands := make([]backend.View, len(types))
	for i, values := range backendtest.Operands(spec, seed) {
		v, err := backend.NewViewOf(b, len(values), types[i])
		if err == nil {
			err = b.Upload(v, values)
		}
		if err != nil {
			t.Fatal(err)
		}
		operands[i] = v
	}
	program, err := b.Compile(spec, operands...)
	if err != nil {
		t.Fatalf("%T%+v: %v", spec, spec, err)
	}
	if program.Prepare != nil {
		program.Prepare()
	}
	c := b.device.(*counting)
	c.counted = nil
	program.Run()
	return program.Launched
}
