package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"effnet/internal/config"
	"effnet/internal/device"
	"effnet/internal/mpi"
	"effnet/internal/ranks"
	"effnet/internal/words"
)

// A party is this process among those that a launcher started with it.
type party struct {
	*mpi.Job              // nil for a process on its own
	group    *ranks.Group // nil likewise
}

// together calls do as a rank of the job in which a launcher started this process, or on
// its own.
func together(ctx context.Context, cfg config.Config, do func(p party) error) error {
	job, err := join(ctx, time.Duration(cfg.RankTimeout)*time.Second)
	if err != nil {
		return err
	}
	if job == nil {
		return do(party{})
	}
	return asRank(job, cfg, do)
}

// asRank calls do as a rank of the job. An error or a panic ends the job on all ranks (see
// abandoned), and so does a signal of which the others have not been told; but a stop that
// all agreed on is the same on all.
func asRank(job *mpi.Job, cfg config.Config, do func(p party) error) error {
	defer func() {
		if r := recover(); r != nil {
			complain("effnet", fmt.Errorf("rank %d: panic: %v\n\n%s", job.Rank(), r, debug.Stack()))
			job.Abort(2)
		}
	}()
	p := party{job, ranks.New(job, ranks.Options{
		Timeout: time.Duration(cfg.RankTimeout) * time.Second,
		Report:  func(reason string) { complain("effnet", errors.New(reason)) },
	})}
	if d, err := device.Lookup(cfg.Device); err == nil {
		local, _ := job.Local()
		d.Assign(local)
	}
	if job.Rank() == 0 {
		for _, note := range job.Notes {
			complain("effnet", errors.New(note))
		}
	}
	err := do(p)
	if err == nil || errors.As(err, new(*ranks.Stopped)) {
		_, ended := ranks.Gather(p.group, "ending", true)
		if ended = errors.Join(ended, job.Close()); ended == nil {
			return err
		}
		err = ended
	}
	return abandoned{err, job}
}

// join is mpi.Open, which waits for all ranks of the job, and which nothing interrupts. A
// signal or a longer wait than timeout ends the process meanwhile: nothing can be lost yet.
func join(ctx context.Context, timeout time.Duration) (*mpi.Job, error) {
	type opened struct {
		job *mpi.Job
		err error
	}
	done := make(chan opened, 1)
	go func() {
		job, err := mpi.Open()
		done <- opened{job, err}
	}()
	select {
	case o := <-done:
		return o.job, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(timeout):
		l := mpi.Launched(os.Getenv)
		return nil, &mpi.Error{Reason: fmt.Sprintf("rank %d of %d has waited %s for the others to start: one of them did not, or the network is down (--rank-timeout sets how long to wait)", l.Rank, l.Size, timeout)}
	}
}

// abandoned is why a rank ends its job.
type abandoned struct {
	error
	job *mpi.Job
}

func (a abandoned) Unwrap() error { return a.error }

// stopped tells whether a signal has ended training, here or on another rank.
func stopped(ctx context.Context, err error) bool {
	return errors.As(err, new(*ranks.Stopped)) || ctx.Err() != nil && errors.Is(err, context.Canceled)
}

// complain prints an error. What goes wrong on a rank often does on all, and all stop
// together: those after the first leave it to the first to say so, and if they have another
// error give it the time to end the job.
func complain(program string, err error) {
	if mpi.Launched(os.Getenv).Rank > 0 {
		if errors.As(err, new(interrupted)) || errors.As(err, new(*ranks.Stopped)) {
			return
		}
		signal.Reset()
		time.Sleep(2 * time.Second)
	}
	fmt.Fprintf(os.Stderr, "%s: %v%s\n", program, err, hint(err))
}

// first tells whether this process is the one that writes and shows.
func (p party) first() bool { return p.group.Rank() == 0 }

// output is where results go.
func (p party) output(w io.Writer) io.Writer {
	if p.first() {
		return w
	}
	return io.Discard
}

// share is a number of goroutines: the setting, or as many as this process has processors
// for itself.
func (p party) share(setting int) int {
	if setting == 0 && p.Job != nil {
		return p.Threads
	}
	return setting
}

// describe is the report's line about the ranks.
func (p party) describe() [][2]string {
	if p.Job == nil {
		return nil
	}
	return [][2]string{{"ranks", fmt.Sprintf("%s, by %s: %s", words.Count(p.Size(), "rank"), p.Launch.By, p.Library)}}
}
