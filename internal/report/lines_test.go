package report

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// What a killed run left is taken up where its state is.
func TestLinesGoOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.jsonl")
	write := func(step int64, steps ...int64) {
		t.Helper()
		l, err := OpenLines(path, step)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if err := l.Write(map[string]int64{"step": s}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 10, 20, 30)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"step":2`) // cut short
	f.Close()
	write(20, 25, 30)
	got, err := os.ReadFile(path)
	if want := "{\"step\":10}\n{\"step\":20}\n{\"step\":25}\n{\"step\":30}\n"; err != nil || string(got) != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
	write(0, 5)
	if got, _ := os.ReadFile(path); string(got) != "{\"step\":5}\n" {
		t.Errorf("a new run keeps %q", got)
	}
}
