package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"effnet/internal/atomicfile"
	"effnet/internal/report"
	"effnet/internal/scale"

	"go.yaml.in/yaml/v3"
)

// Baselines asks which network of a space is the best to scale (Tan and Le 2019,
// section 4, where the search is that of Tan et al. 2019).
type Baselines struct {
	Space    scale.Space
	Searcher Searcher
	Networks int    // to train
	Together int    // how many are chosen from the same results, and so may be trained at the same time
	Seed     uint64 // of the searcher
	// Candidate is a network of the space as it is trained, with its epochs and the factor
	// of its reward. An error ends the search.
	Candidate func(context.Context, scale.Arch) (Candidate, error)
}

// Validate reports what no search can have.
func (q Baselines) Validate() error {
	if q.Networks < 2 || q.Networks > 100_000 || q.Together < 1 {
		return fmt.Errorf("search: %d networks, %d at a time (want 2 to 100000, and at least 1 at a time)", q.Networks, q.Together)
	}
	if err := q.Space.Validate(); err != nil {
		return err
	}
	return q.Searcher.Validate()
}

// Plan is the start of a plan, with the networks that depend on no results; seeds and
// halving are left to the caller.
func (q Baselines) Plan(ctx context.Context) (p Plan, err error) {
	p = Plan{Columns: []string{"network", "parent"}, Networks: q.Networks}
	p.Candidates, err = q.Grow(ctx, p, nil)
	return p, err
}

// tries is how often a searcher may choose a network that was trained before, until the
// space is taken to have no others.
const tries = 2000

// Grow implements Grower. What a network is depends on the seed, its number and the
// records of those before it, so a resumed search makes the same.
func (q Baselines) Grow(ctx context.Context, p Plan, records []Record) (more []Candidate, err error) {
	known := map[string]bool{}
	for _, c := range p.Candidates {
		known[c.Arch.Key()] = true
	}
	tried := q.tried(p, records)
	for len(more) < q.Together && len(p.Candidates)+len(more) < q.Networks {
		number := len(p.Candidates) + len(more)
		rng := rand.New(rand.NewPCG(q.Seed, uint64(number)))
		c, err := q.next(ctx, number, tried, known, rng)
		if err != nil || c == nil {
			return more, err
		}
		more = append(more, *c)
	}
	return more, nil
}

// tried are the networks with their rewards after the first rung.
func (q Baselines) tried(p Plan, records []Record) []Tried {
	all := make([]Tried, len(p.Candidates))
	for i, c := range p.Candidates {
		all[i] = Tried{Genes: c.Genes}
		if s := scoreIn(records, p.Seeds, c, 1); s.Failed == "" {
			all[i].Reward = s.Reward()
		}
	}
	return all
}

// next is a network that is not known, or nil where none is found.
func (q Baselines) next(ctx context.Context, number int, tried []Tried, known map[string]bool, rng *rand.Rand) (*Candidate, error) {
	searcher := q.Searcher
	for i := range tries {
		if i == tries/2 {
			searcher = Random{} // all that it can choose may be known
		}
		genes, parent := searcher.Choose(q.Space, tried, rng)
		b, err := q.Space.Baseline(genes)
		if err != nil {
			return nil, err
		}
		a, err := b.Scale(1, 1, b.Resolution)
		if err != nil {
			return nil, err
		}
		if known[a.Key()] {
			continue
		}
		known[a.Key()] = true
		a.Name = "network-" + q.number(number)
		c, err := q.Candidate(ctx, a)
		if err != nil {
			return nil, err
		}
		c.Name, c.Genes, c.Labels = a.Name, genes, []string{q.number(number), q.number(parent)}
		return &c, nil
	}
	return nil, nil
}

// number is what the i-th network is called, from 0; a dash if it is none.
func (q Baselines) number(i int) string {
	if i < 0 {
		return "-"
	}
	return fmt.Sprintf("%0*d", len(strconv.Itoa(q.Networks)), i+1)
}

// Name is that of the search's files.
func (q Baselines) Name() string { return "baseline-search" }

// Title is that of the page.
func (q Baselines) Title() string { return "Search for a baseline" }

// Answer says which network is best, and how sure that is.
func (q Baselines) Answer(r *Results) []string {
	v := Judge(r.Ranking)
	if v.Winner == nil {
		return []string{"No training run was finished."}
	}
	best := v.Winner.Candidate
	return []string{
		fmt.Sprintf("Best is network %s: %s.", best.Labels[0], v.measured(r)),
		fmt.Sprintf("Its reward is %s: top-1 times %.3f, for %s multiply-adds and %s parameters.", report.Percent(v.Winner.Reward()), best.factor(),
			report.WithUnit(best.MACs()), report.Grouped(scale.Count(best.Arch).Params)),
		v.certainty(r.Plan),
	}
}

// Baseline is the table of a ranking's best, to be scaled.
func (q Baselines) Baseline(r *Results) (scale.Baseline, error) {
	b, err := q.Space.Baseline(r.Ranking[0].Candidate.Genes)
	b.Name = "searched"
	b.Resolution = r.Ranking[0].Candidate.Arch.Resolution
	return b, err
}

// Write stores the best network as a file of settings, with a comment on how to use it
// and the answer.
func (q Baselines) Write(path string, r *Results) error {
	b, err := q.Baseline(r)
	if err != nil {
		return err
	}
	settings, err := yaml.Marshal(struct {
		Baseline scale.Baseline `yaml:"baseline"`
	}{b})
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(f *os.File) error {
		_, err := fmt.Fprintf(f, "# effnet search-coefficients DIR --baseline %s\n# %s\n%s", path, strings.Join(q.Answer(r), "\n# "), settings)
		return err
	})
}
