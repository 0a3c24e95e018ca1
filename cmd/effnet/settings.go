package main

import (
	"fmt"
	"slices"

	"effnet/internal/config"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// modelKeys are the settings that decide which network is built.
var modelKeys = []string{"variant", "phi", "alpha", "beta", "gamma", "baseline", "img-size"}

// shorthands are the settings' one-letter flags.
var shorthands = map[string]string{"batch-size": "b", "workers": "j"}

// addModelFlags registers --config and the settings of the network.
func addModelFlags(flags *pflag.FlagSet) {
	flags.StringP("config", "c", "", "YAML `file` of settings")
	addSettings(flags, true)
}

// addTrainFlags registers the settings that addModelFlags does not.
func addTrainFlags(flags *pflag.FlagSet) { addSettings(flags, false) }

func addSettings(flags *pflag.FlagSet, model bool) {
	for _, key := range config.Keys() {
		if slices.Contains(modelKeys, key.Name) == model {
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
// EFFNET_*, else from the --config file, else from config.Default.
func loadConfig(flags *pflag.FlagSet) (config.Config, error) {
	v := viper.New()
	if file := flags.Lookup("config").Value.String(); file != "" {
		v.SetConfigFile(file)
		v.SetConfigType("yaml")
		if err := v.ReadInConfig(); err != nil {
			return config.Config{}, usageError{fmt.Errorf("config: %s: %w", file, err)}
		}
		// Alone, so that its mistakes are known to be the file's.
		if _, err := config.Decode(v.AllSettings()); err != nil {
			return config.Config{}, fmt.Errorf("%s: %w", file, err)
		}
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
