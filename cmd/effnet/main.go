// Command effnet trains, evaluates and scales EfficientNets on folders of
// images.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"effnet/internal/atomicfile"
	"effnet/internal/bundle"
	"effnet/internal/config"
	"effnet/internal/data"
	"effnet/internal/device"
	"effnet/internal/mpi"
	"effnet/internal/ranks"
	"effnet/internal/setup"
	"effnet/internal/train"
	"effnet/internal/weights"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := withSignals(context.Background(), mpi.Launched(os.Getenv).By != "")
	helpColumns = terminalColumns()
	cmd, err := newProgram()
	if err == nil {
		cmd.SetArgs(resumeFolder(os.Args[1:]))
		err = cmd.ExecuteContext(ctx)
	}
	var job abandoned
	abandons := errors.As(err, &job)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	stop()
	if err != nil {
		complain(cmd.DisplayName(), err)
	}
	if abandons {
		job.job.Abort(exitCode(err))
	}
	os.Exit(exitCode(err))
}

// newProgram is the command that this program is: effnet, or what a bundle offers.
func newProgram() (*cobra.Command, error) {
	b, err := bundle.Own()
	if b == nil || err != nil {
		return newRootCommand(), err
	}
	return newBundledCommand(b, programName(os.Args[0]))
}

// hint returns the advice that an error keeps apart from its message.
func hint(err error) string {
	var e *weights.Error
	if errors.As(err, &e) && e.Hint != "" {
		return " (" + e.Hint + ")"
	}
	return ""
}

// exitCode returns the exit code for err.
func exitCode(err error) int {
	var stopped interrupted
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(usageError)), errors.As(err, new(*atomicfile.FolderError)), errors.As(err, new(config.Error)), errors.As(err, new(*device.SettingError)), errors.As(err, new(*setup.Error)),
		errors.As(err, new(*ranks.Difference)), errors.As(err, new(*ranks.DivisionError)):
		return 2
	case errors.As(err, new(*data.Error)):
		return 3
	case errors.As(err, new(*device.Error)), errors.As(err, new(*ranks.Drift)):
		return 4
	case errors.As(err, new(*train.Diverged)):
		return 5
	case errors.As(err, new(*weights.Error)):
		return 6
	case errors.As(err, new(*mpi.Error)):
		return ranks.ExitCode
	case errors.As(err, &stopped):
		return 128 + int(stopped.signal)
	case errors.As(err, new(*ranks.Stopped)):
		return 128 + int(syscall.SIGTERM)
	}
	return 1
}

// usageError is a command line that cannot be run.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// interrupted is the cause of a context that ends because the user or the system stops
// effnet.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string {
	if i.signal == syscall.SIGINT {
		return "interrupted"
	}
	return "stopped by a signal: " + i.signal.String()
}

// withSignals ends the context at the first SIGINT or SIGTERM, with interrupted
// as the cause. A second signal kills the process.
//
// A process that a launcher started also stops at the launcher's signals, and further
// ones change nothing: launchers repeat them, after a Ctrl-C that all ranks have seen for
// example, and end by themselves what does not stop.
func withSignals(parent context.Context, launched bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if launched {
		signal.Notify(signals, launcherSignals...)
	}
	go func() {
		select {
		case s := <-signals:
			if !launched {
				signal.Stop(signals)
			}
			cancel(interrupted{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
