package keras

import (
	"fmt"
	"regexp"
	"strconv"

	"effnet/internal/weights/hdf5"
)

// variables are how layers call what Keras 3 numbers, by the layer's class, in
// the order that the class makes them in. least is how few there may be: those
// that a setting omits are at the end.
var variables = map[string]struct {
	names []string
	least int
}{
	"conv2d":              {[]string{"kernel", "bias"}, 1},
	"depthwise_conv2d":    {[]string{"kernel", "bias"}, 1},
	"dense":               {[]string{"kernel", "bias"}, 1},
	"batch_normalization": {[]string{"gamma", "beta", "moving_mean", "moving_variance"}, 4},
	"normalization":       {[]string{"mean", "variance", "count"}, 3},
}

var counter = regexp.MustCompile(`_\d+$`)

// numbered lists the variables of a Keras 3 model: layers/CLASS_N/vars/I. Names
// of layers come from the model's config, or where it lists none (as for nil, or
// for a model of a class of its own) from the attributes that Keras 3 has written
// of late.
func numbered(model *hdf5.Object, names *config) ([]variable, error) {
	var found []variable
	for _, layer := range model.Find("layers").Objects {
		var known *config
		if names != nil && len(names.Config.Layers) > 0 {
			if known = names.layer(layer.Name); known == nil {
				return nil, faultf(again, "has a layer %.80q that its config.json lacks", layer.Name)
			}
		}
		if layer.Find("layers") != nil {
			inner, err := numbered(layer, known)
			if err != nil {
				return nil, err
			}
			found = append(found, inner...)
			continue
		}
		vars := layer.Find("vars")
		if vars == nil || len(vars.Objects) == 0 {
			continue
		}
		name := vars.Attributes["name"]
		if known != nil {
			name = known.Config.Name
		}
		if name == "" {
			return nil, nameless("layers/" + layer.Name)
		}
		own, err := variablesOf(layer.Name, vars)
		if err != nil {
			return nil, err
		}
		for _, v := range own {
			v.layer = name
			found = append(found, v)
		}
	}
	return found, nil
}

// nameless is the fault of a file whose layers have no names.
func nameless(group string) error {
	return faultf(`save the whole model, model.save("weights.keras"), or legacy HDF5, "weights.h5"`,
		"does not say what its layers are called: it has classes and numbers (%.80q)", group)
}

// variablesOf names a layer's variables; with their numbers, where the class or
// how many there are is unknown.
func variablesOf(key string, vars *hdf5.Object) ([]variable, error) {
	class := variables[counter.ReplaceAllString(key, "")]
	n := len(vars.Objects)
	found := make([]variable, n)
	for i := range found {
		number := strconv.Itoa(i)
		o := vars.Find(number)
		if o == nil || o.Dataset == nil {
			return nil, faultf(again, "lacks variable %d of %d of its layer %.80q", i, n, key)
		}
		found[i] = variable{name: number, dataset: o.Dataset}
		if class.least <= n && n <= len(class.names) {
			found[i].name = class.names[i]
		}
	}
	return found, nil
}

// config is what is read of a layer or a model in config.json.
type config struct {
	Class  string `json:"class_name"`
	Config struct {
		Name   string    `json:"name"`
		Layers []*config `json:"layers"` // of a model
		numbers
	} `json:"config"`
	byKey map[string]*config
}

// layer returns the layer with a key of the HDF5 file, or nil. Keys are the
// classes in snake case, counted in the order of layers: conv2d, conv2d_1, ...
func (c *config) layer(key string) *config {
	if c.byKey == nil {
		c.byKey = map[string]*config{}
		count := map[string]int{}
		for _, l := range c.Config.Layers {
			if l == nil {
				continue
			}
			k := snakeCase(l.Class)
			count[k]++
			if n := count[k]; n > 1 {
				k = fmt.Sprintf("%s_%d", k, n-1)
			}
			c.byKey[k] = l
		}
	}
	return c.byKey[key]
}
