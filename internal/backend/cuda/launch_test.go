package cuda

import "testing"

// A thread has 16 bytes of a map where channels and addresses allow it, else one
// value.
func TestWidth(t *testing.T) {
	float, half := place{at: 256}, place{at: 512, half: true}
	for _, c := range []struct {
		channels int
		operands []place
		want     int32
	}{
		{8, []place{float, float}, 4},
		{12, []place{float}, 4},
		{10, []place{float}, 1},
		{24, []place{half, float}, 8},
		{24, []place{float, half}, 8},
		{12, []place{half}, 1},
		{24, []place{half.plus(8), float.plus(4)}, 8},
		{24, []place{half.plus(4), float}, 1},
		{24, []place{half, float.plus(1)}, 1},
		{24, []place{half, {}}, 8},
	} {
		if got := vec(c.channels, c.operands...); got != c.want {
			t.Errorf("%d channels of %+v: %d at a time, want %d", c.channels, c.operands, got, c.want)
		}
	}
}
