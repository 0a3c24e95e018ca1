// Package words has wording that several packages print.
package words

import "fmt"

// Count is a number of things: 1 image, 2 images. plural is for nouns that do not take an
// s; at most one is given.
func Count(n int, noun string, plural ...string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case len(plural) > 0:
		return fmt.Sprintf("%d %s", n, plural[0])
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
