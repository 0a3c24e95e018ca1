package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"effnet/internal/scale"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// landscape is a top-1 by genes whose optimum is known: 0.9, of the genes best. Each gene
// that is another takes something away, and a pair of neighbours that are both right gives
// something back, so that genes cannot be found one by one.
type landscape struct {
	best  scale.Genes
	cost  []float64 // of each gene that is another
	pairs []float64 // of each gene and the next
}

func newLandscape(s scale.Space, seed uint64) landscape {
	rng := rand.New(rand.NewPCG(seed, 1<<40))
	l := landscape{best: s.Random(rng)}
	sum := 0.
	for range l.best {
		l.cost, l.pairs = append(l.cost, rng.Float64()), append(l.pairs, rng.Float64())
		sum += l.cost[len(l.cost)-1] + l.pairs[len(l.pairs)-1]
	}
	for i := range l.cost {
		l.cost[i], l.pairs[i] = 0.8*l.cost[i]/sum, 0.8*l.pairs[i]/sum
	}
	return l
}

func (l landscape) top1(g scale.Genes) float64 {
	v := 0.9
	for i := range g {
		if g[i] != l.best[i] {
			v -= l.cost[i]
		}
		if next := (i + 1) % len(g); g[i] != l.best[i] || g[next] != l.best[next] {
			v -= l.pairs[i]
		}
	}
	return v
}

// Train implements Trainer: top-1 rises to the landscape's.
func (l landscape) Train(_ context.Context, t Trial) (out Outcome, err error) {
	for epoch := range t.Until {
		out.Curve = append(out.Curve, l.top1(t.Candidate.Genes)*(1-0.3/float64(epoch+1)))
	}
	return out, nil
}

func (landscape) Forget(Trial) error { return nil }

// space is one around MobileNetV2, with MnasNet's choices.
func space(t testing.TB) scale.Space {
	t.Helper()
	table, err := scale.LookupBaseline("mobilenetv2")
	if err != nil {
		t.Fatal(err)
	}
	s := scale.Space{Table: table, Choices: []scale.Choices{{
		Block: []string{scale.MBConv, scale.Fused}, Kernel: []int{3, 5}, Expansion: []float64{3, 6}, Channels: []float64{0.75, 1, 1.25}, Layers: []int{-1, 0, 1},
	}}}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	return s
}

// baselines is a search of a space; factor is that of its reward.
func baselines(t testing.TB, by Searcher, networks, together int, seed uint64, factor func(scale.Arch) float64) Baselines {
	t.Helper()
	q := Baselines{Space: space(t), Searcher: by, Networks: networks, Together: together, Seed: seed}
	q.Candidate = func(_ context.Context, a scale.Arch) (Candidate, error) {
		return Candidate{Arch: a, Epochs: 9, Factor: factor(a)}, nil
	}
	if err := q.Validate(); err != nil {
		t.Fatal(err)
	}
	return q
}

func one(scale.Arch) float64 { return 1 }

// bestOf is the best reward of a search without files.
func bestOf(t *testing.T, q Baselines, l landscape) float64 {
	t.Helper()
	p, err := q.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Seeds = []uint64{1}
	var records []Record
	best := 0.
	for {
		for _, c := range p.Candidates[len(records):] {
			top1 := l.top1(c.Genes)
			records = append(records, Record{Name: c.Name, Seed: 1, Rung: 1, Objective: top1, Curve: []float64{top1}})
			best = max(best, top1)
		}
		more, err := q.Grow(t.Context(), p, records)
		if err != nil {
			t.Fatal(err)
		}
		if len(more) == 0 {
			return best
		}
		p.Candidates = append(p.Candidates, more...)
	}
}

// Evolution finds better networks than random search does with as many, on landscapes
// whose optimum, 0.9, is known: by a paired t-test over 20 of them.
func TestEvolutionBeatsRandom(t *testing.T) {
	const seeds, networks = 20, 100
	var evolved, random, differences []float64
	for seed := range uint64(seeds) {
		l := newLandscape(space(t), seed)
		if best := l.top1(l.best); math.Abs(best-0.9) > 1e-12 {
			t.Fatalf("the optimum is %v", best)
		}
		e := bestOf(t, baselines(t, Evolution{25, 5}, networks, 2, seed, one), l)
		r := bestOf(t, baselines(t, Random{}, networks, 2, seed, one), l)
		evolved, random, differences = append(evolved, e), append(random, r), append(differences, e-r)
	}
	mean, sd := stat.MeanStdDev(differences, nil)
	value := mean / (sd / math.Sqrt(seeds))
	p := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: seeds - 1}.Survival(value)
	t.Logf("the best of %d networks, mean of %d landscapes with an optimum of 0.9: evolution %.3f, random search %.3f; difference %.3f, standard deviation %.3f, t %.1f, p %.1g",
		networks, seeds, stat.Mean(evolved, nil), stat.Mean(random, nil), mean, sd, value, p)
	if !(p < 0.01) {
		t.Error("evolution is no better than random search")
	}
}

// With enough networks, evolution finds the optimum itself.
func TestEvolutionFindsTheOptimum(t *testing.T) {
	q := baselines(t, Evolution{25, 5}, 400, 2, 3, one)
	q.Space.Table.Stages = q.Space.Table.Stages[:3] // 150,000 networks
	l := newLandscape(q.Space, 3)
	if best := bestOf(t, q, l); best < 0.9-1e-9 {
		t.Errorf("the best of 400 networks has %v, want 0.9", best)
	}
}

// A search for a baseline is the same with any number of jobs, and when it is interrupted
// anywhere and resumed.
func TestBaselinesResume(t *testing.T) {
	l := newLandscape(space(t), 5)
	start := func(jobs int) *Search {
		q := baselines(t, Evolution{4, 2}, 12, 3, 7, func(a scale.Arch) float64 { return math.Pow(float64(scale.Count(a).MACs)/3e8, -0.07) })
		p, err := q.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.Seeds, p.Halving = []uint64{1, 2}, 3
		s := newSearch(t, p)
		s.Question, s.Trainer, s.Jobs = q, l, jobs
		return s
	}
	whole := start(1)
	r, err := whole.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Plan.Candidates); n != 12 || len(r.Records) != 2*(12+4+2) {
		t.Errorf("%d networks, %d records", n, len(r.Records))
	}
	files := func(s *Search) string {
		return file(t, s.Dir, "baseline-search.jsonl") + file(t, s.Dir, "baseline-search.csv") + file(t, s.Dir, PlanFile) + file(t, s.Dir, "report.html")
	}
	want := files(whole)
	for _, jobs := range []int{2, 4} {
		s := start(jobs)
		if _, err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if files(s) != want {
			t.Errorf("%d jobs: another search", jobs)
		}
	}
	for _, after := range []int64{1, 7, 23, 24, 30, 35} {
		s := start(2)
		ctx, cancel := context.WithCancel(t.Context())
		s.Trainer = &interrupted{Trainer: l, left: after, cancel: cancel}
		if _, err := s.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("after %d trials: %v", after, err)
		}
		plan, _, err := ReadPlan(s.Dir, s.Question.Name(), nil)
		if err != nil {
			t.Fatal(err)
		}
		s = s.resume()
		s.Plan, s.Trainer = plan, l
		if _, err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if files(s) != want {
			t.Errorf("interrupted after %d trials: another search", after)
		}
	}
}

// interrupted is a trainer under which a search is cancelled after some trials.
type interrupted struct {
	Trainer
	left   int64
	cancel func()
}

func (i *interrupted) Train(ctx context.Context, t Trial) (Outcome, error) {
	if atomic.AddInt64(&i.left, -1) < 0 {
		i.cancel()
		return Outcome{}, ctx.Err()
	}
	return i.Trainer.Train(ctx, t)
}

// No network is trained twice, and a space that has no others ends the search.
func TestBaselinesAreDifferent(t *testing.T) {
	q := baselines(t, Evolution{4, 2}, 50, 5, 1, one)
	q.Space.Choices = []scale.Choices{{Stage: 3, Kernel: []int{3, 5}, Channels: []float64{0.75, 1, 1.25}}, {Stage: 7, Shortcut: []bool{true, false}}}
	p, err := q.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Seeds, p.Halving = []uint64{1}, 1
	s := newSearch(t, p)
	s.Question, s.Trainer = q, newLandscape(q.Space, 1)
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, c := range r.Plan.Candidates {
		keys[c.Arch.BlockText()] = true
	}
	if len(r.Plan.Candidates) != 12 || len(keys) != 12 {
		t.Errorf("%d networks, %d different ones, want 12", len(r.Plan.Candidates), len(keys))
	}
}

// A network whose training fails has no children while others live.
func TestEvolutionAvoidsFailures(t *testing.T) {
	s, rng := space(t), rand.New(rand.NewPCG(1, 2))
	var tried []Tried
	for range 10 {
		tried = append(tried, Tried{Genes: s.Random(rng)})
	}
	tried[6].Reward = 0.1
	for range 200 {
		if _, parent := (Evolution{5, 50}).Choose(s, tried, rng); parent != 6 {
			t.Fatalf("a child of network %d", parent)
		}
	}
	tried[6].Reward, tried[2].Reward = 0, 0.9 // which is too old
	for range 200 {
		if _, parent := (Evolution{5, 2}).Choose(s, tried, rng); parent < 5 {
			t.Fatalf("a child of network %d, which is not alive", parent)
		}
	}
}

func TestReward(t *testing.T) {
	b0, err := scale.LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	small, _ := b0.Scale(1, 1, 224)
	large, _ := b0.Scale(1, 2, 224)
	measure := func(a scale.Arch, c Cost) (float64, error) {
		switch c {
		case Time:
			return 10 * float64(len(a.Blocks())), nil
		case Latency:
			return 0.01, nil
		}
		return Counted(a, c)
	}
	m := float64(scale.Count(large).MACs) / float64(scale.Count(small).MACs)
	n := float64(scale.Count(large).Params) / float64(scale.Count(small).Params)
	for i, c := range []struct {
		target string
		want   float64
	}{{"", math.Pow(m, -0.07)}, {"", math.Pow(2, -0.07) * math.Pow(n, -0.05)}, {"20ms", math.Pow(0.5, -0.07)}} {
		r, err := Rewards[i].Reward.WithTarget(c.target)
		if err != nil {
			t.Fatal(err)
		}
		if r, err = r.At(small, measure); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Factor(large, measure); err != nil || math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %v %v, want %v", Rewards[i].Name, got, err, c.want)
		}
	}
	if r, err := Rewards[0].Reward.WithTarget("400M"); err != nil || r[0].Target != 4e8 || Rewards[0].Reward[0].Target != 0 {
		t.Errorf("%v %v", r, err)
	}
	for i, text := range []string{"fast", "20ms", "-1s"} {
		if _, err := Rewards[i].Reward.WithTarget(text); err == nil {
			t.Errorf("%s: %q is a target", Rewards[i].Name, text)
		}
	}
}

// The file that a search writes is the best network, to be scaled.
func TestBaselinesWrite(t *testing.T) {
	q := baselines(t, Random{}, 4, 2, 1, one)
	p, err := q.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Seeds, p.Halving = []uint64{1}, 1
	s := newSearch(t, p)
	s.Question, s.Trainer = q, newLandscape(q.Space, 1)
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path := s.Dir + "/baseline.yaml"
	if err := q.Write(path, r); err != nil {
		t.Fatal(err)
	}
	text := file(t, s.Dir, "baseline.yaml")
	if !strings.HasPrefix(text, "# effnet search-coefficients DIR --baseline "+path+"\n# Best is network ") {
		t.Error(text)
	}
	for _, stage := range r.Ranking[0].Candidate.Arch.Stages {
		if want := fmt.Sprintf("channels: %d\n", stage.Channels); !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if !slices.ContainsFunc(q.Answer(r), func(s string) bool { return strings.HasPrefix(s, "Its reward is ") }) {
		t.Error(q.Answer(r))
	}
}
