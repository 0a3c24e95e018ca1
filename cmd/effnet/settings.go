package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"effnet/configs"
	"effnet/internal/config"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// Settings that not every command has.
var (
	// modelKeys decide which network is built.
	modelKeys = []string{"variant", "phi", "alpha", "beta", "gamma", "baseline", "img-size"}
	// checkpointKeys are what a checkpoint says of itself.
	checkpointKeys = []string{"padding", "bn-eps", "mean", "std", "interpolation", "crop", "crop-pct", "exif-orientation"}
	// finetuneKeys say how the weights of a checkpoint are trained.
	finetuneKeys = []string{"freeze", "freeze-bn", "unfreeze-epoch", "layer-decay", "head-lr", "cache-features", "shots"}
)

// shorthands are the settings' one-letter flags.
var shorthands = map[string]string{"batch-size": "b", "workers": "j"}

// addModelFlags registers --config, --coefficients and the settings of the network.
func addModelFlags(flags *pflag.FlagSet) {
	addConfigFlag(flags, "")
	addCoefficientsFlag(flags)
	addSettings(flags, func(key string) bool { return slices.Contains(modelKeys, key) })
}

// addTrainFlags registers the settings of training that addModelFlags does not.
func addTrainFlags(flags *pflag.FlagSet) {
	addSettings(flags, func(key string) bool { return !slices.Contains(modelKeys, key) && !slices.Contains(finetuneKeys, key) })
}

// addFineTuneFlags registers --config and the settings of training a checkpoint.
func addFineTuneFlags(flags *pflag.FlagSet) {
	addConfigFlag(flags, "finetune")
	addSettings(flags, func(key string) bool {
		return key == "img-size" || !slices.Contains(modelKeys, key) && !slices.Contains(budgetKeys, key) && !slices.Contains(checkpointKeys, key)
	})
}

func addConfigFlag(flags *pflag.FlagSet, recipe string) {
	flags.StringP("config", "c", "", "YAML `file` of settings")
	flags.String("recipe", recipe, "settings under all others: a YAML file, or one that the program has: "+strings.Join(configs.Names(), ", "))
}

// addSettings registers settings, with the values of the command's recipe as
// defaults.
func addSettings(flags *pflag.FlagSet, has func(key string) bool) {
	recipe, err := readRecipe(flags)
	if err != nil {
		panic(err) // one that the program has; a test reads them all
	}
	defaults, err := config.Decode(recipe)
	if err != nil {
		panic(err)
	}
	for _, key := range config.KeysOf(defaults) {
		if has(key.Name) {
			flag := flags.VarPF(&setting{key.Default, key.Kind}, key.Name, shorthands[key.Name], key.Help)
			if key.Kind == "bool" {
				flag.NoOptDefVal = "true"
			}
		}
	}
}

// setting is a flag whose text config.Decode reads, as it reads the
// environment's.
type setting struct{ text, kind string }

func (s *setting) String() string        { return s.text }
func (s *setting) Type() string          { return s.kind }
func (s *setting) Set(text string) error { s.text = text; return nil }

// loadConfig takes each setting from the flags, else from the environment's
// EFFNET_*, else from the --coefficients file, else from the --config file, else
// from the recipe, else from config.Default.
func loadConfig(flags *pflag.FlagSet) (config.Config, error) {
	v := viper.New()
	recipe, err := readRecipe(flags)
	if err != nil {
		return config.Config{}, err
	}
	for key, value := range recipe {
		v.SetDefault(key, value)
	}
	if file := flags.Lookup("config").Value.String(); file != "" {
		v.SetConfigFile(file)
		v.SetConfigType("yaml")
		if err := v.ReadInConfig(); err != nil {
			return config.Config{}, usageError{fmt.Errorf("config: %s: %w", file, err)}
		}
		// By itself, so that its mistakes are known to be the file's.
		if _, err := config.Decode(v.AllSettings()); err != nil {
			return config.Config{}, fmt.Errorf("%s: %w", file, err)
		}
	}
	found, err := readCoefficients(flags)
	if err == nil {
		err = v.MergeConfigMap(found)
	}
	if err != nil {
		return config.Config{}, err
	}
	for _, key := range config.Keys() {
		if err := v.BindEnv(key.Name, envName(key.Name)); err != nil {
			return config.Config{}, err
		}
	}
	flags.Visit(func(f *pflag.Flag) {
		if s, ok := f.Value.(*setting); ok {
			v.Set(f.Name, s.text)
		}
	})
	c, err := config.Decode(v.AllSettings())
	if err != nil {
		return config.Config{}, err
	}
	return c, c.Validate()
}

// readRecipe returns the settings of the recipe that --recipe names.
func readRecipe(flags *pflag.FlagSet) (settings map[string]any, err error) {
	name := flags.Lookup("recipe").Value.String()
	if name == "" {
		return nil, nil
	}
	read := configs.Read
	if filepath.Ext(name) != "" {
		read = os.ReadFile
	}
	text, err := read(name)
	if err == nil {
		err = yaml.Unmarshal(text, &settings)
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("--recipe: %w", err)}
	}
	if _, err := config.Decode(settings); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return settings, nil
}
