package weights

import (
	"cmp"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"effnet/internal/checkpoint"
)

// hub is what config.json of the Hugging Face Hub says of timm's weights.
type hub struct {
	Architecture string          `json:"architecture"`
	Names        json.RawMessage `json:"label_names"`        // by output: a list, or by numbers; or only the name of a list
	Descriptions json.RawMessage `json:"label_descriptions"` // by name
	Pretrained   struct {
		InputSize     []int     `json:"input_size"` // channels, height, width
		TestInputSize []int     `json:"test_input_size"`
		CropPct       float64   `json:"crop_pct"`
		TestCropPct   float64   `json:"test_crop_pct"`
		Interpolation string    `json:"interpolation"`
		Mean          []float64 `json:"mean"` // of 0 to 1
		Std           []float64 `json:"std"`
	} `json:"pretrained_cfg"`
}

// hubPath is where a file of the Hub has its config.json.
func hubPath(weights string) string { return filepath.Join(filepath.Dir(weights), "config.json") }

// classes are the names of the classes and those for people, nil where there are none.
func (h hub) classes() (names, labels []string) {
	numbered := map[string]string{}
	if json.Unmarshal(h.Names, &names) != nil {
		names = nil
		_ = json.Unmarshal(h.Names, &numbered) // of another kind: no names
	}
	for i := range len(numbered) {
		names = append(names, numbered[strconv.Itoa(i)])
	}
	if slices.Contains(names, "") {
		return nil, nil
	}
	described := map[string]string{}
	if len(h.Descriptions) == 0 || json.Unmarshal(h.Descriptions, &described) != nil {
		return names, nil
	}
	for _, name := range names {
		labels = append(labels, cmp.Or(described[name], name))
	}
	return names, labels
}

const maxHub = 16 << 20 // bytes; 21,000 classes with descriptions take about 2 MB

func readHub(path string) (h hub, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, err
	}
	defer func() { _ = f.Close() }()
	return h, json.NewDecoder(io.LimitReader(f, maxHub)).Decode(&h)
}

// apply reports whether the file says how images are prepared.
func (h hub) apply(p *checkpoint.Preprocess) bool {
	c := h.Pretrained
	if len(c.InputSize) != 3 || len(c.Mean) != 3 || len(c.Std) != 3 {
		return false
	}
	p.Resolution, p.CropPct = c.InputSize[2], c.CropPct
	if len(c.TestInputSize) == 3 {
		p.Resolution = c.TestInputSize[2]
	}
	if c.TestCropPct != 0 {
		p.CropPct = c.TestCropPct
	}
	if c.Interpolation == "bilinear" || c.Interpolation == "bicubic" {
		p.Interpolation = c.Interpolation
	}
	for i := range 3 {
		p.Mean[i], p.Std[i] = round(255*c.Mean[i]), round(255*c.Std[i])
	}
	return true
}
