package search

import "context"

// Trial is one training of a candidate from one seed, up to the end of a rung.
type Trial struct {
	Candidate Candidate
	Seed      uint64
	Until     int    // epochs; what earlier rungs trained of them is not trained again
	Dir       string // its folder, which it shares with the same training's other rungs
}

// Trainer trains trials. A search calls it from as many goroutines as it has jobs;
// where a trial runs, and on what, is the trainer's business.
type Trainer interface {
	// Train trains a trial from where an earlier rung or process left it. An error
	// that is Final says that another try would fail too.
	Train(ctx context.Context, t Trial) (Outcome, error)
	// Forget removes what Train would continue from. The trial's other files stay.
	Forget(t Trial) error
}

// Outcome is what a Trainer makes of a trial.
type Outcome struct {
	Curve   []float64 // the objective after each epoch, from the training's first
	Seconds float64
}

// Final is why a trial failed, if it would fail again: its training diverged, say.
// Without it, a resumed search tries again, as after a full disk.
type Final struct{ Err error }

func (f *Final) Error() string { return f.Err.Error() }

func (f *Final) Unwrap() error { return f.Err }

// Record is a finished trial as it is written, a line of NAME.jsonl.
type Record struct {
	Name      string    `json:"name"` // the candidate's
	Seed      uint64    `json:"seed"`
	Rung      int       `json:"rung"`   // from 1
	Epochs    int       `json:"epochs"` // from the training's first
	Objective float64   `json:"top1"`   // after the last of them
	Curve     []float64 `json:"curve"`  // the objective after each
	Seconds   float64   `json:"seconds"`
	Failed    string    `json:"failed,omitempty"` // why, if it did
	Retry     bool      `json:"retry,omitempty"`  // whether it might not fail again
}

// find is the record of a candidate's trial, or nil.
func find(records []Record, name string, seed uint64, rung int) *Record {
	for i, r := range records {
		if r.Name == name && r.Seed == seed && r.Rung == rung {
			return &records[i]
		}
	}
	return nil
}
