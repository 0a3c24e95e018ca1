package hub

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

// Where a redirect may lead, and whether the token may go with it.
func TestRedirects(t *testing.T) {
	h := New(Settings{})
	request := func(url string, stays bool) *http.Request {
		ctx := t.Context()
		if stays {
			ctx = context.WithValue(ctx, staysKey{}, true)
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer hf_secret")
		return r
	}
	const hub, cdn = "https://huggingface.co/a", "https://cdn-lfs.huggingface.co/b" // a host below the hub's is another
	for _, c := range []struct {
		name  string
		chain []string
		stays bool
		token bool
		want  error // nil for any that is followed
	}{
		{"the same host", []string{hub, "https://huggingface.co/c"}, false, true, nil},
		{"another host", []string{hub, cdn}, false, false, nil},
		{"another port", []string{hub, "https://huggingface.co:8443/a"}, false, false, nil},
		{"back from another host", []string{hub, cdn, hub}, false, false, nil},
		{"a question", []string{hub, cdn}, true, true, http.ErrUseLastResponse},
		{"a question on the same host", []string{hub, "https://huggingface.co/c"}, true, true, nil},
		{"a mirror that leads to the hub", []string{"https://mirror.example/a", hub}, true, false, nil},
		{"out of encryption", []string{hub, "http://huggingface.co/a"}, false, true, errors.New("refused")},
	} {
		var via []*http.Request
		for _, url := range c.chain[:len(c.chain)-1] {
			via = append(via, request(url, c.stays))
		}
		next := request(c.chain[len(c.chain)-1], c.stays)
		err := h.redirect(next, via)
		if (err == nil) != (c.want == nil) || errors.Is(c.want, http.ErrUseLastResponse) != errors.Is(err, http.ErrUseLastResponse) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil && (next.Header.Get("Authorization") != "") != c.token {
			t.Errorf("%s: the token is sent: %v", c.name, !c.token)
		}
	}
	var loop []*http.Request
	for range 10 {
		loop = append(loop, request(hub, false))
	}
	if err := h.redirect(request(hub, false), loop); err == nil || h.again(err) {
		t.Errorf("a loop: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		key, value string
		want       time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second},
		{"Retry-After", "Thu, 02 Jan 2025 03:05:05 GMT", time.Minute},
		{"Retry-After", "Thu, 02 Jan 2025 03:00:00 GMT", 0},
		{"Retry-After", "-1", 0},
		{"Retry-After", "soon", 0},
		{"RateLimit", `"api";r=0;t=55`, 55 * time.Second},
		{"RateLimit", `"api";r=3;t=55`, 0},
	} {
		if got := retryAfter(http.Header{http.CanonicalHeaderKey(c.key): {c.value}}, now); got != c.want {
			t.Errorf("%s: %s: %v, want %v", c.key, c.value, got, c.want)
		}
	}
}
