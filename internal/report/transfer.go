package report

import (
	"fmt"
	"time"
)

// Transfer is how far a download has come.
type Transfer struct {
	What        string // is downloaded
	Done, Total int64  // bytes; Total is negative where nobody knows
	Got         int64  // of those done, the ones that came in Elapsed
	Elapsed     time.Duration
}

func (t Transfer) String() string {
	speed := float64(t.Got) / max(t.Elapsed.Seconds(), 1e-3)
	text := fmt.Sprintf("%s  %.1f", t.What, float64(t.Done)/(1<<20))
	if t.Total >= 0 {
		text += "/" + fmt.Sprintf("%.1f", float64(t.Total)/(1<<20))
	}
	text += " MiB"
	if t.Elapsed > 100*time.Millisecond {
		text += fmt.Sprintf("  %.1f MiB/s", speed/(1<<20))
	}
	if left := t.Total - t.Done; left > 0 && speed > 0 && t.Total >= 0 {
		text += "  " + clock(time.Duration(float64(left)/speed*float64(time.Second))) + " left"
	}
	return text
}

// Transfer reports one moment of a download, as Count does of work on images.
func (l *Log) Transfer(t Transfer) { l.moment(t, t.Done == t.Total) }
