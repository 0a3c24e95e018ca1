// Package version has the number of the latest version, and the names of builds after it.
package version

import (
	"runtime/debug"
	"strings"
)

// Number is the newest version in CHANGELOG.md.
const Number = "0.1.0"

// Of is what a build without a name of its own is called. A module at a version's tag has
// that version; the go command gives one after a tag a number from it. Without any tag,
// or without git, the name is Number and, after a plus, the commit.
func Of(info *debug.BuildInfo) string {
	module := strings.TrimPrefix(info.Main.Version, "v")
	if module != "" && module != "(devel)" && !strings.HasPrefix(module, "0.0.0-") {
		return module
	}
	commit, changed := "devel", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ".dirty"
		}
	}
	return Number + "+" + commit + changed
}
