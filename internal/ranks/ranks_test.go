package ranks_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"effnet/internal/ranks"
)

// job runs a job of some ranks in this process, and returns what each ended with. A rank
// that fails ends the job.
func job(n int, opt ranks.Options, rank func(g *ranks.Group) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i, t := range ranks.Local(n) {
		wg.Go(func() {
			if errs[i] = rank(ranks.New(t, opt)); errs[i] != nil {
				t.Abort(1)
			}
		})
	}
	wg.Wait()
	return errs
}

// treeOf adds leaves up by the definition: halves of the next power of two.
func treeOf(leaves [][]float32) []float32 {
	if len(leaves) == 1 {
		return slices.Clone(leaves[0])
	}
	half := 1
	for 2*half < len(leaves) {
		half *= 2
	}
	sum := treeOf(leaves[:half])
	for i, v := range treeOf(leaves[half:]) {
		sum[i] += v
	}
	return sum
}

// However many ranks share the leaves, and however many leaves there are, the sum has the
// bits of the whole tree's.
func TestSumsAreTheTrees(t *testing.T) {
	const n = 1000
	rng := rand.New(rand.NewPCG(1, 2))
	leaves := make([][]float32, 12)
	for i := range leaves {
		for range n {
			leaves[i] = append(leaves[i], float32(rng.NormFloat64()))
		}
	}
	for _, c := range []struct{ shards, size int }{{8, 2}, {8, 4}, {8, 8}, {12, 3}, {12, 6}, {12, 12}, {6, 3}} {
		each, err := ranks.Divide(c.shards, c.size)
		if err != nil {
			t.Fatal(err)
		}
		for there := 1; there <= c.shards; there++ { // of an epoch's last update
			want := treeOf(leaves[:there])
			for rank, err := range job(c.size, ranks.Options{}, func(g *ranks.Group) error {
				s := g.NewSum(n)
				from, to := min(g.Rank()*each, there), min((g.Rank()+1)*each, there)
				if from < to {
					copy(s.Values(), treeOf(leaves[from:to]))
				}
				if err := s.Run((there + each - 1) / each); err != nil {
					return err
				}
				if !slices.Equal(s.Values(), want) {
					return errors.New("another sum")
				}
				return nil
			}) {
				if err != nil {
					t.Errorf("%d of %d shards on %d ranks, rank %d: %v", there, c.shards, c.size, rank, err)
				}
			}
		}
	}
}

func TestDivide(t *testing.T) {
	for _, c := range []struct {
		shards, size, each int
		may                string
	}{
		{8, 1, 8, ""}, {8, 2, 4, ""}, {8, 8, 1, ""}, {6, 3, 2, ""}, {6, 1, 6, ""}, {1, 1, 1, ""}, {6, 6, 1, ""},
		{8, 3, 0, "start 1, 2, 4 or 8 of them"}, {6, 2, 0, "start 1, 3 or 6 of them"}, {8, 16, 0, "start 1, 2, 4 or 8 of them"}, {1, 2, 0, "start 1 of them"},
	} {
		each, err := ranks.Divide(c.shards, c.size)
		if each != c.each || (err == nil) != (c.may == "") || err != nil && !strings.Contains(err.Error(), c.may) {
			t.Errorf("%d shards on %d ranks: %d, %v", c.shards, c.size, each, err)
		}
	}
}

// What ranks make of their slices of all rows, in order, is what one makes of the rows.
func TestTableIsDoneInOrder(t *testing.T) {
	const size, each, width = 3, 2, 100
	value := func(row, k int) float32 { return float32(math.Sin(float64(row*width + k))) }
	want := make([]float32, width)
	for row := range size*each - 1 { // the last is not there
		for k := range want {
			want[k] = 0.9*want[k] + value(row, k)
		}
	}
	for rank, err := range job(size, ranks.Options{}, func(g *ranks.Group) error {
		table := g.NewTable(each, width)
		for i := range each {
			row := make([]float32, width)
			for k := range row {
				row[k] = value(each*g.Rank()+i, k)
			}
			table.Set(i, row)
		}
		if err := table.Run(); err != nil {
			return err
		}
		from, n := table.Slice()
		for row := range size*each - 1 {
			for k, v := range table.Part(row) {
				table.Result()[from+k] = 0.9*table.Result()[from+k] + v
			}
		}
		if err := table.Collect(); err != nil {
			return err
		}
		if !slices.Equal(table.Result(), want) || n == 0 || n == width {
			return fmt.Errorf("%v, want %v", table.Result(), want)
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}

// A difference names the first rank that has it, the same on all.
func TestAgree(t *testing.T) {
	facts := func(rank int, other string) []ranks.Fact {
		all := []ranks.Fact{{Name: "version", Value: "1.0"}, {Name: "lr", Value: "0.1"}}
		switch {
		case rank < 2 || other == "":
		case other == "more":
			all = append(all, ranks.Fact{Name: "momentum", Value: "0.9"})
		case other == "fewer":
			all = all[:1]
		default:
			all[1].Value = other
		}
		return all
	}
	for other, want := range map[string]string{
		"": "", "0.2": "rank 2 differs from rank 0: lr is 0.2 there and 0.1 on rank 0",
		"more": "rank 2 differs from rank 0: momentum is 0.9 there and unset on rank 0", "fewer": "rank 2 differs from rank 0: lr is unset there and 0.1 on rank 0",
	} {
		for rank, err := range job(4, ranks.Options{}, func(g *ranks.Group) error { return g.Agree(facts(g.Rank(), other)) }) {
			if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%q, rank %d: %v", other, rank, err)
			}
		}
	}
	for rank, err := range job(3, ranks.Options{}, func(g *ranks.Group) error { return g.Same([]byte{1, byte(g.Rank() / 2)}) }) {
		if drift := (*ranks.Drift)(nil); !errors.As(err, &drift) || drift.Rank != 2 {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}

// A rank that never comes is noticed by the others, who say where they were, and end the
// job.
func TestRankThatHangs(t *testing.T) {
	reports := make(chan string, 3)
	var others sync.WaitGroup
	others.Add(2)
	for rank, err := range job(3, ranks.Options{Timeout: 2 * time.Second, Report: func(text string) { reports <- text }}, func(g *ranks.Group) error {
		if g.Rank() != 1 {
			defer others.Done()
		}
		for step := range 8 {
			g.Step(step+1, 5)
			if g.Rank() == 1 && step == 7 {
				others.Wait()
			}
			if _, err := ranks.Gather(g, "adding up", g.Rank()); err != nil {
				return err
			}
		}
		return nil
	}) {
		var aborted *ranks.Aborted
		if !errors.As(err, &aborted) || aborted.Code != ranks.ExitCode || !strings.Contains(err.Error(), "at step 8 of epoch 5") {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
	if text := <-reports; !strings.Contains(text, "of 3 has waited") || !strings.Contains(text, "adding up, at step 8 of epoch 5") {
		t.Errorf("reported: %s", text)
	}
}

// Ranks that call different things are told so, and do not wait for ever.
func TestRanksThatCallDifferentThings(t *testing.T) {
	for rank, err := range job(2, ranks.Options{Timeout: -1}, func(g *ranks.Group) error {
		if g.Rank() == 0 {
			return g.NewSum(4).Run(1)
		}
		_, err := ranks.Gather(g, "x", 1)
		return err
	}) {
		if err == nil {
			t.Errorf("rank %d saw nothing", rank)
		}
	}
}

func TestProcessOnItsOwn(t *testing.T) {
	var g *ranks.Group
	if from, to := g.Share(7); g.Rank() != 0 || g.Size() != 1 || from != 0 || to != 7 {
		t.Errorf("rank %d of %d, %d to %d", g.Rank(), g.Size(), from, to)
	}
}
