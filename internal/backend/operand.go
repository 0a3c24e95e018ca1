package backend

// Operand is one of the arrays that an operation works on.
type Operand struct {
	Size int // values
	Role Role
}

// Role is what an operation does with an operand.
//
// Maps are the values between a network's layers and their gradients, most of what is
// read and written. A Typer may keep them in a type with fewer bytes: then all maps of
// an operation are of that type, or none is. Everything else is float32: weights,
// statistics, sums, what is pooled, the loss.
type Role uint8

// The roles.
const (
	Read     Role = iota // read
	ReadMap              // a map, read
	SpendMap             // a map, read; an output may take its memory, value by value
	Write                // written
	WriteMap             // written; a map of the type of those that are read
	BeginMap             // written; a map whatever is read
	Update               // read and written
)

// roles says what there is to know of each.
var roles = [...]struct{ reads, writes, isMap bool }{
	Read:     {reads: true},
	ReadMap:  {reads: true, isMap: true},
	SpendMap: {reads: true, isMap: true},
	Write:    {writes: true},
	WriteMap: {writes: true, isMap: true},
	BeginMap: {writes: true, isMap: true},
	Update:   {reads: true, writes: true},
}

// Reads says whether the values before the operation matter.
func (r Role) Reads() bool { return roles[r].reads }

// Writes says whether there are other values after it.
func (r Role) Writes() bool { return roles[r].writes }

// Map says whether it is a map.
func (r Role) Map() bool { return roles[r].isMap }

// Sizes are how many values a Spec's operands have.
func Sizes(spec Spec) []int {
	operands := spec.Operands()
	sizes := make([]int, len(operands))
	for i, o := range operands {
		sizes[i] = o.Size
	}
	return sizes
}

// InPlace returns the inputs whose memory the output may take: its View may be theirs.
func InPlace(spec Spec) (inputs []int) {
	for i, o := range spec.Operands() {
		if o.Role == SpendMap {
			inputs = append(inputs, i)
		}
	}
	return inputs
}

// MapType is the type of an operation's maps, where maps are kept as a type: that, if
// it begins one or one that it reads is of it, else float32. types has what is read.
func MapType(spec Spec, kept DType, types []DType) DType {
	for i, o := range spec.Operands() {
		if o.Role == BeginMap || o.Role.Map() && o.Role.Reads() && types[i] == kept {
			return kept
		}
	}
	return Float32
}

// SetTypes is Typer.Types where maps are kept as a type, and nothing else is.
func SetTypes(spec Spec, kept DType, types []DType) {
	of := MapType(spec, kept, types)
	for i, o := range spec.Operands() {
		switch {
		case o.Role.Reads():
		case o.Role.Map():
			types[i] = of
		default:
			types[i] = Float32
		}
	}
}
