package search

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"effnet/internal/ranks"
)

// runShared runs a search over ranks, each with change's, and returns what each came to.
func runShared(t *testing.T, s *Search, size int, change func(rank int, s *Search) context.Context) ([]*Results, []error) {
	t.Helper()
	results, errs := make([]*Results, size), make([]error, size)
	var wg sync.WaitGroup
	for rank, transport := range ranks.Local(size) {
		mine := &Search{Question: s.Question, Plan: s.Plan, Flags: s.Flags, About: s.About, Dir: s.Dir, Resume: s.Resume, Trainer: s.Trainer, Log: s.Log,
			Ranks: ranks.New(transport, ranks.Options{})}
		ctx := t.Context()
		if change != nil {
			ctx = change(rank, mine)
		}
		wg.Go(func() {
			if results[rank], errs[rank] = mine.Run(ctx); errs[rank] != nil && !errors.Is(errs[rank], context.Canceled) {
				transport.Abort(1)
			}
		})
	}
	wg.Wait()
	return results, errs
}

// A search over ranks trains each trial once, on one of them, and comes to the table of a
// single process, on all; the plan is rank 0's.
func TestSharedSearchIsASingleOnes(t *testing.T) {
	for name, s := range map[string]func() *Search{
		"halving": func() *Search { return newSearch(t, plan(t, 12, 3)) },
		"no halving": func() *Search {
			p := plan(t, 3, 1)
			return newSearch(t, p)
		},
	} {
		alone := s()
		want, err := alone.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{2, 3, 5} {
			shared := s()
			results, errs := runShared(t, shared, size, func(rank int, s *Search) context.Context {
				if rank > 0 { // as if it had measured other times
					s.Plan.Seeds = []uint64{100 + uint64(rank)}
				}
				return t.Context()
			})
			if err := errors.Join(errs...); err != nil {
				t.Fatalf("%s, %d ranks: %v", name, size, err)
			}
			for rank, r := range results {
				if got := fmt.Sprint(r.table()); got != fmt.Sprint(want.table()) {
					t.Errorf("%s, rank %d of %d: %s, want %s", name, rank, size, got, want.table())
				}
			}
			for _, extension := range []string{".jsonl", ".csv"} {
				if got := file(t, shared.Dir, "best"+extension); got != file(t, alone.Dir, "best"+extension) {
					t.Errorf("%s, %d ranks: %s differs:\n%s", name, size, extension, got)
				}
			}
			if a, b := shared.Trainer.(*bowl), alone.Trainer.(*bowl); a.epochs != b.epochs || len(a.states) != 0 {
				t.Errorf("%s, %d ranks: %d epochs, want %d; states %v", name, size, a.epochs, b.epochs, a.states)
			}
		}
	}
}

// A search that grows does so on all ranks as on one.
func TestSharedSearchGrows(t *testing.T) {
	start := func() *Search {
		q := baselines(t, Evolution{4, 2}, 12, 3, 7, one)
		p, err := q.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.Seeds, p.Halving = []uint64{1, 2}, 3
		s := newSearch(t, p)
		s.Question, s.Trainer = q, newLandscape(space(t), 5)
		return s
	}
	alone, shared := start(), start()
	want, err := alone.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	results, errs := runShared(t, shared, 4, nil)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for rank, r := range results {
		if got := fmt.Sprint(r.table()); got != fmt.Sprint(want.table()) {
			t.Errorf("rank %d: %s, want %s", rank, got, want.table())
		}
	}
	for _, name := range []string{"baseline-search.jsonl", PlanFile} {
		if got := file(t, shared.Dir, name); got != file(t, alone.Dir, name) {
			t.Errorf("%s differs:\n%s", name, got)
		}
	}
}

// A search that is stopped on one rank stops on all, and one that is resumed, on another
// number of ranks, trains what was not finished; a rank that fails for good fails its
// trial only.
func TestSharedSearchResumes(t *testing.T) {
	p := plan(t, 12, 3)
	alone := newSearch(t, p)
	want, err := alone.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := newSearch(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	var trials atomic.Int64
	s.Trainer.(*bowl).fails = func(context.Context, Trial) error {
		if trials.Add(1) == 10 {
			cancel()
		}
		return nil
	}
	_, errs := runShared(t, s, 4, func(rank int, _ *Search) context.Context {
		if rank == 1 {
			return ctx
		}
		return t.Context()
	})
	for rank, err := range errs {
		if stopped := (*ranks.Stopped)(nil); !errors.As(err, &stopped) || stopped.Rank != 1 || !errors.Is(err, context.Canceled) {
			t.Fatalf("rank %d: %v", rank, err)
		}
	}
	if lines := strings.Count(file(t, s.Dir, "best.jsonl"), "\n"); lines < 8 || lines >= p.Trials() {
		t.Fatalf("%d records", lines)
	}
	s.Resume = true
	results, errs := runShared(t, s, 3, nil)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(results[0].table()); got != fmt.Sprint(want.table()) {
		t.Errorf("%s, want %s", got, want.table())
	}
	if a, b := s.Trainer.(*bowl).epochs, alone.Trainer.(*bowl).epochs; a != b {
		t.Errorf("%d epochs were trained, want %d", a, b)
	}
}
