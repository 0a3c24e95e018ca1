package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// shell is a stage that runs a shell command.
func shell(name string, limit time.Duration, script string) stage {
	return stage{name: name, limit: limit, run: func(t *task, r *result) error {
		_, both, err := t.command("sh", "-c", script)
		r.Summary = strings.TrimSpace(both)
		return err
	}}
}

// runKit runs stages, and returns what was printed, the report and the log.
func runKit(ctx context.Context, t *testing.T, budget time.Duration, stages ...stage) (ok bool, printed string, r report, log string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("stages are shell commands: run the test on another system than Windows")
	}
	k := kit{dir: t.TempDir(), out: t.TempDir()}
	var w bytes.Buffer
	ok, err := k.run(ctx, &w, "only", stages, budget)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(k.out, "only.json"))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(filepath.Join(k.out, "only.log"))
	if err != nil {
		t.Fatal(err)
	}
	return ok, w.String(), r, string(lines)
}

// status is the stages' names and what they came to.
func status(r report) string {
	var s []string
	for _, stage := range r.Stages {
		s = append(s, stage.Name+" "+stage.Status)
	}
	return strings.Join(s, ", ")
}

func TestRunContinuesAfterFailure(t *testing.T) {
	none := stage{"none", "", time.Minute, "", func(*task, *result) error { return skip("there is no tool") }}
	ok, printed, r, log := runKit(t.Context(), t, time.Minute,
		shell("good", time.Minute, "echo all is well; echo and here >&2"), shell("bad", time.Minute, "echo broken; exit 3"), none, shell("after", time.Minute, "true"))
	if want := "good passed, bad failed, none skipped, after passed"; ok || status(r) != want {
		t.Errorf("ok %v, %s, want %s", ok, status(r), want)
	}
	if r.Stages[2].Reason != "there is no tool" || !slices.Equal(r.Stages[1].Failure, []string{"exit status 3"}) {
		t.Errorf("%+v", r.Stages)
	}
	for _, want := range []string{"passed     good", "all is well", "and here", "failed     bad", "    exit status 3", "skipped    none            0.0 s   there is no tool"} {
		if !strings.Contains(printed, want) {
			t.Errorf("printed %q, without %q", printed, want)
		}
	}
	for _, want := range []string{"######## good", "all is well", "and here", "broken", "$ sh -c"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log is %q, without %q", log, want)
		}
	}
	if ok, _, _, _ := runKit(t.Context(), t, time.Minute, shell("good", time.Minute, "true"), none); !ok {
		t.Error("a run of stages that passed or were skipped is not well")
	}
}

// A stage that is too slow is killed with all that it started.
func TestRunTimeout(t *testing.T) {
	alive := filepath.Join(t.TempDir(), "alive")
	start := time.Now()
	ok, _, r, _ := runKit(t.Context(), t, time.Minute,
		shell("slow", time.Second, "echo working; (sleep 2; touch "+alive+") & sleep 30"), shell("after", time.Minute, "true"))
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	if want := "slow timed out, after passed"; ok || status(r) != want {
		t.Errorf("ok %v, %s, want %s", ok, status(r), want)
	}
	if !slices.Equal(r.Stages[0].Failure, []string{"working"}) {
		t.Errorf("%+v", r.Stages[0])
	}
	time.Sleep(time.Until(start.Add(2500 * time.Millisecond)))
	if exists(alive) {
		t.Error("a process of the stage kept running")
	}
}

// A stage for which no time is left is not begun, and has not passed.
func TestRunBudget(t *testing.T) {
	ok, _, r, _ := runKit(t.Context(), t, leastTime+300*time.Millisecond, shell("first", time.Minute, "sleep 0.5"), shell("second", time.Minute, "true"))
	if want := "first passed, second not run"; ok || status(r) != want || r.Stages[1].Reason != "no time left" {
		t.Errorf("ok %v, %s, want %s: %+v", ok, status(r), want, r.Stages[1])
	}
	if left := min(time.Minute, leastTime); r.Budget <= left.Seconds() || r.Seconds < 0.5 {
		t.Errorf("a budget of %g s, of which %g passed", r.Budget, r.Seconds)
	}
	k := kit{dir: t.TempDir(), out: t.TempDir()}
	log, err := os.Create(filepath.Join(k.out, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	k.log, k.tmp = log, t.TempDir()
	cut := k.stage(t.Context(), shell("cut", time.Minute, "sleep 30"), 200*time.Millisecond)
	if cut.Status != timedOut || !strings.Contains(cut.Reason, "when no time was left") {
		t.Errorf("%+v", cut)
	}
}

// The report is there after each stage, with those that are still to come.
func TestRunReportsAfterEachStage(t *testing.T) {
	var between report
	look := stage{name: "look", limit: time.Minute, run: func(t *task, _ *result) error {
		text, err := os.ReadFile(filepath.Join(t.out, "only.json"))
		return errors.Join(err, json.Unmarshal(text, &between))
	}}
	ok, _, _, _ := runKit(t.Context(), t, time.Minute, shell("first", time.Minute, "true"), look, shell("last", time.Minute, "true"))
	if want := "first passed, look not run, last not run"; !ok || status(between) != want {
		t.Errorf("%v: %s, want %s", ok, status(between), want)
	}
}

func TestRunInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stop := stage{name: "stop", limit: time.Minute, run: func(t *task, _ *result) error {
		time.AfterFunc(200*time.Millisecond, cancel)
		_, _, err := t.command("sleep", "30")
		return err
	}}
	ok, _, r, _ := runKit(ctx, t, time.Minute, stop, shell("after", time.Minute, "true"))
	if want := "stop timed out, after not run"; ok || status(r) != want || r.Stages[0].Reason != "the run was stopped" {
		t.Errorf("ok %v, %s, want %s: %+v", ok, status(r), want, r.Stages)
	}
}

func TestChoose(t *testing.T) {
	names := func(mode string, only ...string) string {
		chosen, err := choose(mode, only)
		if err != nil {
			return err.Error()
		}
		var s []string
		for _, c := range chosen {
			s = append(s, c.name)
		}
		return strings.Join(s, " ")
	}
	for _, c := range []struct{ got, want string }{
		{names("right"), "doctor suite suite-bf16 pass network curves memcheck memory bench"},
		{names("speed"), "doctor peers finetune ncu"},
		{names("only", "soak", "suite"), "doctor suite soak"},
		{names("only", "suit"), `there is no stage "suit" (run.sh list)`},
		{names("only"), "only: stages are named after only, and nowhere else (run.sh list)"},
		{names("right", "suite"), "right: stages are named after only, and nowhere else (run.sh list)"},
		{names("fast"), `"fast": want right, speed, only STAGE... or list`},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

func TestHeadAndTail(t *testing.T) {
	var w bytes.Buffer
	h := &headAndTail{w: &w, head: 10, tail: 6}
	for i := range 20 {
		fmt.Fprintf(h, "%02d,", i)
	}
	h.flush()
	if got, want := w.String(), "00,01,02,0\n[... 44 bytes omitted ...]\n18,19,"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	w.Reset()
	h = &headAndTail{w: &w, head: 2, tail: 6}
	fmt.Fprint(h, "12345678")
	h.flush()
	if w.String() != "12345678" {
		t.Errorf("%q", w.String())
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"PATH=/bin", "EFFNET_GPU=1", "EFFNET_CUDA_LIBS=/l", "EFFNET_EPOCHS=3", "EFFNET_CUDA_DEVICE=1"})
	if want := []string{"PATH=/bin", "EFFNET_CUDA_LIBS=/l", "EFFNET_CUDA_DEVICE=1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTool(t *testing.T) {
	old, recent, empty := t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("PATH", empty)
	t.Setenv("CUDA_HOME", "")
	parent := t.TempDir()
	for name, dir := range map[string]string{"2024.1": old, "2025.3": recent} {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "kit-tool"), []byte("#!/bin/sh\n"), 0o755), os.Symlink(dir, filepath.Join(parent, name))); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := tool("kit-tool", filepath.Join(parent, "*")); err != nil || got != filepath.Join(parent, "2025.3", "kit-tool") {
		t.Errorf("%s, %v", got, err)
	}
	t.Setenv("PATH", old)
	if got, err := tool("kit-tool", filepath.Join(parent, "*")); err != nil || got != filepath.Join(old, "kit-tool") {
		t.Errorf("%s, %v", got, err)
	}
	var reason skip
	if _, err := tool("kit-other"); !errors.As(err, &reason) || string(reason) != "there is no kit-other" {
		t.Error(err)
	}
}
