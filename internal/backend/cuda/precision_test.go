package cuda

import (
	"errors"
	"maps"
	"math"
	"slices"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/backendtest"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cuda/driver"
)

// halfPrecisions are those whose maps are not float32.
func halfPrecisions() []driver.Precision { return slices.Sorted(maps.Keys(mapTypes)) }

// limits are of relative errors: with float32 maps, and with those of any other type,
// which is as coarse as bf16 at most.
func limits(float32s, halves float64) map[driver.Precision]float64 {
	all := map[driver.Precision]float64{driver.FP32: float32s}
	for precision := range mapTypes {
		all[precision] = halves
	}
	return all
}

// inHalves runs a test in each of halfPrecisions, by the emulation.
func inHalves(t *testing.T, test func(t *testing.T, b *Backend)) {
	t.Helper()
	for _, precision := range halfPrecisions() {
		t.Run(string(precision), func(t *testing.T) {
			b, _ := onCPU(t)
			b.precision = precision
			test(t, b)
		})
	}
}

// rounded makes values what a type holds of them.
func rounded(v []float32, t backend.DType) { kinds[t].decode(v, kinds[t].encode(v)) }

// Every Spec that has maps, with those of a type of 16 bits.
func TestHalfMaps(t *testing.T) {
	specs := slices.DeleteFunc(backendtest.Specs(), prepares)
	inHalves(t, func(t *testing.T, b *Backend) { backendtest.TestHalf(t, b.Maps(), specs, b) })
}

// Every float32 goes to a map of 16 bits as the nearest value there, ties to even, and
// beyond the largest to infinity; a NaN stays one, whatever its payload. The kernels make
// the same of it.
func TestUploadHalf(t *testing.T) {
	inHalves(t, func(t *testing.T, b *Backend) {
		values, want := roundings(b.Maps())
		for _, bits := range []uint32{0x7f800001, 0x7f80ffff, 0xff800001, 0x7fffffff, 0x7fc00000} {
			values, want = append(values, math.Float32frombits(bits)), append(want, math.Float32frombits(bits))
		}
		half, err1 := backend.NewViewOf(b, len(values), b.Maps())
		wide, err2 := backend.NewView(b, len(values))
		host, kernels := make([]float32, len(values)), make([]float32, len(values))
		check := errors.Join(err1, err2, b.Upload(half, values), b.Download(host, half), b.Upload(wide, values))
		for _, v := range [][]backend.View{{wide, half}, {half, wide}} {
			p, err := b.Compile(backend.Copy{N: len(values)}, v...)
			if err != nil {
				t.Fatal(err)
			}
			p.All()
		}
		if err := errors.Join(check, b.Download(kernels, wide)); err != nil {
			t.Fatal(err)
		}
		same := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b }
		for i := range want {
			if !same(host[i], want[i]) || !same(kernels[i], want[i]) {
				t.Fatalf("%v becomes %v, by kernels %v, want %v", values[i], host[i], kernels[i], want[i])
			}
		}
	})
}

// roundings are values of a type of 16 bits and values about the middles between them,
// and what each is to become.
func roundings(t backend.DType) (values, want []float32) {
	add := func(v, w float32) { values, want = append(values, v, -v), append(want, w, -w) }
	value := func(bits int) float32 {
		var v [1]float32
		kinds[t].decode(v[:], []byte{byte(bits), byte(bits >> 8)})
		return v[0]
	}
	for bits := 0; ; bits++ { // those that are not negative: the next larger one is the next
		v, next := value(bits), value(bits+1)
		if v > math.MaxFloat32 {
			add(v, v)
			return values, want
		}
		step := next - v
		if next > math.MaxFloat32 {
			step = v - value(bits-1)
		}
		middle, even := v+step/2, v
		if bits%2 == 1 {
			even = next
		}
		add(v, v)
		add(math.Nextafter32(middle, v), v)
		add(middle, even)
		add(math.Nextafter32(middle, float32(math.Inf(1))), next)
	}
}

// A network trains with maps of 16 bits nearly as on the CPU.
func TestNetworkTrainsInHalf(t *testing.T) {
	host, err := cpu.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	inHalves(t, func(t *testing.T, b *Backend) { compareTraining(t, b, host, 3, 0.15) })
}
