package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"effnet/internal/config"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// allCommands are the commands that do something, by what follows "effnet ".
func allCommands() map[string]*cobra.Command {
	all := map[string]*cobra.Command{}
	var add func(cmd *cobra.Command)
	add = func(cmd *cobra.Command) {
		all[strings.TrimPrefix(cmd.CommandPath(), "effnet ")] = cmd
		for _, sub := range cmd.Commands() {
			add(sub)
		}
	}
	add(newRootCommand())
	return all
}

// A command has the flags of the settings that the table says are its, with the
// defaults of its recipe.
func TestEverySettingIsAFlag(t *testing.T) {
	commands := allCommands()
	for _, s := range config.Settings() {
		for _, name := range s.Commands {
			if commands[name] == nil {
				t.Errorf("%s is of %s, which is no command", s.Key, name)
			}
		}
		for name, cmd := range commands {
			f := cmd.Flags().Lookup(s.Key)
			if f != nil {
				if _, ok := f.Value.(*setting); !ok {
					f = nil // the command's own option, as bench's --batch-size
				}
			}
			if (f != nil) != s.Of(name) {
				t.Errorf("%s has --%s: %v, want %v", name, s.Key, f != nil, s.Of(name))
			}
			if f != nil && (f.Usage != s.Help || f.Shorthand != s.Short || f.DefValue != defaultOf(t, cmd, s)) {
				t.Errorf("%s: --%s is %+v, want %+v", name, s.Key, f, s)
			}
		}
	}
}

// defaultOf is a setting's value by a command's recipe; import's have none.
func defaultOf(t *testing.T, cmd *cobra.Command, s config.Setting) string {
	if cmd.Name() == "import" {
		return ""
	}
	if cmd.Flags().Lookup("recipe") == nil {
		return s.Default
	}
	recipes, err := readRecipes(cmd.Flags())
	if err != nil {
		t.Fatal(err)
	}
	m, err := config.Merge(recipes...)
	if err != nil {
		t.Fatal(err)
	}
	return s.Text(m.Config)
}

// trainFlags are train's, after a command line.
func trainFlags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	flags := newTrainCommand().Flags()
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags
}

func TestFlagsAreRead(t *testing.T) {
	c, err := loadConfig(trainFlags(t, "-b", "7", "-j", "3", "--mean", "1,2,3", "--decoupled-decay"))
	if err != nil {
		t.Fatal(err)
	}
	if c.BatchSize != 7 || c.Workers != 3 || c.Mean != [3]float64{1, 2, 3} || !c.Decoupled {
		t.Errorf("loaded %+v", c)
	}
}

// Each place wins over those before it, and the settings know it.
func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	recipe := write("recipe.yaml", "phi: 1\nepochs: 1\nlr: 0.1\nalpha: 1.3\nseed: 1\nbeta: 1.3\n")
	file := write("file.yaml", "lr: 0.2\nalpha: 1.4\nseed: 2\nbeta: 1.4\nmomentum:\n")
	found := write("found.yaml", "alpha: 1.5\nbeta: 1.5\n")
	t.Setenv("EFFNET_BETA", "1.6")
	t.Setenv("EFFNET_SEED", "3")
	t.Setenv("EFFNET_DECAY", "") // empty is unset
	s, err := readSettings(trainFlags(t, "--recipe", recipe, "--config", file, "--coefficients", found, "--seed", "4"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][3]string{
		{"decay", "0.9", "default"}, {"momentum", "0.9", "default"}, {"epochs", "1", "recipe " + recipe}, {"lr", "0.2", file},
		{"alpha", "1.5", found}, {"beta", "1.6", "EFFNET_BETA"}, {"seed", "4", "flag"},
	} {
		row, _ := config.Lookup(c[0])
		if row.Text(s.Config) != c[1] || s.From.Of(c[0]) != c[2] {
			t.Errorf("%s is %s from %s, want %s from %s", c[0], row.Text(s.Config), s.From.Of(c[0]), c[1], c[2])
		}
	}
}

// Files are read once: what becomes of them later changes nothing that is reported.
func TestFilesAreReadOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(path, []byte("lr: 0.2\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	j, err := newJob(trainFlags(t, "--config", path), "", trainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func() error{
		func() error { return os.WriteFile(path, []byte("momentum: 0.5\n"), 0o666) },
		func() error { return os.Remove(path) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		for _, row := range j.settingsTable(j.cfg) {
			want := "default"
			switch row.Key {
			case "lr":
				want = path
			case "kernels":
				want = "processor"
			}
			if row.Source != want {
				t.Errorf("%s is from %s, want %s", row.Key, row.Source, want)
			}
		}
	}
}

// What the program chose says so, and what a trial has of its own.
func TestChosenSettingsAreNamed(t *testing.T) {
	j, err := newJob(trainFlags(t, "-b", "auto", "--memory", "1", "--variant", "b0", "--seed", "7"), "", trainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	arch, err := j.arch(t.Context(), make([]string, 10))
	if err == nil {
		err = j.fitBatch(arch, 30, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	trial := j.cfg
	trial.Epochs = 3
	want := map[string]string{"batch-size": "memory", "memory": "flag", "variant": "flag", "seed": "flag", "epochs": "trial", "lr": "default", "kernels": "processor"}
	for _, row := range j.settingsTable(trial) {
		if source, ok := want[row.Key]; ok && row.Source != source {
			t.Errorf("%s is from %s, want %s", row.Key, row.Source, source)
		}
	}
}

// Commands without other settings read this one as those that have them do.
func TestKernelsAreRead(t *testing.T) {
	for _, c := range []struct{ env, flag, want string }{
		{"", "", "auto"}, {"generic", "", "generic"}, {"", "avx2", "avx2"}, {"generic", "avx2", "avx2"}, {"sse", "", ""}, {"", "sse", ""},
	} {
		t.Setenv("EFFNET_KERNELS", c.env)
		t.Setenv("EFFNET_LR", "much") // no setting of such a command
		flags := newEvalCommand().Flags()
		if c.flag != "" {
			if err := flags.Set("kernels", c.flag); err != nil {
				t.Fatal(err)
			}
		}
		got, err := kernelsSetting(flags)
		if c.want == "" && !errors.As(err, new(config.Error)) || c.want != "" && (got != c.want || err != nil) {
			t.Errorf("EFFNET_KERNELS=%s --kernels %s: %q, %v", c.env, c.flag, got, err)
		}
	}
}

// No flag's default is an address, as a pointer's would be.
func TestHelpShowsValues(t *testing.T) {
	f := allCommands()["search-coefficients"].Flags().Lookup("phi")
	if f.DefValue != "1" {
		t.Errorf("--phi is %s by default, want 1", f.DefValue)
	}
}
