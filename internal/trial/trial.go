// Package trial trains networks against each other, on the same images and from
// the same seeds, and says which is best and how sure that is.
package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"sync"

	"effnet/internal/scale"
)

// Entry is a network that takes part.
type Entry struct {
	Name   string     `json:"name"` // of its folder; no two are the same
	Arch   scale.Arch `json:"arch"`
	Epochs int        `json:"epochs"` // of its whole training
	Labels []string   `json:"labels"` // what tells it from the others, by Plan.Columns
}

// MACs are the multiply-adds of one image.
func (e Entry) MACs() int64 { return scale.Count(e.Arch).MACs }

// Plan is what is trained: each entry once a seed, in rungs. All trials of a rung
// end before the next begins, and its best entries go on from where they stopped.
type Plan struct {
	Entries []Entry  `json:"entries"`
	Columns []string `json:"columns"` // of the entries' labels
	Seeds   []uint64 `json:"seeds"`
	// Halving is the factor of successive halving (Jamieson and Talwalkar 2016):
	// a rung keeps one of so many entries and trains them so many times as long.
	// 1 trains all to the end.
	Halving int `json:"halving"`
}

// Validate reports what no plan can have.
func (p Plan) Validate() error {
	if len(p.Entries) == 0 || len(p.Seeds) == 0 || p.Halving < 1 {
		return errors.New("trial: a plan without networks, seeds or halving")
	}
	names := map[string]bool{}
	for _, e := range p.Entries {
		if err := e.Arch.Validate(); err != nil {
			return err
		}
		if names[e.Name] || !fs.ValidPath(e.Name) || len(e.Labels) != len(p.Columns) || e.Epochs < 1 {
			return fmt.Errorf("trial: network %q of a plan: its name, labels or epochs cannot be", e.Name)
		}
		names[e.Name] = true
	}
	return nil
}

// Rung is a part of all trainings.
type Rung struct {
	Entries int     // that take part
	Share   float64 // of an entry's epochs, from the first one, that it ends with
}

// Rungs are the plan's. The last has no more than Halving entries, but two, that
// there is something to compare.
func (p Plan) Rungs() []Rung {
	n := len(p.Entries)
	rungs := []Rung{{n, 1}}
	if p.Halving < 2 {
		return rungs
	}
	for n > p.Halving {
		n = (n + p.Halving - 1) / p.Halving
		rungs = append(rungs, Rung{n, 1})
	}
	for i := range rungs {
		rungs[i].Share = math.Pow(float64(p.Halving), float64(i-len(rungs)+1))
	}
	return rungs
}

// EpochsAfter is how many an entry has behind it after a rung.
func (e Entry) EpochsAfter(r Rung) int { return max(1, int(math.Round(float64(e.Epochs)*r.Share))) }

// A Trial is one entry from one seed, up to a number of epochs.
type Trial struct {
	Entry Entry
	Seed  uint64
	Until int // epochs; what earlier rungs trained of them is not done again
}

// Folder is where a trial lies within a search's.
func (t Trial) Folder() string { return fmt.Sprintf("trials/%s/seed-%d", t.Entry.Name, t.Seed) }

// Record is what a trial came to: a line of a file of results.
type Record struct {
	Name    string    `json:"name"`
	Seed    uint64    `json:"seed"`
	Rung    int       `json:"rung"`   // from 1
	Epochs  int       `json:"epochs"` // from the training's first
	Top1    float64   `json:"top1"`   // after the last of them, of weights or averages, whichever is better
	Curve   []float64 `json:"curve"`  // the same after each
	Seconds float64   `json:"seconds"`
	Failed  string    `json:"failed,omitempty"` // why, if it did
	Retry   bool      `json:"retry,omitempty"`  // whether it might not fail again
}

// Outcome is what a Trainer made of a trial.
type Outcome struct {
	Curve   []float64 // see Record
	Seconds float64
}

// Trainer trains a trial, from where an earlier rung or process left it.
type Trainer func(ctx context.Context, t Trial) (Outcome, error)

// A Search is a plan that is being carried out.
type Search struct {
	Plan    Plan
	Jobs    int      // trials at a time
	Records []Record // of earlier processes; those to retry are dropped
	Train   Trainer
	Certain func(error) bool                  // whether a trial that failed so would fail again
	Save    func([]Record) error              // keeps the records so far; called by one goroutine at a time
	Began   func(rung int, r Rung)            // a rung that has trials to train, from 1
	Done    func(r Record, finished, all int) // after Save
	Dropped func(Entry)                       // an entry does not go on

	Failure error // of the first trial that failed in this process
}

// Run trains what there are no records of. When ctx ends it returns its error,
// with all that was finished saved. A trial that fails puts its entry out, and
// nothing else.
func (s *Search) Run(ctx context.Context) error {
	s.Records = slices.DeleteFunc(s.Records, func(r Record) bool { return r.Retry })
	in := s.Plan.Entries
	for i, rung := range s.Plan.Rungs() {
		in = s.best(in, i, rung.Entries)
		if err := s.runRung(ctx, in, i, rung); err != nil {
			return err
		}
	}
	s.best(in, len(s.Plan.Rungs()), 0) // they are trained: none goes on
	return nil
}

// best are the entries that go on to a rung, counted from 0, in the plan's order.
func (s *Search) best(in []Entry, rung, n int) []Entry {
	kept := in
	if rung > 0 {
		ranked := Rank(s.standings(in, rung-1))
		ranked = slices.DeleteFunc(ranked, func(t Standing) bool { return t.Failed != "" })
		ranked = ranked[:min(n, len(ranked))]
		kept = slices.DeleteFunc(slices.Clone(in), func(e Entry) bool {
			return !slices.ContainsFunc(ranked, func(t Standing) bool { return t.Entry.Name == e.Name })
		})
	}
	for _, e := range in {
		if !slices.ContainsFunc(kept, func(k Entry) bool { return k.Name == e.Name }) {
			s.Dropped(e)
		}
	}
	return kept
}

// runRung trains the trials of a rung that have no record.
func (s *Search) runRung(ctx context.Context, in []Entry, rung int, r Rung) error {
	var trials []Trial
	for _, e := range in {
		for _, seed := range s.Plan.Seeds {
			if s.record(e.Name, seed, rung) == nil {
				trials = append(trials, Trial{e, seed, e.EpochsAfter(r)})
			}
		}
	}
	if len(trials) > 0 {
		s.Began(rung+1, r)
	}
	all := len(in) * len(s.Plan.Seeds)
	queue := make(chan Trial)
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for range max(1, s.Jobs) {
		wg.Go(func() {
			for t := range queue {
				record, err := s.run(ctx, t, rung)
				mu.Lock()
				s.Failure = cmp.Or(s.Failure, err)
				if ctx.Err() == nil || err == nil {
					err = s.keep(record)
				}
				if err == nil {
					s.Done(record, all-len(trials)+s.count(rung, trials), all)
				} else {
					failed = errors.Join(failed, err)
					stop()
				}
				mu.Unlock()
			}
		})
	}
	for _, t := range trials {
		select {
		case queue <- t:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(queue)
	wg.Wait()
	if failed != nil {
		return failed
	}
	return ctx.Err()
}

// count is how many of the trials have a record.
func (s *Search) count(rung int, trials []Trial) (n int) {
	for _, t := range trials {
		if s.record(t.Entry.Name, t.Seed, rung) != nil {
			n++
		}
	}
	return n
}

// run trains a trial. The error is why it failed, or that ctx ended.
func (s *Search) run(ctx context.Context, t Trial, rung int) (Record, error) {
	r := Record{Name: t.Entry.Name, Seed: t.Seed, Rung: rung + 1, Epochs: t.Until}
	out, err := s.Train(ctx, t)
	if err != nil && ctx.Err() != nil {
		return r, err
	}
	r.Curve, r.Seconds = out.Curve, out.Seconds
	if err != nil {
		r.Failed, r.Retry = err.Error(), !s.Certain(err)
		return r, err
	}
	r.Epochs, r.Top1 = len(out.Curve), out.Curve[len(out.Curve)-1]
	return r, nil
}

// keep adds a record and saves all, in an order that does not depend on which was
// finished first.
func (s *Search) keep(r Record) error {
	s.Records = append(s.Records, r)
	place := func(name string) int {
		return slices.IndexFunc(s.Plan.Entries, func(e Entry) bool { return e.Name == name })
	}
	slices.SortFunc(s.Records, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Rung, b.Rung), cmp.Compare(place(a.Name), place(b.Name)), cmp.Compare(a.Seed, b.Seed))
	})
	return s.Save(s.Records)
}

func (s *Search) record(name string, seed uint64, rung int) *Record {
	for i, r := range s.Records {
		if r.Name == name && r.Seed == seed && r.Rung == rung+1 {
			return &s.Records[i]
		}
	}
	return nil
}

// standings are where entries are after a rung, counted from 0.
func (s *Search) standings(in []Entry, rung int) []Standing {
	all := make([]Standing, len(in))
	for i, e := range in {
		all[i] = Standing{Entry: e, Rung: rung + 1}
		for _, seed := range s.Plan.Seeds {
			if r := s.record(e.Name, seed, rung); r != nil {
				all[i].add(*r)
			}
		}
	}
	return all
}

// Standings are where all entries are after the last rung that each was in, the
// best first. A later rung is better than an earlier one.
func (s *Search) Standings() []Standing {
	all := make([]Standing, 0, len(s.Plan.Entries))
	for _, e := range s.Plan.Entries {
		last := Standing{Entry: e}
		for rung := range s.Plan.Rungs() {
			if t := s.standings([]Entry{e}, rung)[0]; t.Top1 != nil || t.Failed != "" {
				last = t
			}
		}
		all = append(all, last)
	}
	return Rank(all)
}

// Rank orders standings: the later rung, then the greater mean, then fewer
// multiply-adds. What failed is last.
func Rank(all []Standing) []Standing {
	failed := func(t Standing) int {
		if t.Failed != "" {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(all, func(a, b Standing) int {
		return cmp.Or(cmp.Compare(failed(a), failed(b)), -cmp.Compare(a.Rung, b.Rung), -cmp.Compare(a.Mean(), b.Mean()),
			cmp.Compare(a.Entry.MACs(), b.Entry.MACs()), strings.Compare(a.Entry.Name, b.Entry.Name))
	})
	return all
}
