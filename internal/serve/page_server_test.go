package serve_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"effnet/internal/serve"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Where there are several networks, the chosen one is asked, again about all pictures.
func testNetworks(p *tab) {
	p.wait(`document.querySelector("#network").length === 2`)
	p.pick(absolute(p, red)...)
	p.settled(1)
	p.js(`(() => { const fetched = window.fetch; window.asked = []; window.fetch = (address, o) => (asked.push(String(address)), fetched(address, o)) })()`)
	p.do(chromedp.Focus(chromedp.CSS("#network")))
	p.keys("s")
	p.wait(`document.querySelector("#network").value === "second" && asked.length > 0`)
	p.settled(1)
	p.want(best, "red")
	p.want(`asked`, "v1/classify?model=second&topk=5&cam=true")
}

func withToken(t *testing.T) http.Handler {
	o := serve.Default()
	o.Token = "open sesame"
	return site(t, o, "blots")
}

// The page asks for a token until it is the right one, and keeps it for this tab.
func testToken(p *tab) {
	const asks = `document.querySelector("#ask").open`
	p.wait(asks)
	p.keys(kb.Escape)
	p.wait("!" + asks)
	p.wait(`document.querySelector("#problem p").textContent === "The server requires a token."`)
	p.do(chromedp.Click(chromedp.CSS("#reload")))
	p.wait(asks)
	p.keys("w\u00fcrong" + kb.Enter) // no header can have it
	p.wait(`document.querySelector("#token").validity.patternMismatch && ` + asks)
	p.js(`document.querySelector("#token").value = ""`)
	p.keys("wrong" + kb.Enter)
	p.wait(`document.querySelector("#ask h2").textContent === "The server did not accept this token"`)
	p.keys("open sesame" + kb.Enter)
	p.wait("!" + asks + ` && document.querySelector("#about").textContent !== " "`)
	p.do(chromedp.Navigate(p.url))
	p.pick(absolute(p, red)...)
	p.settled(1)
	p.want(best, "red")
	p.want(`[localStorage.length, document.cookie].map(String)`, "0", "")
}

// A server that is busy is asked again when it says so.
func testBusy(b context.Context, t *testing.T) {
	inner := usual(t)
	var asked atomic.Int32
	p := tabOf(b, t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && asked.Add(1) <= 2 {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Retry-After", "1")
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	p.pick(absolute(t, red, blue)...)
	p.wait(status + `.endsWith("the server is busy, waiting")`)
	p.settled(2)
	p.want(best, "red", "blue")
	p.want(`[`+status+`]`, "2 pictures")
	if n := asked.Load(); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
}

// Cancelling ends what is under way, and what was not classified can be tried again.
func testCancel(b context.Context, t *testing.T) {
	inner := usual(t)
	var held atomic.Bool
	var most, now atomic.Int32
	held.Store(true)
	p := tabOf(b, t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && held.Load() {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		}
		inner.ServeHTTP(w, r)
	}))
	p.pick(absolute(t, red, blue, red, blue, red)...)
	p.eventually("three pictures are sent", func() bool { return now.Load() == 3 })
	p.want(`[`+status+`]`, "0 of 5 pictures")
	p.do(chromedp.Click(chromedp.CSS("#cancel")))
	p.settled(5)
	p.want(reasons, slices.Repeat([]string{"Cancelled"}, 5)...)
	p.eventually("the server sees that the requests are cancelled", func() bool { return now.Load() == 0 })
	p.want(`[document.activeElement.id]`, "clear")
	if n := most.Load(); n != 3 {
		t.Errorf("%d requests at once, want 3", n)
	}
	held.Store(false)
	p.do(chromedp.Click(chromedp.CSS("#again")))
	p.settled(5)
	p.want(best, "red", "blue", "red", "blue", "red")
}

// A server that is gone is said to be, and can be tried again.
func testGone(b context.Context, t *testing.T) {
	inner := usual(t)
	var gone atomic.Bool
	p := tabOf(b, t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && gone.Load() {
			panic(http.ErrAbortHandler)
		}
		inner.ServeHTTP(w, r)
	}))
	gone.Store(true)
	p.pick(absolute(t, red)...)
	p.settled(1)
	p.want(reasons, "The server did not answer. It may have stopped, or the file is larger than it takes.")
	gone.Store(false)
	p.do(chromedp.Click(chromedp.CSS("#again")))
	p.settled(1)
	p.want(best, "red")
}
