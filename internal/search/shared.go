package search

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"effnet/internal/ranks"
)

// share has all ranks carry out rank 0's plan, from its records, which it has from Dir.
func (s *Search) share() error {
	if s.Ranks.Size() == 1 {
		return nil
	}
	if s.Ranks.Rank() > 0 {
		s.Log = func(string, ...any) {}
	}
	err := broadcast(s.Ranks, "the plan", &s.Plan)
	if err == nil {
		err = broadcast(s.Ranks, "the records", &s.records)
	}
	return err
}

// broadcast gives all ranks the value that rank 0 has.
func broadcast[T any](g *ranks.Group, what string, v *T) error {
	if g.Size() == 1 {
		return nil
	}
	text, err := json.Marshal(v)
	if err == nil {
		err = g.Unwatched(func() (err error) { // rank 0 may have measured times
			text, err = g.Broadcast("sending "+what+" of the search", text, 0)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	var sent T
	if err := json.Unmarshal(text, &sent); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	*v = sent
	return nil
}

// trained is what a rank tells the others of its trial.
type trained struct {
	Record  *Record // nil without a trial, and for one that was stopped
	Stopped bool    // the rank was asked to stop
}

// shareRung is runRung where ranks share the trials: one each at a time, those that take
// about as long together, since all wait for the last. A trial that was finished, but whose
// record was not written, is read from its folder when the search is resumed.
func (s *Search) shareRung(ctx context.Context, rung Rung, in []Candidate) error {
	trials := s.missing(rung, in)
	slices.SortStableFunc(trials, func(a, b Trial) int {
		return cmp.Compare(b.Candidate.work(b.Until), a.Candidate.work(a.Until))
	})
	s.Ranks.At(fmt.Sprintf("in rung %d", rung.Number))
	for part := range slices.Chunk(trials, s.Ranks.Size()) {
		var mine trained
		if rank := s.Ranks.Rank(); rank < len(part) && ctx.Err() == nil {
			if record, err := s.train(ctx, rung, part[rank]); err == nil {
				mine.Record = &record
			}
		}
		mine.Stopped = ctx.Err() != nil
		var all []trained
		if err := s.Ranks.Unwatched(func() (err error) {
			all, err = ranks.Gather(s.Ranks, "training trials", mine)
			return err
		}); err != nil {
			return err
		}
		for rank, t := range all {
			if t.Record != nil {
				if err := s.finish(rung, in, part[rank], *t.Record); err != nil {
					return err
				}
			}
		}
		if rank := slices.IndexFunc(all, func(t trained) bool { return t.Stopped }); rank >= 0 {
			return &ranks.Stopped{Rank: rank}
		}
	}
	return nil
}
