package keras

import (
	"strings"

	"effnet/internal/weights/hdf5"
)

// legacy lists the variables of legacy HDF5: LAYER/SCOPE/VARIABLE:0, where the
// scope is mostly the layer's name once more. Where the layer is a model, its
// layers' names are the scopes.
func legacy(model *hdf5.Object) ([]variable, error) {
	var found []variable
	for _, layer := range model.Objects {
		inside := datasets(nil, layer.Name, layer)
		scopes := map[string]bool{}
		for _, v := range inside {
			if v.layer == "vars" {
				return nil, nameless(layer.Name)
			}
			scopes[v.layer] = true
		}
		for _, v := range inside {
			if len(scopes) == 1 {
				v.layer = layer.Name // Keras 2 may have made the scope unique: conv_1
			}
			found = append(found, v)
		}
	}
	return found, nil
}

// datasets appends those below a group, with the group that each lies in as
// their layer.
func datasets(found []variable, parent string, o *hdf5.Object) []variable {
	for _, child := range o.Objects {
		if child.Dataset == nil {
			found = datasets(found, child.Name, child)
			continue
		}
		found = append(found, variable{parent, strings.TrimSuffix(child.Name, ":0"), child.Dataset})
	}
	return found
}
