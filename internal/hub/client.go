package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Hub finds published weights, and downloads them. It is used by one goroutine at a time.
type Hub struct {
	Settings
	// Progress is told how far a file has come, in bytes; total is negative where nobody
	// knows. Note is told what a person may wonder about. Either may be nil.
	Progress func(file string, done, total int64)
	Note     func(text string)

	http    *http.Client
	reached bool // a server answered: what does not now may do so again
	sleep   func(context.Context, time.Duration) error
}

// New returns a Hub.
func New(s Settings) *Hub {
	h := &Hub{Settings: s, sleep: sleep}
	transport := http.DefaultTransport.(*http.Transport).Clone() // with its proxies
	transport.DisableCompression = true                          // sizes and checksums are of the file itself
	transport.ResponseHeaderTimeout = s.Stall
	h.http = &http.Client{Transport: transport, CheckRedirect: h.redirect}
	return h
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func (h *Hub) note(format string, args ...any) {
	if h.Note != nil {
		h.Note(fmt.Sprintf(format, args...))
	}
}

// staysKey marks the context of a request that stays on its host.
type staysKey struct{}

// refusal is an error of ours, and not of a network.
type refusal struct{ error }

// redirect lets no token out of the host that it is for, and nothing out of encryption.
// A request that stays is answered by a redirect that leaves its host, other than to the
// hub, which a mirror may lead to: the hub says there what it knows of the file.
func (h *Hub) redirect(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) >= 10:
		return refusal{errors.New("more than 10 redirects")}
	case first.Scheme == "https" && next.URL.Scheme != "https":
		return refusal{fmt.Errorf("redirected to %s, which is not encrypted", next.URL.Redacted())}
	case sameOrigin(first, next.URL) && !strayed(first, via):
		return nil
	case next.Context().Value(staysKey{}) != nil && next.URL.Scheme+"://"+next.URL.Host != defaultEndpoint:
		return http.ErrUseLastResponse
	}
	next.Header.Del("Authorization")
	return nil
}

// strayed says whether a chain of redirects has left its host: what comes back to it was
// asked for by another.
func strayed(first *url.URL, via []*http.Request) bool {
	return slices.ContainsFunc(via, func(r *http.Request) bool { return !sameOrigin(first, r.URL) })
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

// An answer that is not the one that was hoped for.
type statusError struct {
	status     int
	code       string // the hub's, as "GatedRepo"
	message    string // the hub's
	sentToken  bool
	host       string
	retryAfter time.Duration // 0 where the server does not say
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%s answers %d %s", e.host, e.status, http.StatusText(e.status))
	if e.message != "" {
		text += ": " + e.message
	}
	return text
}

// networkError is a request without an answer. It has no address, which may be signed.
type networkError struct {
	host string
	err  error
}

func (e *networkError) Error() string { return e.host + ": " + e.err.Error() }

func (e *networkError) Unwrap() error { return e.err }

// errPage is a web page in the place of a file.
var errPage = errors.New("the server sent a web page instead: the network or a proxy may want you to log in")

// do sends one request. Whatever is no success is an error.
func (h *Hub) do(ctx context.Context, method, address string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	req.Header.Set("User-Agent", h.UserAgent)
	req.Header.Set("Accept-Encoding", "identity")
	endpoint, err := url.Parse(h.Endpoint)
	authorised := err == nil && h.Token != "" && sameOrigin(endpoint, req.URL)
	if authorised {
		req.Header.Set("Authorization", "Bearer "+h.Token)
	}
	res, err := h.http.Do(req)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return nil, &networkError{req.URL.Host, failed.Err}
	}
	if err != nil {
		return nil, err
	}
	h.reached = true
	if res.StatusCode < 400 {
		return res, nil
	}
	_ = res.Body.Close()
	return nil, &statusError{
		status: res.StatusCode, code: res.Header.Get("X-Error-Code"), message: res.Header.Get("X-Error-Message"),
		sentToken: authorised, host: req.URL.Host, retryAfter: retryAfter(res.Header, time.Now()),
	}
}

// retryAfter is how long a server asks to wait: in Retry-After, or in the hub's RateLimit,
// as "api";r=0;t=55.
func retryAfter(header http.Header, now time.Time) time.Duration {
	after := header.Get("Retry-After")
	if n, err := strconv.Atoi(after); err == nil && n >= 0 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(after); err == nil {
		return max(0, at.Sub(now))
	}
	if limit := header.Get("RateLimit"); strings.Contains(limit, ";r=0;") {
		_, rest, _ := strings.Cut(limit, ";t=")
		seconds, _, _ := strings.Cut(rest, ";")
		if n, err := strconv.Atoi(seconds); err == nil && n >= 0 {
			return time.Duration(n) * time.Second
		}
	}
	return 0
}

// What is tried again, and how: huggingface_hub's numbers, but for the longest wait that a
// server may ask for.
const (
	maxTries   = 6
	firstWait  = time.Second
	longest    = 8 * time.Second
	longestAsk = 5 * time.Minute
)

// proxyOp is what net/http calls connecting to a proxy.
const proxyOp = "proxyconnect"

// again says whether an error may be gone at the next try.
func (h *Hub) again(err error) bool {
	if status, ok := errors.AsType[*statusError](err); ok {
		switch status.status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return status.retryAfter <= longestAsk
		}
		return false
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == proxyOp) {
		return h.reached // otherwise there is no network
	}
	_, broken := errors.AsType[*networkError](err)
	_, refused := errors.AsType[refusal](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return broken && !refused && !untrusted || errors.Is(err, errCut) || errors.Is(err, errStall)
}

// retry calls a function until it succeeds, or fails for good, or has failed maxTries
// times without getting any further.
func (h *Hub) retry(ctx context.Context, what string, try func() (progress bool, err error)) error {
	wait := firstWait
	for tries := 1; ; tries++ {
		progress, err := try()
		if err == nil || ctx.Err() != nil {
			return orCause(ctx, err)
		}
		if progress {
			tries, wait = 1, firstWait
		}
		if tries >= maxTries || !h.again(err) {
			return err
		}
		pause := wait
		if status, ok := errors.AsType[*statusError](err); ok && status.retryAfter > 0 {
			pause = status.retryAfter
		}
		h.note("%s: %v: trying again in %v", what, err, pause)
		if err := h.sleep(ctx, pause); err != nil {
			return err
		}
		wait = min(longest, 2*wait)
	}
}

// orCause is why a context ended, where it did.
func orCause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
