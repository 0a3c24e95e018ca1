package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"effnet/internal/atomicfile"
	"effnet/internal/scale"
	"effnet/internal/trial"
)

// planFile is what a contest that goes on reads, in its folder.
const planFile = "plan.json"

// planDocument is its content.
type planDocument struct {
	Flags map[string]string `json:"flags"` // contest.own
	Plan  trial.Plan        `json:"plan"`
}

func (c *contest) writePlan() error {
	doc := planDocument{map[string]string{}, c.plan}
	for _, name := range c.own {
		doc.Flags[name] = c.flags.Lookup(name).Value.String()
	}
	text, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(c.cfg.Out, planFile), text)
}

// readPlan takes the plan of the folder, and its flags; one that was given and
// differs is an error.
func (c *contest) readPlan() error {
	path := filepath.Join(c.cfg.Out, planFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return usageError{fmt.Errorf("--resume: nothing to go on with in %s: %w", c.cfg.Out, err)}
	}
	var doc planDocument
	if err := json.Unmarshal(text, &doc); err != nil {
		return usageError{fmt.Errorf("--resume: %s: %w", path, err)}
	}
	for _, name := range c.own {
		flag := c.flags.Lookup(name)
		is, was := flag.Value.String(), doc.Flags[name]
		if is == was {
			continue
		}
		if flag.Changed {
			return usageError{fmt.Errorf("--resume: --%s was %s and is %s (start another %s for that)", name, was, is, c.name)}
		}
		if err := flag.Value.Set(strings.Trim(was, "[]")); err != nil { // a list's String has brackets
			return usageError{fmt.Errorf("--resume: %s: %s: %w", path, name, err)}
		}
	}
	c.plan = doc.Plan
	if err := c.plan.Validate(); err != nil {
		return usageError{fmt.Errorf("--resume: %s: %w", path, err)}
	}
	return nil
}

// begin writes the plan, and removes what an older contest in the folder would go
// on from.
func (c *contest) begin() error {
	for _, e := range c.plan.Entries {
		c.dropped(e)
	}
	if err := os.Remove(c.path(".jsonl")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return c.writePlan()
}

// path is that of one of the contest's files.
func (c *contest) path(extension string) string {
	return filepath.Join(c.cfg.Out, c.name+extension)
}

// readRecords reads NAME.jsonl.
func (c *contest) readRecords() error {
	f, err := os.Open(c.path(".jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // stopped before the first
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var r trial.Record
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return usageError{fmt.Errorf("--resume: %s: %w", f.Name(), err)}
		}
		c.search.Records = append(c.search.Records, r)
	}
}

// save writes all that can be read of the trials so far.
func (c *contest) save(records []trial.Record) error {
	var lines []byte
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	if err := writeFile(c.path(".jsonl"), lines); err != nil {
		return err
	}
	standings := c.search.Standings()
	if err := c.writeTable(standings); err != nil {
		return err
	}
	return c.writePage(standings)
}

// writeTable writes NAME.csv.
func (c *contest) writeTable(standings []trial.Standing) error {
	header := append(slices.Clone(c.plan.Columns), "resolution", "params", "macs", "rung", "epochs", "seeds", "top1", "sd", "seconds", "failed")
	rows := append(make([][]string, 0, len(standings)+1), header)
	decimal := func(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }
	for _, t := range standings {
		cost := scale.Count(t.Entry.Arch)
		rows = append(rows, append(slices.Clone(t.Entry.Labels), strconv.Itoa(t.Entry.Arch.Resolution), strconv.FormatInt(cost.Params, 10), strconv.FormatInt(cost.MACs, 10),
			strconv.Itoa(t.Rung), strconv.Itoa(t.Epochs), strconv.Itoa(len(t.Top1)), decimal(t.Mean(), 6), decimal(t.SD(), 6), decimal(t.Seconds, 1), t.Failed))
	}
	return atomicfile.Write(c.path(".csv"), func(f *os.File) error { return csv.NewWriter(f).WriteAll(rows) })
}

func writeFile(path string, text []byte) error {
	return atomicfile.Write(path, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}
