package serve

import (
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
)

// body reads a request's whole body, unpacked, within the bounds of one and of all
// together. Until release is called, it counts among all bodies in memory.
func (s *Server) body(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	counted := &counted{server: s}
	release = func() { s.bodies.Add(-counted.bytes) }
	counted.from, err = unpacked(r.Header.Get("Content-Encoding"), http.MaxBytesReader(w, r.Body, s.opt.MaxBody))
	if err == nil {
		body, err = io.ReadAll(counted)
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return body, release, nil
}

// counted reads an unpacked body, and counts it among all bodies in memory.
type counted struct {
	server *Server
	from   io.Reader
	bytes  int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.bytes += int64(n)
	all := c.server.bodies.Add(int64(n))
	switch opt := c.server.opt; {
	case c.bytes > opt.MaxBody:
		return n, &http.MaxBytesError{Limit: opt.MaxBody}
	case all > opt.Bodies:
		return n, &problem{http.StatusServiceUnavailable, "too many requests are being read: try again in a second"}
	}
	return n, err
}

// unpacked reads what is packed by an encoding.
func unpacked(encoding string, from io.Reader) (io.Reader, error) {
	var r io.Reader
	var err error
	switch encoding {
	case "", "identity":
		return from, nil
	case "gzip":
		r, err = gzip.NewReader(from)
	case "deflate": // which is zlib's format
		r, err = zlib.NewReader(from)
	default:
		return nil, problemf(http.StatusUnsupportedMediaType, "Content-Encoding %s: want gzip, deflate or identity", encoding)
	}
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "the body is not %s: %v", encoding, err)
	}
	return r, nil
}
