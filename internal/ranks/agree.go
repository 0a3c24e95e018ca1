package ranks

import (
	"context"
	"fmt"
	"hash/crc32"
	"strconv"

	"effnet/internal/words"
)

// A Fact is something that must be the same on all ranks.
type Fact struct{ Name, Value string }

// Agree compares facts between ranks. The first that differs is a *Difference, the same
// on all ranks.
func (g *Group) Agree(facts []Fact) error {
	if g.Size() == 1 {
		return nil
	}
	all, err := Gather(g, "comparing settings", facts)
	if err != nil {
		return err
	}
	for rank, theirs := range all {
		if d := difference(all[0], theirs); d != nil {
			d.Rank = rank
			return d
		}
	}
	return nil
}

// difference is the first fact that one rank's differ in from another's, or nil.
func difference(first, other []Fact) *Difference {
	values := map[string]string{}
	for _, f := range other {
		values[f.Name] = f.Value
	}
	for _, f := range first {
		value, ok := values[f.Name]
		if delete(values, f.Name); value != f.Value || !ok {
			return &Difference{Name: f.Name, Value: value, First: f.Value}
		}
	}
	for _, f := range other {
		if value, ok := values[f.Name]; ok {
			return &Difference{Name: f.Name, Value: value}
		}
	}
	return nil
}

// A Difference is a fact that is not the same on all ranks.
type Difference struct {
	Rank         int // the first that differs from rank 0
	Name         string
	Value, First string // of that rank, and of rank 0
}

func (d *Difference) Error() string {
	first, value := words.Apart(d.First, d.Value)
	return fmt.Sprintf("rank %d differs from rank 0: %s is %s there and %s on rank 0 (all ranks need the same program, settings and images)", d.Rank, d.Name, value, first)
}

// Same compares values, as bytes, between ranks by their checksum (CRC-32C). Those of a
// rank that differ from rank 0's are a *Drift.
func (g *Group) Same(values ...[]byte) error {
	var sum uint32
	for _, v := range values {
		sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), v)
	}
	all, err := Gather(g, "comparing weights", sum)
	if err != nil {
		return err
	}
	for rank, other := range all {
		if other != all[0] {
			return &Drift{Rank: rank, At: g.at, Sum: hex(other), First: hex(all[0])}
		}
	}
	return nil
}

func hex(sum uint32) string { return strconv.FormatUint(uint64(sum), 16) }

// A Drift says that ranks, which compute the same updates, have other weights.
type Drift struct {
	Rank       int // the first that differs from rank 0
	At         string
	Sum, First string // checksums of that rank's weights, and of rank 0's
}

func (d *Drift) Error() string {
	return fmt.Sprintf("the weights of rank %d differ from those of rank 0, %s: checksum %s, and %s on rank 0: its machine may be faulty, or compute in other last bits (resume the run without it)", d.Rank, d.At, d.Sum, d.First)
}

// Stopped says that a rank was asked to stop, and so all ranks do, after the same step.
type Stopped struct{ Rank int }

func (s *Stopped) Error() string { return fmt.Sprintf("rank %d was asked to stop", s.Rank) }

// Is says that the cause is the end of that rank's context.
func (s *Stopped) Is(target error) bool { return target == context.Canceled }
