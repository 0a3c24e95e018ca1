// Package filelock locks files against other processes: on Unix by flock(2), on Windows
// by a range of one byte, as Python's filelock does, so either waits for the other. The
// system lets go of a lock when its process ends, however that is.
package filelock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// ErrTaken is that another process has the lock.
var ErrTaken = errors.New("another process has the lock")

// Try takes the lock of a file, which it creates. On a file system without locks it takes
// none, and succeeds.
func Try(path string) (unlock func(), err error) {
	// Group-writable, as huggingface_hub has it, for caches that users share.
	l := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o664))
	taken, err := l.TryLock()
	unlock = func() { _ = l.Close() }
	switch {
	case errors.As(err, new(*fs.PathError)): // it cannot be opened
		return nil, err
	case err == nil && !taken:
		unlock()
		return nil, ErrTaken
	}
	return unlock, nil
}

// pollInterval is how often Wait tries: huggingface_hub's own.
const pollInterval = 50 * time.Millisecond

// Wait takes the lock as soon as it is free. It calls waiting once, where it is not free
// at once.
func Wait(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	for {
		unlock, err := Try(path)
		if !errors.Is(err, ErrTaken) {
			return unlock, err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pollInterval):
		}
	}
}
