package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"

	"effnet/internal/checkpoint"
	"effnet/internal/weights"
)

// Found is where weights are, and what is known of them.
type Found struct {
	Name  string // as it was given
	Path  string
	Known *weights.Overrides // what the table says of it; nil for a path, and for what the table has not
}

// Resolve finds weights: a path that exists, or weights by a name, from the cache, or from
// where they are published if the cache has none. Anything else is a path.
func (h *Hub) Resolve(ctx context.Context, name string) (Found, error) {
	if path, ok := local(name); ok {
		return Found{Name: name, Path: path}, nil
	}
	s, err := parse(name)
	if s == nil || err != nil {
		return Found{Name: name, Path: name}, err
	}
	if path := h.cached(s); path != "" {
		return s.found(path), nil
	}
	return h.pull(ctx, s)
}

// Pull brings the newest weights of a name into the cache. Offline what is there has to do.
func (h *Hub) Pull(ctx context.Context, name string) (Found, error) {
	s, err := mustParse(name)
	if err != nil {
		return Found{}, err
	}
	return h.pull(ctx, s)
}

// Find is the table's line of a name.
func Find(name string) (Entry, error) {
	s, err := mustParse(name)
	if err == nil && s.entry == nil {
		err = fault(name, "effnet import shows what a file holds", "is not in the table of published weights, but any repository of the hub")
	}
	if err != nil {
		return Entry{}, err
	}
	return *s.entry, nil
}

// Cached is where the cache has weights, "" where it has not.
func (h *Hub) Cached(name string) string {
	s, err := parse(name)
	if s == nil || err != nil {
		return ""
	}
	return h.cached(s)
}

func mustParse(name string) (*source, error) {
	s, err := parse(name)
	if s == nil && err == nil {
		err = fault(name, Suggest(name)+"effnet weights list shows the names; hf:OWNER/NAME is any repository of the Hugging Face hub", "is not a name of published weights")
	}
	return s, err
}

func (s *source) found(path string) Found {
	f := Found{Name: s.name, Path: path}
	if s.entry != nil {
		f.Known = s.entry.known()
	}
	return f
}

// cached is where the cache has weights, "" where it has not. Those of the table need no
// config.json, which timm does not download.
func (h *Hub) cached(s *source) string {
	if s.repo == "" {
		return h.findOwn(s.entry)
	}
	path, described := h.repoCache(s.repo).find(s.revision)
	if !described && s.entry == nil {
		return ""
	}
	return path
}

func (h *Hub) pull(ctx context.Context, s *source) (Found, error) {
	if h.Offline {
		if path := h.cached(s); path != "" {
			return s.found(path), nil
		}
		return Found{}, &checkpoint.Error{Path: s.name, Reason: "is not in the cache, and HF_HUB_OFFLINE forbids downloading it", Hint: h.copyHint(s)}
	}
	var path string
	var err error
	if s.repo == "" {
		path, err = h.pullOwn(ctx, s.entry)
	} else if err = h.checkEndpoint(); err == nil {
		path, err = h.pullRepo(ctx, s)
	}
	if err != nil {
		return Found{}, h.explain(ctx, s, err)
	}
	return s.found(path), nil
}

// checkEndpoint refuses an address of the hub to which nothing can be sent.
func (h *Hub) checkEndpoint() error {
	u, err := url.Parse(h.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return hinted{fmt.Errorf("HF_ENDPOINT is %q", h.Endpoint), "want an address such as " + defaultEndpoint}
	}
	return nil
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

// copyHint says how to do without a network.
func (h *Hub) copyHint(s *source) string {
	return fmt.Sprintf("without a network: run effnet weights pull %s on a machine that has one, and copy the folder that it prints to %s here", s.name, h.folder(s))
}

// folder is where the cache keeps what belongs to a name.
func (h *Hub) folder(s *source) string {
	if s.repo == "" {
		return h.ownFolder(s.entry)
	}
	return h.repoCache(s.repo).path()
}

// Folder is where the cache keeps what belongs to a name, "" for what is no name.
func (h *Hub) Folder(name string) string {
	s, err := parse(name)
	if s == nil || err != nil {
		return ""
	}
	return h.folder(s)
}

// explain makes an error of a download one for people.
func (h *Hub) explain(ctx context.Context, s *source, err error) error {
	if ctx.Err() != nil {
		return err
	}
	e := &checkpoint.Error{Path: s.name, Reason: "cannot be downloaded", Err: err}
	if own, ok := errors.AsType[*checkpoint.Error](err); ok { // of the file that came: its path says nothing
		e.Err, e.Hint = errors.New("the download "+own.Reason), own.Hint
	}
	if h, ok := errors.AsType[hinted](err); ok {
		e.Hint = h.hint
	}
	if status, ok := errors.AsType[*statusError](err); ok {
		e.Hint = status.hint(s)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		e.Reason, e.Hint, e.Err = "cannot be downloaded: cannot reach "+h.host(s), h.copyHint(s), op
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == proxyOp {
		e.Hint = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY; " + h.copyHint(s)
	}
	if errors.Is(err, errStall) {
		e.Hint = h.copyHint(s)
	}
	if cause, ok := ofDisk(err); ok {
		e.Reason, e.Hint, e.Err = "cannot be kept in "+h.folder(s), h.diskHint(s, err), cause
	}
	return e
}

// ofDisk is the system's word for what a disk did not do.
func ofDisk(err error) (cause error, ok bool) {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err, true
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err, true
	}
	return nil, false
}

// diskHint is what to do about a cache that takes no files.
func (h *Hub) diskHint(s *source, err error) string {
	variable := "HF_HUB_CACHE"
	if s.repo == "" {
		variable = "EFFNET_CACHE"
	}
	if errors.Is(err, syscall.ENOSPC) {
		return "free some space and try again, which resumes the download, or set " + variable + " to a folder on another disk"
	}
	return "set " + variable + " to a folder that you may write to"
}

func (h *Hub) host(s *source) string {
	address := h.Endpoint
	if s.repo == "" {
		address = s.entry.File
	}
	if u, err := url.Parse(address); err == nil {
		return u.Host
	}
	return address
}

// hint is what to do about an answer.
func (e *statusError) hint(s *source) string {
	token := "set HF_TOKEN to a token that may read it"
	switch {
	case e.code == "GatedRepo" && e.sentToken:
		return "ask for access on its page, " + defaultEndpoint + "/" + s.repo
	case e.code == "GatedRepo":
		return "ask for access on its page, " + defaultEndpoint + "/" + s.repo + ", and " + token
	case e.code == "RevisionNotFound":
		return "it has no revision " + s.revision
	case e.status == http.StatusUnauthorized && e.sentToken:
		return "the token is not valid or may not read it: check HF_TOKEN"
	case e.status == http.StatusUnauthorized:
		return "there is no such repository, or it is private: " + token
	case e.status == http.StatusNotFound:
		return "check the name"
	case e.status == http.StatusTooManyRequests:
		return "wait and try again: the partial download is kept"
	}
	return "try again later: the partial download is kept"
}
