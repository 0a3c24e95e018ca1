package hubtest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Status answers with a status and headers, as "Retry-After", "1".
func Status(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	}
}

// LoginPage answers as a network does whose users have to log in: a page, and success.
func LoginPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!DOCTYPE html><html><body>Welcome to our hotel. Please log in.</body></html>")
}

// Send answers with content. Where promised is not its length, the answer ends before what
// it promised, or goes on after it.
func Send(content []byte, promised int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(promised))
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(content[:min(len(content), promised)])
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		if len(content) < promised {
			panic(http.ErrAbortHandler) // which closes the connection
		}
	}
}

// Silence answers nothing, until the client gives up.
func Silence(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(time.Minute):
	}
}

// Stall sends the start of a content and then nothing, until the client gives up.
func Stall(content []byte, promised int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(promised))
		_, _ = w.Write(content)
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		Silence(w, r)
	}
}
