// Package hubtest is a Hugging Face hub for tests: it speaks the hub's protocol, as
// huggingface_hub asks for it, and misbehaves where a test wants it to.
package hubtest

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // git's names of files
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a hub, and another host that stores its large files.
type Server struct {
	URL      string // of the hub
	StoreURL string

	mu       sync.Mutex
	repos    map[string]*Repo
	stored   map[string][]byte // large files by SHA-256, others by their own paths
	faults   []*Fault
	requests []Request
}

// Repo is a repository with one commit.
type Repo struct {
	Commit string
	Token  string // who has another one sees no repository; "" for a public one
	Gated  bool   // its files are refused
	files  map[string][]byte
}

// Request is one that a server answered.
type Request struct {
	Method, Host, Path   string
	Range, Authorization string
}

// Fault answers the requests that it is for, in place of the server.
type Fault struct {
	Method string // "" for any
	Part   string // of the path
	Times  int    // how many requests; negative for all
	Answer http.HandlerFunc
}

// New starts a hub, which ends with the test.
func New(t testing.TB) *Server {
	s, stop := Start()
	t.Cleanup(stop)
	return s
}

// Start starts a hub, which stop ends.
func Start() (s *Server, stop func()) {
	s = &Server{repos: map[string]*Repo{}, stored: map[string][]byte{}}
	hub := httptest.NewServer(s.handler(s.hub))
	store := httptest.NewServer(s.handler(s.store))
	s.URL, s.StoreURL = hub.URL, store.URL
	return s, func() { hub.Close(); store.Close() }
}

// Add publishes a repository's files, in the place of those that it had.
func (s *Server) Add(name string, files map[string][]byte) *Repo {
	h := sha1.New() //nolint:gosec // a commit's name
	for _, file := range sorted(files) {
		fmt.Fprintf(h, "%s %x\n", file, sha256.Sum256(files[file]))
	}
	r := &Repo{Commit: hex.EncodeToString(h.Sum(nil)), files: files}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos[name] = r
	return r
}

// Store serves a file on the second host, and returns its URL.
func (s *Server) Store(name string, content []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored[name] = content
	return s.StoreURL + "/" + name
}

// Fail adds a fault.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Requests returns those since the last call.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.requests
	s.requests = nil
	return all
}

// handler records a request, and answers it by a fault or by answer.
func (s *Server) handler(usual http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := usual
		s.mu.Lock()
		s.requests = append(s.requests, Request{r.Method, r.Host, r.URL.Path, r.Header.Get("Range"), r.Header.Get("Authorization")})
		i := slices.IndexFunc(s.faults, func(f *Fault) bool {
			return f.Times != 0 && (f.Method == "" || f.Method == r.Method) && strings.Contains(r.URL.Path, f.Part)
		})
		if i >= 0 {
			f := s.faults[i]
			f.Times--
			answer = f.Answer
		}
		s.mu.Unlock()
		answer(w, r)
	})
}

// hub answers /api/models/OWNER/NAME/revision/REVISION and /tree/REVISION, and HEAD and GET of
// /OWNER/NAME/resolve/REVISION/FILE.
func (s *Server) hub(w http.ResponseWriter, r *http.Request) {
	var rest string
	var tree bool
	name, api := strings.CutPrefix(r.URL.Path, "/api/models/")
	if !api {
		name, rest, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/resolve/")
	} else if name, rest, tree = strings.Cut(name, "/tree/"); !tree {
		name, rest, _ = strings.Cut(name, "/revision/")
	}
	s.mu.Lock()
	repo := s.repos[name]
	s.mu.Unlock()
	revision, file, _ := strings.Cut(rest, "/")
	switch {
	case repo == nil || repo.Token != "" && r.Header.Get("Authorization") != "Bearer "+repo.Token:
		refuse(w, http.StatusUnauthorized, "RepoNotFound", "Repository not found")
	case revision != "main" && revision != repo.Commit:
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+revision)
	case tree:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(repo.tree())
	case api:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(repo.info(name))
	case repo.Gated:
		refuse(w, http.StatusForbidden, "GatedRepo", "Access to model "+name+" is restricted")
	case repo.files[file] == nil:
		w.Header().Set("X-Repo-Commit", repo.Commit)
		refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
	default:
		s.resolve(w, r, repo, file)
	}
}

func (r *Repo) info(name string) any {
	files := make([]map[string]any, 0, len(r.files))
	for _, file := range sorted(r.files) {
		files = append(files, map[string]any{"rfilename": file})
	}
	return map[string]any{"id": name, "modelId": name, "sha": r.Commit, "siblings": files, "tags": []string{}, "private": r.Token != "", "gated": false}
}

func (r *Repo) tree() any {
	files := make([]map[string]any, 0, len(r.files))
	for _, file := range sorted(r.files) {
		content := r.files[file]
		entry := map[string]any{"type": "file", "path": file, "size": len(content), "oid": gitName(content)}
		if Large(file) {
			entry["lfs"] = map[string]any{"oid": storedName(content), "size": len(content), "pointerSize": 134}
		}
		files = append(files, entry)
	}
	return files
}

// gitName is git's name of a file.
func gitName(content []byte) string {
	sum := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content)) //nolint:gosec // git's
	return hex.EncodeToString(sum[:])
}

// storedName is that of a large file.
func storedName(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Error-Code", code)
	w.Header().Set("X-Error-Message", message)
	w.WriteHeader(status)
}

// resolve serves a small file itself, under git's name of it, and redirects to the store
// for a large one, under its SHA-256.
func (s *Server) resolve(w http.ResponseWriter, r *http.Request, repo *Repo, file string) {
	content := repo.files[file]
	w.Header().Set("X-Repo-Commit", repo.Commit)
	if !Large(file) {
		w.Header().Set("ETag", `"`+gitName(content)+`"`)
		http.ServeContent(w, r, path.Base(file), time.Time{}, bytes.NewReader(content))
		return
	}
	name := storedName(content)
	w.Header().Set("X-Linked-Etag", `"`+name+`"`)
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(content)))
	w.Header().Set("ETag", `"the store's own, which is no checksum"`)
	http.Redirect(w, r, s.Store(name, content)+"?signature=1", http.StatusFound)
}

// Large says whether a file is one of those that are stored apart.
func Large(file string) bool {
	return slices.Contains([]string{".safetensors", ".bin"}, path.Ext(file))
}

// store answers HEAD and GET of a file, also of a part.
func (s *Server) store(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	content, ok := s.stored[strings.TrimPrefix(r.URL.Path, "/")]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	sum := sha1.Sum(content) //nolint:gosec // an ETag
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`-1"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func sorted(files map[string][]byte) (names []string) {
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
