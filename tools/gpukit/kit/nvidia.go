package main

import (
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sanitized is a stage that runs a short training step under one of compute-sanitizer's
// tools.
func sanitized(name string) func(*task, *result) error {
	return func(t *task, r *result) error {
		sanitizer, err := tool("compute-sanitizer")
		if err != nil {
			return err
		}
		found, err := t.goTest([]string{sanitizer, "--tool", name, "--error-exitcode", "1"}, nil, nil, []string{"TestGPUStep"})
		if refusal := refused(t.last); refusal != "" {
			return skip("compute-sanitizer: " + refusal)
		}
		n, summaryErr := sanitizerErrors(t.last)
		r.Summary = found.summary()
		if summaryErr == nil {
			r.set("errors", n)
			r.Summary = fmt.Sprintf("%d errors in %s", n, r.Summary)
		}
		if summaryErr == nil && n > 0 {
			summaryErr = fmt.Errorf("%s found %d errors", name, n)
		}
		if err = errors.Join(err, summaryErr); err != nil {
			r.Failure = slices.Concat([]string{err.Error()}, found.failure(), ends(reports(t.last), failureLines))
		}
		return err
	}
}

// reports is the lines of compute-sanitizer.
func reports(output string) (lines []string) {
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "=========") {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return shortened(lines)
}

var (
	errorSummary = regexp.MustCompile(`(?m)^=+ ERROR SUMMARY: (\d+) error`)
	raceSummary  = regexp.MustCompile(`(?m)^=+ RACECHECK SUMMARY: (\d+) hazard`)
)

// sanitizerErrors reads compute-sanitizer's last line.
func sanitizerErrors(output string) (int, error) {
	for _, pattern := range []*regexp.Regexp{errorSummary, raceSummary} {
		if all := pattern.FindAllStringSubmatch(output, -1); all != nil {
			return strconv.Atoi(all[len(all)-1][1])
		}
	}
	return 0, errors.New("compute-sanitizer printed no summary")
}

// refusals are what NVIDIA's tools print where a machine does not let them work: no
// fault of the program that they look at.
var refusals = regexp.MustCompile(`ERR_NVGPUCTRPERM.*|.*LibraryNotLoaded.*|.*Device not supported.*|.*[Uu]nable to find injection library.*`)

func refused(output string) string {
	return strings.TrimLeft(refusals.FindString(output), "= ")
}

// What ncu measures of every kernel first, and then of the slowest. The first needs one
// pass over a kernel, the others several.
const duration = "gpu__time_duration.sum"

var metrics = []string{
	duration,
	"dram__bytes_read.sum",
	"dram__bytes_write.sum",
	"sm__throughput.avg.pct_of_peak_sustained_elapsed",
	"gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
	"launch__registers_per_thread",
	"sm__warps_active.avg.pct_of_peak_sustained_active",
}

const (
	slowestKernels = 5
	mostLaunches   = 2000 // of one step, which has about a thousand
	mostDetailed   = 60
)

// ncu measures one training step of b0 in bf16.
func ncu(t *task, r *result) error {
	profiler, err := tool("ncu", "/opt/nvidia/nsight-compute/*", "/usr/local/cuda*/nsight-compute-*")
	if err != nil {
		return err
	}
	s := t.sizes()
	step := []string{t.file("effnet"), "bench", "--device", "cuda", "--precision", "bf16", "--variant", "b0", "-b", strconv.Itoa(s.train["b0"]), "--steps", "1", "--warmup", "0"}
	if s.image > 0 {
		step = append(step, "--img-size", strconv.Itoa(s.image))
	}
	profile := func(file string, wanted []string, more ...string) ([]kernel, error) {
		args := slices.Concat([]string{"--csv", "--page", "raw", "--print-units", "base", "--clock-control", "none", "--metrics", strings.Join(wanted, ",")}, more, step)
		out, both, err := t.command(profiler, args...)
		if kept := compress(filepath.Join(t.out, file), out); kept != nil {
			return nil, kept
		}
		if refusal := refused(both); refusal != "" {
			return nil, skip("ncu: " + refusal)
		}
		kernels, parsed := parseKernels(out, wanted)
		if err = errors.Join(err, parsed); err != nil {
			r.Failure = append([]string{err.Error()}, lastLines(both, failureLines)...)
		}
		return kernels, err
	}
	every, err := profile("ncu-step.csv.gz", []string{duration}, "--launch-count", strconv.Itoa(mostLaunches))
	if err != nil {
		return err
	}
	all := sums(every)
	slowest := all[:min(slowestKernels, len(all))]
	r.set("launches", len(every))
	r.set("by_kernel", all)
	detailed, err := profile("ncu-slowest.csv.gz", metrics, "--kernel-name-base", "function", "--kernel-name", namesPattern(slowest), "--launch-count", strconv.Itoa(mostDetailed))
	if err != nil {
		return err
	}
	details := sums(detailed)
	total := 0.0
	for _, k := range all {
		total += k.Seconds
	}
	r.Summary = fmt.Sprintf("%d kernels in %d launches, %.2f ms", len(all), len(every), 1e3*total)
	r.table = []string{fmt.Sprintf("%-40s %8s %9s %6s %8s %6s %6s %5s %6s", "kernel", "launches", "ms", "share", "GB/s", "DRAM", "SM", "regs", "warps")}
	var rows []kernelSum
	for _, k := range slowest {
		i := slices.IndexFunc(details, func(d kernelSum) bool { return d.Name == k.Name })
		if i < 0 {
			continue // none of its launches were among the first
		}
		k.Means = details[i].Means
		k.BytesPerSec = details[i].BytesPerSec
		rows = append(rows, k)
		r.table = append(r.table, fmt.Sprintf("%-40.40s %8d %9.3f %5.1f%% %8.0f %5.0f%% %5.0f%% %5.0f %5.0f%%", k.Name, k.Launches, 1e3*k.Seconds, 100*k.Seconds/total,
			k.BytesPerSec/1e9, k.Means[metrics[4]], k.Means[metrics[3]], k.Means[metrics[5]], k.Means[metrics[6]]))
	}
	r.set("slowest", rows)
	return nil
}

// kernel is one launch as ncu measured it.
type kernel struct {
	name   string
	values map[string]float64 // seconds, bytes and per cent, by the metric's name
}

// kernelSum is all launches of a kernel.
type kernelSum struct {
	Name        string             `json:"name"`
	Launches    int                `json:"launches"`
	Seconds     float64            `json:"seconds"`
	BytesPerSec float64            `json:"bytes_per_sec,omitempty"` // to and from the card's memory
	Means       map[string]float64 `json:"means,omitempty"`         // weighted by time
}

// units are what ncu may print a metric in, in seconds and bytes.
var units = map[string]float64{
	"ns": 1e-9, "nsecond": 1e-9, "us": 1e-6, "usecond": 1e-6, "ms": 1e-3, "msecond": 1e-3, "s": 1, "second": 1,
	"byte": 1, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9,
}

// parseKernels reads ncu's table, a row for each launch and a row of units before them;
// what ncu and the program print around it is skipped.
func parseKernels(output string, wanted []string) (kernels []kernel, err error) {
	begin := strings.Index(output, `"ID",`)
	if begin < 0 {
		return nil, errors.New("ncu printed no table")
	}
	var text strings.Builder
	for line := range strings.Lines(output[begin:]) {
		if strings.HasPrefix(line, `"`) {
			text.WriteString(line)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(text.String())).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("ncu's table: %w", err)
	}
	if len(rows) < 3 {
		return nil, errors.New("ncu measured no kernel")
	}
	header, unit := rows[0], rows[1]
	name := slices.Index(header, "Kernel Name")
	if name < 0 {
		return nil, errors.New("ncu's table does not name the kernels")
	}
	for _, row := range rows[2:] {
		k := kernel{name: row[name], values: map[string]float64{}}
		for _, metric := range wanted {
			column := slices.Index(header, metric)
			if column < 0 {
				return nil, fmt.Errorf("ncu's table has no %s", metric)
			}
			v, err := strconv.ParseFloat(strings.ReplaceAll(row[column], ",", ""), 64)
			if err != nil {
				return nil, fmt.Errorf("ncu's table: %s of %s is %q", metric, k.name, row[column])
			}
			if u, ok := units[unit[column]]; ok {
				v *= u
			}
			k.values[metric] = v
		}
		kernels = append(kernels, k)
	}
	return kernels, nil
}

// sums adds up launches by kernel, the slowest first.
func sums(kernels []kernel) []kernelSum {
	byName := map[string]*kernelSum{}
	bytes := map[string]float64{}
	for _, k := range kernels {
		s := byName[k.name]
		if s == nil {
			s = &kernelSum{Name: k.name, Means: map[string]float64{}}
			byName[k.name] = s
		}
		seconds := k.values[duration]
		s.Launches++
		s.Seconds += seconds
		bytes[k.name] += k.values["dram__bytes_read.sum"] + k.values["dram__bytes_write.sum"]
		for metric, v := range k.values {
			s.Means[metric] += v * seconds
		}
	}
	all := make([]kernelSum, 0, len(byName))
	for name, s := range maps.All(byName) {
		if s.Seconds > 0 {
			s.BytesPerSec = bytes[name] / s.Seconds
			for metric := range s.Means {
				s.Means[metric] /= s.Seconds
			}
		}
		delete(s.Means, duration)
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b kernelSum) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// namesPattern is ncu's --kernel-name for these kernels.
func namesPattern(kernels []kernelSum) string {
	names := make([]string, len(kernels))
	for i, k := range kernels {
		// The function without namespaces and parameters, as ncu compares it.
		base, _, _ := strings.Cut(strings.ReplaceAll(k.Name, "(anonymous namespace)", ""), "<")
		base, _, _ = strings.Cut(base, "(")
		base = strings.TrimPrefix(base, "void ")
		if i := strings.LastIndex(base, "::"); i >= 0 {
			base = base[i+2:]
		}
		names[i] = regexp.QuoteMeta(strings.TrimSpace(base))
	}
	slices.Sort(names)
	return "regex:^(" + strings.Join(slices.Compact(names), "|") + ")$"
}

// compress writes text to a file.
func compress(path, text string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(f)
	_, err = io.WriteString(z, text)
	return errors.Join(err, z.Close(), f.Close())
}
