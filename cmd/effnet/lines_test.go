package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"effnet/internal/config"

	"github.com/spf13/cobra"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
	"mvdan.cc/sh/v3/syntax"
)

// TestDocumentedLines parses every command line of effnet in the fenced blocks of the
// documents, in the heads of the recipes and in the examples of the help, against the
// commands, and runs none.
func TestDocumentedLines(t *testing.T) {
	lines := exampleLines(newRootCommand())
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/notes/*.md", "../../configs/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			find := fencedLines
			if filepath.Ext(file) == ".yaml" {
				find = headLines
			}
			for _, l := range find(source) {
				l.where = file
				lines = append(lines, l)
			}
		}
	}
	calls := 0
	for _, l := range lines {
		found, err := callsOf(l.line)
		if err != nil {
			t.Errorf("%s: %s: %v", l.where, l.line, err)
		}
		for _, args := range found {
			calls++
			if err := parses(args); err != nil && !strings.Contains(l.prints, err.Error()) {
				t.Errorf("%s: %s: %v", l.where, l.line, err)
			}
		}
	}
	if calls < 80 {
		t.Errorf("only %d command lines were found", calls)
	}
}

// documented is a line of a shell, and the error that it is said to print, if it is.
type documented struct{ where, line, prints string }

var continued = regexp.MustCompile(` *\\\n\s*`)

// fencedLines are the lines that mention effnet in the blocks of a Markdown file: those
// after a prompt, where a block has one, and otherwise all. Blocks of text have none.
func fencedLines(source []byte) (lines []documented) {
	tree := goldmark.DefaultParser().Parse(text.NewReader(source))
	_ = ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // nothing fails
		if block, ok := n.(*ast.FencedCodeBlock); ok && entering && string(block.Language(source)) != "text" {
			lines = append(lines, blockLines(continued.ReplaceAllString(string(block.Lines().Value(source)), " "))...)
		}
		return ast.WalkContinue, nil
	})
	return lines
}

func blockLines(body string) (lines []documented) {
	prompts := strings.HasPrefix(body, "$ ") || strings.Contains(body, "\n$ ")
	all := strings.Split(body, "\n")
	for i, line := range all {
		command, prompt := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		if prompt != prompts || !strings.Contains(command, "effnet ") {
			continue
		}
		l := documented{line: withoutResults(command)}
		if prompt && i+1 < len(all) && strings.HasPrefix(all[i+1], "effnet: ") {
			l.prints = all[i+1]
		}
		lines = append(lines, l)
	}
	return lines
}

// withoutResults is a line without what was written behind it for readers: three spaces
// or more, and what it printed.
func withoutResults(line string) string {
	line, _, _ = strings.Cut(line, "   ")
	return line
}

// headLines are the commands in a recipe's first comment.
func headLines(source []byte) (lines []documented) {
	for line := range strings.Lines(string(source)) {
		if command, ok := strings.CutPrefix(line, "#   "); ok && strings.HasPrefix(command, "effnet ") {
			lines = append(lines, documented{line: strings.TrimSpace(command)})
		}
	}
	return lines
}

// exampleLines are those of the help of cmd and of the commands under it.
func exampleLines(cmd *cobra.Command) (lines []documented) {
	for line := range strings.Lines(cmd.Example) {
		lines = append(lines, documented{where: cmd.CommandPath() + " --help", line: strings.TrimSpace(line)})
	}
	for _, sub := range cmd.Commands() {
		lines = append(lines, exampleLines(sub)...)
	}
	return lines
}

// callsOf are the arguments of each call of effnet in a line of a shell.
func callsOf(line string) (calls [][]string, err error) {
	file, err := syntax.NewParser().Parse(strings.NewReader(line), "")
	if err != nil {
		return nil, err
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok {
			return true
		}
		var words []string
		for _, word := range call.Args {
			words = append(words, plain(word))
		}
		for len(words) > 0 && (words[0] == "go" || words[0] == "sudo" || words[0] == "time") { // of another program
			if words[0] == "go" {
				if len(words) < 3 || words[1] != "run" || !strings.HasSuffix(words[2], "cmd/effnet") {
					return true
				}
				words = words[2:]
				break
			}
			words = words[1:]
		}
		if len(words) > 0 && filepath.Base(words[0]) == "effnet" && !strings.HasPrefix(words[0], "/") {
			calls = append(calls, words[1:])
		}
		return true
	})
	return calls, nil
}

// plain is a word as the shell would pass it on, with a name for what only a shell knows.
func plain(word *syntax.Word) string {
	var b strings.Builder
	for _, part := range word.Parts {
		switch part := part.(type) {
		case *syntax.Lit:
			b.WriteString(part.Value)
		case *syntax.SglQuoted:
			b.WriteString(part.Value)
		case *syntax.DblQuoted:
			b.WriteString(plain(&syntax.Word{Parts: part.Parts}))
		default:
			b.WriteString("X")
		}
	}
	return b.String()
}

// placeholder is a word that stands for others.
var placeholder = regexp.MustCompile(`^[A-Z]+$`)

// parses says what is wrong with a command line, before anything is run.
func parses(args []string) error {
	root := newRootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if help, _ := cmd.Flags().GetBool("help"); help {
		return nil
	}
	if cmd.HasSubCommands() && cmd.Name() != "completion" && len(cmd.Flags().Args()) > 0 {
		return fmt.Errorf("%s has no command %s", cmd.CommandPath(), cmd.Flags().Arg(0))
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	layer := readFlags(cmd.Flags())
	maps.DeleteFunc(layer.Values, func(key string, v any) bool {
		file := key == "baseline" && strings.HasSuffix(v.(string), ".yaml") // that an earlier line writes
		return file || placeholder.MatchString(v.(string))
	})
	merged, err := config.Merge(layer)
	if err == nil {
		err = merged.Validate()
	}
	return err
}

// What is wrong with a line is found.
func TestParses(t *testing.T) {
	for line, want := range map[string]string{
		"effnet train photos --img-size 64":                     "",
		"EFFNET_LR=0.1 bin/effnet train photos > log 2>&1":      "",
		"export EFFNET_CUDA_LIBS=$(effnet doctor --devise cpu)": "unknown flag: --devise",
		"sudo ./effnet train photos --img-sze 64":               "unknown flag: --img-sze",
		"cd x && effnet eval best.safetensors":                  "want effnet eval CHECKPOINT DIR, got 1 argument",
		"effnet train 'photos of cats' --lr fast":               `lr: "fast" is not a number`,
		"effnet train photos --crop middle":                     "crop: middle is not allowed",
		"effnet data unpack x.pack":                             "effnet data has no command unpack",
		"echo effnet trian":                                     "",
		"go run ./cmd/effnet summary b0":                        `effnet summary takes no arguments`,
		"effnet train --help":                                   "",
		"effnet completion bash > x":                            "",
	} {
		calls, err := callsOf(line)
		for _, args := range calls {
			if err == nil {
				err = parses(args)
			}
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	block := "```\n$ effnet version\neffnet 0.1.0\n$ effnet train \\\n  photos\neffnet: no\n```\n\n```text\neffnet COMMAND\n```\n\n```\neffnet doctor    # which\nls\n```\n"
	if got := fmt.Sprint(fencedLines([]byte(block))); got != "[{ effnet version } { effnet train photos effnet: no} { effnet doctor }]" {
		t.Errorf("the lines are %s", got)
	}
}
