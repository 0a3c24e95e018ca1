package bench

import (
	"cmp"
	"context"
	"math"
	"slices"
	"testing"

	"effnet/internal/config"
	"effnet/internal/device"
	"effnet/internal/scale"
)

// BenchmarkTimeModel fits a model of time to B0 at phi 0, 1, 2 and 3, as a latency budget
// does, and reports how far its predictions are from the times of other networks: B0 at
// phis between, by the other rules, and in one dimension.
func BenchmarkTimeModel(b *testing.B) {
	table, err := scale.LookupBaseline("efficientnet-b0")
	if err != nil {
		b.Fatal(err)
	}
	host, err := device.Host().Open("fp32", "auto", 0)
	if err != nil {
		b.Fatal(err)
	}
	defer host.Close()
	seconds := func(a scale.Arch) float64 {
		d, err := Latency(context.Background(), host, config.Default(), a)
		if err != nil {
			b.Fatal(err)
		}
		return d.Seconds()
	}
	rule := scale.Rule{Coefficients: scale.Paper, MaxResolution: 240, LateDepth: 1.2}
	network := func(m scale.Method, x float64) scale.Arch {
		a, err := table.By(m, x, rule)
		if err != nil {
			b.Fatal(err)
		}
		return a
	}
	for b.Loop() {
		var fitted []scale.Timed
		for phi := range 4 {
			a := network(scale.AllThree, float64(phi))
			fitted = append(fitted, scale.Timed{Arch: a, Seconds: seconds(a)})
		}
		model, err := scale.FitTime(fitted)
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%.3g s per layer, %.3g s per multiply-add, %.3g s per activation", model.PerLayer, model.PerMAC, model.PerActivation)
		var errors []float64
		for _, held := range []struct {
			method scale.Method
			x      float64
		}{
			{scale.AllThree, 0.5}, {scale.AllThree, 1.5}, {scale.AllThree, 2.5}, {scale.Fast, 1}, {scale.Fast, 2}, {scale.Fast, 3},
			{scale.Capped, 2}, {scale.Late, 2}, {scale.DepthOnly, 2}, {scale.WidthOnly, 1.4}, {scale.ResolutionOnly, 1.4},
		} {
			a := network(held.method, held.x)
			took, predicted := seconds(a), model.Seconds(a)
			errors = append(errors, math.Abs(predicted/took-1))
			b.Logf("%-10s %3g: %6.2f ms, predicted %6.2f ms", held.method, held.x, 1e3*took, 1e3*predicted)
		}
		slices.SortFunc(errors, cmp.Compare)
		b.ReportMetric(100*errors[len(errors)/2], "median-error-%")
		b.ReportMetric(100*errors[len(errors)-1], "largest-error-%")
	}
}
