// Package search trains candidates against each other, on the same images and from
// the same seeds, and says which is best and how sure that is.
//
// Its words:
//
//	candidate   a network that may win
//	plan        the candidates, the seeds and the factor of successive halving
//	rung        a part of all training runs, after which only the best candidates continue
//	trial       one training of a candidate from one seed, up to the end of a rung
//	trainer     what trains a trial; the caller's
//	objective   what candidates are compared by, the higher the better: top-1
//	record      a finished trial, as it is written
//	score       a candidate's records of the last rung that it was in
//	ranking     the scores of all candidates, the best first
//	verdict     what a ranking says about its best: ahead of the others, or tied
//	question    what a search is to answer
//	searcher    chooses which network of a space to train next
//	reward      top-1 times powers of a network's costs, by which a search may rank
//
// A Search is the engine: it knows plans, records and files, and neither where the
// candidates are from nor how one is trained. Coefficients, Study and Baselines are
// questions: they make the candidates of a plan and say what its results mean.
package search

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"effnet/internal/ranks"
	"effnet/internal/report"
	"effnet/internal/scale"
	"effnet/internal/words"
)

// A Question is what a search is to answer.
type Question interface {
	Name() string                         // of the search's files, and of the search in messages
	Title() string                        // of its page, without the folder of images
	Answer(r *Results) []string           // in sentences, the most important first
	Show(page *report.Search, r *Results) // completes each row of the table, and adds charts
}

// A Grower is a Question whose candidates follow from the results of those before them.
type Grower interface {
	Question
	// Grow makes the next candidates from the records of the first rung, which all
	// candidates so far have; none when there are enough. It depends on nothing but them.
	Grow(ctx context.Context, p Plan, records []Record) ([]Candidate, error)
}

// A Search carries out a plan in a folder, which no other process may use.
type Search struct {
	Question Question
	Plan     Plan
	Flags    []Flag // that decided the plan
	About    About
	Dir      string // exists
	Resume   bool   // continue with the records in Dir
	Jobs     int    // trials at a time; the results do not depend on it
	Trainer  Trainer
	// Ranks share the trials, one each at a time, in place of Jobs; nil for one process. Rank
	// 0 decides the plan and writes to Dir; the folders of trials in Dir are the ranks' that
	// train them. Run returns the same on all. All but the Trainer is the same on all ranks.
	Ranks *ranks.Group
	Log   func(format string, args ...any)

	mu      sync.Mutex
	records []Record
	failure error // of the first trial that failed in this process
}

// About is what a page and an answer say of a search's surroundings.
type About struct {
	Folder   string           // of the images
	Images   int              // that every trial is evaluated on
	Baseline scale.Cost       // that the page compares candidates with
	Settings []report.Setting // of all trials
	Machine  [][2]string
}

// Results are what a plan's trials have come to.
type Results struct {
	Plan     Plan
	About    About
	Records  []Record
	Ranking  []Score
	Finished bool // every trial is
}

// Run trains every trial that has no record, and writes all records after each. When
// ctx ends it returns its error, with all that was finished written. A trial that
// fails puts its candidate out and stops nothing else; it is an error if all fail.
func (s *Search) Run(ctx context.Context) (*Results, error) {
	if s.Ranks.Rank() == 0 {
		if err := s.open(); err != nil {
			return nil, err
		}
	}
	if err := s.share(); err != nil {
		return nil, err
	}
	if err := s.grow(ctx); err != nil {
		return nil, err
	}
	in := s.Plan.Candidates
	for _, rung := range s.Plan.Rungs() {
		in = s.enter(rung, in)
		s.announce(rung, in)
		if err := s.runRung(ctx, rung, in); err != nil {
			return nil, err
		}
	}
	s.forget(in) // they are trained
	r := s.results()
	if best := r.Ranking[0]; best.Failed != "" {
		return nil, fmt.Errorf("every training run failed: %w", cmp.Or(s.failure, errors.New(best.Failed)))
	}
	r.Finished = true
	return r, s.save(r)
}

// open makes Dir that of this search, or reads its records.
func (s *Search) open() (err error) {
	if !s.Resume {
		s.forget(s.Plan.Candidates) // an older search's
		return s.begin()
	}
	if s.records, err = s.readRecords(); err != nil {
		return err
	}
	s.records = slices.DeleteFunc(s.records, func(r Record) bool { return r.Retry })
	return nil
}

// grow trains the first rung of a plan that is not complete, as it grows. The plan is
// written before a new candidate is trained, so that a resumed search has the same.
func (s *Search) grow(ctx context.Context) error {
	q, ok := s.Question.(Grower)
	if !ok {
		return nil
	}
	first := s.Plan.Rungs()[0]
	s.announce(first, s.Plan.Candidates)
	for {
		if err := s.runRung(ctx, first, s.Plan.Candidates); err != nil {
			return err
		}
		var more []Candidate
		var err error
		if s.Ranks.Rank() == 0 { // others may measure other times
			more, err = q.Grow(ctx, s.Plan, s.records)
		}
		if err == nil {
			err = broadcast(s.Ranks, "candidates", &more)
		}
		if err != nil || len(more) == 0 {
			return err
		}
		s.Plan.Candidates = append(s.Plan.Candidates, more...)
		if err := errors.Join(s.Plan.Validate(), s.writePlan()); err != nil {
			return err
		}
	}
}

// announce says what a rung is, if something of it is left to train.
func (s *Search) announce(rung Rung, in []Candidate) {
	if len(s.missing(rung, in)) > 0 {
		s.Log("%s", s.Plan.Describe(rung))
	}
}

// enter returns which candidates of the rung before take part in a rung, in the
// plan's order, and has the others forgotten.
func (s *Search) enter(rung Rung, before []Candidate) (in []Candidate) {
	if rung.Number == 1 {
		return before
	}
	best := make([]Score, len(before))
	for i, c := range before {
		best[i] = scoreIn(s.records, s.Plan.Seeds, c, rung.Number-1)
	}
	best = slices.DeleteFunc(rank(best), func(s Score) bool { return s.Failed != "" })
	best = best[:min(rung.Candidates, len(best))]
	var out []Candidate
	for _, c := range before {
		if slices.ContainsFunc(best, func(s Score) bool { return s.Candidate.Name == c.Name }) {
			in = append(in, c)
		} else {
			out = append(out, c)
		}
	}
	s.forget(out)
	return in
}

// forget has the trainer forget all trials of candidates that do not continue.
func (s *Search) forget(out []Candidate) {
	if s.Ranks.Rank() > 0 {
		return
	}
	for _, c := range out {
		for _, seed := range s.Plan.Seeds {
			if err := s.Trainer.Forget(Trial{Candidate: c, Seed: seed, Dir: s.trialDir(c, seed)}); err != nil {
				s.Log("note: %v", err)
			}
		}
	}
}

// runRung trains the trials of a rung that have no record, Jobs at a time.
func (s *Search) runRung(ctx context.Context, rung Rung, in []Candidate) error {
	if s.Ranks.Size() > 1 {
		return s.shareRung(ctx, rung, in)
	}
	trials := s.missing(rung, in)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, max(1, s.Jobs))
	for job := range errs {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(trials) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if errs[job] = s.try(ctx, rung, in, trials[i]); errs[job] != nil {
					stop()
				}
			}
		})
	}
	wg.Wait()
	return cmp.Or(errors.Join(errs...), ctx.Err())
}

// try trains a trial of a rung, and keeps its record. An error ends the search.
func (s *Search) try(ctx context.Context, rung Rung, in []Candidate, t Trial) error {
	record, err := s.train(ctx, rung, t)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finish(rung, in, t, record)
}

// finish keeps and logs the record of a trial.
func (s *Search) finish(rung Rung, in []Candidate, t Trial, record Record) error {
	if err := s.keep(record); err != nil {
		return err
	}
	finished, all := len(in)*len(s.Plan.Seeds)-len(s.missing(rung, in)), len(in)
	if rung.Number == 1 {
		all = rung.Candidates // a plan that grows does not have all yet
	}
	s.logRecord(t.Candidate, record, finished, all*len(s.Plan.Seeds))
	return nil
}

// missing are the trials of a rung that have no record.
func (s *Search) missing(rung Rung, in []Candidate) (trials []Trial) {
	for _, c := range in {
		for _, seed := range s.Plan.Seeds {
			if find(s.records, c.Name, seed, rung.Number) == nil {
				trials = append(trials, Trial{Candidate: c, Seed: seed, Until: c.EpochsAfter(rung), Dir: s.trialDir(c, seed)})
			}
		}
	}
	return trials
}

// train trains a trial. The error is that ctx ended; a trial that fails is a record.
func (s *Search) train(ctx context.Context, rung Rung, t Trial) (Record, error) {
	r := Record{Name: t.Candidate.Name, Seed: t.Seed, Rung: rung.Number, Epochs: t.Until}
	out, err := s.Trainer.Train(ctx, t)
	if err != nil && ctx.Err() != nil {
		return r, err
	}
	r.Curve, r.Seconds = out.Curve, out.Seconds
	if err == nil && len(out.Curve) == 0 {
		err = errors.New("search: a trial of no epochs")
	}
	if err != nil {
		r.Failed, r.Retry = err.Error(), !errors.As(err, new(*Final))
		s.mu.Lock()
		s.failure = cmp.Or(s.failure, err)
		s.mu.Unlock()
		return r, nil
	}
	r.Epochs, r.Objective = len(out.Curve), out.Curve[len(out.Curve)-1]
	return r, nil
}

// keep adds a record and writes all, in an order that does not depend on which trial
// ended first.
func (s *Search) keep(r Record) error {
	s.records = append(s.records, r)
	place := func(name string) int {
		return slices.IndexFunc(s.Plan.Candidates, func(c Candidate) bool { return c.Name == name })
	}
	slices.SortFunc(s.records, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Rung, b.Rung), cmp.Compare(place(a.Name), place(b.Name)), cmp.Compare(a.Seed, b.Seed))
	})
	return s.save(s.results())
}

// results are those so far.
func (s *Search) results() *Results {
	return &Results{Plan: s.Plan, About: s.About, Records: s.records, Ranking: s.Plan.ranking(s.records)}
}

// logRecord says what a trial came to.
func (s *Search) logRecord(c Candidate, r Record, finished, all int) {
	outcome := fmt.Sprintf("top-1 %s after %s", report.Percent(r.Objective), words.Count(r.Epochs, "epoch"))
	if r.Failed != "" {
		outcome = "failed: " + r.Failed
	}
	if left := s.left(); left >= time.Second {
		outcome += fmt.Sprintf(" (about %s left)", left.Round(time.Second))
	}
	s.Log("%*d/%d  %s, seed %d: %s", len(strconv.Itoa(all)), finished, all, s.Plan.Title(c), r.Seed, outcome)
}

// left is how long the rest may take, if multiply-adds take as long as so far.
func (s *Search) left() time.Duration {
	var seconds, done float64
	for _, c := range s.Plan.Candidates {
		for _, seed := range s.Plan.Seeds {
			var last Record
			for _, r := range s.records { // rung by rung
				if r.Name == c.Name && r.Seed == seed {
					last = r
				}
			}
			seconds, done = seconds+last.Seconds, done+c.work(last.Epochs)
		}
	}
	return time.Duration((s.Plan.work()/done - 1) * seconds / float64(max(1, s.Jobs)*s.Ranks.Size()) * float64(time.Second))
}
