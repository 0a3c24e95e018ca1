package serve_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// All can be reached and used without a mouse, in the order in which it is on the page.
func testKeyboard(p *tab) {
	p.pick(append(absolute(p, red, blue), notes(p))...)
	p.settled(3)
	p.js(`(document.activeElement.blur(), scrollTo(0, 0))`)
	var reached []string
	for range 8 {
		p.keys(kb.Tab)
		reached = append(reached, p.list(`[document.activeElement.id || document.activeElement.name || document.activeElement.localName]`)...)
	}
	want := []string{"files", "opacity", "csv", "clear", "class of red.png", "class of blue.png", "summary", "body"}
	if !slices.Equal(reached, want) {
		p.Fatalf("Tab reaches %q, want %q", reached, want)
	}
	p.do(chromedp.Focus(chromedp.CSS(".class input")))
	p.keys(kb.ArrowDown)
	p.wait(`document.querySelector(".class:nth-of-type(2) input").checked`)
	p.wait(news + `.startsWith("Map of ")`)
	p.do(chromedp.Focus(chromedp.CSS("summary")))
	p.keys(kb.Enter)
	p.wait(`document.querySelector("#overview").open`)
	p.want(`[...document.querySelectorAll("#rows tr")].map(e => e.cells[0].textContent + ": " + e.cells[1].textContent)`,
		"red.png: red", "blue.png: blue", "notes.jpg: Not a JPEG, PNG, GIF, WebP, BMP or TIFF image")
	p.do(chromedp.Focus(chromedp.CSS("#csv")))
	if text := p.download(chromedp.KeyEvent(kb.Enter)); !strings.HasPrefix(text, "path,rank,") {
		p.Errorf("Enter downloads %q", text)
	}
	opened := make(chan struct{}, 1)
	p.must(chromedp.Listen(p.ctx, func(event any) {
		if _, ok := event.(*page.EventFileChooserOpened); ok {
			opened <- struct{}{}
		}
	}))
	_, err := chromedp.Call(p.ctx, page.SetInterceptFileChooserDialog, page.SetInterceptFileChooserDialogParams{Enabled: true})
	p.must(err)
	p.do(chromedp.Focus(chromedp.CSS("#files")))
	p.keys(kb.Enter)
	select {
	case <-opened:
	case <-time.After(time.Minute):
		p.Error("Enter does not ask for files")
	}
}

const wide = `document.scrollingElement.scrollWidth > innerWidth`

// On a narrow screen nothing is wider than it.
func testSmall(p *tab) {
	p.paste(file(p, strings.Repeat("long", 30)+".png", red))
	p.pick(append(absolute(p, blue), notes(p))...)
	p.settled(3)
	p.js(`document.querySelector("#overview").open = true`)
	for _, width := range []int64{320, 390, 800, 1920} {
		p.window(width, 640, false)
		if p.js(wide) == "true" {
			p.Errorf("at %d pixels the page is %s wide", width, p.js(`document.scrollingElement.scrollWidth`))
		}
	}
}

// axe-core finds nothing wrong, in any state of the page, in light and dark.
func testAccessible(p *tab) {
	p.js(axe(p) + `, 0`)
	check := func(state string) {
		for _, dark := range []bool{false, true} {
			p.window(1280, 900, dark)
			for _, wrong := range p.list(`axe.run().then(r => r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.html + n.failureSummary).join(" ")))`) {
				p.Errorf("%s, dark %v: %s", state, dark, wrong)
			}
		}
	}
	check("no pictures")
	p.pick(append(absolute(p, red, blue), notes(p))...)
	p.settled(3)
	p.js(`document.querySelector("#overview").open = true`)
	check("pictures")
	p.js(`document.querySelector("#ask").showModal()`)
	check("token")
}

// axe is a script that makes window.axe, from npm.
func axe(p *tab) string {
	p.Helper()
	dir := p.TempDir()
	fetch := exec.CommandContext(p.Context(), "npm", "pack", "--fetch-retries=0", "axe-core@4.14.1")
	fetch.Dir = dir
	if out, err := fetch.CombinedOutput(); err != nil {
		p.Skipf("no axe-core: this test wants npm, and its registry: %v\n%s", err, out)
	}
	unpack := exec.CommandContext(p.Context(), "tar", "-xzf", "axe-core-4.14.1.tgz", "package/axe.min.js")
	unpack.Dir = dir
	out, err := unpack.CombinedOutput()
	if err != nil {
		p.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "package", "axe.min.js"))
	p.must(err)
	return "(() => {" + string(text) + "})()"
}
