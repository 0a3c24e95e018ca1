package main

import (
	"bytes"
	"strings"
	"testing"

	"effnet/internal/backend/cpu/kernel"
)

// The row has the set that is faster over all works, in the same rounds: a machine that is
// slow for a while slows both.
func TestPrintRow(t *testing.T) {
	sets := []*kernel.Set{{Name: "wide"}, {Name: "narrow"}}
	speeds := [][][]float64{ // work, set, round
		{{100, 50, 10}, {120, 60, 12}},
		{{100, 100, 100}, {110, 110, 90}},
		{{100, 100, 100}, {99, 99, 99}},
	}
	var b bytes.Buffer
	if err := printRow(&b, sets, speeds, 2); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 threads, images/s with wide and with narrow, medians of 3: ", works[0].name + ": 50 and 60; ", works[2].name + ": 100 and 99.\n", `, "narrow"},`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
