package optim

import (
	"math/bits"

	"effnet/internal/backend"
)

// A sum adds up the gradients of an update's batches, as a binary tree over them:
// ((0+1)+(2+3))+((4+5)+6), say. Like a binary counter it keeps the sums of blocks of 1, 2,
// 4 and more batches, at most one of each. So a block of 2^k batches that begins at a
// multiple of 2^k adds up to the same bits on its own, as when another process has it.
type sum struct {
	blocks []backend.View // block i is of 2^i batches; the last may be of twice as many
	full   []bool
	copies []backend.Program   // from the gradients to blocks[0], or from blocks[i-1] to the last
	adds   [][]backend.Program // adds[i][j] adds block i-1, or for 0 the gradients, to block j
	ups    []backend.Program   // ups[i] makes block i+1 of block i and block i-1, or the gradients
}

// newSum compiles the sum of the gradients of up to batches batches, 2 or more.
func newSum(b backend.Backend, gradients backend.View, batches int) (*sum, error) {
	levels := bits.Len(uint(batches - 1))
	s := &sum{full: make([]bool, levels)}
	from := []backend.View{gradients}
	for range levels {
		block, err := backend.NewView(b, gradients.Len)
		if err != nil {
			return nil, err
		}
		s.blocks, from = append(s.blocks, block), append(from, block)
	}
	var first error
	compile := func(spec backend.Spec, operands ...backend.View) backend.Program {
		p, err := b.Compile(spec, operands...)
		if first == nil {
			first = err
		}
		return p
	}
	n, last := gradients.Len, levels-1
	for i, x := range from[:levels] {
		to := s.blocks[last]
		if i == 0 {
			to = s.blocks[0]
		}
		s.copies = append(s.copies, compile(backend.Copy{N: n}, x, to))
		s.adds = append(s.adds, make([]backend.Program, levels))
		for j := i; j <= last; j++ {
			s.adds[i][j] = compile(backend.Add{N: n}, s.blocks[j], x, s.blocks[j])
		}
		if i < last {
			s.ups = append(s.ups, compile(backend.Add{N: n}, s.blocks[i], x, s.blocks[i+1]))
		}
	}
	return s, first
}

// add takes the gradients of one more batch.
func (s *sum) add() {
	if !s.full[0] {
		s.copies[0].All()
		s.full[0] = true
		return
	}
	for i := range s.blocks { // is full, and the block before it, or the gradients, is to be added
		s.full[i] = false
		switch last := i == len(s.blocks)-1; {
		case last:
			s.adds[i][i].All()
			s.full[i] = true
			return
		case !s.full[i+1]:
			s.ups[i].All()
			s.full[i+1] = true
			return
		}
		s.adds[i][i].All()
	}
}

// finish makes the last block the sum of all batches, of 1 or more, and begins anew.
func (s *sum) finish() {
	below := -1 // the blocks up to here are added up in it
	for i := range s.blocks {
		if !s.full[i] {
			continue
		}
		if below >= 0 {
			s.adds[below+1][i].All()
		}
		s.full[i], below = false, i
	}
	if last := len(s.blocks) - 1; below >= 0 && below < last {
		s.copies[below+1].All()
	}
}

// view is where finish leaves the sum.
func (s *sum) view() backend.View { return s.blocks[len(s.blocks)-1] }
