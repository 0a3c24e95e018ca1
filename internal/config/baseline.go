package config

import "effnet/internal/scale"

// Baseline is a stage table, or the name of one. The zero value is
// efficientnet-b0's.
type Baseline struct {
	Name string
	Own  *scale.Baseline // nil for the named one
}

// IsZero reports whether the configuration gives no baseline.
func (b Baseline) IsZero() bool { return b == Baseline{} }

// String is a name, and of a table of one's own that it is one.
func (b Baseline) String() string {
	if b.Own != nil {
		return b.Own.Name + " (a stage table)"
	}
	return b.Name
}

// Table is the stage table.
func (b Baseline) Table() (scale.Baseline, error) {
	switch {
	case b.Own != nil:
		return *b.Own, nil
	case b.Name == "":
		return scale.LookupBaseline("efficientnet-b0")
	}
	return scale.LookupBaseline(b.Name)
}

// MarshalYAML writes the table, or its name.
func (b Baseline) MarshalYAML() (any, error) {
	if b.Own != nil {
		return b.Own, nil
	}
	return b.Name, nil
}
