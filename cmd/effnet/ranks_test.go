package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"effnet/internal/config"
	"effnet/internal/mpi"
	"effnet/internal/ranks"
)

// ranksOf runs do as each rank of a job in this process, as main would.
func ranksOf(size int, do func(p party) error) []error {
	errs := make([]error, size)
	var all sync.WaitGroup
	for rank, transport := range ranks.Local(size) {
		all.Go(func() {
			errs[rank] = asRank(&mpi.Job{Transport: transport}, config.Config{}, do)
			if job := (abandoned{}); errors.As(errs[rank], &job) {
				job.job.Abort(exitCode(errs[rank]))
			}
		})
	}
	all.Wait()
	return errs
}

// A signal before ranks first tell each other anything ends the job, with the signal's
// exit code: no rank takes what another says at its end for what it waits for.
func TestSignalBeforeTheFirstExchange(t *testing.T) {
	errs := ranksOf(2, func(p party) error {
		if p.first() {
			return p.group.Agree([]ranks.Fact{{Name: "device", Value: "cpu"}})
		}
		return interrupted{15}
	})
	if code := exitCode(errs[1]); code != 143 || !errors.As(errs[1], new(abandoned)) {
		t.Errorf("rank 1: %v, exit code %d", errs[1], code)
	}
	if ended := (*ranks.Aborted)(nil); !errors.As(errs[0], &ended) || ended.Code != 143 {
		t.Errorf("rank 0: %v", errs[0])
	}
}

// A stop that ranks agreed on is no fault: they end together.
func TestAgreedStop(t *testing.T) {
	for rank, err := range ranksOf(3, func(party) error { return &ranks.Stopped{Rank: 1} }) {
		if errors.As(err, new(abandoned)) || !errors.Is(err, context.Canceled) || exitCode(err) != 143 {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
	for rank, err := range ranksOf(3, func(party) error { return nil }) {
		if err != nil {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}

// An error on one rank ends the job for all.
func TestErrorOnOneRank(t *testing.T) {
	errs := ranksOf(2, func(p party) error {
		if p.first() {
			return errors.New("no room on the disk")
		}
		_, err := ranks.Gather(p.group, "evaluating", 1)
		return err
	})
	if !strings.Contains(errs[0].Error(), "no room") || !errors.As(errs[1], new(*ranks.Aborted)) {
		t.Error(errs)
	}
}
