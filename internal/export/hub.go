package export

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"effnet/internal/atomicfile"
	"effnet/internal/hub"
	"effnet/internal/scale"
	"effnet/internal/weights"
)

// hubConfig is a repository's config.json, as timm writes and reads it.
type hubConfig struct {
	Architecture string            `json:"architecture"`
	Classes      int               `json:"num_classes"`
	Features     int               `json:"num_features"`
	Names        []string          `json:"label_names"`
	Descriptions map[string]string `json:"label_descriptions,omitempty"`
	Args         map[string]any    `json:"model_args,omitempty"` // where the network is not timm's own
	Pretrained   hubPretrained     `json:"pretrained_cfg"`
}

type hubPretrained struct {
	InputSize     [3]int     `json:"input_size"`
	FixedSize     bool       `json:"fixed_input_size"`
	Interpolation string     `json:"interpolation"`
	CropPct       float64    `json:"crop_pct"`
	CropMode      string     `json:"crop_mode"`
	Mean          [3]float64 `json:"mean"` // of 0 to 1
	Std           [3]float64 `json:"std"`
	Classes       int        `json:"num_classes"`
	FirstConv     string     `json:"first_conv"`
	Classifier    string     `json:"classifier"`
}

// timmPadding is what timm's networks call a padding: pad_type.
var timmPadding = map[scale.Padding]string{scale.Same: "same", scale.Symmetric: ""}

// newHubConfig describes a network as timm does. One that timm cannot build is an error.
func newHubConfig(n *weights.Imported) (c hubConfig, err error) {
	a, p := n.Meta.Arch, n.Meta.Preprocess
	variant, _ := scale.VariantOf(a)
	network, e, ok := hub.Timm(variant, string(a.Padding))
	if !ok {
		return c, fmt.Errorf("timm has no network with the layers of %s, only published ones (.onnx takes any)", a.Name)
	}
	c = hubConfig{
		Architecture: network, Classes: a.Classes, Features: a.Features(), Names: n.Meta.Classes,
		Pretrained: hubPretrained{
			InputSize: [3]int{3, p.Resolution, p.Resolution}, Interpolation: p.Interpolation, CropPct: p.CropPct, CropMode: "center",
			Classes: a.Classes, FirstConv: "conv_stem", Classifier: scale.Classifier,
		},
	}
	if p.Crop == "tf" { // of any size the share that timm's rule has as 0.875
		c.Pretrained.CropPct = 0.875
	}
	for i := range 3 {
		c.Pretrained.Mean[i], c.Pretrained.Std[i] = p.Mean[i]/255, p.Std[i]/255
	}
	if string(a.Padding) != e.Padding || a.BNEps != e.BNEps {
		c.Args = map[string]any{"pad_type": timmPadding[a.Padding], "bn_eps": a.BNEps}
	}
	if len(n.Meta.Labels) == len(n.Meta.Classes) {
		c.Descriptions = map[string]string{}
		for i, name := range n.Meta.Classes {
			c.Descriptions[name] = n.Meta.Labels[i]
		}
	}
	return c, nil
}

//go:embed card.md
var cardText string

var card = template.Must(template.New("card.md").Funcs(template.FuncMap{"percent": func(v float64) string { return fmt.Sprintf("%.2f%%", 100*v) }}).Parse(cardText))

// writeHub writes a repository of the Hugging Face hub.
func writeHub(path string, n *weights.Imported, opt Options) (string, error) {
	c, err := newHubConfig(n)
	if err != nil {
		return "", err
	}
	config, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return "", err
	}
	cost := scale.Count(n.Meta.Arch)
	err = atomicfile.WriteFolder(path, func(dir string) error {
		if err := n.Write(filepath.Join(dir, "model.safetensors")); err != nil {
			return err
		}
		if err := atomicfile.Write(filepath.Join(dir, "config.json"), func(f *os.File) error { _, err := f.Write(config); return err }); err != nil {
			return err
		}
		return atomicfile.Write(filepath.Join(dir, "README.md"), func(f *os.File) error {
			return card.Execute(f, map[string]any{"Config": c, "Meta": n.Meta, "Cost": cost, "Version": opt.Version, "Name": filepath.Base(path)})
		})
	})
	return fmt.Sprintf("a repository for the Hugging Face hub, timm's %s: config.json, model.safetensors and README.md", c.Architecture), err
}
