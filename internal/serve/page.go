package serve

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
)

// pageFiles are what the page at / is made of.
//
//go:embed page
var pageFiles embed.FS

// pageTypes are their types by extension. The table of the system, which Windows keeps
// where any program can change it, would not do: a browser runs no script of another type.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// page answers with the page and its parts, which need nothing from elsewhere.
func (s *Server) page(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("file")
	if name == "" {
		name = "index.html"
	}
	if _, err := fs.Stat(pageFiles, "page/"+name); err != nil {
		return problemf(http.StatusNotFound, "there is no %s", r.URL.Path)
	}
	w.Header().Set("Content-Type", pageTypes[path.Ext(name)])
	w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, pageFiles, "page/"+name)
	return nil
}
