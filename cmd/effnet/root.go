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
		newDataCommand(),
		newBenchCommand(),
		newSummaryCommand(),
		newSearchCommand(),
		newStudyCommand(),
		newDoctorCommand(),
		newDocsCommand(),
		newVersionCommand(),
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

// usageArgs turns the errors of a check of positional arguments into usageErrors.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage(cmd, err)
		}
		return nil
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

// swapped returns an error if weights and a folder of images were given in the wrong
// order.
func swapped(cmd *cobra.Command, weights, dir string) error {
	first, err := os.Stat(weights)
	if err != nil || !first.IsDir() {
		return nil //nolint:nilerr // opening it will tell
	}
	second, err := os.Stat(dir)
	named := err != nil && hub.Named(dir)
	if !named && (err != nil || !second.Mode().IsRegular() || data.IsPack(dir)) {
		return nil //nolint:nilerr // likewise
	}
	what := "a file"
	if named {
		what = "a name of weights"
	}
	return usage(cmd, fmt.Errorf("%s is a folder and %s %s: weights come first, then images: %s %s %s", weights, dir, what, cmd.CommandPath(), dir, weights))
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
