package search

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

	"effnet/internal/atomicfile"
	"effnet/internal/scale"
)

// PlanFile is the file, in a search's folder, that a resumed search reads its plan
// from.
const PlanFile = "plan.json"

// planDocument is its content.
type planDocument struct {
	Flags map[string]string `json:"flags"`
	Plan  Plan              `json:"plan"`
}

// Flag is a flag that decided a plan and is no setting of its training runs.
type Flag struct {
	Name, Value string
	Given       bool // or else the default
}

// Error says why the search in a folder cannot be resumed as was asked.
type Error struct{ Err error }

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

func refused(format string, args ...any) error { return &Error{fmt.Errorf(format, args...)} }

// ReadPlan returns the plan of the search in dir, and flags with the values that
// decided it. A flag that was given and differs is an *Error, as is a plan that
// cannot be read.
func ReadPlan(dir, name string, flags []Flag) (Plan, []Flag, error) {
	path := filepath.Join(dir, PlanFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return Plan{}, nil, refused("no search to resume in %s: %w", dir, err)
	}
	var doc planDocument
	if err := json.Unmarshal(text, &doc); err != nil {
		return Plan{}, nil, refused("%s: %w", path, err)
	}
	flags = slices.Clone(flags)
	for i, f := range flags {
		was, ok := doc.Flags[f.Name]
		if !ok {
			continue // the search is older than the flag
		}
		if f.Given && f.Value != was {
			return Plan{}, nil, refused("--%s was %s and is %s (start another %s for that)", f.Name, was, f.Value, name)
		}
		flags[i].Value = was
	}
	if err := doc.Plan.Validate(); err != nil {
		return Plan{}, nil, refused("%s: %w", path, err)
	}
	return doc.Plan, flags, nil
}

// begin writes the plan, and removes the records of an older search.
func (s *Search) begin() error {
	if err := os.Remove(s.path(".jsonl")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.writePlan()
}

func (s *Search) writePlan() error {
	if s.Ranks.Rank() > 0 {
		return nil
	}
	doc := planDocument{map[string]string{}, s.Plan}
	for _, f := range s.Flags {
		doc.Flags[f.Name] = f.Value
	}
	text, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(s.Dir, PlanFile), text)
}

// path is that of one of the search's files.
func (s *Search) path(extension string) string {
	return filepath.Join(s.Dir, s.Question.Name()+extension)
}

// trialDir is the folder of a candidate's training from a seed.
func (s *Search) trialDir(c Candidate, seed uint64) string {
	return filepath.Join(s.Dir, "trials", filepath.FromSlash(c.Name), fmt.Sprintf("seed-%d", seed))
}

// readRecords reads NAME.jsonl.
func (s *Search) readRecords() (records []Record, err error) {
	f, err := os.Open(s.path(".jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // stopped before the first
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var r Record
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return records, nil
		} else if err != nil {
			return nil, refused("%s: %w", f.Name(), err)
		}
		records = append(records, r)
	}
}

// save writes the records, and what a person reads of them. Only the records are
// read again.
func (s *Search) save(r *Results) error {
	if s.Ranks.Rank() > 0 {
		return nil
	}
	var lines []byte
	for _, record := range r.Records {
		line, err := json.Marshal(record)
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	if err := writeFile(s.path(".jsonl"), lines); err != nil {
		return err
	}
	err := atomicfile.Write(s.path(".csv"), func(f *os.File) error { return csv.NewWriter(f).WriteAll(r.table()) })
	if err != nil {
		return err
	}
	return r.page(s.Question).Write(filepath.Join(s.Dir, "report.html"))
}

// table is NAME.csv.
func (r *Results) table() [][]string {
	header := append(slices.Clone(r.Plan.Columns), "resolution", "params", "macs", "rung", "epochs", "seeds", "top1", "sd", "seconds", "failed")
	if r.Plan.Weighs() {
		header = append(header, "reward", "stages")
	}
	rows := append(make([][]string, 0, len(r.Ranking)+1), header)
	decimal := func(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }
	for _, s := range r.Ranking {
		arch := s.Candidate.Arch
		cost := scale.Count(arch)
		rows = append(rows, append(slices.Clone(s.Candidate.Labels),
			strconv.Itoa(arch.Resolution), strconv.FormatInt(cost.Params, 10), strconv.FormatInt(cost.MACs, 10),
			strconv.Itoa(s.Rung), strconv.Itoa(s.Epochs), strconv.Itoa(len(s.Objectives)), decimal(s.Mean(), 6), decimal(s.SD(), 6), decimal(s.Seconds, 1), s.Failed))
		if r.Plan.Weighs() {
			last := &rows[len(rows)-1]
			*last = append(*last, decimal(s.Reward(), 6), arch.BlockText())
		}
	}
	return rows
}

func writeFile(path string, text []byte) error {
	return atomicfile.Write(path, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}
