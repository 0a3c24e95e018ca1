package train

import "effnet/internal/metrics"

// An Evaluation is Metrics with what is known class by class; its JSON keys are an
// interface.
type Evaluation struct {
	Metrics
	TopK    *float64       `json:"topk,omitempty"` // share of images whose class is among K; nil for K = 5
	ECE     float64        `json:"ece"`            // expected calibration error
	Macro   metrics.Scores `json:"macro"`
	Classes []ClassScores  `json:"classes,omitempty"`

	K int `json:"-"`
}

// ClassScores are a class's.
type ClassScores struct {
	Name string `json:"name"`
	metrics.Class
}

// Evaluation is m with the share of images whose class is among the k highest and, for
// the classes that are named, theirs.
func (m Metrics) Evaluation(k int, classes []string) Evaluation {
	e := Evaluation{Metrics: m, ECE: m.Details.ECE, Macro: m.Details.Macro, K: k}
	if k != 5 {
		share := m.Details.TopK(k)
		e.TopK = &share
	}
	for c, name := range classes {
		e.Classes = append(e.Classes, ClassScores{name, m.Details.Classes[c]})
	}
	return e
}
