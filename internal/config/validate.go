package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Validate reports every value that is not allowed, as an Error.
func (c Config) Validate() error {
	problems := c.network()
	for _, s := range table {
		if !s.allowed(c) {
			problems = append(problems, fmt.Sprintf("%s: %v is not allowed (want %s)", s.Key, s.Value(c), s.Want))
		}
	}
	if problems == nil { // the rest of the network's numbers are good
		if c.HasBudget() {
			c = c.WithPhi(0)
		}
		if _, err := c.Arch(1); err != nil {
			problems = strings.Split(err.Error(), "\n")
		}
	}
	if problems == nil {
		return nil
	}
	return problems
}

// network reports settings that contradict or do nothing.
func (c Config) network() Error {
	var problems Error
	if c.Variant != "" && c.Phi != nil {
		problems = append(problems, "variant and phi: both are set (a variant is a published network, phi scales a baseline by the formula: choose one)")
	}
	if c.Variant != "" && !c.Baseline.IsZero() {
		problems = append(problems, "variant and baseline: both are set (a variant has its own baseline: choose one)")
	}
	if c.Crop == "tf" && c.CropPct != Default().CropPct {
		problems = append(problems, "crop-pct: does nothing with crop: tf, which keeps its own share (choose crop: timm or torchvision, or remove crop-pct)")
	}
	if c.CacheFeatures && (c.Freeze != "head-only" || c.UnfreezeEpoch > 0) {
		problems = append(problems, "cache-features: needs freeze: head-only and unfreeze-epoch: 0")
	}
	if c.CacheFeatures && (c.Mixup > 0 || c.CutMix > 0) {
		problems = append(problems, "cache-features: images are not mixed (leave mixup and cutmix at 0)")
	}
	problems = append(problems, c.budgets()...)
	d := Default()
	if c.Variant != "" && (c.MaxImgSize > 0 || c.LateDepth > 1) {
		problems = append(problems, "max-img-size, late-depth: do nothing with a variant, which is not scaled (use phi)")
	}
	coefficients := c.Alpha != d.Alpha || c.Beta != d.Beta || c.Gamma != d.Gamma
	if c.Phi == nil && !c.HasBudget() {
		if coefficients {
			problems = append(problems, "alpha, beta, gamma: do nothing without phi (set phi; 1 uses the coefficients as they are)")
		}
		if c.Rule != d.Rule {
			problems = append(problems, "rule: does nothing without phi (set phi, or a budget that chooses it)")
		}
	} else if coefficients && c.Rule != d.Rule {
		problems = append(problems, fmt.Sprintf("alpha, beta, gamma: do nothing with rule: %s, which has its own (remove them, or rule)", c.Rule))
	}
	return problems
}

// budgets reports texts that are none, and what contradicts them.
func (c Config) budgets() (problems Error) {
	if _, _, err := c.Budgets(); err != nil {
		problems = append(problems, err.Error())
	}
	for _, b := range table {
		if b.Chooses != "phi" || b.Text(c) == "" {
			continue
		}
		if c.Variant != "" {
			problems = append(problems, fmt.Sprintf("variant and %s: both are set (a variant is a published network, a budget chooses phi for a baseline: choose one)", b.Key))
		}
		if c.Phi != nil {
			problems = append(problems, fmt.Sprintf("phi and %s: both are set (a budget chooses phi: choose one)", b.Key))
		}
	}
	return problems
}

// own are the rules of settings that Want only describes.
var own = map[string]func(Config) bool{
	"name": func(c Config) bool {
		return !strings.ContainsAny(c.Name, `/\`) && c.Name != "." && c.Name != ".."
	},
	"freeze": func(c Config) bool { _, _, err := c.FrozenStages(); return err == nil },
}

// allowed says whether a setting is what it may be.
func (s Setting) allowed(c Config) bool {
	if rule, ok := own[s.Key]; ok {
		return rule(c)
	}
	return s.Want == "" || s.rule.allows(reflect.ValueOf(c).Field(s.field))
}

// A rule is what Want says: ranges of numbers, or words.
type rule struct {
	words  []string
	ranges [][2]float64 // least and most
	rising bool         // several numbers, none less than the one before
}

// parseRule reads "0 to 0.99", "0 or more", "-1 or 0 to 0.99", "same or symmetric" and
// "two rising numbers of 0 to 1". What it does not know is words.
func parseRule(want string) (r rule) {
	if how, of, ok := strings.Cut(want, " numbers of "); ok {
		want, r.rising = of, strings.Contains(how, "rising")
	}
	for part := range strings.SplitSeq(want, " or ") {
		least, most, isRange := strings.Cut(part, " to ")
		if !isRange {
			most = least
		}
		from, err := strconv.ParseFloat(least, 64)
		to, err2 := strconv.ParseFloat(most, 64)
		switch {
		case err == nil && err2 == nil:
			r.ranges = append(r.ranges, [2]float64{from, to})
		case part == "more" && len(r.ranges) > 0:
			r.ranges[len(r.ranges)-1][1] = math.Inf(1)
		default:
			r.words = append(r.words, part)
		}
	}
	return r
}

// allows is false for NaN.
func (r rule) allows(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return slices.Contains(r.words, v.String())
	case reflect.Int:
		return r.inRange(float64(v.Int()))
	case reflect.Array:
		for i := range v.Len() {
			if !r.allows(v.Index(i)) || r.rising && i > 0 && v.Index(i).Float() < v.Index(i-1).Float() {
				return false
			}
		}
		return true
	}
	return r.inRange(v.Float())
}

func (r rule) inRange(x float64) bool {
	return slices.ContainsFunc(r.ranges, func(bounds [2]float64) bool { return within(x, bounds[0], bounds[1]) })
}

// within is false for NaN.
func within(v, least, most float64) bool { return v >= least && v <= most }
