package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"effnet/internal/backend"
	"effnet/internal/device"
)

// alone times every different operation of a training step and of an inference,
// in their order, each alone on random operands. What fits in a cache is in it.
func (s *benchmark) alone(ctx context.Context, p device.Peaks) ([]Work, error) {
	specs, err := s.specs()
	if err != nil {
		return nil, err
	}
	largest := 0
	for _, spec := range specs {
		largest = max(largest, sum(padded(backend.Sizes(spec))))
	}
	memory, err := backend.NewView(s.backend, largest)
	if err != nil {
		return nil, err
	}
	random := positives(largest)

	at := map[string]int{} // in all
	var all []Work
	for _, spec := range specs {
		name := kind(spec) + " " + shape(spec)
		if i, ok := at[name]; ok {
			all[i].Count++
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		u := launch(p, spec, nil)
		u.Name = name
		if u.Seconds, err = timeAlone(s.backend, spec, memory, random); err != nil {
			return nil, err
		}
		at[name] = len(all)
		all = append(all, u)
	}
	return all, nil
}

// specs are the operations of a training step, then those of an inference.
func (s *benchmark) specs() ([]backend.Spec, error) {
	training, update, inference := s.training, s.update, s.inference
	var err error
	if training == nil {
		r, err := s.rehearsal(s.net.Arch)
		if err != nil {
			return nil, err
		}
		training, update = r.Training(), r.Optimizer()
	} else {
		inference, err = s.net.Inference(s.batch)
	}
	if err != nil {
		return nil, err
	}
	return slices.Concat(training.Specs(), update.Specs(), inference.Specs()), nil
}

// timeAlone is the seconds of the fastest launch of about 50 ms of them.
func timeAlone(b backend.Backend, spec backend.Spec, memory backend.View, random []float32) (float64, error) {
	var operands []backend.View
	offset := 0
	for i, n := range padded(backend.Sizes(spec)) {
		v := memory.Slice(offset, backend.Sizes(spec)[i])
		if err := b.Upload(v, random[offset:offset+v.Len]); err != nil {
			return 0, err
		}
		operands = append(operands, v)
		offset += n
	}
	program, err := b.Compile(spec, operands...)
	if err != nil {
		return 0, err
	}
	program.All()
	best := math.Inf(1)
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; {
		start := time.Now()
		program.Run()
		if err := b.Sync(); err != nil {
			return 0, err
		}
		best = min(best, time.Since(start).Seconds())
	}
	return best, nil
}

// padded rounds operands' sizes up to whole cache lines.
func padded(sizes []int) []int {
	const line = 16 // float32
	all := make([]int, len(sizes))
	for i, n := range sizes {
		all[i] = (n + line - 1) / line * line
	}
	return all
}

func sum(x []int) (total int) {
	for _, n := range x {
		total += n
	}
	return total
}

// positives are random values that any operand may have: variances and mean
// squares are above zero.
func positives(n int) []float32 {
	r := rand.New(rand.NewPCG(3, 3))
	x := make([]float32, n)
	for i := range x {
		x[i] = 0.1 + 0.9*r.Float32()
	}
	return x
}

// kind is a Spec's name.
func kind(spec backend.Spec) string { return reflect.TypeOf(spec).Name() }

// shape is what decides a Spec's cost, in a few words.
func shape(spec backend.Spec) string { return strings.Join(fields(reflect.ValueOf(spec)), " ") }

// fields writes a convolution's geometry, whole numbers, what is switched on and
// the activation; other fields change no cost.
func fields(spec reflect.Value) []string {
	var words []string
	for i := range spec.NumField() {
		f := spec.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		switch x := spec.Field(i).Interface().(type) {
		case backend.ConvShape:
			if x.Kernel == 0 { // none
				continue
			}
			words = append(words, fmt.Sprintf("%dx%dx%dx%d k%d s%d to %dx%dx%d", x.N, x.H, x.W, x.In, x.Kernel, x.Stride, x.OutH, x.OutW, x.Out))
		case int:
			words = append(words, fmt.Sprintf("%s=%d", f.Name, x))
		case bool:
			if x {
				words = append(words, f.Name)
			}
		case backend.Activation:
			words = append(words, x.String())
		default:
			if f.Type.Kind() == reflect.Struct { // what a Spec is made from
				words = append(words, fields(spec.Field(i))...)
			}
		}
	}
	return words
}
