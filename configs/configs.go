// Package configs holds the settings files of this folder, for the program to have
// them without it.
package configs

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

//go:embed *.yaml spaces/*.yaml
var files embed.FS

// Names lists the recipes: the files' names without .yaml.
func Names() []string { return namesIn(".") }

// Spaces lists the search spaces likewise.
func Spaces() []string { return namesIn(spaces) }

const spaces = "spaces"

func namesIn(folder string) (names []string) {
	entries, err := files.ReadDir(folder)
	if err != nil {
		panic(err) // the folder is part of the program
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, name)
		}
	}
	return names
}

// Read returns a recipe's YAML.
func Read(name string) ([]byte, error) {
	text, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("recipe %q is unknown (have %s)", name, strings.Join(Names(), ", "))
	}
	return text, nil
}

// ReadSpace returns a search space's YAML.
func ReadSpace(name string) ([]byte, error) {
	text, err := files.ReadFile(path.Join(spaces, name+".yaml"))
	if err != nil {
		return nil, fmt.Errorf("search space %q is unknown (have %s)", name, strings.Join(Spaces(), ", "))
	}
	return text, nil
}
