package main

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"effnet/internal/bundle"
	"effnet/internal/hub"
	"effnet/internal/report"
	"effnet/internal/scale"

	"github.com/spf13/cobra"
)

// bundledCommands are what a bundle offers, with the arguments that each has after the
// checkpoint, which is the bundle itself. The first is what a bundle does if none is named.
var bundledCommands = []struct {
	make func() *cobra.Command
	args cobra.PositionalArgs
}{
	{newPredictCommand, cobra.MinimumNArgs(1)},
	{newEvalCommand, cobra.ExactArgs(1)},
	{newServeCommand, cobra.NoArgs},
	{newExportCommand, cobra.ExactArgs(1)},
}

// newBundledCommand is the command that a bundle is.
func newBundledCommand(b *bundle.Bundle, name string) (*cobra.Command, error) {
	n, err := networkOf(b)
	if err != nil {
		return newRootCommand(), err
	}
	first := bundledCommands[0]
	cmd := withNetwork(first.make(), first.args, b.Path, name)
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return run(cmd, args)
	}
	cmd.Args = cobra.ArbitraryArgs
	_, arguments, _ := strings.Cut(cmd.Use, " ")
	cmd.Use, cmd.Version = "bundle "+arguments, versionName()
	cmd.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: name}
	cmd.Long = n.String() + "\n" + cmd.Long
	cmd.Example = strings.ReplaceAll(cmd.Example, name+" "+first.make().Name()+" ", name+" ")
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(flagError)
	cmd.SetUsageTemplate(wrapFlags(cmd.UsageTemplate()))
	for _, c := range bundledCommands {
		cmd.AddCommand(withNetwork(c.make(), c.args, b.Path, name))
	}
	cmd.AddCommand(newVersionCommand(n))
	completeFlags(cmd)
	return cmd, nil
}

// Where a command's help has its checkpoint: in its synopsis, and in an example.
var (
	checkpointOperand = regexp.MustCompile(` \S*CHECKPOINT\S*`)
	checkpointExample = regexp.MustCompile(`\beffnet (\w+) \S+`)
)

// withNetwork turns a command that takes a checkpoint first into one that has it: the
// network at path.
func withNetwork(cmd *cobra.Command, args cobra.PositionalArgs, path, name string) *cobra.Command {
	run := cmd.RunE
	cmd.Args = usageArgs(args)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return run(cmd, slices.Concat([]string{path}, args))
	}
	cmd.Use = checkpointOperand.ReplaceAllString(cmd.Use, "")
	cmd.Short = strings.Replace(cmd.Short, "a checkpoint", "the network", 1)
	cmd.Long, _, _ = strings.Cut(cmd.Long, "\n\n"+checkpointHelp)
	cmd.Long = strings.Replace(cmd.Long, "a checkpoint", "the network", 1)
	cmd.Example = checkpointExample.ReplaceAllString(withoutPublished(cmd.Example), name+" $1")
	return cmd
}

// withoutPublished are the lines of examples that do not have published weights.
func withoutPublished(examples string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(examples, "\n"), func(line string) bool {
		return slices.ContainsFunc(strings.Fields(line), hub.Named)
	}), "\n")
}

// programName is what a program is called by whoever starts it.
func programName(path string) string {
	return strings.TrimSuffix(filepath.Base(path), ".exe")
}

// bundledNetwork is what a bundle says of its network; its JSON keys are an interface.
type bundledNetwork struct {
	Name       string   `json:"name"`
	About      string   `json:"about,omitempty"`
	Classes    []string `json:"classes"`
	Labels     []string `json:"labels,omitempty"` // for people, where Classes are not
	Resolution int      `json:"resolution"`
	Params     int64    `json:"params"`
	Bytes      int64    `json:"bytes"`
	Epochs     int      `json:"epochs,omitempty"` // of training
	Top1       float64  `json:"top1,omitempty"`   // then
	Source     string   `json:"source,omitempty"` // published weights
	Data       string   `json:"trained_on,omitempty"`
	Licence    string   `json:"licence,omitempty"`
}

func networkOf(b *bundle.Bundle) (*bundledNetwork, error) {
	meta, err := b.Meta()
	if err != nil {
		return nil, err
	}
	n := &bundledNetwork{
		Name: meta.Arch.Name, About: b.Note.About, Classes: meta.Classes, Labels: meta.Labels, Resolution: meta.Preprocess.Resolution,
		Params: scale.Count(meta.Arch).Params, Bytes: b.Network.Size(), Source: b.Note.Source,
	}
	if t := meta.Training; t != nil {
		n.Epochs, n.Top1 = t.Epoch, t.Top1
	}
	if base, _, _ := strings.Cut(n.Source, "@"); n.Source != "" {
		if e, ok := hub.Lookup(base); ok {
			n.Data, n.Licence = e.Trained, e.Licence
		}
	}
	return n, nil
}

// print prints what there is to say.
func (n *bundledNetwork) print(w io.Writer) error {
	names := n.Labels
	if names == nil {
		names = n.Classes
	}
	trained := ""
	if n.Epochs > 0 {
		trained = fmt.Sprintf("%d epochs; %.2f%% top-1 on images kept for evaluation", n.Epochs, 100*n.Top1)
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"about", n.About},
		{"network", fmt.Sprintf("%s, %s parameters, %s; takes images at %d px", n.Name, report.Grouped(n.Params), report.Bytes(n.Bytes), n.Resolution)},
		{"classes", fmt.Sprintf("%d%s", len(names), listed(names))},
		{"trained", trained},
		{"weights", n.Source},
		{"trained on", n.Data},
		{"licence", n.Licence},
	} {
		if row[1] != "" {
			fmt.Fprintf(tab, "%s\t%s\n", row[0], row[1])
		}
	}
	return tab.Flush()
}

func (n *bundledNetwork) String() string {
	var text strings.Builder
	_ = n.print(&text) // to memory
	return text.String()
}
