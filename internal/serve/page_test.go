package serve_test

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"effnet/internal/heatmap"
	"effnet/internal/serve"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	red  = "../../classify/testdata/red.png"
	blue = "../../classify/testdata/blue.png"
)

// What the tests read of the page.
const (
	titles  = `[...document.querySelectorAll(".picture h2")].map(e => e.textContent)`
	best    = `[...document.querySelectorAll(".class:first-of-type .name")].map(e => e.textContent)`
	reasons = `[...document.querySelectorAll(".failed .state")].map(e => e.textContent)`
	status  = `document.querySelector("#status").textContent`
	news    = `document.querySelector("#news").textContent`
)

// A browser shows the page, where there is one.
func TestPage(t *testing.T) {
	b := browser(t)
	for _, test := range []struct {
		name string
		run  func(*tab)
		site func(*testing.T) http.Handler
	}{
		{"pick", testPick, usual},
		{"not an image", testNotAnImage, usual},
		{"paste", testPaste, usual},
		{"drop", testDrop, usual},
		{"map", testMap, usual},
		{"csv", testCSV, usual},
		{"keyboard", testKeyboard, usual},
		{"networks", testNetworks, func(t *testing.T) http.Handler { return site(t, serve.Default(), "first", "second") }},
		{"small", testSmall, usual},
		{"accessible", testAccessible, usual},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(tabOf(b, t, test.site(t))) })
	}
	t.Run("token", func(t *testing.T) { testToken(tabOf(b, t, withToken(t))) })
	t.Run("busy", func(t *testing.T) { testBusy(b, t) })
	t.Run("cancel", func(t *testing.T) { testCancel(b, t) })
	t.Run("gone", func(t *testing.T) { testGone(b, t) })
}

func usual(t *testing.T) http.Handler { return site(t, serve.Default(), "blots") }

func absolute(t testing.TB, files ...string) []string {
	t.Helper()
	for i, file := range files {
		path, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = path
	}
	return files
}

// notes writes a text that is called as an image is.
func notes(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notes.jpg")
	if err := os.WriteFile(path, []byte("not an image"), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *tab) want(expression string, want ...string) {
	p.Helper()
	if got := p.list(expression); !slices.Equal(got, want) {
		p.Errorf("%s is\n%q, want\n%q", expression, got, want)
	}
}

// say waits for what is told to those who do not see the page.
func (p *tab) say(text string) {
	p.Helper()
	p.wait(fmt.Sprintf("%s === %q", news, text))
}

// Each picture has the network's classes, with bars as long as they are likely.
func testPick(p *tab) {
	p.pick(absolute(p, red, blue)...)
	p.settled(2)
	p.want(titles, "red.png", "blue.png")
	p.want(best, "red", "blue")
	p.say("2 pictures classified")
	var wide []struct{ Share, Bar float64 }
	p.must(json.Unmarshal([]byte(p.js(`[...document.querySelectorAll(".class")].map(e => ({
		share: parseFloat(e.querySelector(".share").textContent) / 100,
		bar: e.querySelector("i").offsetWidth / e.querySelector(".bar").offsetWidth}))`)), &wide))
	if len(wide) != 6 {
		p.Errorf("%d classes, want 3 of each picture", len(wide))
	}
	for _, w := range wide {
		if max(w.Share-w.Bar, w.Bar-w.Share) > .01 {
			p.Errorf("a bar of %.3f for %.3f", w.Bar, w.Share)
		}
	}
	p.pick(absolute(p, red)...)
	p.settled(3)
	p.want(titles, "red.png", "blue.png", "red (2).png")
	p.do(chromedp.Click(chromedp.CSS("#clear")))
	p.settled(0)
	p.want(`[document.activeElement.id]`, "files")
}

// A file that is no image has the server's sentence, and harms no other.
func testNotAnImage(p *tab) {
	p.pick(append(absolute(p, red), notes(p), absolute(p, blue)[0])...)
	p.settled(3)
	p.want(best, "red", "blue")
	p.want(reasons, "Not a JPEG, PNG, GIF, WebP, BMP or TIFF image")
	p.say("2 pictures classified, 1 failed")
	if p.js(`document.querySelector("#again").hidden`) != "true" {
		p.Error("the page would try again what is no image")
	}
}

// file is JavaScript's File with a name and the content of a file here.
func file(t testing.TB, name, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`new File([Uint8Array.from(atob(%q), c => c.charCodeAt(0))], %q, {type: "image/png"})`, base64.StdEncoding.EncodeToString(content), name)
}

// paste pastes files, by the event that Ctrl+V makes.
func (p *tab) paste(files ...string) {
	p.Helper()
	p.js(`(() => { const data = new DataTransfer(); for (const f of [` + strings.Join(files, ",") + `]) data.items.add(f);
		document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true})) })()`)
}

func testPaste(p *tab) {
	p.paste(file(p, "image.png", red))
	p.paste(file(p, "image.png", blue))
	p.settled(2)
	p.want(titles, "image.png", "image (2).png")
	p.want(best, "red", "blue")
	const evil = `<img src=x onerror="document.title='evil'">.png`
	p.paste(file(p, evil, red))
	p.settled(3)
	p.want(titles, "image.png", "image (2).png", evil)
	p.want(`[document.title]`, "effnet: classify pictures")
}

// Files and folders are dropped as a browser does that: of a folder, only images count.
func testDrop(p *tab) {
	dir := filepath.Join(p.TempDir(), "holiday")
	p.must(os.MkdirAll(filepath.Join(dir, "more"), 0o777))
	for from, to := range map[string]string{red: "b.png", blue: "more/c.png"} {
		content, err := os.ReadFile(from)
		p.must(err)
		p.must(os.WriteFile(filepath.Join(dir, filepath.FromSlash(to)), content, 0o666))
	}
	p.must(os.WriteFile(filepath.Join(dir, "a.txt"), []byte("text"), 0o666))
	drop := func(kind input.DispatchDragEventType, files ...string) {
		_, err := chromedp.Call(p.ctx, input.DispatchDragEvent, input.DispatchDragEventParams{
			Type: kind, X: 300, Y: 200, Data: &input.DragData{Items: []*input.DragDataItem{}, Files: files, DragOperationsMask: 1},
		})
		p.must(err)
	}
	files := append(absolute(p, red), dir)
	const over = `document.querySelector("#drop").classList.contains("over")`
	drop(input.DispatchDragEventTypeDragEnter, files...)
	drop(input.DispatchDragEventTypeDragOver, files...)
	p.wait(over)
	drop(input.DispatchDragEventTypeDrop, files...)
	p.settled(3)
	p.want(titles, "red.png", "holiday/b.png", "holiday/more/c.png")
	p.want(best, "red", "red", "blue")
	p.wait("!" + over)
}

// drawn is what a picture's canvas has.
func (p *tab) drawn() *image.RGBA {
	p.Helper()
	p.wait(`document.querySelector("canvas").width > 0`)
	var got struct {
		Width, Height int
		Pixels        []byte
	}
	p.must(json.Unmarshal([]byte(p.js(`(() => { const c = document.querySelector("canvas"), {width, height} = c;
		const {data} = c.getContext("2d").getImageData(0, 0, width, height);
		return {width, height, pixels: btoa(String.fromCharCode(...data))} })()`)), &got))
	return &image.RGBA{Pix: got.Pixels, Stride: 4 * got.Width, Rect: image.Rect(0, 0, got.Width, got.Height)}
}

// The map has the colours that internal/heatmap would give it, and the slider makes it more
// or less opaque. Another class has another map.
func testMap(p *tab) {
	p.pick(absolute(p, red)...)
	p.settled(1)
	for _, class := range []string{"red", "blue"} {
		if class != "red" {
			p.do(chromedp.Click(chromedp.Search(fmt.Sprintf(`//*[@class="name" and text()=%q]`, class))))
		}
		p.wait(fmt.Sprintf(`document.querySelector(".view img").alt === "red.png, with a map of where the network sees %s"`, class))
		got, want := p.drawn(), wantedMap(p, class)
		for i := range want.Pix {
			// heatmap mixes the map with the picture, here a black one, in equal parts.
			if d := int(got.Pix[i])/2 - int(want.Pix[i]); i%4 != 3 && max(d, -d) > 2 {
				p.Fatalf("%s: value %d of the canvas is %d, want twice %d", class, i, got.Pix[i], want.Pix[i])
			}
		}
	}
	for _, o := range []struct{ key, opacity string }{{"", "0.5"}, {kb.Home, "0"}, {kb.End, "1"}, {kb.ArrowLeft, "0.99"}} {
		p.do(chromedp.Focus(chromedp.CSS("#opacity")))
		p.keys(o.key)
		p.wait(fmt.Sprintf(`getComputedStyle(document.querySelector("canvas")).opacity === %q`, o.opacity))
	}
	p.keys(kb.Home)
	bare := p.view()
	p.keys(kb.End)
	if bytes.Equal(bare, p.view()) {
		p.Error("the picture looks the same with and without its map")
	}
}

// wantedMap is the map of a class over a black picture, by internal/heatmap.
func wantedMap(p *tab, class string) *image.RGBA {
	p.Helper()
	content, err := os.Open(red)
	p.must(err)
	defer content.Close()
	question, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.url+"/v1/classify?cam="+class, content)
	p.must(err)
	answer, err := http.DefaultClient.Do(question)
	p.must(err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		p.Fatal(answer.Status)
	}
	var reply struct {
		Results []struct {
			CAM struct {
				Side    int
				Values  []float32
				Picture []byte
			}
		}
	}
	p.must(json.NewDecoder(answer.Body).Decode(&reply))
	cam := reply.Results[0].CAM
	seen, _, err := image.DecodeConfig(bytes.NewReader(cam.Picture))
	p.must(err)
	black := image.NewRGBA(image.Rect(0, 0, seen.Width, seen.Height))
	draw.Draw(black, black.Rect, image.NewUniform(color.Black), image.Point{}, draw.Src)
	return heatmap.Over(black, cam.Values, cam.Side)
}

func (p *tab) view() []byte {
	p.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.Screenshot(chromedp.CSS(".view")))
	p.must(err)
	return png
}

// download presses a key or a button, and returns the file that comes of it.
func (p *tab) download(press chromedp.Action[chromedp.Void]) string {
	p.Helper()
	dir := p.TempDir()
	_, err := chromedp.CallBrowser(p.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir,
	})
	p.must(err)
	p.do(press)
	var text []byte
	p.eventually("a file is downloaded", func() bool {
		text, err = os.ReadFile(filepath.Join(dir, "predictions.csv"))
		return err == nil && len(text) > 0
	})
	return string(text)
}

// The file has the columns of effnet predict --csv, quoted, and no formulas.
func testCSV(p *tab) {
	p.paste(file(p, `=HYPERLINK("a,b").png`, red), file(p, "two words, a comma.png", blue))
	p.pick(notes(p))
	p.settled(3)
	text := p.download(chromedp.Click(chromedp.CSS("#csv")))
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	p.must(err)
	if len(rows) != 7 {
		p.Fatalf("%d rows, want a head and 3 classes of each of 2 pictures:\n%s", len(rows), text)
	}
	for i, want := range map[int]string{
		0: "path rank class label index probability",
		1: `'=HYPERLINK("a,b").png 1 red  2`,
		4: "two words, a comma.png 1 blue  0",
	} {
		row := rows[i]
		if i > 0 {
			row = row[:5]
		}
		if got := strings.Join(row, " "); got != want {
			p.Errorf("row %d is %s, want %s", i, got, want)
		}
	}
	sum := 0.
	for _, row := range rows[1:4] {
		share, err := strconv.ParseFloat(row[5], 64)
		p.must(err)
		sum += share
	}
	if sum < .9999 || sum > 1.0001 {
		p.Errorf("the probabilities of all classes sum to %v", sum)
	}
}

// The page's parts have the types without which browsers do not take them, and rules that
// keep out what is not theirs.
func TestPageFiles(t *testing.T) {
	handler := usual(t)
	for path, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/page/page.css": "text/css; charset=utf-8",
		"/page/page.js": "text/javascript; charset=utf-8", "/page/icon.svg": "image/svg+xml",
	} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if got := answer.Header().Get("Content-Type"); answer.Code != http.StatusOK || got != want {
			t.Errorf("%s: %d of %s, want %s", path, answer.Code, got, want)
		}
		if policy := answer.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'self'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: Content-Security-Policy: %s", path, policy)
		}
	}
}
