package kernel

import (
	"slices"
	"strings"
	"testing"
)

// The set that Auto stands for, on processors that are not at hand.
func TestFamilies(t *testing.T) {
	wide := []*Set{{Name: "avx512"}, {Name: "avx2"}, &generic}
	narrow := wide[1:]
	for _, c := range []struct {
		of            Processor
		sets          []*Set
		design, takes string
		why           string
	}{
		{Processor{amd, 0x19, 0x11, "AMD EPYC 9654"}, wide, "AMD Zen 4", "avx512", "the fastest as measured on AMD Zen 4"},
		{Processor{amd, 0x19, 0x61, ""}, wide, "AMD Zen 4", "avx512", "the fastest as measured on AMD Zen 4"},
		{Processor{amd, 0x19, 0x11, ""}, narrow, "AMD Zen 4", "avx2", "the widest: not measured on AMD Zen 4 without avx512"},
		{Processor{amd, 0x1a, 0x02, ""}, wide, "AMD Zen 5", "avx512", "the fastest as measured on AMD Zen 5"},
		{Processor{amd, 0x1a, 0x44, ""}, wide, "AMD Zen 5", "avx512", "the fastest as measured on AMD Zen 5"},
		{Processor{amd, 0x1a, 0x24, ""}, wide, "AMD Zen 5 for laptops", "avx512", "the widest: not measured on AMD Zen 5 for laptops"},
		{Processor{amd, 0x1a, 0x50, "AMD Eng Sample"}, wide, "", "avx512", "the widest: not measured on AMD Eng Sample"}, // Zen 6
		{Processor{amd, 0x19, 0x21, "AMD Ryzen 9 5950X"}, narrow, "", "avx2", "the widest: not measured on AMD Ryzen 9 5950X"},
		{Processor{intel, 6, 0x55, ""}, wide, "Intel Skylake-X, Cascade Lake or Cooper Lake", "avx512", "the widest: not measured on Intel Skylake-X, Cascade Lake or Cooper Lake"},
		{Processor{intel, 6, 0x6a, ""}, wide, "Intel Ice Lake", "avx512", "the widest: not measured on Intel Ice Lake"},
		{Processor{intel, 6, 0x8f, ""}, wide, "Intel Sapphire Rapids", "avx512", "the widest: not measured on Intel Sapphire Rapids"},
		{Processor{intel, 0x19, 0x11, ""}, wide, "", "avx512", "the widest: not measured on this processor"}, // AMD's numbers
		{Processor{"arm64", 0, 0, ""}, []*Set{{Name: "neon"}, &generic}, "arm64", "neon", "the widest: not measured on arm64"},
		{Processor{Vendor: "riscv64"}, []*Set{&generic}, "", "generic", "the widest: not measured on this processor"},
	} {
		s, why := c.of.choose(c.sets)
		if c.of.row().name != c.design || s.Name != c.takes || why != c.why {
			t.Errorf("%+v is %q and takes %s, %s; want %q, %s, %s", c.of, c.of.row().name, s.Name, why, c.design, c.takes, c.why)
		}
	}
}

// A row may name a set that is not the widest.
func TestFamiliesMayTakeTheNarrower(t *testing.T) {
	defer func(was []family) { families = was }(families)
	families = []family{{"Tortoise", "Shell", 1, [][2]int{{2, 3}}, "avx2"}}
	s, why := Processor{"Shell", 1, 3, ""}.choose([]*Set{{Name: "avx512"}, {Name: "avx2"}, &generic})
	if s.Name != "avx2" || why != "the fastest as measured on Tortoise" {
		t.Errorf("%s, %s", s.Name, why)
	}
}

// The row to commit is of the family, or of the one model that is not in the table.
func TestRows(t *testing.T) {
	for _, c := range []struct {
		of   Processor
		want string
	}{
		{Processor{amd, 0x1a, 0x02, "AMD EPYC 9755"}, `{"AMD Zen 5", "AuthenticAMD", 0x1a, [][2]int{{0x00, 0x1f}, {0x40, 0x4f}}, "avx2"}`},
		{Processor{intel, 6, 0xdd, "Intel Sierra Forest"}, `{"Intel Sierra Forest", "GenuineIntel", 0x6, [][2]int{{0xdd, 0xdd}}, "avx2"}`},
	} {
		if got := c.of.Row("avx2"); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// Each row is a family of its own, and names a set that there is.
func TestFamiliesAreApart(t *testing.T) {
	for i, f := range families {
		if !slices.Contains([]string{"", "avx512", "avx2", "neon"}, f.set) || f.name == "" || len(f.models) == 0 {
			t.Errorf("%+v", f)
		}
		for _, g := range families[:i] {
			for _, a := range f.models {
				for _, b := range g.models {
					if f.vendor == g.vendor && f.family == g.family && a[0] <= b[1] && b[0] <= a[1] {
						t.Errorf("%s and %s have models in common", f.name, g.name)
					}
				}
			}
		}
	}
}

func TestFind(t *testing.T) {
	auto, err := Find(Auto)
	if err != nil || !slices.Contains(Available(), auto) {
		t.Fatalf("%v, %v", auto, err)
	}
	if s, err := Find("generic"); err != nil || s != &generic {
		t.Errorf("%v, %v", s, err)
	}
	if Why(auto) == Why(&generic) && auto != &generic {
		t.Errorf("both are %s", Why(auto))
	}
	_, err = Find("sse")
	for _, s := range Available() {
		if err == nil || !strings.Contains(err.Error(), s.Name) {
			t.Errorf("%v: want all sets, and %s among them", err, s.Name)
		}
	}
	if p := ThisProcessor(); p.Vendor == "" {
		t.Errorf("%+v has no vendor", p)
	}
}
