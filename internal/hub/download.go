package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// A remote is a file on a server, and what is known of it before it is there.
type remote struct {
	name string // for people
	url  string
	etag string // as the server writes it; "" where it is not, or not what GET compares
	size int64  // negative where nobody knows
	sum  checksum
	page bool                    // it is a few bytes of text, not weights
	fits func(path string) error // checks the structure of what came
}

var (
	errCut   = errors.New("the connection ended in the middle of the file")
	errStall = errors.New("the server sends nothing")
)

// download brings a file to path, which is not its final name: what an earlier download
// left there is continued. It is whole and checked when download returns without an error.
func (h *Hub) download(ctx context.Context, r remote, path string) error {
	for first := true; ; first = false {
		info, err := os.Stat(path)
		continued := err == nil && info.Size() > 0
		if err := h.fill(ctx, r, path); err != nil {
			return err
		}
		err = r.check(path)
		if err == nil {
			return nil
		}
		if removal := os.Remove(path); removal != nil {
			return errors.Join(err, removal)
		}
		if !first || !continued {
			return err
		}
		h.note("%s: the partial download does not match the file: starting over", r.name)
	}
}

// check looks at what was downloaded: its checksum and its structure.
func (r remote) check(path string) error {
	ok, err := r.sum.matches(path)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("the checksum of the download (%s) is not the published one", r.sum)
	}
	return r.fits(path)
}

// fill downloads until the file is complete.
func (h *Hub) fill(ctx context.Context, r remote, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	at := info.Size()
	err = h.retry(ctx, r.name, func() (bool, error) {
		before := at
		at, err = h.get(ctx, r, f, at)
		return at > before, err
	})
	if err == nil {
		err = f.Truncate(at) // what an earlier, longer download left
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// get asks for a file from a place on, writes what comes there, and returns how much of
// the file there is now. Two processes may write the same file, where locks do not work:
// they write the same bytes in the same places.
func (h *Hub) get(ctx context.Context, r remote, f *os.File, at int64) (int64, error) {
	if r.size >= 0 && at > r.size {
		at = 0
	}
	if at == r.size {
		return at, nil
	}
	header := http.Header{}
	if at > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", at))
		if strings.HasPrefix(r.etag, `"`) { // weak ones do not promise the same bytes
			header.Set("If-Range", r.etag)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	res, err := h.do(ctx, http.MethodGet, r.url, header)
	if status, ok := errors.AsType[*statusError](err); ok && status.status == http.StatusRequestedRangeNotSatisfiable && at > 0 {
		return 0, errCut // what there is, is no beginning of it
	}
	if err != nil {
		return at, err
	}
	defer func() { _ = res.Body.Close() }()
	at, total, err := r.begins(res, at)
	if err != nil {
		return at, err
	}
	return h.copy(ctx, cancel, r, f, at, total, res.Body)
}

// begins returns where an answer's bytes belong, and how long the whole file is.
func (r remote) begins(res *http.Response, asked int64) (at, total int64, err error) {
	if !r.page && strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		return asked, 0, errPage
	}
	total = res.ContentLength
	if res.StatusCode == http.StatusPartialContent {
		var from int64
		span, whole, _ := strings.Cut(strings.TrimPrefix(res.Header.Get("Content-Range"), "bytes "), "/")
		first, _, _ := strings.Cut(span, "-")
		if from, err = strconv.ParseInt(first, 10, 64); err != nil || from != asked {
			return 0, 0, fmt.Errorf("asked for bytes from %d on, the server sends %q", asked, res.Header.Get("Content-Range"))
		}
		at = asked
		if total, err = strconv.ParseInt(whole, 10, 64); err != nil {
			total = -1
		}
	}
	if r.size >= 0 && total >= 0 && total != r.size {
		return at, total, fmt.Errorf("the server sends %d bytes, where it announced %d", total, r.size)
	}
	return at, max(total, r.size), nil
}

// copy writes what a server sends. It ends the request where nothing comes for too long.
func (h *Hub) copy(ctx context.Context, cancel context.CancelCauseFunc, r remote, f *os.File, at, total int64, body io.Reader) (int64, error) {
	stalled := time.AfterFunc(h.Stall, func() { cancel(errStall) })
	defer stalled.Stop()
	buffer := make([]byte, 1<<18)
	for {
		n, err := body.Read(buffer)
		if total >= 0 && at+int64(n) > total {
			return at, fmt.Errorf("the server sends more than the %d bytes that it announced", total)
		}
		if _, failed := f.WriteAt(buffer[:n], at); failed != nil {
			return at, failed
		}
		if at += int64(n); n > 0 && h.Progress != nil && !r.page {
			h.Progress(r.name, at, total)
		}
		stalled.Reset(h.Stall)
		switch {
		case err == io.EOF && total >= 0 && at < total:
			return at, errCut
		case err == io.EOF:
			return at, nil
		case err != nil && errors.Is(context.Cause(ctx), errStall):
			return at, errStall
		case err != nil && ctx.Err() == nil:
			return at, fmt.Errorf("%w (%w)", errCut, err)
		case err != nil:
			return at, err
		}
	}
}
