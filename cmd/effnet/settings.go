package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"effnet/configs"
	"effnet/internal/config"
	"effnet/internal/report"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// addSettings registers a command's settings, with the values of its recipe as defaults
// if it has one; --config and --recipe; and --coefficients, if the command has these.
func addSettings(flags *pflag.FlagSet, command, recipe string) {
	flags.StringP("config", "c", "", "YAML `file` of settings")
	flags.String("recipe", recipe, "settings that all others override: a YAML file, or a built-in recipe: "+strings.Join(configs.Names(), ", "))
	layers, err := readRecipes(flags)
	if err != nil {
		panic(err) // one that the program has; a test reads them all
	}
	defaults, err := config.Merge(layers...)
	if err != nil {
		panic(err)
	}
	for _, s := range config.Settings() {
		if s.Of(command) {
			addSetting(flags, s, s.Text(defaults.Config))
		}
	}
	if flags.Lookup("alpha") != nil {
		addCoefficientsFlag(flags)
	}
}

// addSetting registers the flag of one setting.
func addSetting(flags *pflag.FlagSet, s config.Setting, value string) {
	flag := flags.VarPF(&setting{value, s.Kind}, s.Key, s.Short, s.Help)
	if s.Kind == "bool" {
		flag.NoOptDefVal = "true"
	}
}

// setting is a flag whose text config.Merge reads, like that of the environment.
type setting struct{ text, kind string }

func (s *setting) String() string        { return s.text }
func (s *setting) Type() string          { return s.kind }
func (s *setting) Set(text string) error { s.text = text; return nil }

// loadConfig returns a command's configuration.
func loadConfig(flags *pflag.FlagSet) (config.Config, error) {
	said, err := readSettings(flags)
	return said.Config, err
}

// said holds what the user told a command.
type said struct {
	config.Merged
	given []config.Layer // all but the recipes, which are part of what the command is
}

// readSettings reads the recipes, the files, the environment and the flags, each once.
// config.Merge says which wins.
func readSettings(flags *pflag.FlagSet) (s said, err error) {
	recipes, err := readRecipes(flags)
	if err != nil {
		return s, err
	}
	if file := flags.Lookup("config").Value.String(); file != "" {
		layer, err := readFile(file)
		if err != nil {
			return s, usageError{fmt.Errorf("config: %s: %w", file, err)}
		}
		s.given = append(s.given, layer)
	}
	found, err := readCoefficients(flags)
	if err != nil {
		return s, err
	}
	environment, err := readEnvironment()
	if err != nil {
		return s, err
	}
	s.given = append(append(append(s.given, found), environment...), readFlags(flags))
	for i := range s.given {
		if err := readBaseline(&s.given[i]); err != nil {
			return s, usageError{err}
		}
	}
	if s.Merged, err = config.Merge(append(recipes, s.given...)...); err != nil {
		return s, err
	}
	return s, s.Validate()
}

// readBaseline puts the stage table of a file in the place of its path: the run then has
// the table, whatever becomes of the file.
func readBaseline(layer *config.Layer) error {
	path, ok := layer.Values["baseline"].(string)
	if ext := filepath.Ext(path); !ok || ext != ".yaml" && ext != ".yml" {
		return nil
	}
	file, err := readFile(path)
	if err != nil {
		return fmt.Errorf("baseline: %s: %w", path, err)
	}
	table, ok := file.Values["baseline"].(map[string]any)
	if !ok {
		return fmt.Errorf("baseline: %s has no stage table (want baseline: and its stages, as search-baseline writes them)", path)
	}
	layer.Values = maps.Clone(layer.Values)
	layer.Values["baseline"] = table
	return nil
}

// readFile reads a YAML file of settings.
func readFile(path string) (config.Layer, error) {
	v := viper.New()
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	err := v.ReadInConfig()
	return config.Layer{Source: path, Values: v.AllSettings()}, err
}

// readRecipes reads the recipe that --recipe names, if it names one. A recipe that only
// describes a network, such as mini, is laid over the command's own recipe.
func readRecipes(flags *pflag.FlagSet) ([]config.Layer, error) {
	flag := flags.Lookup("recipe")
	if flag.Value.String() == "" {
		return nil, nil
	}
	named, err := readRecipe(flag.Value.String())
	if err != nil {
		return nil, err
	}
	if _, ok := named.Values["baseline"]; !ok || len(named.Values) > 1 || flag.DefValue == "" {
		return []config.Layer{named}, nil
	}
	own, err := readRecipe(flag.DefValue)
	return []config.Layer{own, named}, err
}

// readRecipe reads a recipe from a file, or one that is built in.
func readRecipe(name string) (config.Layer, error) {
	layer, err := readBuiltIn(name, configs.Read)
	if err != nil {
		return layer, usageError{fmt.Errorf("--recipe: %w", err)}
	}
	layer.Source = "recipe " + name
	return layer, nil
}

// readBuiltIn reads YAML from a file, or, of a name without an extension, what is built in.
func readBuiltIn(name string, builtIn func(name string) ([]byte, error)) (layer config.Layer, err error) {
	if filepath.Ext(name) != "" {
		return readFile(name)
	}
	text, err := builtIn(name)
	if err != nil {
		return layer, err
	}
	v := viper.New()
	v.SetConfigType("yaml")
	err = v.ReadConfig(bytes.NewReader(text))
	layer.Values = v.AllSettings()
	return layer, err
}

// readEnvironment returns a layer for each setting whose variable is not empty.
func readEnvironment() (layers []config.Layer, err error) {
	v := viper.New()
	for _, s := range config.Settings() {
		if err := v.BindEnv(s.Key, s.Env()); err != nil {
			return nil, err
		}
		if v.IsSet(s.Key) {
			layers = append(layers, config.Layer{Source: s.Env(), Values: map[string]any{s.Key: v.Get(s.Key)}})
		}
	}
	return layers, nil
}

// addKernels registers the only setting of commands that have no others.
func addKernels(flags *pflag.FlagSet) {
	s, _ := config.Lookup("kernels")
	addSetting(flags, s, s.Default)
}

// kernelsSetting returns the kernels that the environment and the flags ask for.
func kernelsSetting(flags *pflag.FlagSet) (string, error) {
	environment, err := readEnvironment()
	if err != nil {
		return "", err
	}
	var layers []config.Layer
	for _, l := range environment {
		if l.Values["kernels"] != nil {
			layers = append(layers, l)
		}
	}
	m, err := config.Merge(append(layers, readFlags(flags))...)
	if err != nil {
		return "", err
	}
	return m.Kernels, m.Validate()
}

// readFlags returns the settings that were given as flags.
func readFlags(flags *pflag.FlagSet) config.Layer {
	layer := config.Layer{Source: config.FlagSource, Values: map[string]any{}}
	flags.Visit(func(f *pflag.Flag) {
		if s, ok := f.Value.(*setting); ok {
			layer.Values[f.Name] = s.text
		}
	})
	return layer
}

// lay lays what a checkpoint, a budget or the processor decides over the settings.
func (j *job) lay(source string, values map[string]any) (err error) {
	m, err := config.Merged{Config: j.cfg, From: j.from}.With(config.Layer{Source: source, Values: values})
	if err == nil {
		j.cfg, j.from = m.Config, m.From
	}
	return err
}

// settingsTable lists the settings in cfg, the job's or one of its trials', and where
// each is from: those of the command, and those of other commands that were given.
func (j *job) settingsTable(cfg config.Config) (table []report.Setting) {
	for _, s := range config.Settings() {
		text := s.Text(cfg)
		_, given := j.from[s.Key]
		if text == "" || !given && j.flags.Lookup(s.Key) == nil {
			continue
		}
		if s.Key == "lr" && cfg.LR == 0 {
			text = fmt.Sprintf("0 = %g, 0.016 per 256 images of an update", cfg.LearningRate())
		}
		from := j.from.Of(s.Key)
		if !s.Same(cfg, j.cfg) {
			from = "trial"
		}
		table = append(table, report.Setting{Key: s.Key, Value: text, Source: from})
	}
	return table
}

// writeSettings prints the job's settings.
func (j *job) writeSettings(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range j.settingsTable(j.cfg) {
		fmt.Fprintf(tab, "%s\t%s\t%s\n", s.Key, s.Value, s.Source)
	}
	return tab.Flush()
}
