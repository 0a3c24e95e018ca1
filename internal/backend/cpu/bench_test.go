package cpu_test

import (
	"fmt"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cpu"
)

// depthwise are the depthwise convolutions of EfficientNet-B0 at 224 px.
var depthwise = []struct{ size, channels, kernel, stride int }{
	{112, 32, 3, 1}, {112, 96, 3, 2}, {56, 144, 3, 1}, {56, 144, 5, 2}, {28, 240, 5, 1}, {28, 240, 3, 2},
	{14, 480, 3, 1}, {14, 480, 5, 1}, {14, 672, 5, 1}, {14, 672, 5, 2}, {7, 1152, 5, 1}, {7, 1152, 3, 1},
}

// BenchmarkDepthwise times a depthwise convolution alone, from memory and back,
// 16 images, and gives its share of what bounds it: the longer of the time for
// its multiply-adds at the measured peak and for its bytes at the measured speed
// of copies.
func BenchmarkDepthwise(b *testing.B) {
	device, err := cpu.New(0)
	if err != nil {
		b.Fatal(err)
	}
	defer device.Close()
	flopsPeak := device.PeakFLOPS()
	copyPeak, err := device.CopyBandwidth()
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range depthwise {
		out := (d.size + d.stride - 1) / d.stride
		pad := max((out-1)*d.stride+d.kernel-d.size, 0) / 2
		spec := backend.Depthwise{ConvShape: backend.ConvShape{
			N: 16, H: d.size, W: d.size, In: d.channels, Out: d.channels, Kernel: d.kernel, Stride: d.stride,
			Top: pad, Left: pad, OutH: out, OutW: out,
		}}
		b.Run(fmt.Sprintf("%dx%d/k%ds%d", d.size, d.channels, d.kernel, d.stride), func(b *testing.B) {
			var views []backend.View
			for _, n := range backend.Sizes(spec) {
				v, err := backend.NewView(device, n)
				if err != nil {
					b.Fatal(err)
				}
				views = append(views, v)
			}
			p, err := device.Compile(spec, views...)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				p.Run()
			}
			flops, bytes := backend.Cost(spec, nil)
			seconds := b.Elapsed().Seconds() / float64(b.N)
			bound := max(float64(flops)/flopsPeak, float64(bytes)/copyPeak)
			b.ReportMetric(float64(flops)/seconds/1e9, "GFLOP/s")
			b.ReportMetric(float64(bytes)/seconds/1e9, "GB/s")
			b.ReportMetric(100*bound/seconds, "%bound")
		})
	}
}
