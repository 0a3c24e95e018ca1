package main

import (
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tests is what a Go test program says with -test.v.
type tests struct {
	status map[string]string // of each test and subtest: PASS, FAIL or SKIP
	failed []string          // in order, the innermost only
	behind int               // further ones, that did not run since the card's work was lost
	passed int               // tests or subtests that have none below them
	cases  int               // that the tests say they compared
	worst  float64           // the largest error that they say; 0 if none
	lost   string            // the test that ran when the card lost its work; "" if it did not
	late   bool              // its own time limit ended it

	running string              // the test that ran last
	said    map[string][]string // lines of each test
	crash   []string            // lines of a panic or a signal, as far as they tell something
}

var (
	testEnd   = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+)`)
	testBegin = regexp.MustCompile(`^=== (?:RUN|NAME|CONT)\s+(\S+)`)
	caseCount = regexp.MustCompile(`\b(\d+) cases, `)
	errorSaid = regexp.MustCompile(`(?:worst|relative error)(?: of \d+)?(?: is)?:? ([0-9.]+(?:e[+-]?\d+)?)`)
)

var logLine = regexp.MustCompile(`^\s+\w+\.go:\d+: (.*)`)

// crashes begin what the runtime prints when a program ends by itself.
var crashes = regexp.MustCompile(`^(panic|fatal error|SIG[A-Z]+|runtime): ?`)

// unreached is what a subtest of backendtest.Each says that ran no case.
var unreached = regexp.MustCompile(`: (\d+) of (\d+) cases were not run: `)

func ranNone(line string) bool {
	m := unreached.FindStringSubmatch(line)
	return m != nil && m[1] == m[2]
}

// lostWork is what effnet says when a card must be opened again.
const lostWork = "the GPU's work was lost"

// parseTests reads the output of a Go test program.
func parseTests(output string) tests {
	t := tests{status: map[string]string{}, said: map[string][]string{}}
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		if m := testBegin.FindStringSubmatch(line); m != nil {
			t.running = m[1]
			continue
		}
		if m := testEnd.FindStringSubmatch(line); m != nil {
			t.status[m[2]] = m[1]
			if m[1] == "FAIL" {
				t.failed = append(t.failed, m[2])
			}
			continue
		}
		t.said[t.running] = append(t.said[t.running], line)
		t.late = t.late || strings.HasPrefix(line, "panic: test timed out")
		if len(t.crash) > 0 || crashes.MatchString(line) {
			t.crash = append(t.crash, line)
		}
		if strings.Contains(line, lostWork) && t.lost == "" {
			t.lost = t.running
		}
		if m := caseCount.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1]) // digits
			t.cases += n
		}
		for _, m := range errorSaid.FindAllStringSubmatch(line, -1) {
			if e, err := strconv.ParseFloat(m[1], 64); err == nil {
				t.worst = max(t.worst, e)
			}
		}
	}
	parent := func(name string) bool {
		for other := range t.status {
			if strings.HasPrefix(other, name+"/") {
				return true
			}
		}
		return false
	}
	t.failed = slices.DeleteFunc(slices.Clone(t.failed), func(name string) bool {
		return slices.ContainsFunc(t.failed, func(other string) bool { return strings.HasPrefix(other, name+"/") })
	})
	all := len(t.failed)
	t.failed = slices.DeleteFunc(t.failed, func(name string) bool {
		return len(t.said[name]) > 0 && !slices.ContainsFunc(t.said[name], func(line string) bool { return !ranNone(line) })
	})
	t.behind = all - len(t.failed)
	for name, status := range t.status {
		if status == "PASS" && !parent(name) {
			t.passed++
		}
	}
	return t
}

// err says which of the wanted tests did not pass: a test that is not there or was
// skipped has not passed.
func (t tests) err(wanted []string) error {
	for _, name := range wanted {
		switch t.status[name] {
		case "PASS":
		case "":
			return fmt.Errorf("%s did not run to its end, or there is no such test", name)
		case "SKIP":
			return fmt.Errorf("%s was skipped", name)
		default:
			err := fmt.Errorf("failed: %s", strings.Join(t.failed, ", "))
			if t.behind > 0 {
				err = fmt.Errorf("%w; %d more did not run after that", err, t.behind)
			}
			return err
		}
	}
	return nil
}

// failure is what the failed tests said, and how the program ended if it was not by
// itself.
func (t tests) failure() []string {
	const mostTests = 8
	var lines []string
	for _, name := range t.failed[:min(mostTests, len(t.failed))] {
		lines = append(lines, "--- FAIL: "+name)
		lines = append(lines, ends(t.said[name], failureLines/2)...)
	}
	if more := len(t.failed) - mostTests; more > 0 {
		lines = append(lines, fmt.Sprintf("[... %d more failed ...]", more))
	}
	if len(t.crash) > 0 {
		lines = append(lines, "in "+t.running+":")
		lines = append(lines, t.crash[:min(2*failureLines, len(t.crash))]...)
	}
	return shortened(lines)
}

// logged is what the tests that passed logged: errors, losses, bytes.
func (t tests) logged() []string {
	const most = 200
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(t.said)) {
		if t.status[name] != "PASS" {
			continue
		}
		for _, line := range t.said[name] {
			if text := logLine.FindStringSubmatch(line); text != nil {
				lines = append(lines, name+": "+text[1])
			}
		}
	}
	return shortened(lines[:min(most, len(lines))])
}

// summary is the tests in a few words.
func (t tests) summary() string {
	s := fmt.Sprintf("%d tests", t.passed)
	if t.passed == 1 {
		s = "1 test"
	}
	if t.cases > 0 {
		s = fmt.Sprintf("%d cases", t.cases)
	}
	if t.worst > 0 {
		s += fmt.Sprintf(", worst %.2g", t.worst)
	}
	return s
}

// goTest runs tests of cuda.test by their names, after a prefix of the command line.
func (t *task) goTest(prefix, env, skips, wanted []string) (tests, error) {
	limit := t.left() - 3*time.Second // before the stage's, for then it says where it was
	args := slices.Concat(prefix, []string{t.file("cuda.test"), "-test.v", "-test.count=1", "-test.timeout=" + max(limit, time.Second).Round(time.Millisecond).String(),
		"-test.run=^(" + strings.Join(wanted, "|") + ")$"})
	if len(skips) > 0 {
		args = append(args, "-test.skip="+strings.Join(skips, "|"))
	}
	both, err := t.ordered(exec.CommandContext(t.ctx, args[0], args[1:]...), env)
	found := parseTests(both)
	switch unexpected := found.err(wanted); {
	case found.late:
		err = fmt.Errorf("%w in %s", errTime, found.running)
	case unexpected != nil:
		err = unexpected
	case err != nil:
		err = fmt.Errorf("cuda.test: %w", err)
	}
	return found, err
}

// mostReruns is how often a stage begins again without what lost the card's work.
const mostReruns = 3

// tested is a stage that runs tests. Once a card has lost its work nothing runs on it
// until the process ends. Then what lost it runs once more, alone and waiting for every
// launch, which names the one; and all runs again but for that. The stage has failed
// whatever the rest does.
func tested(wanted ...string) func(*task, *result) error {
	return func(t *task, r *result) error {
		var first error
		var skips, lost []string
		for range 1 + mostReruns {
			found, err := t.goTest(nil, nil, skips, wanted)
			r.Summary = found.summary()
			r.set("tests", found.passed)
			r.set("cases", found.cases)
			r.set("worst", found.worst)
			r.set("log", found.logged())
			if err != nil {
				r.Failure = append(append(r.Failure, err.Error()), found.failure()...)
				if first == nil {
					first = err
				}
			}
			if found.lost == "" || err == nil || t.left() < leastTime {
				break
			}
			lost = append(lost, found.lost)
			r.set("lost_in", lost)
			again, _ := t.goTest(nil, []string{"EFFNET_CUDA_CAREFUL=1"}, nil, []string{inner(found.lost)})
			r.Failure = append(append(r.Failure, "once more, waiting for every launch:"), again.failure()...)
			if !strings.Contains(found.lost, "/") {
				break // a whole test: nothing would be left to run
			}
			skips = append(skips, skipPattern(found.lost))
		}
		if len(lost) > 0 {
			r.Summary += "; the card's work was lost in " + strings.Join(lost, ", ")
		}
		return first
	}
}

// inner is a subtest's name for -test.run, whose pattern goTest puts in brackets.
func inner(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return strings.Join(parts, ")$/^(")
}

// skipPattern matches one test, for -test.skip.
func skipPattern(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// failureLines is how many lines of a failure are kept at either end.
const failureLines = 12

// ends is the first and the last n lines.
func ends(lines []string, n int) []string {
	if len(lines) <= 2*n {
		return lines
	}
	return slices.Concat(lines[:n], []string{fmt.Sprintf("[... %d lines ...]", len(lines)-2*n)}, lines[len(lines)-n:])
}

// lastLines is the end of an output.
func lastLines(output string, n int) []string {
	if strings.TrimSpace(output) == "" {
		return nil
	}
	lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
	return shortened(lines[max(0, len(lines)-n):])
}

// shortened keeps a report readable.
func shortened(lines []string) []string {
	const most = 500
	for i, line := range lines {
		if len(line) > most {
			lines[i] = strings.ToValidUTF8(line[:most], "") + "..."
		}
	}
	return lines
}
