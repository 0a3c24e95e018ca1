package main

import (
	"context"
	"encoding/json"
	"io"
	"runtime"
	"strings"

	"effnet/internal/device"
	"effnet/internal/doctor"

	"github.com/spf13/cobra"
)

type doctorOptions struct {
	Device, Kernels string
	JSON            bool
}

func newDoctorCommand() *cobra.Command {
	var opts doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Report what this machine can compute with, and what to fix",
		Long: `Report what this machine can compute with: the processor's features and the kernels
that use them, memory, and the CUDA libraries and graphics cards that are found. Time a
matrix product and a copy on each device, and compare a small network's logits and
gradients between devices. With --device cuda, it is an error if CUDA cannot be used.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opts.Kernels, err = kernelsSetting(cmd.Flags()); err != nil {
				return err
			}
			return runDoctor(cmd.Context(), cmd.OutOrStdout(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.Device, "device", device.Host().Name, "the device that must be usable: "+device.Names())
	addKernels(cmd.Flags())
	cmd.Flags().BoolVar(&opts.JSON, "json", false, "print one JSON object")
	return cmd
}

func runDoctor(ctx context.Context, w io.Writer, opts doctorOptions) error {
	wanted, err := device.Lookup(opts.Device)
	if err != nil {
		return err
	}
	d, err := doctor.Examine(ctx, opts.Kernels)
	if err != nil {
		return err
	}
	d.Version = versionName()
	if opts.JSON {
		err = json.NewEncoder(w).Encode(d)
	} else {
		err = printDiagnosis(w, d)
	}
	if err == nil {
		err = d.Usable(wanted.Name)
	}
	return err
}

func printDiagnosis(w io.Writer, d *doctor.Diagnosis) error {
	p := &printer{w: w}
	p.line("effnet %s (%s, %s/%s)", d.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if d.Memory > 0 {
		p.line("memory: %.1f GiB", float64(d.Memory)/(1<<30))
	}
	for _, v := range d.Devices {
		for _, line := range v.Has {
			p.line("%s: %s", v.Name, line)
		}
		p.line("%s: a matrix product at %.0f GFLOP/s, a copy at %.0f GB/s", v.Name, v.FLOPS/1e9, v.Copy/1e9)
		if !v.Host {
			p.line("%s: a small network's results differ from the CPU's by %.1e, relative to their norm", v.Name, v.Parity)
		}
	}
	for _, v := range d.Unusable {
		for _, line := range v.Has {
			p.line("%s: %s", v.Name, line)
		}
	}
	for _, problem := range d.Problems {
		p.line("problem: %s", strings.ReplaceAll(problem, "\n", "\n  "))
	}
	return p.err
}
