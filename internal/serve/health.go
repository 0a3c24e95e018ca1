package serve

import (
	_ "embed"
	"io"
	"net/http"
)

//go:embed openapi.yaml
var openapiText []byte

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, err := w.Write(openapiText)
	return err
}

// live says that the program runs.
func (s *Server) live(w http.ResponseWriter, _ *http.Request) error {
	_, err := io.WriteString(w, "ok\n")
	return err
}

// isReady says whether requests are answered: not when the server is stopping.
func (s *Server) isReady(w http.ResponseWriter, _ *http.Request) error {
	if !s.ready.Load() {
		return &problem{http.StatusServiceUnavailable, "the server is stopping"}
	}
	_, err := io.WriteString(w, "ok\n")
	return err
}

func (s *Server) scrape(w http.ResponseWriter, r *http.Request) error {
	s.metrics.handler().ServeHTTP(w, r)
	return nil
}
