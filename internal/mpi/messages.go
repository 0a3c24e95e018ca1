//go:build linux && (amd64 || arm64) && !static

package mpi

import (
	"encoding/binary"
	"unsafe"
)

// Exchange sends each rank its part and receives its own from all.
func (c *comm) Exchange(dst, src []float32, bounds []int) error {
	return c.do(func() error {
		if longest(bounds)*c.size <= c.most { // the same on all ranks
			mine := bounds[c.rank+1] - bounds[c.rank]
			return c.allToAll(dst, evenly(c.size, mine, mine), src, partsOf(bounds, 0, c.most))
		}
		return c.exchangeStaged(dst, src, bounds)
	})
}

// exchangeStaged exchanges pieces of the parts, one of each part at a time, where counts
// or places are too large for MPI.
func (c *comm) exchangeStaged(dst, src []float32, bounds []int) error {
	mine := bounds[c.rank+1] - bounds[c.rank]
	stage := floats(c.stage)
	piece := min(len(stage), c.most) / (2 * c.size)
	out, in := stage[:piece*c.size], stage[piece*c.size:]
	for at := 0; at < longest(bounds); at += piece {
		from := partsOf(bounds, at, piece)
		for p, n := range from.counts {
			copy(out[p*piece:], src[bounds[p]+min(at, bounds[p+1]-bounds[p]):][:n])
			from.places[p] = int32(p * piece)
		}
		n := min(max(mine-at, 0), piece)
		if err := c.allToAll(in, evenly(c.size, n, piece), out, from); err != nil {
			return err
		}
		for p := range c.size {
			copy(dst[p*mine+min(at, mine):], in[p*piece:][:n])
		}
	}
	return nil
}

// Collect gives all ranks everybody's part.
func (c *comm) Collect(buf []float32, bounds []int) error {
	return c.do(func() error {
		if bounds[c.size] <= c.most {
			return c.gatherInPlace(buf, partsOf(bounds, 0, c.most))
		}
		stage := floats(c.stage)
		piece := min(len(stage), c.most) / c.size
		for at := 0; at < longest(bounds); at += piece {
			parts := partsOf(bounds, at, piece)
			place := func(p int) []float32 {
				return buf[bounds[p]+min(at, bounds[p+1]-bounds[p]):][:parts.counts[p]]
			}
			for p := range parts.places {
				parts.places[p] = int32(p * piece)
			}
			copy(stage[c.rank*piece:], place(c.rank))
			if err := c.gatherInPlace(stage, parts); err != nil {
				return err
			}
			for p := range c.size {
				copy(place(p), stage[p*piece:])
			}
		}
		return nil
	})
}

// parts are where the parts of a message lie, in values.
type parts struct{ counts, places []int32 }

// partsOf are the parts between bounds, of each the piece that begins at.
func partsOf(bounds []int, at, piece int) parts {
	n := len(bounds) - 1
	p := parts{make([]int32, n), make([]int32, n)}
	for i := range n {
		p.counts[i] = int32(min(max(bounds[i+1]-bounds[i]-at, 0), piece))
		p.places[i] = int32(bounds[i])
	}
	return p
}

// evenly are parts of count values, stride apart.
func evenly(n, count, stride int) parts {
	p := parts{make([]int32, n), make([]int32, n)}
	for i := range n {
		p.counts[i], p.places[i] = int32(count), int32(i*stride)
	}
	return p
}

// longest is the length of the longest part.
func longest(bounds []int) int {
	n := 0
	for i := range len(bounds) - 1 {
		n = max(n, bounds[i+1]-bounds[i])
	}
	return n
}

func (c *comm) allToAll(dst []float32, to parts, src []float32, from parts) error {
	return c.call("MPI_Alltoallv", c.toAllV,
		uintptr(unsafe.Pointer(unsafe.SliceData(src))), uintptr(unsafe.Pointer(&from.counts[0])), uintptr(unsafe.Pointer(&from.places[0])), c.float,
		uintptr(unsafe.Pointer(unsafe.SliceData(dst))), uintptr(unsafe.Pointer(&to.counts[0])), uintptr(unsafe.Pointer(&to.places[0])), c.float, c.world)
}

func (c *comm) gatherInPlace(buf []float32, p parts) error {
	return c.call("MPI_Allgatherv", c.allgatherv, c.inPlace, 0, c.float,
		uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(unsafe.Pointer(&p.counts[0])), uintptr(unsafe.Pointer(&p.places[0])), c.float, c.world)
}

// Gather returns everybody's bytes: first their lengths, then pieces of equal length.
func (c *comm) Gather(b []byte) (all [][]byte, err error) {
	err = c.do(func() error {
		all = make([][]byte, c.size)
		length, most := binary.LittleEndian.AppendUint64(nil, uint64(len(b))), 0
		if err := c.gatherPieces(length, len(length), func(rank int, got []byte) {
			n := int(binary.LittleEndian.Uint64(got))
			all[rank] = make([]byte, n)
			most = max(most, n)
		}); err != nil {
			return err
		}
		piece := min(most, min(len(c.stage), c.most)/(c.size+1))
		for at := 0; at < most; at += piece {
			if err := c.gatherPieces(b[min(at, len(b)):], piece, func(rank int, got []byte) {
				copy(all[rank][min(at, len(all[rank])):], got)
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// gatherPieces gives take the first n bytes of each rank; a rank that has fewer sends
// others behind them.
func (c *comm) gatherPieces(mine []byte, n int, take func(rank int, got []byte)) error {
	out, in := c.stage[:n], c.stage[n:n+n*c.size]
	copy(out, mine)
	if err := c.call("MPI_Allgather", c.allgather, uintptr(unsafe.Pointer(unsafe.SliceData(out))), uintptr(n), c.octet,
		uintptr(unsafe.Pointer(unsafe.SliceData(in))), uintptr(n), c.octet, c.world); err != nil {
		return err
	}
	for r := range c.size {
		take(r, in[r*n:][:n])
	}
	return nil
}

// Broadcast returns the root's bytes.
func (c *comm) Broadcast(b []byte, root int) (got []byte, err error) {
	err = c.do(func() error {
		length := c.stage[:8]
		binary.LittleEndian.PutUint64(length, uint64(len(b)))
		if err := c.broadcastPiece(length, root); err != nil {
			return err
		}
		got = make([]byte, binary.LittleEndian.Uint64(length))
		if c.rank == root {
			copy(got, b)
		}
		for at := 0; at < len(got); {
			piece := c.stage[:min(len(c.stage), c.most, len(got)-at)]
			copy(piece, got[at:])
			if err := c.broadcastPiece(piece, root); err != nil {
				return err
			}
			at += copy(got[at:], piece)
		}
		return nil
	})
	return got, err
}

func (c *comm) broadcastPiece(b []byte, root int) error {
	return c.call("MPI_Bcast", c.bcast, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), c.octet, uintptr(root), c.world)
}
