package dist

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// Prepare finds out what the checkout at root is called, and collects what comes with every
// program that is built from it: texts, completions and manual pages.
func Prepare(ctx context.Context, root string) (s Source, with []File, err error) {
	dir, err := os.MkdirTemp("", "effnet-host-")
	if err != nil {
		return s, nil, err
	}
	defer os.RemoveAll(dir)
	host := filepath.Join(dir, Target{OS: runtime.GOOS}.Program())
	if err := goBuild(ctx, root, host, nil, "-buildvcs=auto"); err != nil {
		return s, nil, err
	}
	if s, err = name(root, host); err != nil {
		return s, nil, err
	}
	with, err = s.texts()
	if err != nil {
		return s, nil, err
	}
	manual, err := s.manual(ctx, host)
	return s, append(with, manual...), err
}

// documents are the files of the checkout that come with a program.
var documents = []string{"LICENSE", "NOTICE", "README.md", "CHANGELOG.md", "ARCHITECTURE.md", "docs/*.md", "docs/*.png", "docs/notes/*.md"}

func (s Source) texts() (files []File, err error) {
	root := os.DirFS(s.Root)
	for _, pattern := range documents {
		names, err := fs.Glob(root, pattern)
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("%s has no %s", s.Root, pattern)
		}
		for _, name := range names {
			data, err := fs.ReadFile(root, name)
			if err != nil {
				return nil, err
			}
			files = append(files, File{name, 0o644, data})
		}
	}
	return files, nil
}

// completions are the scripts that shells complete effnet's command line with, by shell,
// under the names that their folders of such scripts want.
var completions = map[string]string{"bash": "effnet.bash", "zsh": "_effnet", "fish": "effnet.fish", "powershell": "effnet.ps1"}

// manual has host, effnet built from s for this machine, write the completions and the
// manual pages. They are the same for every system.
func (s Source) manual(ctx context.Context, host string) (files []File, err error) {
	dir, err := os.MkdirTemp("", "effnet-manual-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	env := []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(s.Time.Unix(), 10), "TZ=UTC"}
	if _, err := run(ctx, dir, env, host, "docs", "man", dir); err != nil {
		return nil, err
	}
	pages, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, page := range pages {
		data, err := os.ReadFile(filepath.Join(dir, page.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, File{"man/man1/" + page.Name(), 0o644, data})
	}
	for shell, name := range completions {
		script, err := run(ctx, dir, nil, host, "completion", shell)
		if err != nil {
			return nil, err
		}
		files = append(files, File{"completions/" + name, 0o644, script})
	}
	return files, nil
}

// legal are the names of the files in which modules have their licences.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)`)

// licences is the file with the licences of Go and of the modules in a program.
func (s Source) licences(ctx context.Context, info *buildinfo.BuildInfo) (File, error) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "effnet contains Go's library and the following modules. These are their licences.\n")
	paths := make([]string, len(info.Deps))
	for i, m := range info.Deps {
		paths[i] = m.Path
	}
	dirs, err := run(ctx, s.Root, []string{"GOFLAGS=-mod=readonly"}, "go", append([]string{"list", "-m", "-f", "{{.Path}} {{.Version}}\t{{.Dir}}"}, paths...)...)
	if err != nil {
		return File{}, err
	}
	lines := append([]string{"Go " + info.GoVersion + "\t" + goRoot(ctx, s.Root)}, strings.Split(strings.TrimSpace(string(dirs)), "\n")...)
	for _, line := range lines {
		module, dir, _ := strings.Cut(line, "\t")
		if err := appendLicences(&text, module, dir); err != nil {
			return File{}, err
		}
	}
	return File{"THIRD-PARTY-LICENSES", 0o644, text.Bytes()}, nil
}

// goRoot is the folder of the Go that builds root.
func goRoot(ctx context.Context, root string) string {
	dir, err := run(ctx, root, nil, "go", "env", "GOROOT")
	if err != nil {
		return runtime.GOROOT() //nolint:staticcheck // the same, unless it was moved
	}
	return strings.TrimSpace(string(dir))
}

// appendLicences fails where a module has none: it could not be passed on.
func appendLicences(text *bytes.Buffer, module, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%s: %w (go mod download)", module, err)
	}
	found := false
	for _, e := range entries {
		if e.IsDir() || !legal.MatchString(e.Name()) {
			continue
		}
		licence, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		found = true
		fmt.Fprintf(text, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("-", 80), module, e.Name(), bytes.TrimSpace(licence))
	}
	if !found {
		return errors.New(module + ": no licence in " + dir)
	}
	return nil
}
