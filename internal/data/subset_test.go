package data

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSubset(t *testing.T) {
	s := lopsided(t) // 60, 12 and 3 images
	paths := func(s *Set) (p []string) {
		for i := range s.Len() {
			p = append(p, s.Path(i))
		}
		return p
	}
	smaller := []string(nil)
	for _, c := range []struct {
		amount float64
		want   []int // images a class
	}{
		{0.001, []int{1, 1, 1}},
		{3, []int{1, 1, 1}},
		{0.2, []int{12, 2, 1}},
		{26, []int{21, 4, 1}},
		{0.5, []int{30, 6, 2}},
		{1, []int{60, 12, 3}},
		{75, []int{60, 12, 3}},
	} {
		sub, err := s.Subset(c.amount, 5)
		if err != nil {
			t.Fatal(err)
		}
		got := paths(sub)
		if !slices.Equal(sub.Counts(), c.want) || !slices.IsSorted(got) || len(sub.Classes) != 3 {
			t.Errorf("%v: %v images a class, want %v", c.amount, sub.Counts(), c.want)
		}
		for _, p := range smaller {
			if !slices.Contains(got, p) {
				t.Errorf("%v: lacks %s, which a smaller subset has", c.amount, p)
			}
		}
		smaller = got
	}
	a, _ := s.Subset(10, 1)
	b, _ := s.Subset(10, 2)
	if slices.Equal(paths(a), paths(b)) {
		t.Error("two seeds, the same subset")
	}
	for _, amount := range []float64{0, -1, math.NaN(), 2, 76, math.Inf(1)} {
		if _, err := s.Subset(amount, 1); err == nil {
			t.Errorf("a subset of %v: no error", amount)
		}
	}
}

func TestBalancedWeights(t *testing.T) {
	s := lopsided(t)
	if got, want := s.BalancedWeights(), []float64{75. / 180, 75. / 36, 75. / 9}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	s = s.Select([]int{0, 1, 2, 60})
	if got, want := s.BalancedWeights(), []float64{2. / 3, 2, 0}; !slices.Equal(got, want) {
		t.Errorf("without images of a class: %v, want %v", got, want)
	}
}

func TestExclude(t *testing.T) {
	dir := tree(t, "train/a/1.png", "train/a/2.png", "train/b/3.png", "train/b/#4.png", "val/a/5.png", "val/a/6.png", "val/b/7.png")
	train, err := OpenTrain(dir)
	if err != nil {
		t.Fatal(err)
	}
	val, err := OpenEval(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "list.txt")
	exclude := func(text string, sets ...*Set) ([]*Set, error) {
		if err := os.WriteFile(list, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return Exclude(list, dir, sets...)
	}

	sets, err := exclude("# bad ones\r\n\ntrain/a/1.png\r\n"+train.Path(2)+"\n  # val\nval//a/6.png\ntrain/a/1.png", train, val)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sets {
		for i := range s.Len() {
			got = append(got, fmt.Sprint(filepath.Base(s.Path(i)), " ", s.Label(i)))
		}
	}
	slices.Sort(got)
	if want := []string{"2.png 0", "3.png 1", "5.png 0", "7.png 1"}; !slices.Equal(got, want) || train.Len() != 4 {
		t.Errorf("what is left: %v, want %v; of %d", got, want, train.Len())
	}
	if sets, err := exclude("train/a/1.png", train, nil); err != nil || sets[0].Len() != 3 || sets[1] != nil {
		t.Errorf("without a second set: %v, %v", sets, err)
	}

	if sets, err := exclude("val/a/5.png\ntrain/a/1.png", train); err != nil || sets[0].Len() != 3 {
		t.Errorf("an image of another split: %v, %v", sets, err)
	}

	for text, want := range map[string]string{
		"train/a/1.png\ntrain/a/9.png":         "no image is called train/a/9.png",
		"val/a/9.png":                          "no image is called val/a/9.png",
		"train/b/../a/1.png\n1.png":            "no image is called 1.png",
		"train/b/3.png\ntrain/b/./#4.png\n# x": "leaves no image of class b in " + train.Dir,
	} {
		_, err := exclude(text, train)
		if e, ok := errors.AsType[*Error](err); !ok || e.Path != list || !strings.Contains(e.Reason, want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := Exclude(list+"x", dir, train); !errors.As(err, new(*Error)) {
		t.Errorf("a list that isn't there: %v", err)
	}
}

func TestHoldOut(t *testing.T) {
	s := greys(t, 30)
	rest, held, err := s.HoldOut(0.2, 3)
	if err != nil || held.Len() != 6 || rest.Len() != 24 {
		t.Fatalf("%v; %d held out", err, held.Len())
	}
	seen := map[string]int{}
	for _, part := range []*Set{rest, held} {
		for i := range part.Len() {
			seen[part.Path(i)]++
		}
	}
	if len(seen) != 30 {
		t.Errorf("%d different images of 30", len(seen))
	}
	if !slices.Equal(held.Counts(), []int{2, 2, 2}) {
		t.Errorf("held out by class: %v", held.Counts())
	}
	if _, _, err := s.HoldOut(30, 3); err == nil {
		t.Error("nothing is left to train on: no error")
	}
}
