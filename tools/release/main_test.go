package main

import (
	"strings"
	"testing"

	"effnet/tools/dist"
)

// A release has an archive for each system and architecture; others are refused by name.
func TestChoose(t *testing.T) {
	all, err := choose("")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, target := range all {
		names[target.String()] = true
	}
	for _, os := range []string{"linux", "darwin", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			if !names[os+"_"+arch] {
				t.Errorf("no archive for %s on %s", os, arch)
			}
		}
	}
	if len(names) != len(all) {
		t.Errorf("%d names of %d targets", len(names), len(all))
	}
	some, err := choose("windows_arm64,linux_amd64_static")
	if err != nil || len(some) != 2 || some[0] != (dist.Target{OS: "windows", Arch: "arm64"}) || some[1] != (dist.Target{OS: "linux", Arch: "amd64", Tags: "static"}) {
		t.Errorf("%v, %v", some, err)
	}
	if _, err := choose("linux_amd64,plan9_amd64"); err == nil || !strings.HasPrefix(err.Error(), "-only: no target plan9_amd64 (have [linux_amd64 ") {
		t.Error(err)
	}
}
