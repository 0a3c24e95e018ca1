package augment

import (
	"fmt"
	"strconv"
	"strings"
)

// policies is what ParsePolicy understands, for its errors.
const policies = "want none, v0 (AutoAugment) or rand-m9-n2-mstd0.5-p1 (RandAugment: " +
	"m magnitude, n operations per image, mstd standard deviation of the magnitude, p probability of each operation, " +
	"list version of the list of operations)"

// ParsePolicy returns the policy that s names in timm's syntax (timm.data.auto_augment):
//
//	"" or none               nil, no policy
//	v0                       AutoAugment
//	rand-m9-n2-mstd0.5-p1    RandAugment; the parts in any order, by default m10-n2-mstd0-p0.5-list0
//
// list, which timm has not, is the version of the list of operations that are drawn.
// timm's inc, t and mmax are errors: the operations are the reference code's,
// and a magnitude above 10 is not cut.
func ParsePolicy(s string) (Policy, error) {
	switch s {
	case "", "none":
		return nil, nil
	case "v0":
		return AutoAugment{}, nil
	}
	parts := strings.Split(s, "-")
	if parts[0] != "rand" {
		return nil, fmt.Errorf("augment: unknown policy %q: %s", s, policies)
	}
	p, err := parseRand(parts[1:])
	if err != nil {
		return nil, fmt.Errorf("augment: policy %q: %w: %s", s, err, policies)
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return p, nil
}

// parseRand returns the RandAugment of the parts after "rand".
func parseRand(parts []string) (RandAugment, error) {
	p := RandAugment{Magnitude: 10, Prob: 0.5}
	n, list := 2.0, 0.0
	fields := map[string]*float64{"m": &p.Magnitude, "n": &n, "mstd": &p.Std, "p": &p.Prob, "list": &list}
	for _, part := range parts {
		digits := strings.IndexFunc(part, func(r rune) bool { return r < 'a' || r > 'z' })
		if digits < 0 {
			return p, fmt.Errorf("part %q has no number", part)
		}
		field, known := fields[part[:digits]]
		if !known {
			return p, fmt.Errorf("unknown part %q", part)
		}
		if field == nil {
			return p, fmt.Errorf("part %q: %s is given twice", part, part[:digits])
		}
		v, err := strconv.ParseFloat(part[digits:], 64)
		if err != nil {
			return p, fmt.Errorf("part %q: %q is not a number", part, part[digits:])
		}
		*field, fields[part[:digits]] = v, nil
	}
	p.N, p.List = int(n), int(list)
	switch {
	case n != float64(p.N):
		return p, fmt.Errorf("%v operations per image: not a whole number", n)
	case list != float64(p.List):
		return p, fmt.Errorf("list %v of operations: not a whole number", list)
	}
	return p, nil
}
