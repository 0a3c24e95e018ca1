package report

import (
	"fmt"
	"time"
)

// Count is how far work on images, one after the other, has come.
type Count struct {
	Verb        string // what was done to them, as "packed"
	Done, Total int    // images
	Elapsed     time.Duration
}

func (c Count) String() string {
	speed := float64(c.Done) / max(c.Elapsed.Seconds(), 1e-3)
	left := time.Duration(float64(c.Elapsed) / float64(max(c.Done, 1)) * float64(c.Total-c.Done))
	return fmt.Sprintf("%s %d/%d images  %.1f images/s  %s left", c.Verb, c.Done, c.Total, speed, clock(left))
}

// countInterval is the time between a Count's lines where there is no terminal.
const countInterval = 5 * time.Second

// Count reports one image: on a terminal in a live line, elsewhere in a line
// every few seconds and at the end.
func (l *Log) Count(c Count) { l.moment(c, c.Done == c.Total) }

// moment reports how far something has come, as Count does.
func (l *Log) moment(text fmt.Stringer, last bool) {
	now := time.Now()
	switch {
	case l.quiet:
	case l.width != nil:
		if last || now.Sub(l.drawn) > 100*time.Millisecond {
			l.draw(text.String())
		}
		if last {
			fmt.Fprintln(l.w)
			l.dirty = false
		}
	case l.drawn.IsZero() && !last:
		l.drawn = now
	case last || now.Sub(l.drawn) > countInterval:
		fmt.Fprintln(l.w, text)
		l.drawn = now
	}
}
