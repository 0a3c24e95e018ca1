package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"effnet/internal/config"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"effnet": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
	})
}

// exits runs a command that must end with an exit code: exits CODE PROGRAM ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("other"), 1},
		{usageError{errors.New("flag")}, 2},
		{fmt.Errorf("x.yaml: %w", config.Error{"lr: -1"}), 2},
		{fmt.Errorf("train: %w", interrupted{syscall.SIGINT}), 130},
		{interrupted{syscall.SIGTERM}, 143},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("exitCode(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestSignalEndsTheContext(t *testing.T) {
	ctx, stop := withSignals(context.Background())
	defer stop()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if got := exitCode(context.Cause(ctx)); got != 143 {
		t.Errorf("after SIGTERM: %v, exit code %d", context.Cause(ctx), got)
	}
}

// The model's and the training's flags are together every setting, each once.
func TestEverySettingIsAFlag(t *testing.T) {
	flags := pflag.NewFlagSet("train", pflag.ContinueOnError)
	addModelFlags(flags)
	addTrainFlags(flags)
	for _, key := range config.Keys() {
		f := flags.Lookup(key.Name)
		if f == nil {
			t.Errorf("--%s is missing", key.Name)
			continue
		}
		if f.DefValue != key.Default || f.Usage != key.Help {
			t.Errorf("--%s is %+v, want %+v", key.Name, f, key)
		}
	}
	if err := flags.Parse([]string{"-b", "7", "-j", "3", "--mean", "1,2,3"}); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(flags)
	if err != nil {
		t.Fatal(err)
	}
	if c.BatchSize != 7 || c.Workers != 3 || c.Mean != [3]float64{1, 2, 3} {
		t.Errorf("loaded %+v", c)
	}
	for name := range shorthands {
		if flags.Lookup(name) == nil {
			t.Errorf("a shorthand for --%s, which is no setting", name)
		}
	}
}

func TestShort(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1K", 385_814_752: "385.8M", 37_750_000_000: "37.75G"} {
		if got := short(n); got != want {
			t.Errorf("short(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 5_288_548: "5,288,548"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %q, want %q", n, got, want)
		}
	}
}
