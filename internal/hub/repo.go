package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"effnet/internal/weights"
)

// maxInfo bounds what the hub may say of a repository, in bytes.
const maxInfo = 16 << 20

// repoInfo is what the hub says of a repository at a revision.
type repoInfo struct {
	Commit string     `json:"sha"`
	Files  []repoFile `json:"siblings"`
}

type repoFile struct {
	Name string `json:"rfilename"`
}

func (i repoInfo) has(name string) bool { return slices.Contains(i.Files, repoFile{name}) }

// info asks the hub for a repository's commit and files.
func (h *Hub) info(ctx context.Context, s *source) (info repoInfo, err error) {
	address := h.Endpoint + "/api/models/" + s.repo + "/revision/" + url.PathEscape(s.revision)
	err = h.retry(ctx, s.name, func() (bool, error) {
		short, cancel := context.WithTimeoutCause(ctx, h.Metadata, errStall)
		defer cancel()
		res, err := h.do(short, http.MethodGet, address, nil)
		if err != nil {
			return false, causeOf(short, err)
		}
		defer func() { _ = res.Body.Close() }()
		if err := json.NewDecoder(io.LimitReader(res.Body, maxInfo)).Decode(&info); err != nil {
			return false, fmt.Errorf("what %s says of it cannot be read: %w (%w)", h.Endpoint, causeOf(short, err), errNoHub)
		}
		return false, nil
	})
	if err == nil && !isSHA1.MatchString(info.Commit) {
		err = fmt.Errorf("%s names no commit (%w)", h.Endpoint, errNoHub)
	}
	return info, err
}

// causeOf is errStall where a short context ended, and the error itself elsewhere.
func causeOf(short context.Context, err error) error {
	if errors.Is(context.Cause(short), errStall) {
		return errStall
	}
	return err
}

// errNoHub is an answer that the hub would not give.
var errNoHub = errors.New("this is not a Hugging Face hub: check HF_ENDPOINT, and whether the network wants you to log in")

// pullRepo brings the newest weights of a revision into the cache, with their
// config.json, and returns where they are.
func (h *Hub) pullRepo(ctx context.Context, s *source) (string, error) {
	info, err := h.info(ctx, s)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(weightFiles, info.has)
	if i < 0 {
		return "", hinted{fmt.Errorf("has none of the files %s", strings.Join(weightFiles, ", ")), "it is no repository of timm's kind"}
	}
	names := []string{configFile, weightFiles[i]}
	if !info.has(configFile) {
		if s.entry == nil {
			return "", hinted{errors.New("has no config.json, which says how images are prepared"), "download its weights, and take them through effnet import"}
		}
		names = names[1:]
	}
	c := h.repoCache(s.repo)
	for _, name := range names {
		if err := h.pullFile(ctx, s, c, info.Commit, name); err != nil {
			return "", err
		}
	}
	// Last: a revision stands for a commit of which everything is there.
	if err := c.point(s.revision, info.Commit); err != nil {
		return "", err
	}
	return c.snapshot(info.Commit, weightFiles[i]), nil
}

// pullFile brings one file of a commit into the cache.
func (h *Hub) pullFile(ctx context.Context, s *source, c repoCache, commit, name string) error {
	pointer := c.snapshot(commit, name)
	if exists(pointer) && checkPointer(pointer).Err == nil {
		return nil
	}
	r, etag, err := h.ask(ctx, s, commit, name)
	if err != nil {
		return err
	}
	unlock, err := c.lock(ctx, etag, func() { h.note("%s: another process is downloading it: waiting", r.name) })
	if err != nil {
		return err
	}
	defer unlock()
	// The blob may be there of another commit, or since another process downloaded it; where
	// there are no links, the file alone.
	blob := c.path("blobs", etag)
	if exists(pointer) && checkPointer(pointer).Err != nil || exists(blob) && r.check(blob) != nil {
		h.note("%s: the file in the cache is damaged: downloading it again", r.name)
		if err := errors.Join(os.RemoveAll(pointer), os.RemoveAll(blob)); err != nil {
			return err
		}
	}
	fresh := !exists(blob)
	if fresh && !exists(pointer) {
		partial := blob + ".incomplete"
		if err := h.download(ctx, r, partial); err != nil {
			return err
		}
		if err := c.publish(partial, etag); err != nil {
			return err
		}
	}
	return c.link(etag, commit, name, h.NoLinks, fresh)
}

// ask asks the hub what a file is, and where. The answer may be a redirect to a store of
// large files, whose own size and ETag are in the redirect.
func (h *Hub) ask(ctx context.Context, s *source, commit, name string) (r remote, etag string, err error) {
	r = remote{name: s.name + " " + name, size: -1, page: name == configFile, fits: weights.Check}
	if name == configFile {
		r.fits = isJSON
	}
	r.url = h.Endpoint + "/" + s.repo + "/resolve/" + commit + "/" + url.PathEscape(name)
	var header http.Header
	err = h.retry(ctx, r.name, func() (bool, error) {
		short, cancel := context.WithTimeoutCause(context.WithValue(ctx, staysKey{}, true), h.Metadata, errStall)
		defer cancel()
		res, err := h.do(short, http.MethodHead, r.url, nil)
		if err != nil {
			return false, causeOf(short, err)
		}
		defer func() { _ = res.Body.Close() }()
		if header = res.Header; res.StatusCode < 300 && header.Get("X-Linked-Size") == "" {
			header.Set("X-Linked-Size", header.Get("Content-Length"))
		}
		return false, nil
	})
	if err != nil {
		return r, "", err
	}
	etag = header.Get("X-Linked-Etag")
	if etag == "" {
		etag = header.Get("ETag")
	}
	etag = strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
	if header.Get("X-Repo-Commit") == "" || !isName(etag) {
		return r, "", fmt.Errorf("%s says neither commit nor ETag of it (%w)", h.Endpoint, errNoHub)
	}
	if n, err := strconv.ParseInt(header.Get("X-Linked-Size"), 10, 64); err == nil && n >= 0 {
		r.size = n
	}
	// A path with the commit is of the same bytes for ever: r.etag, which is for If-Range
	// and which a store of large files has of its own, is not needed.
	r.sum = ofETag(etag)
	return r, etag, nil
}

// isName says whether an ETag may be a file's name.
func isName(etag string) bool {
	return etag != "" && len(etag) <= 128 && !strings.ContainsAny(etag, `/\:*?"<>|`+"\x00") && !strings.HasPrefix(etag, ".")
}

func isJSON(path string) error {
	text, err := os.ReadFile(path)
	if err == nil && !json.Valid(text) {
		err = errPage
	}
	return err
}
