package doctor

import (
	"testing"

	"effnet/internal/device"
)

// A device whose memory is the program's is examined and compared like any other.
func TestExaminesASecondHost(t *testing.T) {
	second := *device.Host()
	second.Name = "second"
	d, err := examine(t.Context(), []*device.Device{device.Host(), &second}, "auto")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Devices) != 2 || !d.Devices[0].Host || d.Devices[1].Host || d.Devices[1].Name != "second" || len(d.Found) == 0 {
		t.Fatalf("examined %+v, found %q", d.Devices, d.Found)
	}
	for _, v := range d.Devices {
		if v.FLOPS <= 0 || v.Copy <= 0 || v.Parity != 0 || len(v.network) == 0 {
			t.Errorf("%s: a product at %g FLOP/s, a copy at %g B/s, %g from the host's %d values", v.Name, v.FLOPS, v.Copy, v.Parity, len(v.network))
		}
	}
}
