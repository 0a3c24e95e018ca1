package main

import (
	"fmt"
	"os"
	"slices"

	"effnet/internal/atomicfile"
	"effnet/internal/config"
	"effnet/internal/scale"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// coefficients are what a search for them finds: a file that --coefficients reads.
type coefficients struct {
	Alpha    float64         `yaml:"alpha"`
	Beta     float64         `yaml:"beta"`
	Gamma    float64         `yaml:"gamma"`
	Baseline config.Baseline `yaml:"baseline"` // what they scale
}

// coefficientKeys are the settings that such a file may have.
var coefficientKeys = []string{"alpha", "beta", "gamma", "baseline"}

// write stores them, with comments of a line each.
func (c coefficients) write(path string, comments ...string) error {
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(f *os.File) error {
		for _, line := range comments {
			if _, err := fmt.Fprintf(f, "# %s\n", line); err != nil {
				return err
			}
		}
		_, err := f.Write(text)
		return err
	})
}

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
