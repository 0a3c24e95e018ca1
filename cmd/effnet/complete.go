package main

import (
	"effnet/configs"
	"effnet/internal/config"
	"effnet/internal/scale"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completeFlags lets shells complete the values of the flags of a command and of its
// subcommands, where these are a few words.
func completeFlags(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		words := choices(f.Name)
		if len(words) == 0 {
			return
		}
		otherwise := cobra.ShellCompDirectiveNoFileComp
		if f.Name == "recipe" {
			otherwise = cobra.ShellCompDirectiveDefault // a file
		}
		if err := cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, otherwise)); err != nil {
			panic(err) // a flag that it has
		}
	})
	for _, sub := range cmd.Commands() {
		completeFlags(sub)
	}
}

// choices lists the words that a flag accepts; none if its values are not words.
func choices(flag string) []string {
	switch flag {
	case "variant":
		return scale.VariantNames()
	case "baseline":
		return scale.BaselineNames()
	case "recipe":
		return configs.Names()
	}
	s, _ := config.Lookup(flag)
	return s.Choices()
}
