package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"effnet/internal/config"
	"effnet/internal/train"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// What openRunFolder writes.
const (
	configFile  = "config.yaml"
	classesFile = "classes.txt"
	lockFile    = ".lock"
)

// openRunFolder creates a run's folder with its configuration and class names, or
// opens that of a run that goes on. No other process may have it open. unlock
// lets go of it.
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
	if unlock, err = lock(filepath.Join(dir, lockFile)); err != nil {
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
				hint = "--resume goes on with its run; otherwise " + hint
			}
			return usageError{fmt.Errorf("run folder %s exists and is not empty (%s)", dir, hint)}
		}
	}
	return nil
}

// startRunFolder writes what a run begins with, and removes an older run's states,
// from which nothing may go on any more, and its events.
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

// freeKeys are the settings that may differ when a run goes on: its numbers do
// not depend on them, but for the device's rounding.
var freeKeys = []string{"out", "name", "workers", "threads", "prefetch", "device", "precision", "log-interval", "checkpoint-every", "checkpoint-keep"}

// resumedConfig is the configuration of the run in a folder, with those settings
// of given, from flags, environment and --config, that may differ. Others that
// were given and differ are an error.
func resumedConfig(flags *pflag.FlagSet, given config.Config, dir string) (config.Config, error) {
	if dir == resumeOut {
		if dir = given.Out; dir == "" {
			return given, usageError{fmt.Errorf("--resume: which run? (--resume=DIR or --out DIR)")}
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return given, usageError{fmt.Errorf("--resume: no run to go on with in %s: %w", dir, err)}
	}
	saved, err := config.Parse(text)
	if err != nil {
		return given, fmt.Errorf("%s: %w", filepath.Join(dir, configFile), err)
	}
	settings, err := asMap(saved)
	if err != nil {
		return given, err
	}
	now, err := asMap(given)
	if err != nil {
		return given, err
	}
	recipe, err := readRecipe(flags)
	if err != nil {
		return given, err
	}
	unsaid, err := config.Decode(recipe) // what given has where nothing was said
	if err != nil {
		return given, err
	}
	defaults, err := asMap(unsaid)
	if err != nil {
		return given, err
	}
	var differ []string
	for _, key := range slices.Sorted(maps.Keys(now)) {
		was, is := fmt.Sprint(settings[key]), fmt.Sprint(now[key])
		given := flags.Changed(key) || is != fmt.Sprint(defaults[key])
		switch {
		case !given:
		case slices.Contains(freeKeys, key):
			settings[key] = now[key]
		case was != is:
			differ = append(differ, fmt.Sprintf("%s was %s and is %s", key, was, is))
		}
	}
	if differ != nil {
		return given, usageError{fmt.Errorf("--resume: the run in %s has other settings: %s (start another run for that)", dir, strings.Join(differ, "; "))}
	}
	settings["out"] = dir
	return config.Decode(settings)
}

// asMap is a configuration by key.
func asMap(cfg config.Config) (map[string]any, error) {
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	var settings map[string]any
	return settings, yaml.Unmarshal(text, &settings)
}
