package scale

import "testing"

// Searches count some thousands of networks: counting one must stay cheap.
func BenchmarkCount(b *testing.B) {
	a, err := Variant("b0")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Count(a)
	}
}
