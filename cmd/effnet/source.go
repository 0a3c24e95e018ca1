package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"effnet/internal/hub"
	"effnet/internal/report"
	"effnet/internal/weights"
)

// checkpointHelp is what the help of each command that takes a checkpoint says of it; what
// follows is about checkpoints too.
const checkpointHelp = `CHECKPOINT is a checkpoint, a file that effnet import takes, a program that effnet bundle
made, or a name from effnet weights list.`

// newHub returns a hub that is set up by the environment and shows downloads on stderr.
func newHub(quiet bool) *hub.Hub {
	s := hub.FromEnvironment(os.Getenv)
	s.UserAgent = "effnet/" + versionName()
	h, log := hub.New(s), newLog(1, quiet)
	var of string
	var from int64
	var began time.Time
	h.Progress = func(file string, done, total int64) {
		if file != of || done < from {
			of, from, began = file, done, time.Now()
		}
		log.Transfer(report.Transfer{What: file, Done: done, Total: total, Got: done - from, Elapsed: time.Since(began)})
	}
	h.Note = func(text string) { log.Printf("%s", text) }
	return h
}

// openWeights reads the weights behind a path or a name; every command that takes a
// checkpoint takes either.
func openWeights(ctx context.Context, name string, o weights.Overrides) (*weights.Imported, error) {
	found, err := newHub(false).Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	return read(found, o)
}

// read reads weights that were found, and reports on stderr how another program's file
// was recognised.
func read(found hub.Found, o weights.Overrides) (*weights.Imported, error) {
	w, err := newHub(true).Open(found, o)
	if err == nil && w.Findings != nil {
		fmt.Fprintln(os.Stderr, w.Describe(found.Name))
	}
	return w, err
}
