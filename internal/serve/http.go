package serve

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// A route is what answers requests of a pattern, as http.ServeMux has them.
type route struct {
	pattern string
	open    bool // also to those who do not bear the token
	answer  func(w http.ResponseWriter, r *http.Request) error
	failed  func(w http.ResponseWriter, r *http.Request, p *problem)
}

// table has every route. openapi.yaml describes them to clients.
func (s *Server) table() []route {
	const model = "/v2/models/{model}"
	const version = model + "/versions/{version}"
	return []route{
		{"GET /{$}", true, s.page, asProblem},
		{"GET /page/{file}", true, s.page, asProblem},
		{"GET /openapi.yaml", true, s.openapi, asProblem},
		{"GET /healthz", true, s.live, asProblem},
		{"GET /readyz", true, s.isReady, asProblem},
		{"GET /metrics", false, s.scrape, asProblem},
		{"GET /v1/models", false, s.listModels, asProblem},
		{"GET /v1/models/{model}", false, s.describeModel, asProblem},
		{"POST /v1/classify", false, s.classify, asProblem},

		{"GET /v2", false, s.v2Server, asError},
		{"GET /v2/health/live", true, s.live, asError},
		{"GET /v2/health/ready", true, s.isReady, asError},
		{"POST /v2/repository/index", false, s.v2Index, asError},
		{"GET " + model, false, s.v2Model, asError},
		{"GET " + model + "/ready", true, s.v2ModelReady, asError},
		{"GET " + model + "/config", false, s.v2Config, asError},
		{"POST " + model + "/infer", false, s.v2Infer, asError},
		{"GET " + version, false, s.v2Model, asError},
		{"GET " + version + "/ready", true, s.v2ModelReady, asError},
		{"GET " + version + "/config", false, s.v2Config, asError},
		{"POST " + version + "/infer", false, s.v2Infer, asError},
		{"/v2/", false, s.v2Unknown, asError},
	}
}

// routes is the handler of all of them.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.table() {
		mux.Handle(r.pattern, s.handle(r))
	}
	return mux
}

// handle answers requests of a route: it names, bounds, counts and logs them.
func (s *Server) handle(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(r.Context(), s.opt.Timeout)
		defer cancel()
		r = r.WithContext(context.WithValue(ctx, idKey{}, nameRequest(r)))
		w.Header().Set("X-Request-Id", requestID(r))
		w.Header().Set("X-Content-Type-Options", "nosniff")
		noted := &noted{ResponseWriter: w, status: http.StatusOK}

		err := s.guarded(route, noted, r)
		if err != nil && !noted.wrote {
			route.failed(noted, r, problemOf(err))
		}
		took := time.Since(began)
		s.metrics.answered(route.pattern, noted.status, took)
		s.log(r, noted, took, err)
	})
}

// guarded answers a request, unless it may not be, and takes a panic for an error.
func (s *Server) guarded(route route, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.opt.Log.Error("panic", "id", requestID(r), "panic", p, "stack", string(debug.Stack()))
			err = problemf(http.StatusInternalServerError, "something went wrong here: the server's log has it under this request's id")
		}
	}()
	if !route.open && !s.allowed(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="effnet"`)
		return problemf(http.StatusUnauthorized, "this server requires a token: Authorization: Bearer TOKEN")
	}
	return route.answer(w, r)
}

func (s *Server) allowed(r *http.Request) bool {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return s.opt.Token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(s.opt.Token)) == 1
}

// log writes a line about a request. Those that only look, as probes and Prometheus do every
// few seconds, are of no interest.
func (s *Server) log(r *http.Request, w *noted, took time.Duration, err error) {
	log := s.opt.Log.With("id", requestID(r), "method", r.Method, "path", r.URL.Path, "status", w.status, "ms", took.Milliseconds(), "remote", r.RemoteAddr)
	switch {
	case w.status == http.StatusInternalServerError:
		log.Error("request failed", "error", err)
	case err != nil:
		log.Info("request refused", "error", err)
	case r.Method == http.MethodGet:
		log.Debug("request")
	default:
		log.Info("request")
	}
}

type idKey struct{}

// requestID is a request's name.
func requestID(r *http.Request) string { id, _ := r.Context().Value(idKey{}).(string); return id }

// nameRequest names a request as its client does, or else by chance.
func nameRequest(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); id != "" && len(id) <= 128 && !strings.ContainsFunc(id, func(c rune) bool { return c < '!' || c > '~' }) {
		return id
	}
	return rand.Text()
}

// noted remembers how a request was answered.
type noted struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (n *noted) WriteHeader(status int) {
	if !n.wrote {
		n.status, n.wrote = status, true
	}
	n.ResponseWriter.WriteHeader(status)
}

func (n *noted) Write(p []byte) (int, error) {
	n.wrote = true
	return n.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }
