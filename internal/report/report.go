// Package report shows a run: as it goes, in a live line on a terminal or plain
// lines elsewhere; and in files: tables, TensorBoard's events, pictures, a page.
package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// Step is the progress of a training run.
type Step struct {
	Epoch, Epochs  int // from 1
	Step, Steps    int // from 1, within the epoch
	Loss, Top1, LR float64
	ImagesPerSec   float64
	DataWait       float64 // share of the time spent waiting for images
	Exchange       float64 // share of the time in exchanges with other ranks; 0 without any
	Left           time.Duration
}

func (s Step) String() string { return s.fit(math.MaxInt) }

// fit is the step in at most width characters: what matters least at a glance
// is dropped first.
func (s Step) fit(width int) string {
	parts := []struct {
		text string
		rank int // in the order of dropping, 0 last
	}{
		{fmt.Sprintf("epoch %d/%d", s.Epoch, s.Epochs), 0},
		{fmt.Sprintf("step %d/%d", s.Step, s.Steps), 1},
		{fmt.Sprintf("loss %.4f", s.Loss), 3},
		{fmt.Sprintf("top-1 %.2f%%", 100*s.Top1), 4},
		{fmt.Sprintf("lr %.3g", s.LR), 6},
		{fmt.Sprintf("%.1f images/s", s.ImagesPerSec), 5},
		{fmt.Sprintf("data wait %.1f%%", 100*s.DataWait), 7},
		{exchange(s.Exchange), 8},
		{clock(s.Left) + " left", 2},
	}
	for most := len(parts) - 1; ; most-- {
		var kept []string
		for _, p := range parts {
			if p.rank <= most && p.text != "" {
				kept = append(kept, p.text)
			}
		}
		text := strings.Join(kept, "  ")
		if len(text) <= width {
			return text
		}
		if most == 0 {
			return text[:max(width, 0)]
		}
	}
}

// exchange is the share of the time that ranks exchange data; "" without ranks.
func exchange(share float64) string {
	if share == 0 {
		return ""
	}
	return fmt.Sprintf("sums %.1f%%", 100*share)
}

// clock is a duration to the second, as 1h02m03s, 2m03s or 3s.
func clock(d time.Duration) string {
	d = d.Round(time.Second)
	if d >= time.Hour {
		return fmt.Sprintf("%dh%02dm%02ds", d/time.Hour, d/time.Minute%60, d/time.Second%60)
	}
	return d.String()
}

// Log prints a run's progress.
type Log struct {
	w        io.Writer
	width    func() int // of the terminal that w is, on which one line is drawn over and over; nil if it is none
	interval int        // otherwise, steps between lines
	quiet    bool
	drawn    time.Time
	dirty    bool // a live line stands on the terminal
	rows     int  // of the table of epochs under its header; 0 if a message came since
}

// NewLog returns a Log to w. On a terminal, whose width in characters width
// returns, it draws a live line; elsewhere, with width nil, it prints a line every
// interval steps. A quiet Log prints nothing.
func NewLog(w io.Writer, width func() int, interval int, quiet bool) *Log {
	return &Log{w: w, width: width, interval: max(1, interval), quiet: quiet}
}

// draw draws the live line, as much of it as the terminal has room for.
func (l *Log) draw(text string) {
	text = text[:min(len(text), max(l.width()-1, 0))]
	fmt.Fprintf(l.w, "\r\x1b[K%s", text)
	l.drawn, l.dirty = time.Now(), true
}

// Step reports one step.
func (l *Log) Step(s Step) {
	last := s.Step == s.Steps
	switch {
	case l.quiet:
	case l.width != nil:
		if last || time.Since(l.drawn) > 100*time.Millisecond {
			l.draw(s.fit(l.width() - 1))
		}
	case last || s.Step%l.interval == 0:
		fmt.Fprintln(l.w, s)
	}
}

// headerEvery is how many rows a table's header stands over.
const headerEvery = 20

// Epoch prints an epoch as a row of a table, in place of the live line. The
// header comes every headerEvery rows, and again after lines that are not of steps.
func (l *Log) Epoch(e Epoch, epochs int, evaluated, averaged bool) {
	if l.quiet {
		return
	}
	if l.dirty {
		fmt.Fprint(l.w, "\r\x1b[K")
		l.dirty = false
	}
	if l.rows%headerEvery == 0 {
		fmt.Fprintln(l.w, row("epoch", "train loss", "top-1", "val loss", "top-1", "top-5", "EMA top-1", "lr", "images/s", "wait", "time", evaluated, averaged)+sums(e.Exchange, "sums"))
	}
	l.rows++
	percent := func(v float64) string { return fmt.Sprintf("%.2f%%", 100*v) }
	fmt.Fprintln(l.w, row(fmt.Sprintf("%d/%d", e.Epoch, epochs), lossText(e.TrainLoss), percent(e.TrainTop1),
		lossText(e.ValLoss), percent(e.ValTop1), percent(e.ValTop5), percent(e.EMATop1), fmt.Sprintf("%.3g", e.LR),
		fmt.Sprintf("%.1f", e.ImagesPerSec), fmt.Sprintf("%.1f%%", 100*e.DataWait), clock(time.Duration(e.Seconds*float64(time.Second))), evaluated, averaged)+sums(e.Exchange, fmt.Sprintf("%.1f%%", 100*e.Exchange)))
}

// lossText is a loss with four decimals, or three digits where it is so large
// that they mean nothing.
func lossText(v float64) string {
	if math.Abs(v) >= 1e4 {
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf("%.4f", v)
}

// row lays out a row of the table of epochs.
func row(epoch, loss, top1, valLoss, valTop1, valTop5, ema, lr, speed, wait, seconds string, evaluated, averaged bool) string {
	s := fmt.Sprintf("%9s  %10s  %7s", epoch, loss, top1)
	if evaluated {
		s += fmt.Sprintf("  %9s  %7s  %7s", valLoss, valTop1, valTop5)
	}
	if evaluated && averaged {
		s += fmt.Sprintf("  %9s", ema)
	}
	return s + fmt.Sprintf("  %9s  %8s  %6s  %7s", lr, speed, wait, seconds)
}

// sums is a cell of the table's last column, which it has where ranks exchange data.
func sums(share float64, text string) string {
	if share == 0 {
		return ""
	}
	return fmt.Sprintf("  %6s", text)
}

// Printf prints a line of its own.
func (l *Log) Printf(format string, args ...any) {
	if l.quiet {
		return
	}
	if l.dirty {
		fmt.Fprintln(l.w)
		l.dirty = false
	}
	fmt.Fprintf(l.w, format+"\n", args...)
	l.rows = 0
}

// Epoch is what one epoch came to.
type Epoch struct {
	Epoch     int     `json:"epoch"` // from 1
	Step      int64   `json:"step"`  // optimizer steps so far
	LR        float64 `json:"lr"`
	TrainLoss float64 `json:"train_loss"`
	TrainTop1 float64 `json:"train_top1"`
	ValLoss   float64 `json:"val_loss"`
	ValTop1   float64 `json:"val_top1"`
	ValTop5   float64 `json:"val_top5"`
	EMALoss   float64 `json:"ema_loss"` // of the weights' averages; 0 without
	EMATop1   float64 `json:"ema_top1"`
	Seconds   float64 `json:"seconds"`

	ImagesPerSec float64 `json:"images_per_sec"` // of training
	DataWait     float64 `json:"data_wait"`
	Exchange     float64 `json:"exchange,omitempty"` // share of the time in exchanges with other ranks
}

var columns = []string{"epoch", "step", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5", "ema_loss", "ema_top1", "seconds", "data_wait", "images_per_sec"}

// WriteCSV writes the epochs so far to a file, whole each time.
func WriteCSV(path string, epochs []Epoch) error {
	rows := append(make([][]string, 0, len(epochs)+1), columns)
	for _, e := range epochs {
		row := []string{strconv.Itoa(e.Epoch), strconv.FormatInt(e.Step, 10)}
		for _, v := range []float64{e.LR, e.TrainLoss, e.TrainTop1, e.ValLoss, e.ValTop1, e.ValTop5, e.EMALoss, e.EMATop1, e.Seconds, e.DataWait, e.ImagesPerSec} {
			row = append(row, strconv.FormatFloat(v, 'g', 6, 64))
		}
		rows = append(rows, row)
	}
	return write(path, func(f *os.File) error { return csv.NewWriter(f).WriteAll(rows) })
}
