//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// effnetCommand is the test binary in the part of effnet.
func effnetCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Args = append([]string{"effnet"}, args...)
	cmd.Dir = dir
	return cmd
}

// faultData writes a small data set and a configuration that draws, averages,
// accumulates and skips, and returns their folder.
func faultData(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 40 {
		m := image.NewRGBA(image.Rect(0, 0, 40, 36))
		for p := range m.Pix {
			m.Pix[p] = uint8(rng.IntN(156)) + uint8(p%4/3*99)
		}
		path := filepath.Join(dir, "d", []string{"train", "val"}[i/30], strconv.Itoa(i%3), fmt.Sprintf("%02d.png", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := png.Encode(&file, m); err != nil {
			t.Fatal(err)
		}
		if i == 7 {
			file.Truncate(file.Len() / 2)
		}
		if err := os.WriteFile(path, file.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	config := `
baseline:
  name: tiny
  resolution: 32
  stem: 8
  head: 64
  stages:
    - {block: mbconv, kernel: 3, stride: 2, expansion: 1, channels: 16, repeats: 1, se-ratio: 0.25}
    - {block: mbconv, kernel: 5, stride: 2, expansion: 4, channels: 24, repeats: 2, se-ratio: 0.25}
epochs: 12
batch-size: 4
grad-accum: 2
lr: 0.01
warmup-epochs: 1
bn-momentum: 0.1
aa: v0
mixup: 0.2
on-corrupt: skip
model-ema-decay: 0.9
checkpoint-every: 2steps
checkpoint-keep: 2
`
	if err := os.WriteFile(filepath.Join(dir, "fault.yaml"), []byte(config), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// results are the bytes that a run ends in.
func results(t *testing.T, run string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"last.safetensors", "last-ema.safetensors", "best.safetensors"} {
		b, err := os.ReadFile(filepath.Join(run, name))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

// faultRounds is how many training runs are killed: EFFNET_FAULTS, or a few.
func faultRounds() int {
	if n, err := strconv.Atoi(os.Getenv("EFFNET_FAULTS")); err == nil && n > 0 {
		return n
	}
	return 4
}

// Training runs that are killed again and again, at any moment, end in the same bits
// as one that was left alone, and leave no file that cannot be read.
func TestKilledRunsEndInTheSameBits(t *testing.T) {
	dir := faultData(t)
	start := time.Now()
	if out, err := effnetCommand(t.Context(), dir, "train", "d", "--config", "fault.yaml", "--out", "whole", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	long := time.Since(start)
	want := results(t, filepath.Join(dir, "whole"))
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 3))
	for round := range faultRounds() {
		run := fmt.Sprintf("run%d", round)
		kills := 0
		for finished := false; !finished; {
			args := []string{"train", "d", "-q", "--out", run, "-j", strconv.Itoa(1 + rng.IntN(3))}
			if states, _ := filepath.Glob(filepath.Join(dir, run, "state-*")); len(states) > 0 {
				args = append(args, "--resume")
			} else {
				args = append(args, "--config", "fault.yaml", "--exist-ok")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(long)))+time.Duration(kills)*long/20)
			out, err := effnetCommand(ctx, dir, args...).CombinedOutput()
			finished = err == nil
			if ctx.Err() == nil && err != nil {
				t.Fatalf("round %d, after %d kills: %v\n%s", round, kills, err, out)
			}
			cancel()
			if finished && kills == 0 { // the kill came too late: again
				finished = false
				if err := os.RemoveAll(filepath.Join(dir, run)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			kills++
		}
		if results(t, filepath.Join(dir, run)) != want {
			t.Errorf("round %d: other weights after %d kills", round, kills-1)
		}
		t.Logf("round %d: %d kills", round, kills-1)
	}
}

// Searches that are killed again and again, at any moment, end in the same table,
// with as many training runs at a time as it comes.
func TestKilledSearchesEndInTheSameTable(t *testing.T) {
	dir := faultData(t)
	args := []string{"search-coefficients", "d", "--config", "fault.yaml", "--budget", "macs", "--step", "0.3", "--tolerance", "0.4", "--minival", "0.4", "--epochs", "3", "--halving", "2", "-q"}
	start := time.Now()
	if out, err := effnetCommand(t.Context(), dir, append(args, "--out", "whole")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	long := time.Since(start)
	want, err := withoutSeconds(filepath.Join(dir, "whole", "search.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 4))
	for round := range (faultRounds() + 1) / 2 {
		run := fmt.Sprintf("run%d", round)
		kills := -1
		for finished := false; !finished; kills++ {
			now := append(slices.Clone(args), "--out", run)
			if _, err := os.Stat(filepath.Join(dir, run, planFile)); err == nil {
				now = []string{"search-coefficients", "d", "-q", "--resume=" + run}
			}
			now = append(now, "--jobs", strconv.Itoa(1+rng.IntN(3)))
			ctx, cancel := context.WithTimeout(t.Context(), long/8+time.Duration(rng.Int64N(int64(long/3)))+time.Duration(kills+1)*long/20)
			out, err := effnetCommand(ctx, dir, now...).CombinedOutput()
			finished = err == nil
			if ctx.Err() == nil && err != nil {
				t.Fatalf("round %d, after %d kills: %v\n%s", round, kills, err, out)
			}
			cancel()
		}
		if got, err := withoutSeconds(filepath.Join(dir, run, "search.csv")); err != nil || got != want {
			t.Errorf("round %d: another table after %d kills, %v:\n%s\nwant\n%s", round, kills, err, got, want)
		}
		t.Logf("round %d: %d kills", round, kills)
	}
}

func TestSignalEndsTheContext(t *testing.T) {
	ctx, stop := withSignals(context.Background(), false)
	defer stop()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if got := exitCode(context.Cause(ctx)); got != 143 {
		t.Errorf("after SIGTERM: %v, exit code %d", context.Cause(ctx), got)
	}
}

// Two signals in quick succession leave a state to resume from.
func TestInterruptedTwice(t *testing.T) {
	dir := faultData(t)
	if out, err := effnetCommand(t.Context(), dir, "train", "d", "--config", "fault.yaml", "--out", "whole", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	args := []string{"train", "d", "-q", "--out", "run", "--config", "fault.yaml"}
	stops := 0
	for finished := false; !finished; {
		before, _ := filepath.Glob(filepath.Join(dir, "run", "state-*"))
		cmd := effnetCommand(t.Context(), dir, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && len(ended) == 0; time.Sleep(time.Millisecond) {
			if now, _ := filepath.Glob(filepath.Join(dir, "run", "state-*")); len(now) > 0 && !slices.Equal(now, before) {
				break
			}
		}
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Process.Signal(os.Interrupt)
		err := <-ended
		finished = err == nil
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		killed := ok && status.Signaled() && status.Signal() == syscall.SIGINT
		if !finished && !killed && cmd.ProcessState.ExitCode() != 130 {
			t.Fatalf("ended with %v", cmd.ProcessState)
		}
		stops++
		args = []string{"train", "d", "-q", "--resume=run"}
	}
	if results(t, filepath.Join(dir, "run")) != results(t, filepath.Join(dir, "whole")) {
		t.Errorf("other weights after %d stops", stops-1)
	}
	t.Logf("%d stops", stops-1)
}
