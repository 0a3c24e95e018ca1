package main

import (
	"fmt"

	"effnet/internal/config"
	"effnet/internal/scale"

	"github.com/spf13/pflag"
)

// addCoefficientsFlag registers --coefficients.
func addCoefficientsFlag(flags *pflag.FlagSet) {
	flags.String("coefficients", "", "`file` written by search-coefficients: alpha, beta, gamma and the baseline they scale; it overrides --config")
}

// readCoefficients reads the file that --coefficients names, if the command has the flag.
func readCoefficients(flags *pflag.FlagSet) (layer config.Layer, err error) {
	flag := flags.Lookup("coefficients")
	if flag == nil || flag.Value.String() == "" {
		return layer, nil
	}
	path := flag.Value.String()
	if layer, err = readFile(path); err != nil {
		return layer, usageError{fmt.Errorf("--coefficients: %s: %w", path, err)}
	}
	for key := range layer.Values {
		if s, ok := config.Lookup(key); !ok || !s.Coefficient {
			return layer, usageError{fmt.Errorf("--coefficients: %s: %s is not a coefficient (want alpha, beta, gamma or baseline; other settings go into --config)", path, key)}
		}
	}
	c, err := config.Decode(layer.Values)
	if err == nil {
		err = scale.Coefficients{Alpha: c.Alpha, Beta: c.Beta, Gamma: c.Gamma}.Validate()
	}
	if err != nil {
		return layer, usageError{fmt.Errorf("--coefficients: %s: %w", path, err)}
	}
	return layer, nil
}
