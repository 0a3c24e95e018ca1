package version

import (
	"runtime/debug"
	"testing"
)

func TestOf(t *testing.T) {
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "99634364b4e7a4c0d7d2d1a3f5d6e7f8a9b0c1d2"}
	changed := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	clean := debug.BuildSetting{Key: "vcs.modified", Value: "false"}
	for name, c := range map[string]struct {
		module   string
		settings []debug.BuildSetting
		want     string
	}{
		"at a tag":          {"v1.2.0", []debug.BuildSetting{commit, clean}, "1.2.0"},
		"at a tag, changed": {"v1.2.0+dirty", []debug.BuildSetting{commit, changed}, "1.2.0+dirty"},
		"after a tag":       {"v1.2.1-0.20261128190326-99634364b4e7", []debug.BuildSetting{commit, clean}, "1.2.1-0.20261128190326-99634364b4e7"},
		"no tag":            {"v0.0.0-20261128190326-99634364b4e7", []debug.BuildSetting{commit, clean}, Number + "+99634364b4e7"},
		"no tag, changed":   {"v0.0.0-20261128190326-99634364b4e7+dirty", []debug.BuildSetting{commit, changed}, Number + "+99634364b4e7.dirty"},
		"no git":            {"(devel)", nil, Number + "+devel"},
		"a test":            {"", nil, Number + "+devel"},
	} {
		info := &debug.BuildInfo{Settings: c.settings}
		info.Main.Version = c.module
		if got := Of(info); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
