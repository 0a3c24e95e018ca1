package kernel

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// Auto stands for the set that the table of families gives this processor.
const Auto = "auto"

// A family is processors of one design.
type family struct {
	name   string
	vendor string   // as Processor has it, like the next two
	family int      //
	models [][2]int // ranges, first and last
	set    string   // the fastest, as measured; "" for not measured
}

// families is the table of them. Nothing is timed when the program runs, since sets
// differ in their rounding: what is measured is committed here, a row by
// "go run ./tools/kernelsets". A row has one set for all networks: no family was
// measured where another was faster at another shape.
var families = []family{
	// AMD EPYC, family 25, model 17, 2 threads, images/s with avx512 and with avx2: training
	// b0 at 32 px in batches of 256: 1270 and 1141; at 224 px in batches of 16: 52.7 and
	// 37.9 (docs/performance.md).
	{"AMD Zen 4", amd, 0x19, [][2]int{{0x10, 0x1f}, {0x60, 0xaf}}, "avx512"},

	// AMD EPYC, family 26, model 2, 2 threads, images/s with avx512 and with avx2, medians of
	// 5: training b0 at 32 px in batches of 256: 2174 and 1609; training b0 at 224 px in
	// batches of 16: 73.83 and 49.89; one image through b0 at 224 px: 222.2 and 150.8.
	{"AMD Zen 5", amd, 0x1a, [][2]int{{0x00, 0x1f}, {0x40, 0x4f}}, "avx512"},

	// Not measured. Of processors without a row none is known to have two sets of vectors.
	// Some of Zen 5 for laptops computes 256 bits at a time, as Zen 4 does.
	{"AMD Zen 5 for laptops", amd, 0x1a, [][2]int{{0x20, 0x2f}, {0x60, 0x7f}}, ""},
	{"Intel Skylake-X, Cascade Lake or Cooper Lake", intel, 6, [][2]int{{0x55, 0x55}}, ""},
	{"Intel Ice Lake", intel, 6, [][2]int{{0x6a, 0x6a}, {0x6c, 0x6c}, {0x7d, 0x7e}}, ""},
	{"Intel Tiger Lake", intel, 6, [][2]int{{0x8c, 0x8d}}, ""},
	{"Intel Rocket Lake", intel, 6, [][2]int{{0xa7, 0xa7}}, ""},
	{"Intel Sapphire Rapids", intel, 6, [][2]int{{0x8f, 0x8f}}, ""},
	{"Intel Emerald Rapids", intel, 6, [][2]int{{0xcf, 0xcf}}, ""},
	{"Intel Granite Rapids", intel, 6, [][2]int{{0xad, 0xae}}, ""},
	{"arm64", "arm64", 0, [][2]int{{0, 0}}, ""},
}

const (
	amd   = "AuthenticAMD"
	intel = "GenuineIntel"
)

// A Processor is what CPUID says of one. On an architecture without CPUID, Vendor is
// the architecture.
type Processor struct {
	Vendor        string
	Family, Model int    // with their extensions
	Name          string // for people; may be empty
}

// ThisProcessor is the one that the program runs on.
func ThisProcessor() Processor {
	c := &cpuid.CPU
	if runtime.GOARCH != "amd64" {
		return Processor{Vendor: runtime.GOARCH, Name: c.BrandName}
	}
	return Processor{Vendor: c.VendorString, Family: c.Family, Model: c.Model, Name: c.BrandName}
}

// row is the processor's in the table; a zero one if it has none.
func (p Processor) row() family {
	for _, f := range families {
		in := func(models [2]int) bool { return models[0] <= p.Model && p.Model <= models[1] }
		if f.vendor == p.Vendor && f.family == p.Family && slices.ContainsFunc(f.models, in) {
			return f
		}
	}
	return family{}
}

// Row is the table's row of the processor's family with a set, as Go writes it.
func (p Processor) Row(set string) string {
	f := p.row()
	if f.name == "" {
		f = family{p.Name, p.Vendor, p.Family, [][2]int{{p.Model, p.Model}}, ""}
	}
	models := make([]string, len(f.models))
	for i, m := range f.models {
		models[i] = fmt.Sprintf("{%#02x, %#02x}", m[0], m[1])
	}
	return fmt.Sprintf("{%q, %q, %#x, [][2]int{%s}, %q}", f.name, f.vendor, f.family, strings.Join(models, ", "), set)
}

// choose is the set that Auto stands for, among those that the processor can run, the
// widest first; and why, for people. Where nothing was measured it is the widest.
func (p Processor) choose(sets []*Set) (s *Set, why string) {
	f := p.row()
	if i := slices.IndexFunc(sets, func(s *Set) bool { return s.Name == f.set }); i >= 0 {
		return sets[i], "the fastest as measured on " + f.name
	}
	why = "the widest: not measured on " + cmp.Or(f.name, p.Name, "this processor")
	if f.set != "" {
		why += " without " + f.set
	}
	return sets[0], why
}

// Why says why a program runs a set's kernels on this processor, for people.
func Why(s *Set) string {
	if auto, why := ThisProcessor().choose(Available()); auto == s {
		return why
	}
	return "as the settings say"
}
