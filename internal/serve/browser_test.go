package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"effnet/internal/serve"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// blots is a network that tells red, green and blue blots.
const blots = "../../classify/testdata/blots.safetensors"

// site is a server of the network blots under some names.
func site(t *testing.T, o serve.Options, names ...string) http.Handler {
	t.Helper()
	var sources []serve.Source
	for _, name := range names {
		sources = append(sources, serve.FileSource(name, blots))
	}
	s, err := serve.New(t.Context(), sources, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.Handler()
}

// browser starts a Chromium, which ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := os.Getenv("EFFNET_BROWSER")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Skip("no browser: install Chromium, or set EFFNET_BROWSER to one")
	}
	// The sandbox, which containers and root cannot have, is for pages of others.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// A tab shows the page. What its console has and which hosts it asks is watched, and at the
// end fails the test where it should not be.
type tab struct {
	*testing.T
	ctx context.Context
	url string

	mu    sync.Mutex
	wrong []string
}

// tabOf opens the page of a server in a new tab.
func tabOf(browser context.Context, t *testing.T, handler http.Handler) *tab {
	t.Helper()
	server := httptest.NewServer(handler)
	ctx, end := chromedp.NewContext(browser)
	p := &tab{T: t, ctx: ctx, url: server.URL}
	t.Cleanup(func() {
		end()
		server.CloseClientConnections()
		server.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, text := range p.wrong {
			t.Error(text)
		}
	})
	p.must(chromedp.Listen(ctx, p.watch))
	for _, enable := range []func() error{
		func() error { _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); return err },
		func() error { _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); return err },
	} {
		p.must(enable())
	}
	p.window(1280, 900, false)
	p.do(chromedp.Navigate(server.URL))
	return p
}

// watch notes what should not be. That an answer says 4xx or 5xx is in the console too.
func (p *tab) watch(event any) {
	text := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		text = fmt.Sprintf("console.%s", e.Type)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.URL, "/v1/") {
			text = fmt.Sprintf("the console has: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || (u.Scheme == "http" || u.Scheme == "https") && "http://"+u.Host != p.url {
			text = "a request to " + e.Request.URL
		}
	}
	if text != "" {
		p.mu.Lock()
		p.wrong = append(p.wrong, text)
		p.mu.Unlock()
	}
}

func (p *tab) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	p.must(chromedp.Do(p.ctx, steps...))
}

// js is the value of an expression, as JSON.
func (p *tab) js(expression string) string {
	p.Helper()
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("(async () => JSON.stringify(await ("+expression+") ?? null))()", chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", expression, err)
	}
	return text
}

// list is the value of an expression that is a list of texts.
func (p *tab) list(expression string) (all []string) {
	p.Helper()
	p.must(json.Unmarshal([]byte(p.js(expression)), &all))
	return all
}

// wait waits until an expression is true.
func (p *tab) wait(expression string) {
	p.Helper()
	p.eventually(expression, func() bool { return p.js(expression) == "true" })
}

// eventually waits for something that has to happen.
func (p *tab) eventually(what string, ok func() bool) {
	p.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.Fatalf("it never comes true that %s; the page has\n%s", what, p.js(`document.body.innerText`))
}

// settled waits until n pictures are there and none waits for an answer.
func (p *tab) settled(n int) {
	p.Helper()
	p.wait(fmt.Sprintf(`document.querySelectorAll(".picture").length === %d && !document.querySelector(".waiting, .working")`, n))
}

func (p *tab) pick(files ...string) {
	p.Helper()
	p.do(chromedp.SetUploadFiles(chromedp.CSS("#files"), files))
}

// keys presses some.
func (p *tab) keys(text string) {
	p.Helper()
	p.do(chromedp.KeyEvent(text))
}

func (p *tab) window(width, height int64, dark bool) {
	p.Helper()
	p.do(chromedp.EmulateViewport(width, height))
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	p.must(err)
}
