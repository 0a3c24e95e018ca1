package cpu

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// Every task runs once, whether helpers are awake, asleep or on their way, and
// no worker number is used twice at a time.
func TestPool(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		for _, threads := range []int{1, 2, 3, 7} {
			p := newPool(threads)
			busy := make([]atomic.Bool, threads)
			for launch := range 300 {
				tasks := launch % 9
				done := make([]int, tasks) // the race detector sees what run does not order
				p.run(tasks, func(worker, i int) {
					if busy[worker].Swap(true) {
						t.Errorf("worker %d works twice", worker)
					}
					done[i]++
					busy[worker].Store(false)
				})
				for i, n := range done {
					if n != 1 {
						t.Fatalf("%d threads: task %d of %d ran %d times", threads, i, tasks, n)
					}
				}
				if launch%100 == 99 {
					time.Sleep(2 * spinTime) // helpers fall asleep
				}
			}
			p.close()
		}
	}
}

// Closing ends the helpers, asleep or not.
func TestPoolClose(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := range 20 {
		p := newPool(4)
		p.run(8, func(_, _ int) {})
		if i%2 == 0 {
			time.Sleep(2 * spinTime)
		}
		p.close()
	}
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

// One processor is not shared with helpers that spin.
func TestPoolOnOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p := newPool(4)
	defer p.close()
	if p.spin != 0 {
		t.Errorf("helpers spin for %v", p.spin)
	}
	var ran atomic.Int64
	for range 2000 {
		p.run(4, func(_, _ int) { ran.Add(1) })
	}
	if n := ran.Load(); n != 8000 {
		t.Errorf("%d tasks of 8000 ran", n)
	}
}

func BenchmarkPool(b *testing.B) {
	p := newPool(2)
	defer p.close()
	task := func(_, _ int) {}
	for b.Loop() {
		p.run(2, task)
	}
}
