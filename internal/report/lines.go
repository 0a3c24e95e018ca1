package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"effnet/internal/atomicfile"
)

// Lines is a file of JSON objects, one a line, that grows as a run goes.
type Lines struct{ f *os.File }

// OpenLines opens or creates the file at path, and keeps of it what a run had
// written up to a step: lines whose "step" is at most that, and none that is not
// whole.
func OpenLines(path string, step int64) (*Lines, error) {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("report: %w", err)
	}
	var kept []byte
	for line := range bytes.Lines(old) {
		var at struct{ Step *int64 }
		if bytes.HasSuffix(line, []byte("\n")) && json.Unmarshal(line, &at) == nil && at.Step != nil && *at.Step <= step {
			kept = append(kept, line...)
		}
	}
	if !bytes.Equal(kept, old) || err != nil {
		err := atomicfile.Write(path, func(f *os.File) error {
			_, err := f.Write(kept)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return &Lines{f}, nil
}

// Write adds an object.
func (l *Lines) Write(object any) error {
	line, err := json.Marshal(object)
	if err == nil {
		_, err = l.f.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Close closes the file.
func (l *Lines) Close() error { return l.f.Close() }
