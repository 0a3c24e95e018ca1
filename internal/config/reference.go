package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:generate go run ../../tools/settings -o ../../docs/settings.md

// preamble begins the reference.
const preamble = `# Settings

Written by ` + "`go generate ./internal/config`" + ` from the tags of ` + "`config.Config`" + `; do not edit.

A setting has one spelling: ` + "`--lr 0.1`, `EFFNET_LR=0.1` and `lr: 0.1`" + ` in a YAML file are the same. A flag wins over the environment, which wins over ` + "`--coefficients`, then `--config`, then `--recipe`" + `, then the default. ` + "`finetune`, `search-coefficients` and `scale-study`" + ` have a recipe of their own, and so other defaults: ` + "`--help`" + ` shows them. A recipe that is only a network, as ` + "`mini`" + ` is, leaves them theirs. ` + "`--dry-run`" + ` shows every value and where it is from.

Commands are named one by one, or by a word:

%s
The last column says what ` + "`--resume`" + ` does with a value that is given: *may change* takes it; *fixed* refuses one that differs from the run's; *chosen* ignores it, since the run has the setting that it chose.
`

// resumes is what a resumed run does with a setting, in the reference.
var resumes = map[Effect]string{Numbers: "fixed", Network: "fixed", Chooses: "chosen", Free: "may change"}

// Reference is the table of settings as Markdown: docs/settings.md.
func Reference() []byte {
	var b bytes.Buffer
	var words strings.Builder
	for _, word := range slices.Sorted(maps.Keys(families)) {
		fmt.Fprintf(&words, "- *%s* stands for %s;\n", word, strings.Join(families[word], ", "))
	}
	fmt.Fprintf(&words, "- *%s* stands for a file of `--coefficients`;\n", coefficientsFile)
	fmt.Fprintf(&words, "- *%s* stands for a run's `config.yaml`.\n", record)
	fmt.Fprintf(&b, preamble, &words)
	group := ""
	for _, s := range table {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(&b, "\n## %s\n\n| setting | type | default | allowed | what it is | commands | resume |\n|---|---|---|---|---|---|---|\n", group)
		}
		key := "`" + s.Key + "`"
		if s.Short != "" {
			key += ", `-" + s.Short + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", key, s.Kind, s.Default, s.Want, s.Help, s.of, resumes[s.Effect])
	}
	return b.Bytes()
}
