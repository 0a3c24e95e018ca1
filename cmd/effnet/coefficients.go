package main

import (
	"fmt"
	"os"
	"slices"

	"effnet/internal/config"
	"effnet/internal/scale"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// coefficientKeys are the settings that a file of search-coefficients may have.
var coefficientKeys = []string{"alpha", "beta", "gamma", "baseline"}

// addCoefficientsFlag registers --coefficients.
func addCoefficientsFlag(flags *pflag.FlagSet) {
	flags.String("coefficients", "", "`file` of search-coefficients: alpha, beta, gamma and the baseline they scale, over --config's")
}

// readCoefficients returns the settings of the file that --coefficients names, if
// the command has it.
func readCoefficients(flags *pflag.FlagSet) (settings map[string]any, err error) {
	flag := flags.Lookup("coefficients")
	if flag == nil || flag.Value.String() == "" {
		return nil, nil
	}
	path := flag.Value.String()
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(text, &settings)
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("--coefficients: %s: %w", path, err)}
	}
	for key := range settings {
		if !slices.Contains(coefficientKeys, key) {
			return nil, usageError{fmt.Errorf("--coefficients: %s: %s is no coefficient (have alpha, beta, gamma, baseline; other settings go into --config)", path, key)}
		}
	}
	c, err := config.Decode(settings)
	if err == nil {
		err = scale.Coefficients{Alpha: c.Alpha, Beta: c.Beta, Gamma: c.Gamma}.Validate()
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("--coefficients: %s: %w", path, err)}
	}
	return settings, nil
}
