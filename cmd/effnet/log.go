package main

import (
	"os"

	"effnet/internal/report"

	"golang.org/x/term"
)

// newLog is a report.Log to stderr.
func newLog(interval int, quiet bool) *report.Log {
	fd := int(os.Stderr.Fd())
	if !term.IsTerminal(fd) {
		return report.NewLog(os.Stderr, nil, interval, quiet)
	}
	return report.NewLog(os.Stderr, func() int {
		if width, _, err := term.GetSize(fd); err == nil {
			return width
		}
		return 80
	}, interval, quiet)
}
