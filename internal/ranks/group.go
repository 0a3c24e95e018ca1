package ranks

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"time"
)

// A Group is a rank's place in a job. Its calls that exchange something are collective,
// as a Transport's are. A nil Group is a process on its own: rank 0 of 1.
type Group struct {
	transport Transport
	opt       Options
	at        string    // what this rank is doing, for messages
	began     time.Time // of the step under way; zero between epochs
	steps     durations
	slack     time.Duration // see Allow
	left      time.Time     // when this rank left the last exchange
	exchanged time.Duration
}

// Options of a Group.
type Options struct {
	// Timeout is how long a rank waits for the others in an exchange before it ends the
	// job; it waits longer where steps are long (see Group.limit). 0 is DefaultTimeout,
	// and less than 0 waits for ever.
	Timeout time.Duration
	// Report tells a person why a rank is about to end the job.
	Report func(reason string)
}

// DefaultTimeout is how long a rank waits for the others.
const DefaultTimeout = 30 * time.Second

// ExitCode is that of a job that a rank has ended because others did not answer.
const ExitCode = 7

// New returns a rank's place in the job that its transport connects it to.
func New(t Transport, opt Options) *Group {
	if opt.Timeout == 0 {
		opt.Timeout = DefaultTimeout
	}
	return &Group{transport: t, opt: opt, at: "at the start", left: time.Now()}
}

// Rank is this rank's number, from 0.
func (g *Group) Rank() int {
	if g == nil {
		return 0
	}
	return g.transport.Rank()
}

// Size is the number of ranks.
func (g *Group) Size() int {
	if g == nil {
		return 1
	}
	return g.transport.Size()
}

// Share is this rank's part, [from,to), of n things in order.
func (g *Group) Share(n int) (from, to int) {
	return n * g.Rank() / g.Size(), n * (g.Rank() + 1) / g.Size()
}

// At says what this rank does from now on, for messages: "at the start", "after epoch 3".
func (g *Group) At(what string) {
	if g != nil {
		g.at, g.began = what, time.Time{}
	}
}

// Step says that a training step begins, numbered from 1 within an epoch.
func (g *Group) Step(step, epoch int) {
	now := time.Now()
	if !g.began.IsZero() {
		g.steps.add(now.Sub(g.began))
	}
	g.at, g.began = fmt.Sprintf("at step %d of epoch %d", step, epoch), now
}

// Allow has this rank wait longer for the others, in every exchange: while rank 0 writes a
// file, say.
func (g *Group) Allow(more time.Duration) { g.slack = more }

// Exchanged is how long this rank has been in exchanges: it sent, received, added up and
// waited for others.
func (g *Group) Exchanged() time.Duration {
	if g == nil {
		return 0
	}
	return g.exchanged
}

// call does an exchange, and ends the job if that takes too long.
func (g *Group) call(what string, exchange func() error) error {
	began := time.Now()
	stop := g.watch(what)
	err := exchange()
	stop()
	g.left = time.Now()
	g.exchanged += g.left.Sub(began)
	if err != nil {
		return fmt.Errorf("rank %d, %s, %s: %w", g.Rank(), what, g.at, err)
	}
	return nil
}

// Gather returns every rank's value, in rank order, on all ranks. what says what for, as
// in "comparing settings". The type is one that package gob encodes.
func Gather[T any](g *Group, what string, v T) ([]T, error) {
	var mine bytes.Buffer
	if err := gob.NewEncoder(&mine).Encode(v); err != nil {
		return nil, fmt.Errorf("ranks: %w", err)
	}
	all, err := g.GatherBytes(what, mine.Bytes())
	values := make([]T, len(all))
	for i := range all {
		if err == nil {
			err = gob.NewDecoder(bytes.NewReader(all[i])).Decode(&values[i])
		}
	}
	return values, err
}

// GatherBytes returns the bytes of every rank, in rank order, on all ranks.
func (g *Group) GatherBytes(what string, b []byte) (all [][]byte, err error) {
	err = g.call(what, func() (err error) {
		all, err = g.transport.Gather(b)
		return err
	})
	return all, err
}

// Broadcast gives all ranks the bytes of one of them.
func (g *Group) Broadcast(what string, b []byte, root int) (sent []byte, err error) {
	err = g.call(what, func() (err error) {
		sent, err = g.transport.Broadcast(b, root)
		return err
	})
	return sent, err
}

// Unwatched does exchanges that wait for the others for as long as they take: for work
// that takes ranks different times.
func (g *Group) Unwatched(exchange func() error) error {
	timeout := g.opt.Timeout
	g.opt.Timeout = -1
	defer func() { g.opt.Timeout = timeout }()
	return exchange()
}

// Abort ends the job with an exit code. It does not return.
func (g *Group) Abort(code int) { g.transport.Abort(code) }
