package backend_test

import (
	"testing"

	"effnet/internal/backend"
)

func TestDType(t *testing.T) {
	for _, c := range []struct {
		of      backend.DType
		name    string
		n, room int
	}{
		{backend.Float32, "float32", 7, 7}, {backend.Float32, "float32", 0, 0},
		{backend.BFloat16, "bfloat16", 7, 4}, {backend.BFloat16, "bfloat16", 8, 4}, {backend.BFloat16, "bfloat16", 0, 0},
	} {
		if c.of.String() != c.name || c.of.Room(c.n) != c.room {
			t.Errorf("%d values of %v, a %s, take %d float32's room, want %d", c.n, c.of, c.name, c.of.Room(c.n), c.room)
		}
	}
	whole := backend.View{Offset: 16, Len: 40, DType: backend.BFloat16}
	if part := whole.Slice(8, 9); part != (backend.View{Offset: 20, Len: 9, DType: backend.BFloat16}) {
		t.Errorf("9 bfloat16 from the 8th on of %+v are %+v", whole, part)
	}
}
