package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"effnet/internal/atomicfile"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

//go:generate go run . docs markdown ../../docs/commands.md

func newDocsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "docs",
		Short: "Write the manual pages, or the reference of commands",
		Args:  cobra.ArbitraryArgs,
		RunE:  runGroup,
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "man DIR",
			Short: "Write a manual page for each command into a folder",
			Long: `Write a manual page for each command, effnet.1, effnet-train.1 and so on, into DIR,
which is created if need be. Their date is today, or that of the environment variable
SOURCE_DATE_EPOCH.`,
			Example: `  effnet docs man ~/.local/share/man/man1`,
			Args:    usageArgs(cobra.ExactArgs(1)),
			RunE: func(cmd *cobra.Command, args []string) error {
				return writeManual(cmd.Root(), args[0])
			},
		},
		&cobra.Command{
			Use:     "markdown FILE",
			Short:   "Write the help of every command as one Markdown file",
			Example: `  effnet docs markdown commands.md`,
			Args:    usageArgs(cobra.ExactArgs(1)),
			RunE: func(cmd *cobra.Command, args []string) error {
				text, err := reference(cmd.Root())
				if err != nil {
					return err
				}
				return atomicfile.Write(args[0], func(f *os.File) error {
					_, err := f.Write(text)
					return err
				})
			},
		},
	)
	return cmd
}

// writeManual writes the manual pages of root and its subcommands.
func writeManual(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usageError{err}
	}
	root.DisableAutoGenTag = true
	return doc.GenManTree(root, &doc.GenManHeader{Source: "effnet " + versionName(), Manual: "effnet"}, dir)
}

// preamble begins the reference.
const preamble = "# Commands\n\nWritten by `go generate ./cmd/effnet` from the commands' help; do not edit. " +
	"[settings.md](settings.md) has the settings, and what each may be.\n\n"

// reference returns the help of every command as Markdown: docs/commands.md.
func reference(root *cobra.Command) ([]byte, error) {
	var contents, sections bytes.Buffer
	helpColumns = helpWidth
	root.InitDefaultCompletionCmd() // which running a command does, too
	root.InitDefaultHelpCmd()
	if err := eachCommand(root, func(cmd *cobra.Command) error {
		path := cmd.CommandPath()
		cmd.InitDefaultHelpFlag()
		cmd.InitDefaultVersionFlag()
		fmt.Fprintf(&contents, "- [%s](#%s): %s\n", path, strings.ReplaceAll(path, " ", "-"), cmd.Short)
		fmt.Fprintf(&sections, "\n## %s\n\n```text\n", path)
		cmd.SetOut(&sections)
		err := cmd.Help()
		cmd.SetOut(nil)
		sections.WriteString("```\n")
		return err
	}); err != nil {
		return nil, err
	}
	return append(append([]byte(preamble), contents.Bytes()...), sections.Bytes()...), nil
}

// eachCommand calls do with cmd and with the subcommands that its help lists.
func eachCommand(cmd *cobra.Command, do func(*cobra.Command) error) error {
	if err := do(cmd); err != nil {
		return err
	}
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		if err := eachCommand(sub, do); err != nil {
			return err
		}
	}
	return nil
}
