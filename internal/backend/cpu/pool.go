package cpu

import (
	"runtime"
	"sync/atomic"
	"time"
)

// pool is a fixed set of goroutines that share the tasks of one launch at a
// time. The caller of run is one of the threads; the others, the helpers, spin
// for a while after each launch, as the next one mostly follows at once, and
// then sleep: waking takes as long as many a launch.
//
// A helper that comes late is not waited for. It says that it is active before
// it looks whether a launch is open, and run closes the launch before it looks
// whether a helper is active: one of the two sees the other.
type pool struct {
	threads int
	spin    time.Duration // how long a helper stays awake
	helpers []*helper

	launch atomic.Uint64 // counts launches' beginnings and ends: odd while one is open
	active atomic.Int64  // helpers that may look at the fields below
	next   atomic.Int64
	tasks  int
	task   func(worker, i int)
	closed atomic.Bool
	cuts   *Cuts // unless nil, notes tasks
}

type helper struct {
	asleep atomic.Bool
	wake   chan struct{} // one place: who sets asleep to false sends
}

// spinTime is a little longer than the time between two launches of a pass.
const spinTime = 150 * time.Microsecond

func newPool(threads int) *pool {
	p := &pool{threads: threads}
	if runtime.GOMAXPROCS(0) > 1 {
		p.spin = spinTime
	}
	for i := range threads - 1 {
		h := &helper{wake: make(chan struct{}, 1)}
		p.helpers = append(p.helpers, h)
		go p.help(h, i+1)
	}
	return p
}

// run calls task(worker, i) once for every i in 0..tasks and returns when all
// are done. Calls with one worker number never overlap.
func (p *pool) run(tasks int, task func(worker, i int)) {
	if p.cuts != nil {
		p.cuts.note(tasks, task)
		return
	}
	if tasks <= 1 || p.threads == 1 {
		for i := range tasks {
			task(0, i)
		}
		return
	}
	p.tasks, p.task = tasks, task
	p.next.Store(0)
	p.launch.Add(1) // odd: open
	for _, h := range p.helpers[:min(tasks-1, len(p.helpers))] {
		h.rouse()
	}
	p.work(0)
	p.launch.Add(1) // even: closed
	for i := 1; p.active.Load() > 0; i++ {
		if i%spinLoads == 0 {
			runtime.Gosched()
		}
	}
}

// spinLoads is how often a spinning goroutine looks before it lets others run.
const spinLoads = 128

func (p *pool) work(worker int) {
	for {
		i := int(p.next.Add(1)) - 1
		if i >= p.tasks {
			return
		}
		p.task(worker, i)
	}
}

// help is a helper's life.
func (p *pool) help(h *helper, worker int) {
	seen := uint64(0)
	for !p.closed.Load() {
		if seen = p.await(h, seen); seen%2 == 0 {
			continue
		}
		p.active.Add(1)
		if p.launch.Load()%2 == 1 {
			p.work(worker)
		}
		p.active.Add(-1)
	}
}

// await returns the number of launches once it is not seen any more, or sooner:
// it spins, then sleeps.
func (p *pool) await(h *helper, seen uint64) uint64 {
	for start := time.Now(); p.spin > 0; {
		for range spinLoads {
			if n := p.launch.Load(); n != seen {
				return n
			}
		}
		if time.Since(start) > p.spin {
			break
		}
		runtime.Gosched()
	}
	h.asleep.Store(true)
	if p.launch.Load() != seen || p.closed.Load() {
		if h.asleep.CompareAndSwap(true, false) {
			return p.launch.Load()
		}
	}
	<-h.wake
	return p.launch.Load()
}

// rouse wakes a helper that sleeps.
func (h *helper) rouse() {
	if h.asleep.Load() && h.asleep.CompareAndSwap(true, false) {
		h.wake <- struct{}{}
	}
}

func (p *pool) close() {
	p.closed.Store(true)
	p.launch.Add(2)
	for _, h := range p.helpers {
		h.rouse()
	}
}

// span is the i-th of n nearly equal parts of 0..total.
func span(total, n, i int) (from, to int) { return total * i / n, total * (i + 1) / n }

// blockValues is how many values a block of rows holds: 64 KiB, a part of L2.
const blockValues = 16 << 10

// maxBlocks bounds the blocks of a reduction, and so its partial sums.
const maxBlocks = 256

// blocks is into how many blocks of rows a [rows,cols] array is cut.
func blocks(rows, cols int) int {
	return max(1, min(maxBlocks, rows, rows*cols/blockValues))
}
