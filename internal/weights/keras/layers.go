package keras

import "encoding/json"

// Layer is a layer of a model.
type Layer struct {
	Class, Name string

	Scale, Offset  []float64 // of a Rescaling: one number, or one a channel
	Mean, Variance []float64 // of a Normalization that does not learn them; nil where it does
}

// numbers are what the settings of layers say of them, as Keras 2 or 3 writes them.
type numbers struct {
	Scale    values `json:"scale"`
	Offset   values `json:"offset"`
	Mean     values `json:"mean"`
	Variance values `json:"variance"`
}

// values are a number, numbers in lists of any depth, or such an array of numpy as
// {"config": {"value": [...]}}.
type values []float64

const maxLists = 4 // inside each other

// UnmarshalJSON never fails: what is of no such kind has no values.
func (v *values) UnmarshalJSON(b []byte) error {
	var found any
	if err := json.Unmarshal(b, &found); err != nil {
		return err
	}
	*v = flat(nil, found, 0)
	return nil
}

func flat(found []float64, v any, depth int) []float64 {
	switch v := v.(type) {
	case float64:
		return append(found, v)
	case []any:
		for _, x := range v {
			if depth < maxLists {
				found = flat(found, x, depth+1)
			}
		}
	case map[string]any:
		if inner, ok := v["config"].(map[string]any); ok && depth < maxLists {
			return flat(found, inner["value"], depth+1)
		}
	}
	return found
}

const maxModels = 32 // inside each other

// layers appends the layers of a model in its order, with those of models inside it.
func (c *config) layers(found []Layer, depth int) []Layer {
	for _, l := range c.Config.Layers {
		switch {
		case l == nil || depth == maxModels:
		case len(l.Config.Layers) > 0:
			found = l.layers(found, depth+1)
		default:
			n := l.Config.numbers
			found = append(found, Layer{l.Class, l.Config.Name, n.Scale, n.Offset, n.Mean, n.Variance})
		}
	}
	return found
}
