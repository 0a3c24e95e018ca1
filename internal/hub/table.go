package hub

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"effnet/internal/scale"
	"effnet/internal/weights"
)

// tableText is the table of published weights, which tools/weights_table.py wrote: lines
// that begin with # say where each column is from, then come the columns' names, then a
// line for each file.
//
//go:embed table.tsv
var tableText string

// Entry is a line of the table: a file of weights that somebody published.
type Entry struct {
	Name    string `json:"name"`    // ORIGIN/NETWORK.TAG
	Default bool   `json:"default"` // ORIGIN/NETWORK alone means this one
	Variant string `json:"variant"` // effnet's name of the network
	File    string `json:"file"`    // "hf:OWNER/NAME", or a URL
	Hash    string `json:"hash"`    // "sha256:" or "md5:" and hexadecimal digits, the first ones at least; "" where none is published
	Params  int64  `json:"params"`
	Bytes   int64  `json:"bytes"` // of parameters and running statistics, as float32
	Classes int    `json:"classes"`
	Top1    string `json:"top1"` // percent, as published; "" where it is not
	Size    int    `json:"size"` // pixels
	Crop    string `json:"crop"`

	CropPct       float64    `json:"crop_pct"`
	Interpolation string     `json:"interpolation"`
	Mean          [3]float64 `json:"mean"` // of pixels, 0 to 255
	Std           [3]float64 `json:"std"`
	Padding       string     `json:"padding"`
	BNEps         float64    `json:"bn_eps"`
	Licence       string     `json:"licence"`
	Trained       string     `json:"trained"` // data sets
	Names         string     `json:"-"`       // whose names Digest is of
	Digest        string     `json:"-"`       // of the names and shapes of the tensors with 1000 classes
}

// A reader takes one cell after the other, and remembers what was wrong.
type reader struct {
	cells map[string]string
	err   error
}

func (r *reader) text(column string) string { return r.cells[column] }

func (r *reader) float(s, column string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s of %s: %w", column, r.cells["name"], err)
	}
	return v
}

func (r *reader) number(column string) float64 { return r.float(r.cells[column], column) }

func (r *reader) three(column string) (v [3]float64) {
	for i, s := range strings.SplitN(r.cells[column], ",", len(v)) {
		v[i] = r.float(s, column)
	}
	return v
}

func (r *reader) entry() Entry {
	return Entry{
		Name: r.text("name"), Default: r.text("default") == "yes", Variant: r.text("variant"), File: r.text("file"), Hash: r.text("hash"),
		Params: int64(r.number("params")), Bytes: int64(r.number("bytes")), Classes: int(r.number("classes")), Top1: r.text("top1"),
		Size: int(r.number("size")), Crop: r.text("crop"), CropPct: r.number("crop_pct"), Interpolation: r.text("interpolation"),
		Mean: r.three("mean"), Std: r.three("std"), Padding: r.text("padding"), BNEps: r.number("bn_eps"),
		Licence: r.text("licence"), Trained: r.text("trained"), Names: r.text("names"), Digest: r.text("digest"),
	}
}

var table = mustRead(tableText)

// mustRead reads the table. One that is not well formed is a fault of the program, which
// its tests find.
func mustRead(text string) (all []Entry) {
	var columns []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		cells := strings.Split(line, "\t")
		switch {
		case strings.HasPrefix(line, "#"):
			continue
		case columns == nil:
			columns = cells
			continue
		}
		r := reader{cells: map[string]string{}}
		for i, column := range columns {
			r.cells[column] = cells[i]
		}
		e := r.entry()
		if r.err != nil {
			panic("hub: table.tsv: " + r.err.Error())
		}
		all = append(all, e)
	}
	return all
}

// Entries lists the lines of the table of which the name, or what is before or after its
// slash, matches one of the patterns, as path.Match has them; all, where there is none. A
// pattern without a star or the like matches what has it as a part.
func Entries(patterns ...string) []Entry {
	return slices.DeleteFunc(slices.Clone(table), func(e Entry) bool {
		return len(patterns) > 0 && !slices.ContainsFunc(patterns, e.matches)
	})
}

func (e Entry) matches(pattern string) bool {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return strings.Contains(e.Name, pattern) || e.Variant == pattern
	}
	ok, err := path.Match(pattern, e.Name)
	return ok && err == nil
}

// Lookup finds a line by its name, or by ORIGIN/NETWORK alone.
func Lookup(name string) (Entry, bool) {
	for _, e := range table {
		if network, _ := e.network(); e.Name == name || e.Default && network == name {
			return e, true
		}
	}
	return Entry{}, false
}

// network is ORIGIN/NETWORK, and the tag, "" where there is none.
func (e Entry) network() (network, tag string) {
	network, tag, _ = strings.Cut(e.Name, ".")
	return network, tag
}

// Origin is who published the file.
func (e Entry) Origin() string {
	origin, _, _ := strings.Cut(e.Name, "/")
	return origin
}

// origins lists those of the table.
func origins() (all []string) {
	for _, e := range table {
		if !slices.Contains(all, e.Origin()) {
			all = append(all, e.Origin())
		}
	}
	return all
}

// repository is the Hugging Face repository that has the file, "" where it has a URL.
func (e Entry) repository() string {
	if repo, ok := strings.CutPrefix(e.File, hubPrefix); ok {
		return repo
	}
	return ""
}

// known is what the table says of a file that its tensors do not show.
func (e Entry) known() *weights.Overrides {
	return &weights.Overrides{
		Variant: e.Variant, Padding: e.Padding, BNEps: e.BNEps, Resolution: e.Size, Crop: e.Crop, CropPct: e.CropPct,
		Interpolation: e.Interpolation, Mean: &e.Mean, Std: &e.Std, Because: "as published (effnet weights show " + e.Name + ")",
	}
}

// Arch is the network, with the classes of the file.
func (e Entry) Arch() (scale.Arch, error) {
	a, err := scale.Variant(e.Variant)
	a.Classes, a.Resolution, a.Padding, a.BNEps = e.Classes, e.Size, scale.Padding(e.Padding), e.BNEps
	return a, err
}

// Timm is what timm calls a network: one that pads as it should where timm has two, and
// another otherwise. It also returns the line of the table, with that padding and epsilon.
func Timm(variant, padding string) (network string, e Entry, ok bool) {
	for _, line := range table {
		if line.Origin() == "timm" && line.Variant == variant && (!ok || line.Padding == padding && e.Padding != padding) {
			name, _ := line.network()
			network, e, ok = strings.TrimPrefix(name, "timm/"), line, true
		}
	}
	return network, e, ok
}
