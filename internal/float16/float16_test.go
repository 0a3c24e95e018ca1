package float16

import (
	"math"
	"testing"
)

// Every half that is a number, by the definition of the format.
func TestFloat32(t *testing.T) {
	for h := range 1 << 16 {
		sign, exp, frac := 1.0, h>>10&31, float64(h&1023)
		if h>>15 == 1 {
			sign = -1
		}
		want := sign * math.Ldexp(1+frac/1024, exp-15)
		switch {
		case exp == 0:
			want = sign * math.Ldexp(frac/1024, -14)
		case exp == 31 && frac == 0:
			want = math.Inf(int(sign))
		case exp == 31:
			if got := Float32(uint16(h)); got == got {
				t.Fatalf("%#04x is %v, want NaN", h, got)
			}
			continue
		}
		got := Float32(uint16(h))
		if float64(got) != want || math.Signbit(float64(got)) != (sign < 0) {
			t.Fatalf("%#04x is %v, want %v", h, got, want)
		}
	}
}
