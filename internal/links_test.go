package internal_test

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// document is what links lead to and from in a Markdown file.
type document struct {
	anchors map[string]bool
	links   []string
}

// TestLinks fails on a link to a file or a heading that is not there. It reads every
// Markdown file; links to other hosts are not followed.
func TestLinks(t *testing.T) {
	root := os.DirFS("..")
	documents := map[string]document{}
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".github" || ignored[file]):
			return fs.SkipDir
		case path.Ext(file) == ".md":
			source, err := fs.ReadFile(root, file)
			documents[file] = readDocument(source)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for file, d := range documents {
		for _, link := range d.links {
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			checked++
			if problem := follow(root, documents, file, link); problem != "" {
				t.Errorf("%s: the link %s: %s", file, link, problem)
			}
		}
	}
	if checked < 20 {
		t.Errorf("found only %d links in %d files", checked, len(documents))
	}
}

// ignored are folders that .gitignore has.
var ignored = map[string]bool{"bin": true, "runs": true, "demo": true}

// follow says what is wrong with a link.
func follow(root fs.FS, documents map[string]document, from, link string) string {
	target, anchor, hasAnchor := strings.Cut(link, "#")
	file := from
	if target != "" {
		file = path.Join(path.Dir(from), target)
	}
	if _, err := fs.Stat(root, file); err != nil {
		return "there is no " + file
	}
	if !hasAnchor {
		return ""
	}
	if d, ok := documents[file]; !ok {
		return file + " is not Markdown"
	} else if !d.anchors[anchor] {
		return file + " has no heading #" + anchor
	}
	return ""
}

// readDocument finds the links and the headings of a Markdown file.
func readDocument(source []byte) document {
	d := document{anchors: map[string]bool{}}
	md := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	tree := md.Parser().Parse(text.NewReader(source))
	_ = ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // nothing fails
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			if id, ok := n.AttributeString("id"); ok {
				d.anchors[string(id.([]byte))] = true
			}
		case *ast.Link:
			d.links = append(d.links, string(n.Destination))
		case *ast.Image:
			d.links = append(d.links, string(n.Destination))
		}
		return ast.WalkContinue, nil
	})
	return d
}

// What is wrong is found, and what is right is not.
func TestReadDocument(t *testing.T) {
	here := readDocument([]byte("# A title, with `code`\n\n[up](#a-title-with-code) | [out](b.md#two-1) [gone](c.md) [no](b.md#three) ![x](x.png)\n\n```\n[not](a-link.md)\n```\n"))
	documents := map[string]document{"docs/a.md": here, "docs/b.md": readDocument([]byte("## Two\n\n## Two\n"))}
	files := fstest.MapFS{"docs/a.md": {}, "docs/b.md": {}}
	var problems []string
	for _, link := range here.links {
		problems = append(problems, follow(files, documents, "docs/a.md", link))
	}
	want := []string{"", "", "there is no docs/c.md", "docs/b.md has no heading #three", "there is no docs/x.png"}
	if strings.Join(problems, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, want %q", problems, want)
	}
}
