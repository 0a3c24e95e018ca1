package main

import "github.com/spf13/cobra"

func newDataCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Check, preview, pack or time a folder of images",
		Args:  cobra.ArbitraryArgs,
		RunE:  runGroup,
	}
	cmd.AddCommand(newDataPackCommand(), newDataCheckCommand(), newDataPreviewCommand(), newDataBenchCommand())
	return cmd
}
