package main

import (
	"effnet/configs"
	"effnet/internal/config"
	"effnet/internal/scale"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completeFlags has shells complete the values of a command's flags, and of those of the
// commands under it, where they are a few words.
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

// choices are the words that a flag may have; none for what is not a word.
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
