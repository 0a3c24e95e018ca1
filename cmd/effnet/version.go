package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"effnet/internal/device"
	"effnet/internal/version"

	"github.com/spf13/cobra"
)

// buildName is the name that the Makefile and releases give to the build; other builds
// have none.
var buildName = ""

// newVersionCommand prints what the program is, and, of a bundle, which network it has.
func newVersionCommand(n *bundledNetwork) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, the kernels in use and why, and the CPU's features",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			kernels, err := kernelsSetting(cmd.Flags())
			if err != nil {
				return err
			}
			return runVersion(cmd.OutOrStdout(), kernels, n, asJSON)
		},
	}
	addKernels(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// build describes this binary and the machine that it runs on.
type build struct {
	Version  string   `json:"version"`
	Go       string   `json:"go"`
	OS       string   `json:"os"`
	Arch     string   `json:"arch"`
	Cores    int      `json:"cores"`
	Kernels  string   `json:"kernels"`           // the set in use
	Why      string   `json:"kernels_why"`       // it is in use
	Sets     []string `json:"kernels_available"` // the widest first
	Name     string   `json:"cpu"`               // for people; may be empty
	Features []string `json:"cpu_features"`

	Network *bundledNetwork `json:"network,omitempty"` // a bundle's
}

func runVersion(w io.Writer, kernels string, n *bundledNetwork, asJSON bool) error {
	p, err := device.FindProcessor(kernels)
	if err != nil {
		return err
	}
	b := build{
		Version: versionName(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Cores: p.Cores, Kernels: p.Kernels, Why: p.Why, Sets: p.Sets, Name: p.Name, Features: p.Features, Network: n,
	}
	if asJSON {
		return json.NewEncoder(w).Encode(b)
	}
	if n != nil {
		if err := n.print(w); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "effnet %s (%s, %s/%s)\nkernels: %s\ncpu: %d cores, %s\n",
		b.Version, b.Go, b.OS, b.Arch, p.Chosen(), b.Cores, strings.Join(b.Features, " "))
	return err
}

func versionName() string {
	if buildName != "" {
		return buildName
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return version.Of(info)
}
