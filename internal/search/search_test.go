package search

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"effnet/internal/report"
	"effnet/internal/scale"
)

// plan has n networks of rising cost and two seeds.
func plan(t *testing.T, n, halving int) Plan {
	t.Helper()
	b, err := scale.LookupBaseline("efficientnet-b0")
	if err != nil {
		t.Fatal(err)
	}
	p := Plan{Columns: []string{"gamma"}, Seeds: []uint64{7, 8}, Halving: halving}
	for i := range n {
		gamma := 1 + float64(i)/20
		a, err := b.Compound(scale.Coefficients{Phi: 1, Alpha: 1, Beta: 1, Gamma: gamma})
		if err != nil {
			t.Fatal(err)
		}
		p.Candidates = append(p.Candidates, Candidate{Name: fmt.Sprintf("gamma%g", gamma), Arch: a, Epochs: 27, Labels: []string{fmt.Sprint(gamma)}})
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}

// best asks which candidate is best.
type best struct{}

func (best) Name() string  { return "best" }
func (best) Title() string { return "The best" }

func (best) Answer(r *Results) []string { return []string{r.Ranking[0].Candidate.Name + " wins."} }

func (best) Show(*report.Search, *Results) {}

// bowl is a trainer without networks: a top-1 that is highest at the fifth candidate,
// rises with epochs and depends on the seed. It keeps states, as a real one does.
type bowl struct {
	plan  Plan
	fails func(context.Context, Trial) error // may be nil

	mu     sync.Mutex
	states map[string]int // epochs, by folder
	epochs int            // trained in all
}

func (b *bowl) Train(ctx context.Context, t Trial) (out Outcome, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails != nil {
		if err := b.fails(ctx, t); err != nil {
			return out, err
		}
	}
	if b.states == nil {
		b.states = map[string]int{}
	}
	b.epochs += t.Until - b.states[t.Dir]
	b.states[t.Dir] = t.Until
	i := slices.IndexFunc(b.plan.Candidates, func(c Candidate) bool { return c.Name == t.Candidate.Name })
	for epoch := range t.Until {
		top1 := 0.9 - 0.02*math.Abs(float64(i-4)) - 0.5/float64(epoch+1) + 0.001*float64(t.Seed)
		out.Curve = append(out.Curve, top1)
	}
	return out, nil
}

func (b *bowl) Forget(t Trial) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.states, t.Dir)
	return nil
}

// newSearch is one in a new folder.
func newSearch(t *testing.T, p Plan) *Search {
	return &Search{Question: best{}, Plan: p, Dir: t.TempDir(), Trainer: &bowl{plan: p}, Log: t.Logf,
		About: About{Folder: "photos", Images: 100, Baseline: scale.Cost{MACs: 1}}}
}

// resume is the same search in another process.
func (s *Search) resume() *Search {
	return &Search{Question: s.Question, Plan: s.Plan, Flags: s.Flags, About: s.About, Dir: s.Dir, Resume: true, Jobs: s.Jobs, Trainer: s.Trainer, Log: s.Log}
}

// file is the text of one of a search's files.
func file(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestHalvingKeepsTheBest(t *testing.T) {
	p := plan(t, 12, 3)
	s := newSearch(t, p)
	var log []string
	s.Log = func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !r.Finished || len(r.Records) != 2*(12+4+2) || len(r.Records) != p.Trials() {
		t.Errorf("%d records", len(r.Records))
	}
	trainer := s.Trainer.(*bowl)
	if want := 2 * (8*3 + 2*9 + 2*27); trainer.epochs != want {
		t.Errorf("%d epochs were trained, want %d: each once", trainer.epochs, want)
	}
	if len(trainer.states) != 0 {
		t.Errorf("states are left: %v", trainer.states)
	}
	var names []string
	for _, s := range r.Ranking[:4] {
		names = append(names, fmt.Sprintf("%s after %d", s.Candidate.Labels[0], s.Epochs))
	}
	// Of equal means, the one of fewer multiply-adds.
	if got, want := strings.Join(names, ", "), "1.2 after 27, 1.15 after 27, 1.25 after 9, 1.1 after 9"; got != want {
		t.Errorf("the best are %s, want %s", got, want)
	}
	if first := r.Ranking[0]; first.Objectives[1]-first.Objectives[0] < 0.0009 || len(first.Curve) != 27 {
		t.Errorf("the best is %+v", first)
	}
	for i, want := range map[int]string{
		0: "rung 1 of 3: 12 networks, 2 seeds each, up to epoch 3", 1: " 1/24  gamma 1, seed 7: top-1 66.03% after 3 epochs",
		24: "24/24  gamma 1.55, seed 8", 25: "rung 2 of 3: 4 networks, 2 seeds each, up to epoch 9", 34: "rung 3 of 3: 2 networks", 38: "4/4  gamma 1.2, seed 8",
	} {
		if !strings.HasPrefix(log[i], want) {
			t.Errorf("line %d of the log is %q, want %q", i, log[i], want)
		}
	}
}

// What a search leaves for people and programs.
func TestFiles(t *testing.T) {
	s := newSearch(t, plan(t, 3, 3))
	s.Flags = []Flag{{Name: "step", Value: "0.05"}}
	s.About.Settings = []report.Setting{{Key: "epochs", Value: "27", Source: "flag"}}
	if _, err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	table := file(t, s.Dir, "best.csv")
	if want := "gamma,resolution,params,macs,rung,epochs,seeds,top1,sd,seconds,failed\n1.1,246,5288548,"; !strings.HasPrefix(table, want) || strings.Count(table, "\n") != 4 {
		t.Errorf("the table is\n%s\nwant\n%s...", table, want)
	}
	first, _, _ := strings.Cut(file(t, s.Dir, "best.jsonl"), "\n")
	if want := `{"name":"gamma1","seed":7,"rung":1,"epochs":27,"top1":0.`; !strings.HasPrefix(first, want) {
		t.Errorf("the first record is %s, want %s...", first, want)
	}
	page := file(t, s.Dir, "report.html")
	for _, want := range []string{"The best: photos", "gamma1.1 wins.", "the same 100 images", "<td>1.1</td><td>246</td><td>5,288,548</td>", "epochs"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// A search that is stopped at any trial, again and again, ends in the files of one
// that was not, and trains no epoch twice; however many trials run at a time.
func TestStoppedSearches(t *testing.T) {
	p := plan(t, 6, 2)
	whole := newSearch(t, p)
	if _, err := whole.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	stops := 0
	for range 5 {
		s := newSearch(t, p)
		trainer := s.Trainer.(*bowl)
		for {
			ctx, stop := context.WithCancel(t.Context())
			after := rng.IntN(10)
			trainer.fails = func(ctx context.Context, _ Trial) error {
				if after--; after < 0 {
					stop()
				}
				return ctx.Err()
			}
			s.Jobs = 1 + rng.IntN(4)
			_, err := s.Run(ctx)
			stop()
			if err == nil {
				break
			}
			if stops++; !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			s = s.resume()
		}
		for _, name := range []string{"best.jsonl", "best.csv", "report.html", PlanFile} {
			if got, want := file(t, s.Dir, name), file(t, whole.Dir, name); got != want {
				t.Fatalf("%s\n%s\nwant\n%s", name, got, want)
			}
		}
		if want := whole.Trainer.(*bowl).epochs; trainer.epochs != want || len(trainer.states) != 0 {
			t.Errorf("%d epochs were trained, want %d; states %v are left", trainer.epochs, want, trainer.states)
		}
	}
	if stops < 5 {
		t.Errorf("%d stops", stops)
	}
}

// replay is a trainer that knows what trials come to.
type replay struct{ records []Record }

func (r replay) Train(_ context.Context, t Trial) (Outcome, error) {
	for _, record := range r.records {
		if record.Name == t.Candidate.Name && record.Seed == t.Seed && record.Epochs == t.Until {
			return Outcome{Curve: record.Curve, Seconds: record.Seconds}, nil
		}
	}
	return Outcome{}, fmt.Errorf("%s was not in rung of %d epochs", t.Candidate.Name, t.Until)
}

func (replay) Forget(Trial) error { return nil }

// A folder that the program wrote before this package was there, killed after any of
// its records and with a torn file that an earlier kill left, is resumed to the byte.
func TestEarlierFoldersAreResumed(t *testing.T) {
	folder := filepath.Join("testdata", "search")
	given := []Flag{{Name: "step", Value: "0.3", Given: true}, {Name: "halving", Value: "3"}}
	p, flags, err := ReadPlan(folder, "search", given)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Candidates) != 4 || p.Halving != 2 || flags[1].Value != "2" || given[1].Value != "3" {
		t.Fatalf("%d candidates, halving %d, flags %v", len(p.Candidates), p.Halving, flags)
	}
	s := &Search{Question: Coefficients{}, Plan: p, Resume: true, Dir: folder, Log: t.Logf, About: About{Images: 50, Baseline: scale.Cost{MACs: 1}}}
	records, err := s.readRecords()
	if err != nil || len(records) != p.Trials() {
		t.Fatalf("%d records, %v", len(records), err)
	}
	want := file(t, folder, "search.jsonl")
	lines := strings.SplitAfter(want, "\n")
	for n := range lines {
		s := s.resume()
		s.Dir, s.Trainer, s.Jobs = t.TempDir(), replay{records}, 1+n%3
		for name, text := range map[string]string{"search.jsonl": strings.Join(lines[:n], ""), ".search.jsonl.tmp1": want[:10]} {
			if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := file(t, s.Dir, "search.jsonl"); got != want {
			t.Fatalf("after %d records: %s\nwant\n%s", n, got, want)
		}
	}
}

// A trial that fails is recorded, puts its candidate out and stops nothing else. One
// that may not fail again is tried again by a resumed search.
func TestFailedTrials(t *testing.T) {
	p := plan(t, 4, 2)
	diverged, full := errors.New("diverged"), errors.New("disk full")
	fails := map[string]error{p.Candidates[0].Name: &Final{diverged}, p.Candidates[3].Name: full}
	s := newSearch(t, p)
	s.Trainer.(*bowl).fails = func(_ context.Context, t Trial) error {
		if t.Seed == 8 {
			return fails[t.Candidate.Name]
		}
		return nil
	}
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Ranking[0].Candidate.Name != p.Candidates[2].Name || r.Ranking[1].Candidate.Name != p.Candidates[1].Name ||
		r.Ranking[2].Failed != "seed 8: disk full" || r.Ranking[3].Failed != "seed 8: diverged" {
		t.Errorf("ranking %+v", r.Ranking)
	}
	if text := file(t, s.Dir, "best.jsonl"); !strings.Contains(text, `"failed":"diverged"}`) || !strings.Contains(text, `"failed":"disk full","retry":true}`) {
		t.Errorf("records\n%s", text)
	}

	clear(fails)
	if r, err = s.resume().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Ranking[0].Candidate.Name != p.Candidates[3].Name || r.Ranking[0].Epochs != 27 || r.Ranking[3].Failed != "seed 8: diverged" {
		t.Errorf("resumed: %+v", r.Ranking)
	}
}

func TestEveryTrialFails(t *testing.T) {
	diverged := errors.New("diverged")
	s := newSearch(t, plan(t, 2, 3))
	s.Trainer.(*bowl).fails = func(context.Context, Trial) error { return &Final{diverged} }
	if _, err := s.Run(t.Context()); !errors.Is(err, diverged) || err.Error() != "every training run failed: diverged" {
		t.Errorf("ends with %v", err)
	}
	// It is known without training any, then.
	if _, err := s.resume().Run(t.Context()); err == nil || err.Error() != "every training run failed: seed 7: diverged" {
		t.Errorf("resumed, it ends with %v", err)
	}
}

// A search whose folder cannot be written stops, and says why.
func TestUnwritableFolder(t *testing.T) {
	s := newSearch(t, plan(t, 4, 2))
	s.Jobs = 2
	s.Trainer.(*bowl).fails = func(context.Context, Trial) error { return os.RemoveAll(s.Dir) }
	if _, err := s.Run(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ends with %v", err)
	}
}

// A new search in the folder of an older one leaves nothing of it to continue from.
func TestNewSearchInAnOldFolder(t *testing.T) {
	s := newSearch(t, plan(t, 3, 3))
	if _, err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	trainer := s.Trainer.(*bowl)
	trainer.states[s.trialDir(s.Plan.Candidates[0], 7)] = 20
	again := s.resume()
	again.Resume = false
	before := trainer.epochs
	if _, err := again.Run(t.Context()); err != nil || trainer.epochs != 2*before {
		t.Errorf("%d epochs after %d, %v", trainer.epochs, before, err)
	}
}

func TestBadRecords(t *testing.T) {
	s := newSearch(t, plan(t, 3, 3))
	if err := os.WriteFile(s.path(".jsonl"), []byte("{\"name\":\"gamma1\"}\n{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := s.resume().Run(t.Context()); !errors.As(err, new(*Error)) || !strings.Contains(err.Error(), "best.jsonl: unexpected EOF") {
		t.Errorf("ends with %v", err)
	}
}
