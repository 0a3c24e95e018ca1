// Package rankstest is for tests only: the suite that every ranks.Transport passes.
package rankstest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"effnet/internal/ranks"
)

// Check checks a transport. It is collective: every rank of a job calls it. It goes on
// after a wrong result, for other ranks wait for this one, and ends at a call that fails.
func Check(t ranks.Transport) error {
	c := &checker{Transport: t}
	for _, check := range []func() error{c.places, c.gather, c.broadcast, c.floats, c.exchangeAndCollect, c.random} {
		if err := check(); err != nil {
			return errors.Join(append(c.wrong, fmt.Errorf("rank %d: %w", t.Rank(), err))...)
		}
	}
	return errors.Join(c.wrong...)
}

type checker struct {
	ranks.Transport
	wrong []error
}

func (c *checker) errorf(format string, args ...any) {
	if len(c.wrong) < 20 {
		c.wrong = append(c.wrong, fmt.Errorf("rank %d: %s", c.Rank(), fmt.Sprintf(format, args...)))
	}
}

// places checks that ranks are counted once, in the job and on each host.
func (c *checker) places() error {
	local, size := c.Local()
	all, err := c.Gather(fmt.Appendf(nil, "%d/%d %d/%d", c.Rank(), c.Size(), local, size))
	if err != nil {
		return err
	}
	if len(all) != c.Size() {
		c.errorf("Gather returns %d results of %d ranks", len(all), c.Size())
	}
	hosts := 0.0 // each rank counts for its part of its host
	for r, text := range all {
		var rank, ranks, number, beside int
		if n, _ := fmt.Sscanf(string(text), "%d/%d %d/%d", &rank, &ranks, &number, &beside); n != 4 {
			c.errorf("Gather has %q at rank %d", text, r)
			continue
		}
		if rank != r || ranks != c.Size() || number < 0 || number >= beside || beside > ranks {
			c.errorf("Gather has rank %d of %d, on its host %d of %d, at rank %d", rank, ranks, number, beside, r)
		}
		hosts += 1 / float64(beside)
	}
	if n := int(hosts + 0.5); n < 1 || hosts-float64(n) > 1e-6 || float64(n)-hosts > 1e-6 {
		c.errorf("ranks count for %v hosts", hosts)
	}
	return nil
}

// said is what rank r says in round i: n bytes that nobody else says.
func said(r, i, n int) []byte {
	b, g := make([]byte, n), rand.New(rand.NewPCG(uint64(r), uint64(i)))
	for j := range b {
		b[j] = byte(g.Uint32())
	}
	return b
}

// lengths are bytes of a message: none, fewer than ranks, and more than fits one piece.
var lengths = []int{0, 1, 7, 1000, 2_000_003}

func (c *checker) gather() error {
	for i, n := range lengths {
		// All ranks as much; one rank alone; each a different length.
		for kind, length := range []func(r int) int{
			func(int) int { return n },
			func(r int) int {
				if r != i%c.Size() {
					return 0
				}
				return n
			},
			func(r int) int { return n / (r + 1) },
		} {
			b := said(c.Rank(), i, length(c.Rank()))
			before := slices.Clone(b)
			all, err := c.Gather(b)
			if err != nil {
				return err
			}
			if !bytes.Equal(b, before) {
				c.errorf("Gather changes what it is given")
			}
			clear(b) // what others got is theirs
			for r, got := range all {
				if !bytes.Equal(got, said(r, i, length(r))) {
					c.errorf("Gather of %d bytes (kind %d) is wrong about rank %d, which gave %d: it has %d", n, kind, r, length(r), len(got))
				}
				clear(got) // and what is got is only this rank's
			}
		}
	}
	return nil
}

func (c *checker) broadcast() error {
	for i, n := range lengths {
		root := i % c.Size()
		var b []byte
		if c.Rank() == root {
			b = said(root, i, n)
		} else if i%2 == 0 {
			b = []byte("not the root's")
		}
		got, err := c.Broadcast(b, root)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, said(root, i, n)) {
			c.errorf("Broadcast of %d bytes from rank %d is wrong: it has %d", n, root, len(got))
		}
		clear(got)
		if c.Rank() == root && !bytes.Equal(b, said(root, i, n)) {
			c.errorf("Broadcast changes what it is given, or returns it")
		}
	}
	return nil
}

func (c *checker) floats() error {
	a, b := c.Floats(1000), c.Floats(1000)
	if len(a) != 1000 || len(b) != 1000 || len(c.Floats(0)) != 0 {
		c.errorf("Floats has another length")
		return nil
	}
	for i := range a {
		if a[i] != 0 || b[i] != 0 {
			c.errorf("Floats is not zero")
		}
		a[i] = 1
	}
	if b[0] != 0 || b[999] != 0 {
		c.errorf("Floats returns the same memory twice")
	}
	return nil
}

// value is element i of rank r: whole numbers that float32 holds.
func value(r, i int) float32 { return float32((r*65_537 + i*7) % (1 << 24)) }

// exchangeAndCollect does both with parts that are even, uneven, empty, and all of one
// rank.
func (c *checker) exchangeAndCollect() error {
	for _, n := range []int{0, 1, c.Size(), 4096, 1_000_003} {
		for first := range 3 {
			bounds := make([]int, c.Size()+1)
			for p := 1; p <= c.Size(); p++ {
				bounds[p] = [...]int{n * p / c.Size(), n * p * p / (c.Size() * c.Size()), n}[first]
			}
			if err := c.exchange(bounds); err != nil {
				return err
			}
			if err := c.collect(bounds); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) exchange(bounds []int) error {
	lo, hi := bounds[c.Rank()], bounds[c.Rank()+1]
	src, dst := c.Floats(bounds[c.Size()]), c.Floats((hi-lo)*c.Size())
	for i := range src {
		src[i] = value(c.Rank(), i)
	}
	if err := c.Exchange(dst, src, bounds); err != nil {
		return err
	}
	for i := range src {
		if src[i] != value(c.Rank(), i) {
			c.errorf("Exchange changes src[%d]", i)
			break
		}
	}
	for r := range c.Size() {
		for i := lo; i < hi; i++ {
			if got := dst[r*(hi-lo)+i-lo]; got != value(r, i) {
				c.errorf("Exchange with %v has %v of rank %d at %d, not %v", bounds, got, r, i, value(r, i))
				break
			}
		}
	}
	return nil
}

func (c *checker) collect(bounds []int) error {
	buf := c.Floats(bounds[c.Size()])
	for i := range buf {
		buf[i] = -1
	}
	for i := bounds[c.Rank()]; i < bounds[c.Rank()+1]; i++ {
		buf[i] = value(c.Rank(), i)
	}
	if err := c.Collect(buf, bounds); err != nil {
		return err
	}
	for r := range c.Size() {
		for i := bounds[r]; i < bounds[r+1]; i++ {
			if buf[i] != value(r, i) {
				c.errorf("Collect with %v has %v of rank %d at %d, not %v", bounds, buf[i], r, i, value(r, i))
				break
			}
		}
	}
	return nil
}

// random makes many small calls of all kinds, in an order that all ranks draw alike: what
// one call leaves behind would meet the next.
func (c *checker) random() error {
	g := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		bounds := make([]int, c.Size()+1)
		for p := range c.Size() {
			bounds[p+1] = bounds[p] + g.IntN(200)
		}
		var err error
		switch g.IntN(4) {
		case 0:
			err = c.exchange(bounds)
		case 1:
			err = c.collect(bounds)
		case 2:
			var all [][]byte
			if all, err = c.Gather(said(c.Rank(), i, i)); err == nil && !bytes.Equal(all[c.Size()-1], said(c.Size()-1, i, i)) {
				c.errorf("Gather %d is wrong", i)
			}
		case 3:
			root := g.IntN(c.Size())
			var got []byte
			if got, err = c.Broadcast(said(c.Rank(), i, i), root); err == nil && !bytes.Equal(got, said(root, i, i)) {
				c.errorf("Broadcast %d is wrong", i)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
