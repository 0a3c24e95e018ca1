// Package ranks lets several processes train one network: what they exchange, in which
// order they add it up, and how they notice that one of them differs or hangs.
//
// Its words:
//
//	job         the processes that work together, or in tests the goroutines
//	rank        one of them; also its number, from 0
//	transport   carries data between the ranks: MPI between processes, Local within one
//	shard       a batch of an update; an update has the same ones however many ranks share them
//
// A Group is a rank's place in a job, above a Transport. Sums are a binary tree over
// shards, so their bits do not depend on the number of ranks (see Divide).
package ranks

import (
	"fmt"
	"strconv"
	"strings"
)

// A Transport carries data between the ranks of a job. Its methods but Rank, Size, Local
// and Abort are collective: every rank calls the same ones in the same order. One
// goroutine calls them.
type Transport interface {
	Rank() int               // of this process, from 0
	Size() int               // ranks in the job
	Local() (rank, size int) // among the ranks of this host
	// Exchange sends part p of src (src[bounds[p]:bounds[p+1]]) to rank p and fills dst with the
	// part of this rank from every rank, in rank order.
	Exchange(dst, src []float32, bounds []int) error
	// Collect puts every rank's part of buf (buf[bounds[r]:bounds[r+1]] of rank r) into buf on all ranks.
	Collect(buf []float32, bounds []int) error
	// Gather returns the bytes of every rank, in rank order, on all ranks; lengths may differ.
	Gather(b []byte) ([][]byte, error)
	// Broadcast gives all ranks the bytes of root.
	Broadcast(b []byte, root int) ([]byte, error)
	// Floats is memory for Exchange and Collect, which lives as long as the process.
	Floats(n int) []float32
	// Abort ends the whole job with this exit code. It may be called from any goroutine, and does not return.
	Abort(code int)
	// Close is collective: the end of a job that went well.
	Close() error
}

// Divide returns how many of an update's shards each of some ranks takes. They take them
// in blocks: rank r has the shards from r times that number on. A block is a subtree of
// the sum over all shards, whatever the number of ranks, only if its length is a power of
// two; or if it is all of the tree. Other numbers of ranks are a *DivisionError.
func Divide(shards, ranks int) (each int, err error) {
	if !divides(shards, ranks) {
		return 0, &DivisionError{shards, ranks}
	}
	return shards / ranks, nil
}

func divides(shards, ranks int) bool {
	each := shards / ranks
	return ranks == 1 || shards%ranks == 0 && each > 0 && each&(each-1) == 0
}

// A DivisionError says that a number of ranks cannot share an update's shards.
type DivisionError struct{ Shards, Ranks int }

func (e *DivisionError) Error() string {
	var may []string
	for n := 1; n <= e.Shards; n++ {
		if divides(e.Shards, n) {
			may = append(may, strconv.Itoa(n))
		}
	}
	last := len(may) - 1
	text := may[last]
	if last > 0 {
		text = strings.Join(may[:last], ", ") + " or " + text
	}
	return fmt.Sprintf("%d ranks cannot share an update of %d batches (ranks times grad-accum when the run began): start %s of them", e.Ranks, e.Shards, text)
}
