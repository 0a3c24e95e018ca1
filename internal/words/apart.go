package words

import (
	"cmp"
	"strings"
)

// Apart shortens two values to where they begin to differ.
func Apart(a, b string) (string, string) {
	const most, before = 60, 20 // bytes
	common := 0
	for common < min(len(a), len(b)) && a[common] == b[common] {
		common++
	}
	cut := func(text string) string {
		from := 0
		if len(text) > most {
			from = max(0, common-before)
		}
		to := min(len(text), from+most)
		short := strings.ToValidUTF8(text[from:to], "")
		if from > 0 {
			short = "..." + short
		}
		if to < len(text) {
			short += "..."
		}
		return cmp.Or(short, "unset")
	}
	return cut(a), cut(b)
}
