package cuda

import (
	"slices"
	"testing"

	"effnet/internal/backend"
	"effnet/internal/backend/cuda/driver"
)

// The backward pass of an expansion reads each map as seldom as its width allows.
func TestExpandGradLaunches(t *testing.T) {
	b, _ := onCPU(t)
	b.precision = driver.BF16
	for _, c := range []struct {
		k, n int
		want []string
	}{
		{16, 96, []string{"expandGrad16_bf16", "sumRows"}},
		{24, 144, []string{"expandGrad32_bf16", "sumRows"}},
		{40, 240, []string{"wideGrad_bf16", "product 40x240x98"}},
	} {
		var got []string
		for _, l := range programOf(t, b, backend.ExpandGrad{M: 98, N: c.n, K: c.k, Norm: backend.Norm{Eps: 1e-3, Act: backend.Swish}}).Launched {
			got = append(got, l.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d to %d channels: %q, want %q", c.k, c.n, got, c.want)
		}
	}
}
