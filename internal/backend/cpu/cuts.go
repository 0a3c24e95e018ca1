package cpu

import (
	"slices"
	"time"
)

// Cuts are how launches cut their work: how long each of their tasks takes on one thread.
type Cuts struct {
	total    time.Duration // of all that ran, what is between tasks included
	launches [][]time.Duration
}

// Cuts runs something on one thread and notes the tasks that it is cut into; b has one.
func (b *Backend) Cuts(run func()) *Cuts {
	c := &Cuts{}
	b.pool.cuts = c
	defer func() { b.pool.cuts = nil }()
	start := time.Now()
	run()
	c.total = time.Since(start)
	return c
}

// note runs the tasks of a launch.
func (c *Cuts) note(tasks int, task func(worker, i int)) {
	times := make([]time.Duration, tasks)
	for i := range times {
		start := time.Now()
		task(0, i)
		times[i] = time.Since(start)
	}
	c.launches = append(c.launches, times)
}

// Speedup is how many times as fast as one thread several would be, where nothing holds
// them up but the cuts: each takes the next task when it has done one, and what no task
// does is done by one thread. Threads that share memory and caches are slower.
func (c *Cuts) Speedup(threads int) float64 {
	took := c.total
	for _, times := range c.launches {
		free := make([]time.Duration, threads) // when each thread has done its tasks
		for _, t := range times {
			took -= t
			i := slices.Index(free, slices.Min(free))
			free[i] += t
		}
		took += slices.Max(free)
	}
	return c.total.Seconds() / took.Seconds()
}
