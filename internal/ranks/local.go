package ranks

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
)

// Local returns the transports of a job whose ranks are goroutines of this process: for
// tests, and the Transport to read first.
func Local(ranks int) []Transport {
	m := &meeting{size: ranks, offers: make([]offer, ranks)}
	m.changed.L = &m.mu
	all := make([]Transport, ranks)
	for rank := range all {
		all[rank] = &local{m, rank}
	}
	return all
}

// A meeting is where the ranks of a process wait for each other.
type meeting struct {
	size    int
	offers  []offer // of each rank
	mu      sync.Mutex
	changed sync.Cond
	here    int // ranks that wait
	round   int // how often all were there
	aborted *Aborted
}

// An offer is what a rank brings to a collective call.
type offer struct {
	call   string
	floats []float32
	bytes  []byte
}

// Aborted says that a rank ended the job.
type Aborted struct{ Code int }

func (a *Aborted) Error() string {
	return fmt.Sprintf("ranks: the job was ended with exit code %d", a.Code)
}

// wait returns when all ranks wait, or the job is ended.
func (m *meeting) wait() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	round := m.round
	if m.here++; m.here == m.size && m.aborted == nil {
		m.here, m.round = 0, m.round+1
		m.changed.Broadcast()
	}
	for m.round == round && m.aborted == nil {
		m.changed.Wait()
	}
	if m.round == round {
		return m.aborted
	}
	return nil
}

type local struct {
	*meeting
	rank int
}

// meet has every rank's take see what all ranks offer. No rank leaves before the last has
// taken, so what it offers may change again.
func (l *local) meet(o offer, take func(all []offer)) error {
	l.offers[l.rank] = o
	if err := l.wait(); err != nil {
		return err
	}
	for rank, other := range l.offers {
		if other.call != o.call {
			return fmt.Errorf("ranks: rank %d calls %s while rank %d calls %s", l.rank, o.call, rank, other.call)
		}
	}
	take(l.offers)
	return l.wait()
}

func (l *local) Rank() int                { return l.rank }
func (l *local) Size() int                { return l.size }
func (l *local) Local() (rank, size int)  { return l.rank, l.size }
func (l *local) Floats(n int) []float32   { return make([]float32, n) }
func (l *local) Close() error             { return l.meet(offer{call: "Close"}, func([]offer) {}) }
func (l *local) part(bounds []int) [2]int { return [2]int{bounds[l.rank], bounds[l.rank+1]} }

func (l *local) Exchange(dst, src []float32, bounds []int) error {
	return l.meet(offer{call: "Exchange", floats: src}, func(all []offer) {
		mine := l.part(bounds)
		for rank, o := range all {
			copy(dst[rank*(mine[1]-mine[0]):], o.floats[mine[0]:mine[1]])
		}
	})
}

func (l *local) Collect(buf []float32, bounds []int) error {
	return l.meet(offer{call: "Collect", floats: buf}, func(all []offer) {
		for rank, o := range all {
			if rank != l.rank {
				copy(buf[bounds[rank]:bounds[rank+1]], o.floats[bounds[rank]:])
			}
		}
	})
}

func (l *local) Gather(b []byte) (gathered [][]byte, err error) {
	err = l.meet(offer{call: "Gather", bytes: b}, func(all []offer) {
		for _, o := range all {
			gathered = append(gathered, slices.Clone(o.bytes))
		}
	})
	return gathered, err
}

func (l *local) Broadcast(b []byte, root int) (sent []byte, err error) {
	err = l.meet(offer{call: "Broadcast", bytes: b}, func(all []offer) { sent = slices.Clone(all[root].bytes) })
	return sent, err
}

// Abort ends the waiting of all ranks with an *Aborted, and the calling goroutine.
func (l *local) Abort(code int) {
	l.mu.Lock()
	if l.aborted == nil {
		l.aborted = &Aborted{code}
	}
	l.changed.Broadcast()
	l.mu.Unlock()
	runtime.Goexit()
}
