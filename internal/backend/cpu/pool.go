package cpu

import (
	"sync"
	"sync/atomic"
)

// pool is a fixed set of goroutines that share the tasks of one launch at a
// time. The caller of run is one of the threads.
type pool struct {
	threads int
	wake    chan int // worker number; closed by close
	done    sync.WaitGroup

	next  atomic.Int64
	tasks int
	task  func(worker, i int)
}

func newPool(threads int) *pool {
	p := &pool{threads: threads, wake: make(chan int)}
	for range threads - 1 {
		go func() {
			for worker := range p.wake {
				p.work(worker)
				p.done.Done()
			}
		}()
	}
	return p
}

// run calls task(worker, i) once for every i in 0..tasks and returns when all
// are done. Calls with one worker number never overlap.
func (p *pool) run(tasks int, task func(worker, i int)) {
	if tasks == 1 || p.threads == 1 {
		for i := range tasks {
			task(0, i)
		}
		return
	}
	p.tasks, p.task = tasks, task
	p.next.Store(0)
	helpers := min(p.threads, tasks) - 1
	p.done.Add(helpers)
	for w := range helpers {
		p.wake <- w + 1
	}
	p.work(0)
	p.done.Wait()
}

func (p *pool) work(worker int) {
	for {
		i := int(p.next.Add(1)) - 1
		if i >= p.tasks {
			return
		}
		p.task(worker, i)
	}
}

func (p *pool) close() { close(p.wake) }

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
