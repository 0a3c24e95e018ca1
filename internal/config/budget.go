package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"effnet/internal/scale"
)

// HasBudget reports whether a budget is to choose Phi.
func (c Config) HasBudget() bool {
	return c.Budget() != ""
}

// Budget is the key of the first budget, "" without one.
func (c Config) Budget() string {
	for _, s := range table {
		if s.Chooses == "phi" && s.Text(c) != "" {
			return s.Key
		}
	}
	return ""
}

// Budgets are what the network may cost: counted, and the time of one image's
// forward pass. 0 is no bound. An unknown text is an error.
func (c Config) Budgets() (count scale.Budget, latency time.Duration, err error) {
	if count.MACs, err = ParseCount(c.FLOPsBudget); err != nil {
		return count, 0, fmt.Errorf("flops-budget: %w", err)
	}
	if count.Params, err = ParseCount(c.ParamsBudget); err != nil {
		return count, 0, fmt.Errorf("params-budget: %w", err)
	}
	if latency, err = ParseLatency(c.LatencyBudget); err != nil {
		return count, 0, fmt.Errorf("latency-budget: %w", err)
	}
	return count, latency, nil
}

// WithPhi is c with the Phi that its budgets chose, and without them.
func (c Config) WithPhi(phi float64) Config {
	c = c.WithoutBudgets()
	c.Phi = &phi
	return c
}

// WithoutBudgets is c without them.
func (c Config) WithoutBudgets() Config {
	c.FLOPsBudget, c.ParamsBudget, c.LatencyBudget = "", "", ""
	return c
}

// suffixes are thousands, millions and thousand millions.
var suffixes = map[byte]float64{'K': 1e3, 'M': 1e6, 'G': 1e9}

// ParseCount reads 1.5G as 1500000000, and no text as 0.
func ParseCount(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	unit, ok := suffixes[text[len(text)-1]]
	number := text
	if ok {
		number = text[:len(text)-1]
	} else {
		unit = 1
	}
	n, err := strconv.ParseFloat(number, 64)
	if n *= unit; err != nil || !within(n, 1, 1e18) || strings.ContainsAny(number, "xX_") {
		return 0, fmt.Errorf("%q is not allowed (want a number, such as 1.5G, 10M or 300K)", text)
	}
	return int64(n + 0.5), nil
}

// ParseLatency reads 20ms, and no text as 0.
func ParseLatency(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not allowed (want a time, such as 20ms or 1.5s)", text)
	}
	return d, nil
}
