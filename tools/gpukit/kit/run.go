package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// What a stage came to.
const (
	passed   = "passed"
	failed   = "failed"
	timedOut = "timed out"
	notRun   = "not run"
	skipped  = "skipped"
)

// leastTime is what must be left of the budget for a stage to begin.
const leastTime = 5 * time.Second

// stage is one thing to prove. run returns its summary and numbers in the result; the
// name, the time and, if it returns an error, the status are not its to set.
type stage struct {
	name  string
	modes string // of which it is part; "" if it runs by its name only
	limit time.Duration
	about string
	run   func(*task, *result) error
}

// skip is the error of a stage that cannot run here: not for effnet's sake.
type skip string

func (s skip) Error() string { return string(s) }

// errTime is the error of a stage that ended itself before its limit.
var errTime = errors.New("time was up")

// run carries out stages, each with its own limit and all within a budget, and writes
// the report after each. ok is whether all of them passed or were skipped.
func (k *kit) run(ctx context.Context, w io.Writer, mode string, chosen []stage, budget time.Duration) (ok bool, err error) {
	if k.tmp, err = os.MkdirTemp("", "gpu-kit-"); err != nil {
		return false, err
	}
	defer os.RemoveAll(k.tmp)
	if k.log, err = os.Create(filepath.Join(k.out, mode+".log")); err != nil {
		return false, err
	}
	defer k.log.Close()
	k.describe(ctx)
	k.report.Mode, k.report.Budget = mode, budget.Seconds()
	for _, s := range chosen {
		k.report.Stages = append(k.report.Stages, result{Name: s.name, Status: notRun, Reason: "the run was stopped before"})
	}
	ok = true
	end := time.Now().Add(budget)
	for i, s := range chosen {
		r := &k.report.Stages[i]
		switch left := time.Until(end); {
		case ctx.Err() != nil:
		case left < leastTime:
			r.Reason = "no time left"
		default:
			*r = k.stage(ctx, s, left)
		}
		ok = ok && (r.Status == passed || r.Status == skipped)
		k.report.Seconds = budget.Seconds() - time.Until(end).Seconds()
		fmt.Fprintln(w, r.line())
		for _, line := range slices.Concat(r.table, r.Failure) {
			fmt.Fprintln(w, "    "+line)
		}
		if err := k.report.write(filepath.Join(k.out, mode+".json")); err != nil {
			return false, err
		}
	}
	return ok, nil
}

// stage runs one, for at most as long as is left.
func (k *kit) stage(ctx context.Context, s stage, left time.Duration) result {
	whole := s.limit
	if k.emulated {
		whole *= emulatedSlower
	}
	limit := min(whole, left)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	fmt.Fprintf(k.log, "\n######## %s (at most %s)\n", s.name, limit.Round(time.Second))
	t := &task{kit: k, ctx: ctx, limit: limit, log: &headAndTail{w: k.log, head: headBytes, tail: tailBytes}}
	r := result{Name: s.name, Status: passed}
	start := time.Now()
	err := s.run(t, &r)
	r.Name, r.Seconds = s.name, time.Since(start).Seconds()
	var reason skip
	switch {
	case errors.As(err, &reason):
		r.Status, r.Reason = skipped, string(reason)
	case ctx.Err() != nil, errors.Is(err, errTime):
		r.Status, r.Reason = timedOut, fmt.Sprintf("stopped after %s", limit.Round(time.Second))
		if limit < whole {
			r.Reason += ", when no time was left"
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			r.Reason = "the run was stopped"
		}
		if len(r.Failure) == 0 {
			r.Failure = lastLines(t.last, failureLines)
		}
	case err != nil:
		r.Status = failed
		if len(r.Failure) == 0 {
			r.Failure = strings.Split(err.Error(), "\n")
		}
	}
	t.log.flush()
	fmt.Fprintln(k.log, r.line())
	return r
}

// task is a stage under way.
type task struct {
	*kit
	ctx   context.Context
	limit time.Duration
	log   *headAndTail
	last  string // what the last command has printed
}

// left is the time that the stage has.
func (t *task) left() time.Duration {
	end, _ := t.ctx.Deadline()
	return time.Until(end)
}

// within is the task with less time.
func (t *task) within(limit time.Duration) (*task, context.CancelFunc) {
	inner := *t
	var cancel context.CancelFunc
	inner.ctx, cancel = context.WithTimeout(t.ctx, limit)
	return &inner, cancel
}

// command runs a program in a process group of its own, which ends with the stage. All
// that it prints goes to the log; output is its stdout, both its stdout and stderr, whose
// lines may be out of order.
func (t *task) command(name string, args ...string) (output, both string, err error) {
	var stdout bytes.Buffer
	all := &printed{log: t.log}
	cmd := exec.CommandContext(t.ctx, name, args...)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, all), all
	both, err = t.start(cmd, nil, all)
	return stdout.String(), both, err
}

// ordered is command for a program whose stdout and stderr are wanted together, in order.
func (t *task) ordered(cmd *exec.Cmd, env []string) (both string, err error) {
	all := &printed{log: t.log}
	cmd.Stdout, cmd.Stderr = all, all
	return t.start(cmd, env, all)
}

// printed is what a program has printed, by two goroutines.
type printed struct {
	mutex sync.Mutex
	text  bytes.Buffer
	log   io.Writer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.text.Write(b)
	return p.log.Write(b)
}

// start runs a command that prints to all.
func (t *task) start(cmd *exec.Cmd, env []string, all *printed) (both string, err error) {
	there := "EFFNET_GPU=1"
	if t.emulated {
		there = "EFFNET_GPU=emulated"
	}
	cmd.Env = slices.Concat(environment(os.Environ()), []string{there}, env)
	if _, err := os.UserCacheDir(); err != nil { // or every process would compile the kernels
		cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+filepath.Join(t.tmp, "cache"))
	}
	cmd.Dir = t.tmp
	cmd.WaitDelay = 2 * time.Second // for what left the group and holds the pipes
	ownGroup(cmd)
	fmt.Fprintf(t.log, "$ %s\n", strings.Join(slices.Concat(env, cmd.Args), " "))
	start := time.Now()
	err = cmd.Run()
	killGroup(cmd) // what it left behind
	fmt.Fprintf(t.log, "(%.1f s", time.Since(start).Seconds())
	if err != nil {
		fmt.Fprintf(t.log, ", %v", err)
	}
	fmt.Fprintln(t.log, ")")
	all.mutex.Lock() // after WaitDelay a goroutine may still write
	defer all.mutex.Unlock()
	t.last = all.text.String()
	return t.last, err
}

// environment is the caller's, without effnet's settings but for those that say where
// CUDA is.
func environment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool {
		return strings.HasPrefix(s, "EFFNET_") && !strings.HasPrefix(s, "EFFNET_CUDA_")
	})
}

// tool finds a program in PATH or in one of the folders, patterns of filepath.Glob, the
// last match first: it is the newest version.
func tool(name string, folders ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	if home := os.Getenv("CUDA_HOME"); home != "" {
		folders = append([]string{filepath.Join(home, "bin")}, folders...)
	}
	for _, folder := range append(folders, "/usr/local/cuda*/bin") {
		found, _ := filepath.Glob(filepath.Join(folder, name)) // a bad pattern matches nothing
		for _, path := range slices.Backward(found) {
			if _, err := exec.LookPath(path); err == nil {
				return path, nil
			}
		}
	}
	return "", skip("there is no " + name)
}

// The log's share of a stage: twelve of them stay below 16 MB.
const (
	headBytes = 400 << 10
	tailBytes = 800 << 10
)

// headAndTail passes on the first bytes written to it, and with flush the last.
type headAndTail struct {
	w          io.Writer
	head, tail int
	last       []byte
	left       int // bytes that were dropped
}

func (h *headAndTail) Write(p []byte) (int, error) {
	n := min(len(p), h.head)
	if _, err := h.w.Write(p[:n]); err != nil {
		return 0, err
	}
	h.head -= n
	h.last = append(h.last, p[n:]...)
	if drop := len(h.last) - h.tail; drop > h.tail { // not at every write
		h.last = append(h.last[:0], h.last[drop:]...)
		h.left += drop
	}
	return len(p), nil
}

func (h *headAndTail) flush() {
	if drop := len(h.last) - h.tail; drop > 0 {
		h.last = h.last[drop:]
		h.left += drop
	}
	if h.left > 0 {
		fmt.Fprintf(h.w, "\n[... %d bytes omitted ...]\n", h.left)
	}
	_, _ = h.w.Write(h.last) // a log that cannot be written is not the stage's failure
	h.last = nil
}
