package backend

// DType is the type of values in memory. Everything is float32 but for what a Typer
// keeps in fewer bytes.
type DType uint8

// The types. A View's zero value is of float32.
const (
	Float32  DType = iota
	BFloat16       // a float32's upper half
)

// dtypes are the types' names and sizes in bytes. A size divides that of a float32,
// which is what buffers are counted in.
var dtypes = [...]struct {
	name string
	size int
}{
	Float32:  {"float32", 4},
	BFloat16: {"bfloat16", 2},
}

func (t DType) String() string { return dtypes[t].name }

// Size is the bytes of a value.
func (t DType) Size() int { return dtypes[t].size }

// Room is how many float32 the memory of n values would hold: what to allocate for
// them. Values begin where a float32 would.
func (t DType) Room(n int) int {
	perFloat := Float32.Size() / t.Size()
	return (n + perFloat - 1) / perFloat
}
