package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"effnet/internal/config"
	"effnet/internal/weights"
	"effnet/internal/words"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newImportCommand() *cobra.Command {
	var opts importOptions
	cmd := &cobra.Command{
		Use:   "import SOURCE OUT",
		Short: "Turn another program's weights into a checkpoint",
		Long: `Turn another program's EfficientNet weights into a checkpoint. SOURCE is one of these:

  - a safetensors file or a PyTorch .pth file with the tensor names of timm, torchvision
    or lukemelas' EfficientNet-PyTorch
  - Keras weights: .h5, .weights.h5 or .keras
  - a TensorFlow checkpoint: its prefix
  - the name of published weights (effnet weights list)

No code in a file is run. The other commands take a SOURCE directly, too.

The tensors show which network it is. What they do not show is assumed from the
source's conventions, and printed with how certain it is; flags correct it. A file with
tensors that the network does not have is an error. So is one without a classifier,
which only finetune takes.`,
		Example: `  effnet import tf_efficientnet_b0.safetensors b0.safetensors
  effnet import efficientnet_b3_rwightman.pth b3.safetensors
  effnet import torchvision/efficientnet_v2_s v2s.safetensors
  effnet import dogs.pth dogs.safetensors --classes dogs.txt --padding symmetric --bn-eps 1e-5`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := swappedOutput(cmd, args[0], args[1]); err != nil {
				return err
			}
			o, err := importOverrides(cmd.Flags(), opts)
			if err != nil {
				return err
			}
			return runImport(cmd.Context(), cmd.OutOrStdout(), args[0], args[1], o, opts.json)
		},
	}
	for _, s := range config.Settings() { // those that correct what import finds
		if s.Of("import") {
			addSetting(cmd.Flags(), s, "")
		}
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

type importOptions struct {
	classes      string
	useEMA, json bool
}

func (o *importOptions) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.classes, "classes", "", "text `file` with the names of the classes, one per line in the order of the outputs")
	flags.BoolVar(&o.useEMA, "use-ema", true, "take the moving averages, if the file has both weights and averages")
	flags.BoolVar(&o.json, "json", false, "print JSON")
}

// notTheSource returns an error if the output would overwrite its own source.
func notTheSource(command, source, out string) error {
	if weights.IsPart(source, out) {
		return usageError{fmt.Errorf("%s: %s is the source itself, which would be overwritten (name another file)", command, out)}
	}
	return nil
}

// importOverrides are the settings that flags give.
func importOverrides(flags *pflag.FlagSet, opts importOptions) (o weights.Overrides, err error) {
	given := readFlags(flags).Values
	c, err := config.Decode(given)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return o, err
	}
	o = weights.Overrides{Variant: c.Variant, Resolution: c.ImgSize, Plain: !opts.useEMA}
	for key, set := range map[string]func(){
		"padding": func() { o.Padding = c.Padding }, "bn-eps": func() { o.BNEps = c.BNEps }, "crop": func() { o.Crop = c.Crop },
		"crop-pct": func() { o.CropPct = c.CropPct }, "interpolation": func() { o.Interpolation = c.Interpolation },
		"mean": func() { o.Mean = &c.Mean }, "std": func() { o.Std = &c.Std },
	} {
		if given[key] != nil {
			set()
		}
	}
	if opts.classes != "" {
		o.Classes, err = readLines(opts.classes)
	}
	return o, err
}

// readLines returns the non-empty lines of a text file.
func readLines(path string) (lines []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usageError{err}
	}
	defer func() { _ = f.Close() }()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" {
			lines = append(lines, line)
		}
	}
	if err := s.Err(); err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return lines, nil
}

func runImport(ctx context.Context, w io.Writer, source, out string, o weights.Overrides, asJSON bool) error {
	found, err := newHub(false).Resolve(ctx, source)
	if err != nil {
		return err
	}
	if err := notTheSource("import", found.Path, out); err != nil {
		return err
	}
	m, err := newHub(true).Open(found, o)
	if err != nil {
		return err
	}
	if err := m.Write(out); err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			Findings []weights.Finding `json:"findings"`
			Unused   []string          `json:"unused"`
			Out      string            `json:"out"`
		}{m.Findings, m.Unused, out})
	}
	if m.Findings == nil {
		fmt.Fprintf(w, "%s is already a checkpoint\n", source)
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range m.Findings {
		sure := "sure"
		if !f.Sure {
			sure = "a guess"
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\n", f.Setting, f.Value, sure, f.Because)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	if len(m.Unused) > 0 {
		fmt.Fprintf(w, "not part of the network (%d)%s\n", len(m.Unused), listed(m.Unused))
	}
	_, err = fmt.Fprintf(w, "wrote %s: %s\n", out, words.Count(len(m.Tensors), "tensor"))
	return err
}

// listed formats the first few names of a list, after a colon.
func listed(names []string) string {
	const few = 8
	switch {
	case len(names) == 0:
		return ""
	case len(names) > few:
		return fmt.Sprintf(": %s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return ": " + strings.Join(names, ", ")
}
