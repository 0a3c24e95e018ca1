package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"effnet/internal/hub"
	"effnet/internal/report"
	"effnet/internal/weights"

	"github.com/spf13/cobra"
)

func newWeightsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "weights",
		Short: "List, download and check published weights",
		Long: `List, download and check published weights. Every command that takes a checkpoint
takes these names too, and downloads what is not in the cache:
` + hub.Names + `.
hf:OWNER/NAME is any repository of the Hugging Face hub that has timm's config.json. If
a path of that name exists, it comes first.

Environment variables:
` + variables(),
		Args: cobra.ArbitraryArgs,
		RunE: runGroup,
	}
	cmd.AddCommand(newWeightsListCommand(), newWeightsShowCommand(), newWeightsPullCommand(), newWeightsVerifyCommand(), newWeightsRemoveCommand())
	return cmd
}

// variables lists the environment variables that downloads use, one paragraph each.
func variables() string {
	var b strings.Builder
	for _, v := range hub.Variables {
		fmt.Fprintf(&b, "  %s\n      %s\n", v[0], v[1])
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// emptyCache says that a command had nothing to look at.
const emptyCache = "no published weights in the cache"

// listing is a line of the table, and where the cache has its file.
type listing struct {
	hub.Entry
	Path string `json:"path"` // "" where it is not in the cache
}

func newWeightsListCommand() *cobra.Command {
	var asJSON, cached bool
	cmd := &cobra.Command{
		Use:   "list [PATTERN...]",
		Short: "List the published weights that effnet can run",
		Long: `List the published weights that effnet can run, with their network, parameters, size,
published top-1 on ImageNet, resolution, training data and licence, and whether they
are in the cache. PATTERN is part of a name, a network that --variant takes, or a
pattern such as "timm/tf_*".`,
		Example: `  effnet weights list
  effnet weights list b0
  effnet weights list 'timm/*in21k*' torchvision/
  effnet weights list --cached`,
		RunE: func(cmd *cobra.Command, args []string) error {
			h := newHub(true)
			all := []listing{}
			for _, e := range hub.Entries(args...) {
				if p := (listing{e, h.Cached(e.Name)}); p.Path != "" || !cached {
					all = append(all, p)
				}
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
			}
			switch {
			case len(all) > 0:
				return printWeights(cmd.OutOrStdout(), all)
			case cached:
				fmt.Fprintln(cmd.ErrOrStderr(), emptyCache)
			default:
				fmt.Fprintln(cmd.ErrOrStderr(), "no published weights match (effnet weights list shows all)")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&cached, "cached", false, "only those that are in the cache")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printWeights(w io.Writer, all []listing) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "name\tnetwork\tparams\tsize\ttop-1\tpx\ttrained on\tlicence\tcached")
	for _, p := range all {
		cached := ""
		if p.Path != "" {
			cached = "yes"
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", p.Name, p.Variant, report.WithUnit(p.Params), report.Bytes(p.Bytes), p.Top1, p.Size, p.Trained, p.Licence, cached)
	}
	return tab.Flush()
}

func newWeightsShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Print what is known about published weights",
		Example: `  effnet weights show timm/efficientnet_b0.ra_in1k
  effnet weights show torchvision/efficientnet_b0 --json`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := hub.Find(args[0])
			if err != nil {
				return err
			}
			p := listing{e, newHub(true).Cached(e.Name)}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(p)
			}
			return p.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p listing) print(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		what string
		is   any
	}{
		{"name", p.Name},
		{"network", p.Variant},
		{"file", p.File},
		{"hash", p.Hash},
		{"parameters", report.Grouped(p.Params)},
		{"size", report.Bytes(p.Bytes)},
		{"classes", p.Classes},
		{"top-1", p.Top1},
		{"trained on", p.Trained},
		{"licence", p.Licence},
		{"img-size", p.Size},
		{"padding", p.Padding},
		{"bn-eps", p.BNEps},
		{"crop", p.Crop},
		{"crop-pct", p.CropPct},
		{"interpolation", p.Interpolation},
		{"mean", p.Mean},
		{"std", p.Std},
		{"in the cache", p.Path},
	} {
		is := fmt.Sprint(row.is)
		if is == "" {
			is = "-"
		}
		fmt.Fprintf(tab, "%s\t%s\n", row.what, is)
	}
	return tab.Flush()
}

func newWeightsPullCommand() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "pull NAME...",
		Short: "Download published weights, or newer versions of them",
		Long: `Download published weights into the cache, or newer versions of those that are there,
and print what they are and which folder has them. An interrupted download resumes, and
a damaged file is downloaded again. For a machine without a network, copy that folder
to the same place there.`,
		Example: `  effnet weights pull timm/efficientnet_b0.ra_in1k torchvision/efficientnet_b0
  effnet weights pull hf:timm/efficientnet_b0.ra_in1k@main`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if err := pull(cmd.Context(), cmd.OutOrStdout(), newHub(quiet), name); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print no progress")
	return cmd
}

func pull(ctx context.Context, w io.Writer, h *hub.Hub, name string) error {
	found, err := h.Pull(ctx, name)
	if err != nil {
		return err
	}
	m, err := h.Open(found, weights.Overrides{Headless: true})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s: a checkpoint of %s", name, m.Meta.Arch.Name)
	if m.Findings != nil {
		what = m.Describe(name)
	}
	_, err = fmt.Fprintf(w, "%s\n  in %s\n", what, h.Folder(name))
	return err
}

func newWeightsVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [NAME...]",
		Short: "Compare cached weights with their checksums",
		Long: `Compare cached weights with their checksums: the published ones, those by which the
Hugging Face hub names its files, or those that were computed at the download. Without
a NAME, check everything from effnet weights list that is in the cache.`,
		Example: `  effnet weights verify
  effnet weights verify timm/efficientnet_b0.ra_in1k`,
		RunE: func(cmd *cobra.Command, args []string) error {
			h := newHub(true)
			if len(args) == 0 {
				for _, e := range hub.Entries() {
					if h.Cached(e.Name) != "" {
						args = append(args, e.Name)
					}
				}
				if len(args) == 0 {
					fmt.Fprintln(cmd.ErrOrStderr(), emptyCache)
				}
			}
			return verify(cmd.OutOrStdout(), h, args)
		},
	}
}

func verify(w io.Writer, h *hub.Hub, names []string) error {
	var damaged []string
	for _, name := range names {
		checks, err := h.Verify(name)
		if err != nil {
			return err
		}
		bad := 0
		for _, c := range checks {
			if c.Err != nil {
				bad++
				fmt.Fprintf(w, "damaged  %s  %v\n", c.File, c.Err)
				continue
			}
			fmt.Fprintf(w, "ok       %s  by %s\n", c.File, c.By)
		}
		if bad > 0 {
			damaged = append(damaged, name)
		}
	}
	if damaged != nil {
		all := strings.Join(damaged, " ")
		return &weights.Error{Path: all, Reason: "damaged in the cache", Hint: "effnet weights pull " + all + " downloads it again"}
	}
	return nil
}

func newWeightsRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME...",
		Short: "Delete weights from the cache",
		Long: `Delete weights from the cache, with all their revisions. Python programs share the
cache of the Hugging Face hub, so weights from there are gone for them as well.`,
		Example: `  effnet weights remove timm/efficientnet_b0.ra_in1k`,
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			h := newHub(true)
			for _, name := range args {
				freed, err := h.Remove(name)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "removed %s: %s\n", name, report.Bytes(freed))
			}
			return nil
		},
	}
}
