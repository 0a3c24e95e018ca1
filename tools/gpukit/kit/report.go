package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"effnet/internal/atomicfile"
)

// report is what comes of a run: MODE.json.
type report struct {
	Version  string    `json:"version"` // of the kit
	Mode     string    `json:"mode"`
	Emulated bool      `json:"emulated"` // no card: small sizes on emulated libraries
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
	Budget   float64   `json:"budget_seconds"`
	Card     card      `json:"card"`
	System   string    `json:"system,omitempty"`
	Python   string    `json:"python,omitempty"`
	Torch    string    `json:"torch,omitempty"`
	Stages   []result  `json:"stages"`
}

// card is the graphics card and the libraries, as doctor and nvidia-smi name them.
type card struct {
	Name         string    `json:"name,omitempty"`
	Architecture string    `json:"architecture,omitempty"`
	MemoryGiB    float64   `json:"memory_gib,omitempty"`
	Found        []string  `json:"found,omitempty"` // doctor's lines
	Libraries    []library `json:"libraries,omitempty"`
	NvidiaSMI    string    `json:"nvidia_smi,omitempty"` // name, driver, memory, power limit
}

// library is one of NVIDIA's that effnet uses.
type library struct {
	Name    string `json:"name"`
	Version string `json:"version"` // of CUDA; cuBLASLt's is its own
	Path    string `json:"path"`
}

// result is what came of a stage, or of one measurement of several.
type result struct {
	Name    string         `json:"name"`
	Status  string         `json:"status"`
	Reason  string         `json:"reason,omitempty"` // of what did not run to its end
	Seconds float64        `json:"seconds"`
	Summary string         `json:"summary,omitempty"`
	Numbers map[string]any `json:"numbers,omitempty"`
	Parts   []result       `json:"parts,omitempty"`
	Failure []string       `json:"failure,omitempty"` // the lines that matter

	table []string // printed below the line
}

// set notes a number.
func (r *result) set(name string, value any) {
	if r.Numbers == nil {
		r.Numbers = map[string]any{}
	}
	r.Numbers[name] = value
}

// line is the result for people.
func (r *result) line() string {
	said := r.Summary
	if r.Reason != "" {
		said = r.Reason
		if r.Summary != "" {
			said += "; " + r.Summary
		}
	}
	return strings.TrimSpace(fmt.Sprintf("%-9s  %-12s %6.1f s   %s", r.Status, r.Name, r.Seconds, said))
}

// write replaces the file, whole.
func (r *report) write(path string) error {
	return atomicfile.Write(path, func(f *os.File) error {
		e := json.NewEncoder(f)
		e.SetIndent("", " ")
		return e.Encode(r)
	})
}

// versions asks Python for its own version and torch's, which it need not import.
const versions = `import platform
from importlib.metadata import version
try: torch = version("torch")
except Exception: torch = "-"
print(platform.python_version(), torch)`

// describe notes what the machine says of itself besides doctor. What is not there is
// omitted.
func (k *kit) describe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	ask := func(name string, args ...string) string {
		out, err := exec.CommandContext(ctx, name, args...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	k.report.System = ask("uname", "-srm")
	if path, err := tool("nvidia-smi", "/usr/local/nvidia/bin"); err == nil {
		k.report.Card.NvidiaSMI = ask(path, "--query-gpu=name,driver_version,memory.total,power.limit,clocks.max.sm", "--format=csv,noheader")
	}
	if path, err := python(); err == nil {
		if v := strings.Fields(ask(path, "-c", versions)); len(v) == 2 {
			k.report.Python, k.report.Torch = v[0], strings.Trim(v[1], "-")
		}
	}
}

// python finds the interpreter: $PYTHON, or python3 in PATH.
func python() (string, error) {
	path, err := exec.LookPath(getenv("PYTHON", "python3"))
	if err != nil {
		return "", skip("there is no " + getenv("PYTHON", "python3") + " (PYTHON)")
	}
	return path, nil
}
