package report

import (
	"math"
	"testing"
)

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 5_288_548: "5,288,548"} {
		if got := Grouped(n); got != want {
			t.Errorf("Grouped(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestWithUnit(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1K", 385_814_752: "385.8M", 37_750_000_000: "37.75G"} {
		if got := WithUnit(n); got != want {
			t.Errorf("WithUnit(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00%", 0.771: "77.10%", math.NaN(): ""} {
		if got := Percent(v); got != want {
			t.Errorf("Percent(%v) = %q, want %q", v, got, want)
		}
	}
}
