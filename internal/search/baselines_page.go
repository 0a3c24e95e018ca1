package search

import (
	"cmp"
	"slices"

	"effnet/internal/report"
	"effnet/internal/words"
)

// Show has accuracy over cost with the Pareto front, rewards in the order in which the
// networks were tried, and learning curves.
func (q Baselines) Show(p *report.Search, r *Results) {
	v := Judge(r.Ranking)
	kinds := map[string]int{}
	p.Columns = append(p.Columns, "reward", "stages")
	for i, s := range r.Ranking {
		kind, outcome := v.outcome(s, r.Finished)
		kinds[s.Candidate.Name] = kind
		p.Rows[i].Cells = append(p.Rows[i].Cells, outcome, report.Percent(s.Reward()), s.Candidate.Arch.BlockText())
		p.Rows[i].Set = kind == kindBest
	}
	p.Charts = append(p.Charts, r.front(), r.rewards(q), curves(r, kinds))
}

// firstRung are the scores after the first rung, which all candidates have, in the plan's
// order.
func (r *Results) firstRung() (all []Score) {
	for _, c := range r.Plan.Candidates {
		if s := scoreIn(r.Records, r.Plan.Seeds, c, 1); s.Failed == "" && s.Objectives != nil {
			all = append(all, s)
		}
	}
	return all
}

// front is top-1 after the first rung over multiply-adds, with the networks than which no
// cheaper one is as good.
func (r *Results) front() report.Chart {
	all := r.firstRung()
	slices.SortStableFunc(all, func(a, b Score) int {
		return cmp.Or(cmp.Compare(a.Candidate.MACs(), b.Candidate.MACs()), -cmp.Compare(a.Mean(), b.Mean()))
	})
	others := report.Line{Name: "others", Kind: kindOut, Dotted: true}
	front := report.Line{Name: "Pareto front", Kind: kindBest, Joined: true, Dotted: true}
	best := -1.
	for _, s := range all {
		line := &others
		if s.Mean() > best {
			best, line = s.Mean(), &front
		}
		line.Points = append(line.Points, r.point(s, Spread{}))
	}
	epochs := r.Plan.Candidates[0].EpochsAfter(r.Plan.Rungs()[0])
	return report.Plot("Top-1 (%) over million multiply-adds, all after "+words.Count(epochs, "epoch"), "M", []report.Line{others, front})
}

// rewards are the rewards after the first rung, network by network, and the best so far.
func (r *Results) rewards(q Baselines) report.Chart {
	each := report.Line{Name: "each network", Kind: kindOut, Dotted: true}
	best := report.Line{Name: "best so far", Kind: kindBest, Joined: true}
	for i, t := range q.tried(r.Plan, r.Records) {
		if t.Reward == 0 {
			continue
		}
		most := 100 * t.Reward
		each.Points = append(each.Points, report.Point{X: float64(i + 1), Y: most, Text: r.Plan.Title(r.Plan.Candidates[i])})
		if n := len(best.Points); n > 0 {
			most = max(most, best.Points[n-1].Y)
		}
		best.Points = append(best.Points, report.Point{X: float64(i + 1), Y: most})
	}
	return report.Plot("Reward (%) after the first rung, in the order of training", "network", []report.Line{each, best})
}
