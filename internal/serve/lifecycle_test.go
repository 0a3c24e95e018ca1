package serve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"effnet/internal/predict"
	"effnet/internal/predict/predicttest"
	"effnet/internal/scale"

	"golang.org/x/sync/errgroup"
)

// running serves on a port of this machine until stop is called.
func running(t testing.TB, s *Server) (address string, stop func() error) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(cancel)
	return l.Addr().String(), func() error { cancel(); return <-ended }
}

// dial opens a connection to a server.
func dial(t testing.TB, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(t.Context(), "tcp", address)
}

// postTo asks a server to classify an image.
func postTo(t testing.TB, c *http.Client, address string, image io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/v1/classify", image)
	if err != nil {
		return nil, err
	}
	return c.Do(r)
}

// answerOn reads the header of an answer.
func answerOn(c net.Conn) (status int, header http.Header, err error) {
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, nil, err
	}
	return a.StatusCode, a.Header, a.Body.Close()
}

// A server that stops answers what is under way, and takes nothing more.
func TestDrain(t *testing.T) {
	s := server(t)
	address, stop := running(t, s)
	body, send := io.Pipe()
	answer := make(chan error, 1)
	go func() {
		a, err := postTo(t, http.DefaultClient, address, body)
		if err == nil {
			defer a.Body.Close()
			if a.StatusCode != http.StatusOK {
				err = errors.New(a.Status)
			}
		}
		answer <- err
	}()
	file := photo(t, 1)
	if _, err := send.Write(file[:100]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the request arrives", func() bool { return s.bodies.Load() == 100 })
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	eventually(t, "the server stops listening", func() bool {
		c, err := dial(t, address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if s.ready.Load() {
		t.Error("a server that stops says that it is ready")
	}
	if _, err := send.Write(file[100:]); err != nil {
		t.Fatal(err)
	}
	send.Close()
	if err := errors.Join(<-answer, <-stopped); err != nil {
		t.Error(err)
	}
}

// What is not done by the end of the time for that is cut off.
func TestDrainEnds(t *testing.T) {
	s := server(t, func(o *Options) { o.Drain = 50 * time.Millisecond })
	address, stop := running(t, s)
	body, send := io.Pipe()
	defer send.Close()
	answer := make(chan error, 1)
	go func() {
		a, err := postTo(t, http.DefaultClient, address, body)
		if err == nil {
			a.Body.Close()
		}
		answer <- err
	}()
	if _, err := send.Write(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the request arrives", func() bool { return s.bodies.Load() == 10 })
	if err := stop(); err == nil || !strings.Contains(err.Error(), "cut off after 50ms") {
		t.Errorf("the server says %v", err)
	}
	send.CloseWithError(io.ErrUnexpectedEOF)
	<-answer
}

// While a network is replaced again and again, every request is answered; a damaged file
// changes nothing.
func TestReload(t *testing.T) {
	path := predicttest.File(t)
	opt := Default()
	opt.Watch = time.Millisecond
	s, err := New(t.Context(), []Source{FileSource("a", path)}, opt)
	if err != nil {
		t.Fatal(err)
	}
	address, stop := running(t, s)
	files := [][]byte{fileAt(t, path), fileAt(t, predicttest.File(t, func(a *scale.Arch) { a.Stages = a.Stages[:2] }))}
	// replace puts a file in the place of the network's, whole.
	replace := func(file []byte) {
		if err := errors.Join(os.WriteFile(path+".new", file, 0o666), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	var ended atomic.Bool
	var clients errgroup.Group
	for c := range 4 {
		clients.Go(func() error {
			for i := 0; !ended.Load(); i++ {
				a, err := postTo(t, http.DefaultClient, address, bytes.NewReader(photo(t, c)))
				if err != nil {
					return err
				}
				text, _ := io.ReadAll(a.Body)
				a.Body.Close()
				if a.StatusCode != http.StatusOK {
					return fmt.Errorf("request %d: %s %s", i, a.Status, text)
				}
			}
			return nil
		})
	}
	for i := range 6 {
		before := s.models[0].current.Load()
		replace(files[(i+1)%2])
		eventually(t, "the network is loaded again", func() bool { return s.models[0].current.Load() != before })
	}
	before, refused := s.models[0].current.Load(), s.metrics.count(t, "effnet_reloads_total")
	replace(files[0][:len(files[0])/2])
	eventually(t, "the damaged file is looked at", func() bool { return s.metrics.count(t, "effnet_reloads_total") > refused })
	if s.models[0].current.Load() != before {
		t.Error("a damaged file replaced the network")
	}
	time.Sleep(20 * time.Millisecond)
	if n := s.metrics.count(t, "effnet_reloads_total"); n != refused+1 {
		t.Errorf("a damaged file was read %v times", n-refused)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	replace(files[1])
	eventually(t, "the good file is loaded", func() bool { return s.models[0].current.Load() != before })
	ended.Store(true)
	if err := errors.Join(clients.Wait(), stop()); err != nil {
		t.Error(err)
	}
}

func fileAt(t testing.TB, path string) []byte {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Of more connections than there may be, those that wait longest are closed, and the newest
// is answered; neither costs goroutines for long.
// A file that changes while it is read, in place or by another, may be half of each: it is
// refused at the start, and answers nothing when a server reads it again.
func TestChangedWhileRead(t *testing.T) {
	path := predicttest.File(t)
	file := fileAt(t, path)
	changes := map[string]func() error{
		"nothing":  func() error { return nil },
		"touched":  func() error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) },
		"replaced": func() error { return errors.Join(os.WriteFile(path+".new", file, 0o666), os.Rename(path+".new", path)) },
		"longer":   func() error { return os.WriteFile(path, append(file, 0), 0o666) },
		"removed":  func() error { return os.Remove(path) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			write := func() {
				if err := os.WriteFile(path, file, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			write()
			meanwhile := func() error { return nil }
			a := FileSource("a", path)
			open := a.Open
			a.Open = func(ctx context.Context) (*predict.Network, error) {
				n, err := open(ctx)
				return n, errors.Join(err, meanwhile())
			}
			s, err := New(t.Context(), []Source{a}, Default())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			before := s.models[0].current.Load()
			meanwhile = change
			s.Reload(t.Context())
			if kept := s.models[0].current.Load() == before; kept != (name != "nothing") {
				t.Errorf("the network that was there answers: %v", kept)
			}
			if name == "nothing" || name == "removed" {
				return
			}
			write()
			if s, err := New(t.Context(), []Source{a}, Default()); err == nil || !strings.Contains(err.Error(), path+" changed while it was read") {
				t.Errorf("a server starts with it: %v %v", s, err)
			}
		})
	}
}

func TestIdleConnections(t *testing.T) {
	s := server(t, func(o *Options) { o.Conns = 20 })
	address, stop := running(t, s)
	before := runtime.NumGoroutine()
	var all []net.Conn
	for range 500 {
		c, err := dial(t, address)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	a, err := postTo(t, http.DefaultClient, address, bytes.NewReader(photo(t, 1)))
	if err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("the newest: %v, %v", a, err)
	}
	a.Body.Close()
	eventually(t, "the oldest are closed", func() bool { return runtime.NumGoroutine() < before+60 })
	var closed atomic.Int64
	var reads sync.WaitGroup
	for _, c := range all {
		reads.Go(func() {
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				closed.Add(1)
			}
			c.Close()
		})
	}
	reads.Wait()
	if n := closed.Load(); n < 480 || n > 500 || s.metrics.count(t, "effnet_connections_closed") < 480 {
		t.Errorf("%d connections were closed", n)
	}
	eventually(t, "none is counted any more", func() bool { return s.metrics.count(t, "effnet_connections") <= 1 })
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// Where all connections are busy, a new one is told so.
func TestBusyConnections(t *testing.T) {
	s := server(t, func(o *Options) { o.Conns, o.Drain = 2, time.Millisecond })
	address, stop := running(t, s)
	for range 2 {
		c, err := dial(t, address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
	}
	eventually(t, "both are read", func() bool { return s.bodies.Load() == 8 })
	c, err := dial(t, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	status, header, err := answerOn(c)
	if err != nil || status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("the third is told %d %v, %v", status, header, err)
	}
	if err := stop(); err == nil { // which cuts the two off
		t.Error("nothing is cut off")
	}
}

// A connection of TLS is closed without a word: nothing waits for its client.
func TestBusyTLS(t *testing.T) {
	c := &conns{limit: 1, log: slog.New(slog.DiscardHandler)}
	busy, _ := net.Pipe()
	c.note(busy, http.StateNew)
	c.note(busy, http.StateActive)
	client, ours := net.Pipe()
	c.note(tls.Server(ours, &tls.Config{}), http.StateNew) // would wait for the client to read
	if n, err := client.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the client reads %d bytes, %v", n, err)
	}
	if open, closed := c.numbers(); open != 1 || closed != 1 {
		t.Errorf("%d are open, %d were closed", open, closed)
	}
}

// A client that sends slowly is told so when its time is over.
func TestSlowClient(t *testing.T) {
	s := server(t, func(o *Options) { o.Timeout = 200 * time.Millisecond })
	address, stop := running(t, s)
	c, err := dial(t, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
	if status, _, err := answerOn(c); err != nil || status != http.StatusRequestTimeout {
		t.Errorf("it is told %d, %v", status, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A client that leaves takes its image out of the queue: nothing is computed for it.
func TestClientLeaves(t *testing.T) {
	s := server(t, func(o *Options) { o.Predict.Wait = time.Hour })
	p := s.models[0].current.Load()
	coming, come := io.Pipe() // an image for which others wait
	held := make(chan error, 1)
	go func() {
		_, err := p.Classify(t.Context(), predict.Request{Image: predict.Reader("slow", coming)})
		held <- err
	}()
	if _, err := come.Write(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	before := s.metrics.count(t, "effnet_images_total")
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan int, 1)
	go func() {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/v1/classify", bytes.NewReader(photo(t, 1))))
		gone <- w.Code
	}()
	eventually(t, "the image is accepted", func() bool { n, _ := p.Load(); return n == 2 })
	cancel()
	if status := <-gone; status != statusGone {
		t.Errorf("status %d", status)
	}
	come.CloseWithError(io.ErrUnexpectedEOF)
	if err := <-held; err == nil {
		t.Error("half an image is one")
	}
	eventually(t, "no place is taken", func() bool { n, _ := p.Load(); return n == 0 })
	if n := s.metrics.count(t, "effnet_images_total"); n != before {
		t.Errorf("%v images were computed", n-before)
	}
}

// HTTP/2 works without TLS.
func TestHTTP2(t *testing.T) {
	s := server(t)
	address, stop := running(t, s)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: transport}
	var all errgroup.Group
	for range 20 {
		all.Go(func() error {
			a, err := postTo(t, client, address, bytes.NewReader(photo(t, 1)))
			if err != nil {
				return err
			}
			defer a.Body.Close()
			if a.StatusCode != http.StatusOK || a.ProtoMajor != 2 {
				return fmt.Errorf("%s %s", a.Proto, a.Status)
			}
			return nil
		})
	}
	if err := errors.Join(all.Wait(), stop()); err != nil {
		t.Error(err)
	}
}
