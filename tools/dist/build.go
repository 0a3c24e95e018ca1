// Package dist builds effnet for other machines, with the same bits wherever it is done:
// programs, what comes with them, and archives. It needs Go; where git is too, builds have
// the name and the time of the commit.
package dist

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"effnet/internal/version"
)

// Target is what a program is built for.
type Target struct {
	OS, Arch string
	Tags     string // of the build; "static" omits CUDA, and needs no C library
}

// Targets are a release's.
var Targets = []Target{
	{"linux", "amd64", ""},
	{"linux", "arm64", ""},
	{"linux", "amd64", "static"},
	{"linux", "arm64", "static"},
	{"darwin", "amd64", ""},
	{"darwin", "arm64", ""},
	{"windows", "amd64", ""},
	{"windows", "arm64", ""},
}

// String is the target in names of files.
func (t Target) String() string {
	name := t.OS + "_" + t.Arch
	if t.Tags != "" {
		name += "_" + t.Tags
	}
	return name
}

// Program is the name of effnet's file there.
func (t Target) Program() string {
	if t.OS == "windows" {
		return "effnet.exe"
	}
	return "effnet"
}

// Source is the checkout that is built.
type Source struct {
	Root    string // its folder
	Version string
	Time    time.Time // of everything that is written: the commit's
}

// noCommit is the time of a source without git, the first that a zip file can have.
var noCommit = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// name finds out what the checkout at root is called, from what the go command wrote into
// host, effnet built from it for this machine. SOURCE_DATE_EPOCH overrides the time, as
// reproducible-builds.org has it.
func name(root, host string) (Source, error) {
	s := Source{Root: root, Time: noCommit}
	info, err := buildinfo.ReadFile(host)
	if err != nil {
		return s, err
	}
	s.Version = version.Of(info)
	for _, setting := range info.Settings {
		if setting.Key == "vcs.time" {
			if s.Time, err = time.Parse(time.RFC3339, setting.Value); err != nil {
				return s, err
			}
		}
	}
	if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return s, fmt.Errorf("SOURCE_DATE_EPOCH: %q is not a number of seconds", epoch)
		}
		s.Time = time.Unix(seconds, 0).UTC()
	}
	return s, nil
}

// build builds effnet for a target. The bits depend on the source, its version and Go's;
// neither on the folder nor on what the go command is told by the environment.
func (s Source) build(ctx context.Context, t Target, out string) error {
	return goBuild(ctx, s.Root, out, t.env(), "-trimpath", "-buildvcs=false", "-tags="+t.Tags, "-ldflags=-s -w -X main.buildName="+s.Version)
}

// Check compiles effnet from root for a target, and writes nothing. What the go command
// has compiled for tests and vet it takes from its cache, which a release's flags forbid.
func (t Target) Check(ctx context.Context, root string) error {
	return goBuild(ctx, root, os.DevNull, t.env(), "-buildvcs=false", "-tags="+t.Tags)
}

func (t Target) env() []string {
	return []string{"GOOS=" + t.OS, "GOARCH=" + t.Arch, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFIPS140=off", "GOFLAGS=-mod=readonly"}
}

func goBuild(ctx context.Context, root, out string, env []string, flags ...string) error {
	if out != os.DevNull {
		absolute, err := filepath.Abs(out)
		if err != nil {
			return err
		}
		out = absolute
	}
	args := append(append([]string{"build"}, flags...), "-o", out, "./cmd/effnet")
	_, err := run(ctx, root, append(env, "CGO_ENABLED=0"), "go", args...)
	return err
}

// run runs a program in a folder and returns what it prints; what it says, if it fails.
func run(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var said strings.Builder
	cmd.Stderr = &said
	printed, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said.String())
	}
	return printed, nil
}
