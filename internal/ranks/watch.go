package ranks

import (
	"fmt"
	"slices"
	"time"
)

// watch ends the job if an exchange is not over within the limit, unless stop is called.
func (g *Group) watch(what string) (stop func()) {
	limit := g.limit()
	if limit <= 0 {
		return func() {}
	}
	at := g.at
	timer := time.AfterFunc(limit, func() {
		if g.opt.Report != nil {
			g.opt.Report(fmt.Sprintf("rank %d of %d has waited %s for the others, %s, %s: a rank hangs or has died, or the network is down; the job is ended (--rank-timeout sets how long to wait)",
				g.Rank(), g.Size(), limit.Round(time.Second/10), what, at))
		}
		g.transport.Abort(ExitCode)
	})
	return func() { timer.Stop() }
}

// limit is how long an exchange may take: Options.Timeout, or if that is longer ten steps,
// or as long as this rank has been busy since the last exchange, for which others may be
// still. What was allowed comes on top.
func (g *Group) limit() time.Duration {
	if g.opt.Timeout < 0 {
		return 0
	}
	return max(g.opt.Timeout, 10*g.steps.median(), time.Since(g.left)) + g.slack
}

// durations are the last few.
type durations struct {
	last [31]time.Duration
	n    int // that were added
}

func (d *durations) add(v time.Duration) {
	d.last[d.n%len(d.last)] = v
	d.n++
}

// median is 0 if there is none.
func (d *durations) median() time.Duration {
	n := min(d.n, len(d.last))
	if n == 0 {
		return 0
	}
	sorted := slices.Clone(d.last[:n])
	slices.Sort(sorted)
	return sorted[n/2]
}
