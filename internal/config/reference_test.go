package config

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestReferenceIsFresh(t *testing.T) {
	got, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, Reference()) {
		t.Error("docs/settings.md is stale (go generate ./internal/config)")
	}
}

// Every setting has a row, whole.
func TestReferenceHasEverySetting(t *testing.T) {
	text := string(Reference())
	for _, s := range Settings() {
		row := ""
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "| `"+s.Key+"`") {
				row = line
			}
		}
		if cells := strings.Split(row, " | "); len(cells) != 7 || cells[1] != s.Kind || cells[2] != s.Default || cells[4] != s.Help {
			t.Errorf("%s: the row is %q", s.Key, row)
		}
		if !strings.Contains(text, "## "+s.Group+"\n") {
			t.Errorf("%s: no heading %s", s.Key, s.Group)
		}
	}
	if strings.Count(text, "| `") != len(Settings()) {
		t.Errorf("%d rows for %d settings", strings.Count(text, "| `"), len(Settings()))
	}
}
