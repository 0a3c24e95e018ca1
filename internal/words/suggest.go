package words

import "fmt"

// DidYouMean is " (did you mean X?)" for the known name nearest to a mistyped
// one, and empty if none is near.
func DidYouMean(name string, known []string) string {
	if best := Nearest(name, known); best != "" {
		return fmt.Sprintf(" (did you mean %s?)", best)
	}
	return ""
}

// Nearest is the known name nearest to a mistyped one, and empty if none is near.
func Nearest(name string, known []string) string {
	best, least := "", len(name)/3+1 // edits that a typo may have
	for _, k := range known {
		if d := distance(name, k); d <= least && (best == "" || d < least) {
			best, least = k, d
		}
	}
	return best
}

// distance is Levenshtein's: the bytes to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // row[j] is the distance from a's prefix to b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
