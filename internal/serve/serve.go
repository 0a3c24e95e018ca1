// Package serve classifies images over HTTP: by the Open Inference Protocol (v2.go), and by
// a JSON API that the web page uses too (classify.go).
//
// A request goes through the same steps whatever it asks (http.go): its connection is one of
// a bounded number (conns.go), its body takes part of a bounded amount of memory (body.go),
// its images take places in the queue of their network or the answer is 503 (model.go), and
// predict.Predictor computes them together with those of other requests.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"effnet/internal/predict"

	"golang.org/x/sync/errgroup"
)

// Options of a Server. None has a default here: see Default.
type Options struct {
	Predict predict.Options
	MaxBody int64         // bytes of a request's body, also when it is unpacked
	Bodies  int64         // bytes of all bodies together
	Conns   int           // connections
	Timeout time.Duration // for a request, from its header to its answer
	Drain   time.Duration // for the requests under way, when the server ends
	Watch   time.Duration // how often files are looked at; 0 for never
	Token   string        // that requests must bear; "" for none
	Version string        // of the program
	Log     *slog.Logger
}

// Default returns the usual options.
func Default() Options {
	return Options{
		MaxBody: 32 << 20, Bodies: 256 << 20, Conns: 1024,
		Timeout: 30 * time.Second, Drain: 30 * time.Second,
		Log: slog.New(slog.DiscardHandler),
	}
}

// Validate returns an error naming the first field out of range.
func (o *Options) Validate() error {
	switch {
	case o.MaxBody < 1:
		return fmt.Errorf("serve: bodies of at most %d bytes: want 1 or more", o.MaxBody)
	case o.Bodies < o.MaxBody:
		return fmt.Errorf("serve: %d bytes for all bodies, and %d for one: want at least as many", o.Bodies, o.MaxBody)
	case o.Conns < 1:
		return fmt.Errorf("serve: %d connections: want 1 or more", o.Conns)
	case o.Timeout <= 0:
		return fmt.Errorf("serve: a timeout of %v: want more than 0", o.Timeout)
	case o.Drain < 0 || o.Watch < 0:
		return errors.New("serve: a negative time")
	}
	return o.Predict.Validate()
}

// A Server answers requests about the images that they bring.
type Server struct {
	opt     Options
	models  []*model
	metrics *metrics
	bodies  atomic.Int64 // bytes of the bodies in memory
	ready   atomic.Bool
	handler http.Handler
}

// New loads networks and returns a Server of them, the first of which is meant where a
// request names none.
func New(ctx context.Context, sources []Source, opt Options) (*Server, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	s := &Server{opt: opt, metrics: newMetrics()}
	for _, source := range sources {
		if s.model(source.Name) != nil {
			return nil, errors.Join(fmt.Errorf("serve: two networks are called %s: give them names, as in roses=%s", source.Name, source.Path), s.Close())
		}
		m, err := newModel(ctx, source, s)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.models = append(s.models, m)
	}
	s.handler = s.routes()
	s.ready.Store(true)
	return s, nil
}

// Close ends the networks, and answers nothing that is under way.
func (s *Server) Close() error {
	all := make([]error, len(s.models))
	for i, m := range s.models {
		all[i] = m.current.Load().Close()
	}
	return errors.Join(all...)
}

// Handler is what answers requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Reload loads all networks again, from where they came. One that cannot be loaded stays
// what it was.
func (s *Server) Reload(ctx context.Context) {
	for _, m := range s.models {
		m.reload(ctx)
	}
}

// Serve answers the requests that arrive at a listener until ctx ends, then those under
// way, and closes the networks.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	connections := &conns{limit: s.opt.Conns, log: s.opt.Log}
	s.metrics.watch(connections, s)
	h := &http.Server{
		Handler:           s.handler,
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       s.opt.Timeout,
		WriteTimeout:      2 * s.opt.Timeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnState:         connections.note,
		ErrorLog:          slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelDebug),
	}
	h.Protocols.SetHTTP1(true)
	h.Protocols.SetHTTP2(true)
	h.Protocols.SetUnencryptedHTTP2(true)

	running, stop := context.WithCancel(ctx)
	defer stop()
	var all errgroup.Group
	all.Go(func() error {
		s.watch(running)
		return nil
	})
	all.Go(func() error {
		<-running.Done()
		return s.drain(h)
	})
	err := h.Serve(l)
	stop()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, all.Wait())
}

// drain answers what is under way.
func (s *Server) drain(h *http.Server) error {
	s.ready.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.Drain)
	defer cancel()
	s.opt.Log.Info("stopping: finishing the requests in progress", "at_most", s.opt.Drain)
	err := h.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("serve: requests were cut off after %v: %w", s.opt.Drain, errors.Join(err, h.Close()))
	}
	return errors.Join(err, s.Close())
}
