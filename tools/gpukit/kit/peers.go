package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// compared is the file that tools/bench_peers.py writes with --json.
type compared struct {
	Rows []struct {
		Work       string      `json:"work"`
		Mode       string      `json:"mode"`
		Contenders []contender `json:"contenders"`
	} `json:"rows"`
}

type contender struct {
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	Speeds []float64 `json:"images_per_sec"` // one a round
	Speed  float64   `json:"median"`         // 0 without a measurement
	Memory float64   `json:"memory_mb"`
	Error  string    `json:"error"`
}

// hasTorch exits with 0 where PyTorch and torchvision are.
const hasTorch = `import importlib.util as u, sys; sys.exit(not (u.find_spec("torch") and u.find_spec("torchvision")))`

// comparisons are in order of worth: torch.compile takes most of its time to compile.
var comparisons = []struct{ row, contenders string }{
	{"gpu-train-b0", "effnet,eager"},
	{"gpu-infer-b0", "effnet,eager"},
	{"gpu-train-b0", "compile"},
	{"gpu-infer-b0", "compile"},
}

// peers compares PyTorch with effnet. Every comparison is a process of its own, whose file
// has what was measured before its time was up.
func peers(t *task, r *result) error {
	interpreter, err := python()
	if err != nil {
		return err
	}
	if _, _, err := t.command(interpreter, "-c", hasTorch); err != nil {
		return skip(interpreter + " has no torch and torchvision (PYTHON)")
	}
	var problems []error
	ours := map[string]float64{}
	for _, c := range comparisons {
		if t.emulated && c.contenders == "compile" {
			continue // minutes on few cores
		}
		name := c.row + " " + c.contenders
		if t.left() < leastTime {
			problems = append(problems, fmt.Errorf("%s: no time left", name))
			continue
		}
		file := filepath.Join(t.tmp, strings.NewReplacer(" ", "-", ",", "-").Replace(name)+".json")
		limit := max(t.left()-2*time.Second, time.Second)
		args := []string{t.file("bench_peers.py"), "--effnet", t.file("effnet"), "--device", "cuda", "--rows", c.row, "--rounds", "1",
			"--contenders", c.contenders, "--json", file, "--threads", "8", "--timeout", strconv.Itoa(int(limit.Seconds()))}
		if t.emulated {
			args = append(args, "--peer-device", "cpu", "--size", "32", "--batch", "2", "--steps", "1", "--warmup", "1", "--threads", "2")
		}
		_, both, runErr := t.command(interpreter, args...)
		if problem := errors.Join(runErr, r.addPeers(name, file, ours)); problem != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, problem))
			r.Failure = append(r.Failure, name+": "+problem.Error())
			r.Failure = append(r.Failure, lastLines(both, failureLines)...)
		}
	}
	return errors.Join(problems...)
}

// addPeers notes what the file of one comparison says. ours is effnet's speed in each
// work, as far as it is known.
func (r *result) addPeers(name, file string, ours map[string]float64) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c compared
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	r.set(name, c.Rows)
	var problems []error
	for _, w := range c.Rows {
		for _, p := range w.Contenders {
			if p.ID == "effnet" {
				ours[w.Work] = p.Speed
			}
			if p.Speed == 0 {
				problems = append(problems, fmt.Errorf("%s: %s", p.Name, p.Error))
				continue
			}
			line := fmt.Sprintf("%-40s %-28s %10.1f images/s %8.0f MiB", w.Work, p.Name, p.Speed, p.Memory)
			if own := ours[w.Work]; p.ID != "effnet" && own > 0 {
				line += fmt.Sprintf("   effnet is %.2fx", own/p.Speed)
				if r.Summary != "" {
					r.Summary += ", "
				}
				r.Summary += fmt.Sprintf("%s %.2fx %s", w.Mode, own/p.Speed, p.ID)
			}
			r.table = append(r.table, line)
		}
	}
	if len(c.Rows) == 0 {
		return errors.New("nothing was measured")
	}
	return errors.Join(problems...)
}
