package internal_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"testing"

	"effnet/internal/version"
)

// apache is the SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt.
const apache = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"

// The licence is the Apache License 2.0, to the byte.
func TestLicence(t *testing.T) {
	sum := sha256.Sum256(read(t, "LICENSE"))
	if got := hex.EncodeToString(sum[:]); got != apache {
		t.Errorf("LICENSE has SHA-256 %s, the Apache License 2.0 %s", got, apache)
	}
}

// The newest version in the changelog is the one that the program says it is; between
// releases the changelog has what is unreleased.
func TestChangelogHasTheVersion(t *testing.T) {
	headings := regexp.MustCompile(`(?m)^## \[([^\]]+)\](?: - \d{4}-\d{2}-\d{2})?$`).FindAllSubmatch(read(t, "CHANGELOG.md"), 2)
	if len(headings) < 2 || string(headings[0][1]) != "Unreleased" {
		t.Fatalf("CHANGELOG.md does not begin with [Unreleased] and a version: %q", headings)
	}
	if got := string(headings[1][1]); got != version.Number {
		t.Errorf("CHANGELOG.md's newest version is %s, internal/version's %s", got, version.Number)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile("../" + file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
