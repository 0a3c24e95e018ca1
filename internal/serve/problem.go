package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"effnet/internal/data"
	"effnet/internal/predict"
)

// A problem is an error that is the answer to a request, with its status.
type problem struct {
	status int
	detail string
}

func (p *problem) Error() string { return p.detail }

func problemf(status int, format string, args ...any) error {
	return &problem{status, fmt.Sprintf(format, args...)}
}

// What is refused for lack of room; the client should try again.
var errBusy = &problem{http.StatusServiceUnavailable, "the queue is full: try again in a second"}

// statusGone is nginx's, for the log: the client left before its answer.
const statusGone = 499

// problemOf says what to answer to a request that failed. Only for status 500 is the fault
// the server's, and its error one for the log alone.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &problem{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", e.Limit)}
	}
	if e, ok := errors.AsType[*data.Error](err); ok {
		return &problem{http.StatusUnprocessableEntity, e.Path + ": " + e.Reason}
	}
	if e, ok := errors.AsType[*predict.RequestError](err); ok {
		return &problem{http.StatusBadRequest, e.Error()}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &problem{statusGone, "the request was cancelled"}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{http.StatusGatewayTimeout, "the request timed out"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem{http.StatusRequestTimeout, "the body did not arrive in time"}
	case errors.Is(err, predict.ErrClosed):
		return &problem{http.StatusServiceUnavailable, "the server is stopping"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &problem{http.StatusBadRequest, "the body ended too early"}
	}
	return &problem{http.StatusInternalServerError, "something went wrong here: the server's log has the error under this request's id"}
}

// asProblem writes a problem by RFC 9457.
func asProblem(w http.ResponseWriter, r *http.Request, p *problem) {
	respond(w, p.status, "application/problem+json", map[string]any{
		"type": "about:blank", "title": statusText(p.status), "status": p.status, "detail": p.detail, "request_id": requestID(r),
	})
}

// asError writes a problem as the Open Inference Protocol has errors.
func asError(w http.ResponseWriter, _ *http.Request, p *problem) {
	respond(w, p.status, "application/json", map[string]any{"error": p.detail})
}

func statusText(status int) string {
	if status == statusGone {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}

// respond writes a value as JSON.
func respond(w http.ResponseWriter, status int, kind string, value any) {
	text, err := json.Marshal(value)
	if err != nil { // no value of this package's is one that JSON has no form for
		panic(err)
	}
	w.Header().Set("Content-Type", kind)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client has left
}
