package words

import (
	"strings"
	"testing"
)

func TestApart(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, c := range [][4]string{
		{"0.1", "0.2", "0.1", "0.2"},
		{"", "a", "unset", "a"},
		{long + "1" + long, long + "2" + long, "..." + long[:20] + "1" + long[:39] + "...", "..." + long[:20] + "2" + long[:39] + "..."},
		{long, long + "y", "..." + long[:20], "..." + long[:20] + "y"},
	} {
		a, b := Apart(c[0], c[1])
		if a != c[2] || b != c[3] {
			t.Errorf("Apart(%q, %q) = %q, %q, want %q, %q", c[0], c[1], a, b, c[2], c[3])
		}
	}
}
