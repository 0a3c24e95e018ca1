package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestReferenceIsFresh(t *testing.T) {
	got, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := reference(newRootCommand())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/commands.md is stale (go generate ./cmd/effnet)")
	}
}

// Every command has a page of its own, which has its usage, its examples and every flag.
func TestManualHasEveryCommand(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1795892606")
	root, dir := newRootCommand(), t.TempDir()
	if err := writeManual(root, dir); err != nil {
		t.Fatal(err)
	}
	pages := 0
	err := eachCommand(root, func(cmd *cobra.Command) error {
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		page, err := os.ReadFile(filepath.Join(dir, name+".1"))
		if err != nil {
			return err
		}
		pages++
		text := strings.ReplaceAll(string(page), `\-`, "-")
		has := []string{cmd.Short, "Nov 2026", cmd.Name()}
		for word := range strings.FieldsSeq(cmd.Example + cmd.LocalFlags().FlagUsages()) {
			if strings.HasPrefix(word, "--") {
				has = append(has, strings.Trim(word, ",;.)"))
			}
		}
		for _, words := range has {
			if !strings.Contains(text, words) {
				t.Errorf("%s.1 does not have %q", name, words)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != pages {
		t.Errorf("%d pages for %d commands", len(files), pages)
	}
}
