package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"effnet/internal/backend"
	"effnet/internal/checkpoint"
	"effnet/internal/data"
	"effnet/internal/named"
	"effnet/internal/ranks"
)

// compareWeights stops the run if ranks have come to different weights or statistics,
// which the same updates cannot lead to.
func (r *run) compareWeights() error {
	var all [][]byte
	for _, view := range []backend.View{r.net.Weights, r.net.Running} {
		values := make([]float32, view.Len)
		if err := r.backend.Download(values, view); err != nil {
			return err
		}
		all = append(all, backend.Bytes(values))
	}
	return r.Ranks.Same(all...)
}

// agree stops a run whose ranks were not given the same to do.
func (r *run) agree(trainSet, evalSet *data.Set) error {
	if r.Ranks.Size() == 1 {
		return nil
	}
	facts := []ranks.Fact{{Name: "device", Value: r.backend.Name()}, {Name: "resume", Value: strconv.FormatBool(r.Resume)}, {Name: "the last epoch", Value: strconv.Itoa(r.until())}}
	for _, f := range r.identity.facts {
		facts = append(facts, ranks.Fact{Name: f.Key, Value: f.Value})
	}
	for i, set := range []*data.Set{trainSet, evalSet} {
		digest := "none"
		if set != nil {
			var err error
			if digest, err = set.Digest(); err != nil {
				return err
			}
		}
		facts = append(facts, ranks.Fact{Name: []string{"the digest of the training images", "the digest of the evaluation images"}[i], Value: digest})
	}
	return r.Ranks.Agree(facts)
}

// sentState is what rank 0 sends others of a state that it read.
type sentState struct {
	State              *state
	Names              []string // of its buffers, which follow
	Path, Reason, Hint string   // of the *checkpoint.Error that reading it was, if it was one
}

// sharedState is readState on rank 0; the others have it from there, so that a run's
// folder need not be one that all can read.
func (r *run) sharedState() (*state, []named.Tensor, error) {
	if r.Ranks.Size() == 1 {
		return r.readState()
	}
	var sent sentState
	var tensors []named.Tensor
	var text []byte
	if r.Ranks.Rank() == 0 {
		var err error
		sent.State, tensors, err = r.readState()
		if failed := (*checkpoint.Error)(nil); errors.As(err, &failed) {
			sent.Path, sent.Reason, sent.Hint = failed.Path, failed.Reason, failed.Hint
		} else if err != nil {
			return nil, nil, err
		}
		for _, t := range tensors {
			sent.Names = append(sent.Names, t.Name)
		}
		if text, err = json.Marshal(sent); err != nil {
			return nil, nil, fmt.Errorf("train: %w", err)
		}
	}
	const what = "reading the state to resume from"
	err := r.Ranks.Unwatched(func() (err error) { // a file takes rank 0 as long as it takes
		text, err = r.Ranks.Broadcast(what, text, 0)
		return err
	})
	if err == nil {
		err = json.Unmarshal(text, &sent)
	}
	if err == nil && sent.Reason != "" {
		err = &checkpoint.Error{Path: sent.Path, Reason: sent.Reason, Hint: sent.Hint}
	}
	if err != nil {
		return nil, nil, err
	}
	shared := make([]named.Tensor, len(sent.Names))
	for i, name := range sent.Names {
		var mine []byte
		if r.Ranks.Rank() == 0 {
			mine = backend.Bytes(tensors[i].Data)
		}
		b, err := r.Ranks.Broadcast(what, mine, 0)
		if err != nil {
			return nil, nil, err
		}
		values := make([]float32, len(b)/4)
		copy(backend.Bytes(values), b)
		shared[i] = named.Tensor{Name: name, Shape: []int{len(values)}, Data: values}
	}
	return sent.State, shared, nil
}

// exchangeFeatures puts the features of all ranks' images together. err is what this
// rank's part ended with.
func (r *run) exchangeFeatures(ctx context.Context, mine *data.Memory, unusable []skipped, err error) (*data.Memory, []data.Skipped, error) {
	ended := err != nil && errors.Is(err, ctx.Err())
	if err != nil && !ended {
		return nil, nil, err
	}
	const what = "computing features"
	parts, err := ranks.Gather(r.Ranks, what, evaluated{Skipped: unusable, Stopped: ended})
	if err != nil {
		return nil, nil, err
	}
	var all []data.Skipped
	for rank, part := range parts {
		if part.Stopped {
			return nil, nil, &ranks.Stopped{Rank: rank}
		}
		all = append(all, restored(part.Skipped)...)
	}
	rows, err := r.Ranks.GatherBytes(what, backend.Bytes(mine.Rows))
	if err != nil {
		return nil, nil, err
	}
	m := &data.Memory{Floats: r.Arch.Features()}
	for _, b := range rows {
		values := make([]float32, len(b)/4)
		copy(backend.Bytes(values), b)
		m.Rows = append(m.Rows, values...)
	}
	return m, all, nil
}
