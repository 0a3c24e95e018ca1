// Package checkpoint reads and writes a network as one self-describing
// safetensors file. The tensors have timm's names and PyTorch's layouts, so that
// timm loads the file unchanged; the metadata says everything that running the
// network takes, so that no command needs a flag for it.
//
// The format is that of https://github.com/huggingface/safetensors: the header's
// length (8 bytes, little-endian), the header (JSON: name to dtype, shape and byte
// range), the data. The header's "__metadata__" maps strings to strings; ours has
// a Meta as JSON under "effnet".
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"

	"effnet/internal/named"
	"effnet/internal/scale"
)

// Version is the Meta.Version that Write stores and the newest that Read takes.
const Version = 1

const maxResolution = 1 << 14 // pixels; beyond all published variants (L2: 800)

// Meta says everything needed to run the network without flags.
type Meta struct {
	Version    int        `json:"version"` // set by Write
	Arch       scale.Arch `json:"arch"`
	Classes    Names      `json:"classes"`          // names by class index: those of the folders
	Labels     []string   `json:"labels,omitempty"` // names for people, where those of Classes are not
	Preprocess Preprocess `json:"preprocess"`
	Training   *Training  `json:"training,omitempty"` // nil for imported weights

	// State is where a run stands, in a file whose tensors are the run's buffers
	// and not a network by name; nil in others.
	State json.RawMessage `json:"state,omitempty"`
}

// Preprocess is how an image becomes the network's input.
type Preprocess struct {
	Resolution    int        `json:"resolution"`         // side of the square input, pixels
	Crop          string     `json:"crop"`               // rule of the evaluation crop
	CropPct       float64    `json:"crop_pct,omitempty"` // for crop rules that take one
	Interpolation string     `json:"interpolation"`
	Orientation   bool       `json:"exif_orientation,omitempty"` // images are turned upright by their EXIF tag
	Transparency  string     `json:"transparency,omitempty"`     // Stored or Mean; Read sets Mean in a file that is older
	Mean          [3]float64 `json:"mean"`                       // RGB, of pixels in 0 to 255
	Std           [3]float64 `json:"std"`
}

// What a transparent pixel shows: Preprocess.Transparency.
const (
	Stored = "stored" // the colour that the file has there; "" is the same
	Mean   = "mean"   // that colour over Preprocess.Mean, by its opacity
)

// Training is the moment of a run that the weights were saved at.
type Training struct {
	Epoch int     `json:"epoch"` // completed epochs
	Step  int64   `json:"step"`  // completed optimizer steps
	Top1  float64 `json:"top1"`  // on the evaluation split, fractions
	Top5  float64 `json:"top5"`
	Loss  float64 `json:"loss"`          // on the evaluation split
	EMA   bool    `json:"ema,omitempty"` // the weights are running averages
}

// File is a checkpoint in memory.
type File struct {
	Meta    *Meta          // nil when another program wrote the file
	Tensors []named.Tensor // in the order of their data
}

// Error is a file that is not the checkpoint it should be.
type Error struct {
	Path   string
	Reason string
	Hint   string // what to do about it; may be empty
	Err    error  // cause; may be nil
}

// Error leaves the hint out, for the caller to print on a line of its own.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("checkpoint: %s: %s: %v", e.Path, e.Reason, e.Err)
	}
	return fmt.Sprintf("checkpoint: %s: %s", e.Path, e.Reason)
}

func (e *Error) Unwrap() error { return e.Err }

// NotTheNetwork is the Error of a file whose tensors are not those of the network that
// its metadata names.
func NotTheNetwork(path string, m *named.Mismatch) *Error {
	return &Error{Path: path, Reason: m.Reason, Hint: "the file does not match the network that its metadata names"}
}

// Validate reports the first thing in a Meta that no network can run with.
func (m *Meta) Validate() error {
	if err := m.Arch.Validate(); err != nil {
		return err
	}
	if len(m.Classes) != m.Arch.Classes {
		return fmt.Errorf("%d class names for %d classes", len(m.Classes), m.Arch.Classes)
	}
	if m.Labels != nil && len(m.Labels) != len(m.Classes) {
		return fmt.Errorf("%d labels for %d classes", len(m.Labels), len(m.Classes))
	}
	if r := m.Preprocess.Resolution; r < 1 || r > maxResolution {
		return fmt.Errorf("preprocessing to %d pixels", r)
	}
	if t := m.Preprocess.Transparency; t != "" && t != Stored && t != Mean {
		return fmt.Errorf("preprocessing of transparent pixels to %q: want %s or %s", t, Stored, Mean)
	}
	for _, std := range m.Preprocess.Std {
		if !(std > 0) {
			return errors.New("preprocessing divides by a standard deviation that is not positive")
		}
	}
	return nil
}
