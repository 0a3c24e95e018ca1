package trial

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"effnet/internal/scale"
)

// plan has n networks of rising cost and two seeds.
func plan(t *testing.T, n, halving int) Plan {
	b, err := scale.LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	p := Plan{Columns: []string{"gamma"}, Seeds: []uint64{7, 8}, Halving: halving}
	for i := range n {
		gamma := 1 + float64(i)/20
		a, err := b.Compound(scale.Coefficients{Phi: 1, Alpha: 1, Beta: 1, Gamma: gamma})
		if err != nil {
			t.Fatal(err)
		}
		p.Entries = append(p.Entries, Entry{Name: fmt.Sprintf("gamma%g", gamma), Arch: a, Epochs: 27, Labels: []string{fmt.Sprint(gamma)}})
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRungs(t *testing.T) {
	for _, c := range []struct {
		entries, halving int
		want             []Rung
	}{
		{12, 1, []Rung{{12, 1}}},
		{12, 3, []Rung{{12, 1. / 9}, {4, 1. / 3}, {2, 1}}},
		{9, 3, []Rung{{9, 1. / 3}, {3, 1}}},
		{4, 2, []Rung{{4, 0.5}, {2, 1}}},
		{3, 3, []Rung{{3, 1}}},
		{1, 3, []Rung{{1, 1}}},
	} {
		got := Plan{Entries: make([]Entry, c.entries), Halving: c.halving}.Rungs()
		if len(got) != len(c.want) {
			t.Errorf("%d by %d: %v, want %v", c.entries, c.halving, got, c.want)
			continue
		}
		for i, r := range got {
			if r.Entries != c.want[i].Entries || math.Abs(r.Share-c.want[i].Share) > 1e-12 {
				t.Errorf("%d by %d: %v, want %v", c.entries, c.halving, got, c.want)
			}
		}
	}
	e := Entry{Epochs: 27}
	if got := e.EpochsAfter(Rung{Share: 1. / 9}); got != 3 {
		t.Errorf("%d epochs, want 3", got)
	}
	if got := e.EpochsAfter(Rung{Share: 1. / 81}); got != 1 {
		t.Errorf("%d epochs, want 1", got)
	}
}

// bowl is what training comes to here: a top-1 that is highest at the fifth
// network, rises with epochs and depends on the seed.
func bowl(tr Trial, plan Plan) Outcome {
	i := slices.IndexFunc(plan.Entries, func(e Entry) bool { return e.Name == tr.Entry.Name })
	var out Outcome
	for epoch := range tr.Until {
		top1 := 0.9 - 0.02*math.Abs(float64(i-4)) - 0.5/float64(epoch+1) + 0.001*float64(tr.Seed)
		out.Curve = append(out.Curve, top1)
	}
	return out
}

// search is one by bowl that saves there.
func search(p Plan, records []Record, saved *[]Record) *Search {
	return &Search{
		Plan: p, Records: records, Jobs: 1,
		Train:   func(_ context.Context, tr Trial) (Outcome, error) { return bowl(tr, p), nil },
		Certain: func(error) bool { return true },
		Save:    func(r []Record) error { *saved = slices.Clone(r); return nil },
		Began:   func(int, Rung) {}, Done: func(Record, int, int) {}, Dropped: func(Entry) {},
	}
}

func TestHalvingKeepsTheBest(t *testing.T) {
	var saved []Record
	p := plan(t, 12, 3)
	s := search(p, nil, &saved)
	var began []int
	dropped := map[string]int{}
	s.Began = func(_ int, r Rung) { began = append(began, r.Entries) }
	s.Dropped = func(e Entry) { dropped[e.Name]++ }
	last := 0
	s.Done = func(_ Record, finished, all int) {
		if finished < 1 || finished > all {
			t.Errorf("%d of %d", finished, all)
		}
		last = finished
	}
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(began, []int{12, 4, 2}) || last != 4 {
		t.Errorf("rungs of %v networks, the last of %d trials", began, last)
	}
	if len(saved) != 2*(12+4+2) || len(dropped) != 12 || dropped[p.Entries[4].Name] != 1 {
		t.Errorf("%d records, dropped %v", len(saved), dropped)
	}
	all := s.Standings()
	var names []string
	for _, a := range all[:4] {
		names = append(names, fmt.Sprintf("%s after %d", a.Entry.Labels[0], a.Epochs))
	}
	// Of equal means, the one of fewer multiply-adds.
	if got, want := strings.Join(names, ", "), "1.2 after 27, 1.15 after 27, 1.25 after 9, 1.1 after 9"; got != want {
		t.Errorf("the best are %s, want %s", got, want)
	}
	if all[0].Top1[1]-all[0].Top1[0] < 0.0009 || len(all[0].Curve) != 27 {
		t.Errorf("the best is %+v", all[0])
	}
}

// A search that is stopped at any trial, again and again, and goes on with what it
// saved, ends in the records of one that was not; however many trials run at a time.
func TestStoppedSearches(t *testing.T) {
	p := plan(t, 12, 3)
	var want []Record
	if err := search(p, nil, &want).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	stops := 0
	for range 50 {
		var got []Record
		for {
			ctx, stop := context.WithCancel(t.Context())
			var mu sync.Mutex
			after := rng.IntN(20)
			s := search(p, slices.Clone(got), &got)
			s.Jobs = 1 + rng.IntN(4)
			s.Train = func(ctx context.Context, tr Trial) (Outcome, error) {
				mu.Lock()
				defer mu.Unlock()
				if after--; after < 0 {
					stop()
					return Outcome{}, ctx.Err()
				}
				return bowl(tr, p), nil
			}
			err := s.Run(ctx)
			stop()
			if err == nil {
				break
			}
			stops++
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("records\n%v, want\n%v", got, want)
		}
	}
	if stops < 50 {
		t.Errorf("%d stops", stops)
	}
}

// A trial that fails is recorded, puts its network out and stops nothing else. One
// that may not fail again is tried again when the search goes on.
func TestFailedTrials(t *testing.T) {
	p := plan(t, 4, 2)
	diverged, full := errors.New("diverged"), errors.New("disk full")
	var saved []Record
	s := search(p, nil, &saved)
	fails := map[string]error{p.Entries[0].Name: diverged, p.Entries[3].Name: full}
	s.Train = func(_ context.Context, tr Trial) (Outcome, error) {
		if err := fails[tr.Entry.Name]; err != nil && tr.Seed == 8 {
			return Outcome{}, err
		}
		return bowl(tr, p), nil
	}
	s.Certain = func(err error) bool { return errors.Is(err, diverged) }
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(s.Failure, diverged) {
		t.Errorf("the first failure is %v", s.Failure)
	}
	all := s.Standings()
	if all[0].Entry.Name != p.Entries[2].Name || all[1].Entry.Name != p.Entries[1].Name || all[2].Failed != "seed 8: diverged" && all[2].Failed != "seed 8: disk full" {
		t.Errorf("standings %+v", all)
	}

	clear(fails)
	again := search(p, saved, &saved)
	if err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	all = again.Standings()
	if all[0].Entry.Name != p.Entries[3].Name || all[0].Epochs != 27 || all[3].Failed != "seed 8: diverged" {
		t.Errorf("after it went on: %+v", all)
	}

	broken := search(p, nil, &saved)
	broken.Save = func([]Record) error { return full }
	if err := broken.Run(t.Context()); !errors.Is(err, full) {
		t.Errorf("a search that cannot save ends with %v", err)
	}
}

func TestBadPlans(t *testing.T) {
	for want, damage := range map[string]func(*Plan){
		"without networks": func(p *Plan) { p.Entries = nil },
		"halving":          func(p *Plan) { p.Halving = 0 },
		`"../x"`:           func(p *Plan) { p.Entries[0].Name = "../x" },
		"its name":         func(p *Plan) { p.Entries[1].Name = p.Entries[0].Name },
		"labels":           func(p *Plan) { p.Entries[1].Labels = nil },
		"epochs":           func(p *Plan) { p.Entries[1].Epochs = 0 },
		"stem: 0":          func(p *Plan) { p.Entries[1].Arch.Stem = 0 },
	} {
		p := plan(t, 3, 3)
		damage(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
