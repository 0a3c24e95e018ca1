package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"effnet/internal/config"
	"effnet/internal/filelock"
	"effnet/internal/train"

	"go.yaml.in/yaml/v3"
)

// What openRunFolder writes.
const (
	configFile  = "config.yaml"
	classesFile = "classes.txt"
	lockFile    = ".lock"
)

// openRunFolder creates a run's folder with its configuration and class names, or opens
// the folder of a run that is resumed. It is locked against other processes until unlock
// is called.
func openRunFolder(dir string, cfg config.Config, classes []string, opts trainOptions) (unlock func(), err error) {
	resume := opts.Resume != ""
	if !resume && !opts.ExistOK {
		if err := mustBeNew(dir); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("run folder: %w", err)
	}
	unlock, err = filelock.Try(filepath.Join(dir, lockFile))
	if errors.Is(err, filelock.ErrTaken) {
		err = errors.New("another process is training in it")
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("run folder %s: %w", dir, err)}
	}
	if !resume {
		err = startRunFolder(dir, cfg, classes)
	}
	if err != nil {
		unlock()
		return nil, fmt.Errorf("run folder: %w", err)
	}
	return unlock, nil
}

// mustBeNew returns an error for a folder that holds a run, or anything else.
func mustBeNew(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil //nolint:nilerr // making it will tell
	}
	for _, e := range entries {
		if !slices.Contains([]string{configFile, classesFile, lockFile}, e.Name()) { // those alone are a run that never began
			hint := "choose another --out, or --exist-ok to write into it"
			if _, err := os.Stat(filepath.Join(dir, planFile)); err == nil || train.HasState(dir) {
				hint = "--resume continues its run; otherwise " + hint
			}
			return usageError{fmt.Errorf("run folder %s exists and is not empty (%s)", dir, hint)}
		}
	}
	return nil
}

// startRunFolder writes the files that a run begins with. It removes an older run's
// events and its states, so that nothing resumes from these.
func startRunFolder(dir string, cfg config.Config, classes []string) error {
	if err := train.RemoveStates(dir); err != nil {
		return err
	}
	events, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil {
		return err
	}
	for _, old := range events {
		if err := os.Remove(old); err != nil {
			return err
		}
	}
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, configFile), text, 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, classesFile), []byte(strings.Join(classes, "\n")+"\n"), 0o666)
}

// resumeOut is --resume without a folder.
const resumeOut = "--out"

// resume returns the configuration of the run that --resume names, changed by those of
// the given settings that a resumed run may change.
func (s said) resume(dir string) (config.Merged, error) {
	source := config.FlagSource
	if dir == resumeOut {
		dir, source = s.Out, s.From.Of("out")
	}
	if dir == "" {
		return s.Merged, usageError{fmt.Errorf("--resume: which run? (--resume=DIR or --out DIR)")}
	}
	saved, err := readFile(filepath.Join(dir, configFile))
	if err != nil {
		return s.Merged, usageError{fmt.Errorf("--resume: no run to resume in %s: %w", dir, err)}
	}
	resumed, refused, err := config.Resume(saved, s.given...)
	if err != nil {
		return resumed, err
	}
	if refused != nil {
		differ := make([]string, len(refused))
		for i, change := range refused {
			differ[i] = change.String()
		}
		return resumed, usageError{fmt.Errorf("--resume: the run in %s has different settings: %s (start a new run instead)", dir, strings.Join(differ, "; "))}
	}
	return resumed.With(config.Layer{Source: source, Values: map[string]any{"out": dir}})
}

// resumeFolder turns --resume DIR into --resume=DIR, where DIR is a run's folder.
// --resume also has a meaning without a value, so package pflag would mistake DIR for
// the folder of images.
func resumeFolder(args []string) []string {
	i := slices.Index(args, "--resume")
	if i < 0 || i+1 == len(args) {
		return args
	}
	if _, err := os.Stat(filepath.Join(args[i+1], configFile)); err != nil {
		return args
	}
	return slices.Concat(args[:i], []string{"--resume=" + args[i+1]}, args[i+2:])
}
