package report

import (
	"fmt"
	"math"
	"strconv"
)

// Grouped writes 5288548 as 5,288,548.
func Grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// WithUnit writes 385814752 as 385.8M.
func WithUnit(n int64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "K"}} {
		if float64(n) >= unit.size {
			return fmt.Sprintf("%.4g%s", float64(n)/unit.size, unit.name)
		}
	}
	return strconv.FormatInt(n, 10)
}

// Bytes is a size of memory: 29.5 MiB, or from 10,000 MiB in GiB, and so on.
func Bytes(n int64) string {
	size, units := float64(n)/(1<<20), []string{"MiB", "GiB", "TiB"}
	for size >= 10_000 && len(units) > 1 {
		size, units = size/(1<<10), units[1:]
	}
	return fmt.Sprintf("%.1f %s", size, units[0])
}

// Percent writes 0.771 as 77.10%, and NaN as nothing.
func Percent(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return fmt.Sprintf("%.2f%%", 100*v)
}
