package names

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"effnet/internal/scale"
)

// Digest is the SHA-256 of the names and shapes of a network's tensors as the program
// has them, sorted: a line "NAME D,D,D" each. It is "" where the program has no name for
// one of them.
func (c Convention) Digest(a scale.Arch) string {
	var lines []string
	for _, t := range a.Tensors() {
		called := c.Of(a, t)
		if len(called) == 0 {
			return ""
		}
		shape := strings.Trim(strings.ReplaceAll(fmt.Sprint(c.Shape(t)), " ", ","), "[]")
		lines = append(lines, called[0]+" "+shape+"\n")
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(sum[:])
}
