package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"effnet/internal/data"
	"effnet/internal/hub"
	"effnet/internal/words"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

func newRootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "effnet",
		Short: "Train, evaluate and scale EfficientNets on folders of images",
		Long: `Train, evaluate and scale EfficientNets on folders of images.

Every setting has one name: the flag --img-size, the environment variable
EFFNET_IMG_SIZE and the line "img-size:" of a --config file are the same. A flag
wins over the environment, which wins over the file.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       versionName(),
		Args:          cobra.ArbitraryArgs,
		RunE:          runGroup,
	}
	cmd.SetFlagErrorFunc(flagError)
	cmd.SetUsageTemplate(wrapFlags(cmd.UsageTemplate()))
	cmd.AddCommand(
		newTrainCommand(),
		newFinetuneCommand(),
		newEvalCommand(),
		newPredictCommand(),
		newServeCommand(),
		newWeightsCommand(),
		newImportCommand(),
		newExportCommand(),
		newBundleCommand(),
		newDataCommand(),
		newBenchCommand(),
		newSummaryCommand(),
		newSearchBaselineCommand(),
		newSearchCommand(),
		newStudyCommand(),
		newDoctorCommand(),
		newDocsCommand(),
		newVersionCommand(nil),
	)
	completeFlags(cmd)
	return cmd
}

// helpWidth is the largest width of a line of help, in columns.
const helpWidth = 100

// helpColumns is the width in use: main sets it to the terminal's, if that is less.
var helpColumns = helpWidth

// terminalColumns is the width of the terminal, up to helpWidth.
func terminalColumns() int {
	if columns, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && columns > 0 {
		return min(helpWidth, columns)
	}
	return helpWidth
}

// wrapFlags is a usage template whose lists of flags are wrapped to helpColumns.
func wrapFlags(template string) string {
	cobra.AddTemplateFunc("wrapped", func(flags *pflag.FlagSet) string {
		return flags.FlagUsagesWrapped(helpColumns)
	})
	return strings.NewReplacer(".LocalFlags.FlagUsages", "wrapped .LocalFlags", ".InheritedFlags.FlagUsages", "wrapped .InheritedFlags").Replace(template)
}

// runGroup runs a command that only has subcommands: it prints the help, or returns an
// error about a subcommand that does not exist.
func runGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var known []string
	for _, sub := range cmd.Commands() {
		known = append(known, sub.Name())
	}
	return usage(cmd, fmt.Errorf("unknown command: %s%s", args[0], words.DidYouMean(args[0], known)))
}

// usage turns err into a usageError that points to the command's help.
func usage(cmd *cobra.Command, err error) error {
	return usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
}

// usageArgs turns the errors of a check of how many positional arguments there are into
// usageErrors that say which ones the command takes.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) == nil {
			return nil
		}
		_, takes, _ := strings.Cut(cmd.Use, " ")
		if takes == "" {
			return usage(cmd, fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0]))
		}
		return usage(cmd, fmt.Errorf("want %s %s, got %s", cmd.CommandPath(), takes, words.Count(len(args), "argument")))
	}
}

// folderArgs asks for n positional arguments; in a dry run the last, the folder of
// images, may be omitted.
func folderArgs(n int, dryRun *bool) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if *dryRun {
			return usageArgs(cobra.RangeArgs(n-1, n))(cmd, args)
		}
		return usageArgs(cobra.ExactArgs(n))(cmd, args)
	}
}

// swapped returns an error if what belongs after weights was given before their name.
func swapped(cmd *cobra.Command, first, second string) error {
	if exists(second) || hub.Named(first) || !hub.Named(second) {
		return nil // opening them will tell
	}
	return usage(cmd, fmt.Errorf("%s is a name of weights, which come first: %s %s %s", second, cmd.CommandPath(), second, first))
}

// swappedFolder is swapped, and returns an error if a folder of images was given before a
// file of weights.
func swappedFolder(cmd *cobra.Command, first, second string) error {
	if err := swapped(cmd, first, second); err != nil {
		return err
	}
	before, err := os.Stat(first)
	if err != nil || !before.IsDir() {
		return nil //nolint:nilerr // likewise
	}
	after, err := os.Stat(second)
	if err != nil || !after.Mode().IsRegular() || data.IsPack(second) {
		return nil //nolint:nilerr // likewise
	}
	return usage(cmd, fmt.Errorf("%s is a folder and %s a file: weights come first, then images: %s %s %s", first, second, cmd.CommandPath(), second, first))
}

// swappedOutput is swapped for an output, which may have any name if the weights are there.
func swappedOutput(cmd *cobra.Command, source, out string) error {
	if exists(source) {
		return nil
	}
	return swapped(cmd, source, out)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// flagError adds the flag that was probably meant by an unknown one.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
		err = fmt.Errorf("%w%s", err, words.DidYouMean("--"+unknown.GetSpecifiedName(), known))
	}
	return usage(cmd, err)
}
