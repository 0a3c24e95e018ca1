package model

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
	"effnet/internal/backend/cpu/kernel"
)

// logits runs images through a new Inference.
func logits(t *testing.T, net *Network, f *Inference, images []float32) []float32 {
	t.Helper()
	if err := net.backend.Upload(f.Images, images); err != nil {
		t.Fatal(err)
	}
	if err := f.Run(); err != nil {
		t.Fatal(err)
	}
	return read(t, net, f, images)
}

// read reads the logits of images that were computed.
func read(t *testing.T, net *Network, f *Inference, images []float32) []float32 {
	t.Helper()
	size := net.Arch.Resolution * net.Arch.Resolution * 3
	z := make([]float32, len(images)/size*net.Arch.Classes)
	if err := f.Logits(z); err != nil {
		t.Fatal(err)
	}
	return z
}

func mustInference(t *testing.T, net *Network, batch int) *Inference {
	t.Helper()
	f, err := net.Inference(batch)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// An image's logits are the same bits in any batch, at any place in it, with any
// number of threads: whether all share a launch or each has images of its own, in
// full lots or not.
func TestLogitsDependOnTheImageAlone(t *testing.T) {
	const most = 8
	for _, set := range kernel.Available() {
		for i, resolution := range []int{40, 100, 225, 40, 100, 40, 100, 40, 100, 100} {
			if resolution > 100 && set.Name == "generic" {
				continue // slow
			}
			all := tinyArchs()
			arch := all[max(i-1, 0)/2%len(all)]
			arch.Resolution = resolution
			if i == 9 {
				arch.Head = 2000 // whose means are added up in several calls of a kernel
			}
			size := resolution * resolution * 3
			images := values("images", most*size, 0, 1.5)
			var want []float32
			split := 0
			for _, threads := range []int{1, 2, 3} {
				b := cpu.NewWith(set, threads)
				defer b.Close()
				net := initialised(t, arch, b, 1)
				for _, batch := range []int{1, 2, 5, most} {
					f := mustInference(t, net, batch)
					if f.splits != nil {
						split++
					}
					for first := 0; first+batch <= most; first += batch {
						z := logits(t, net, f, images[first*size:(first+batch)*size])
						if want == nil {
							want = make([]float32, most*arch.Classes)
						}
						row := want[first*arch.Classes:][:len(z)]
						if batch == 1 && threads == 1 {
							copy(row, z)
						}
						for i := range z {
							if math.Float32bits(z[i]) != math.Float32bits(row[i]) {
								t.Fatalf("%s, %s, %d px, %d threads, batch %d: logit %d is %g, want %g", set.Name, arch.Name, resolution, threads, batch, i, z[i], row[i])
							}
						}
					}
				}
			}
			if resolution >= 100 && split < 3 {
				t.Errorf("%s, %d px: only %d passes were split", arch.Name, resolution, split)
			}
		}
	}
}

// The first images of a batch have the logits that they have in a full one.
func TestRunFirst(t *testing.T) {
	const most = 13
	for _, resolution := range []int{40, 100} {
		arch := tinyArchs()[0]
		arch.Resolution = resolution
		images := values("images", most*resolution*resolution*3, 0, 1.5)
		for _, threads := range []int{1, 2, 3} {
			net := initialised(t, arch, cpu.NewWith(kernel.Available()[0], threads), 1)
			f := mustInference(t, net, most)
			want := logits(t, net, f, images)
			for n := 1; n <= most; n++ {
				_ = logits(t, net, f, make([]float32, len(images))) // others
				if err := net.backend.Upload(f.Images, images); err != nil {
					t.Fatal(err)
				}
				if err := f.RunFirst(n); err != nil {
					t.Fatal(err)
				}
				got := read(t, net, f, images)
				if k := n * arch.Classes; !slices.Equal(got[:k], want[:k]) {
					t.Errorf("%d px, %d threads: the first %d have other logits", resolution, threads, n)
				}
			}
			if err := net.backend.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Update takes weights that have changed.
func TestUpdate(t *testing.T) {
	b := newCPU(t, 2)
	arch := tinyArch()
	arch.Resolution = 100
	net := initialised(t, arch, b, 1)
	images := values("images", 8*100*100*3, 0, 1.5)
	f := mustInference(t, net, 8)
	before := logits(t, net, f, images)
	other := initialised(t, arch, b, 2)
	tensors, err := other.Tensors()
	if err != nil {
		t.Fatal(err)
	}
	if err := net.Load(tensors); err != nil {
		t.Fatal(err)
	}
	f.Update()
	after, want := logits(t, net, f, images), logits(t, other, mustInference(t, other, 8), images)
	if fmt.Sprint(after) != fmt.Sprint(want) || fmt.Sprint(before) == fmt.Sprint(want) {
		t.Errorf("logits %v before and %v after an update, want %v", before[:3], after[:3], want[:3])
	}
}

func TestInferenceAllocatesNothing(t *testing.T) {
	for _, threads := range []int{1, 2} {
		for _, arch := range append(tinyArchs(), withReLU6()) {
			for _, maps := range []backend.DType{backend.Float32, backend.BFloat16} {
				b := newCPU(t, threads)
				b.Keep(maps)
				for _, resolution := range []int{33, 100} {
					arch.Resolution = resolution
					f := mustInference(t, initialised(t, arch, b, 1), 8)
					if a := testing.AllocsPerRun(5, func() { _ = f.Run() }); a != 0 {
						t.Errorf("%d threads, %v, %s with %s, %d px: %g allocations a pass", threads, maps, arch.Name, arch.Activation, resolution, a)
					}
				}
			}
		}
	}
}
